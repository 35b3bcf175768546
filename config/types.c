#include "config/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: what a value is printed in. */
static const struct unit sizes_shown[] = {{"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10},
                                          {"B", 1}};
static const struct unit sizes[] = {
    {"", 1},          {"b", 1},         {"byte", 1},      {"bytes", 1},     {"k", 1ull << 10},   {"ki", 1ull << 10},
    {"kib", 1ull << 10}, {"kb", 1000},  {"m", 1ull << 20}, {"mi", 1ull << 20}, {"mib", 1ull << 20}, {"mb", 1000000},
    {"g", 1ull << 30}, {"gi", 1ull << 30}, {"gib", 1ull << 30}, {"gb", 1000000000}, {"t", 1ull << 40}, {"ti", 1ull << 40},
    {"tib", 1ull << 40}, {"tb", 1000000000000}, {NULL, 0}};

#define US_PER_S 1000000ull
static const struct unit durations_shown[] = {{"d", 86400 * US_PER_S}, {"h", 3600 * US_PER_S}, {"m", 60 * US_PER_S},
                                              {"s", US_PER_S}, {"ms", 1000}, {"us", 1}};
static const struct unit durations[] = {
    {"us", 1}, {"micros", 1}, {"microseconds", 1}, {"ms", 1000}, {"millis", 1000}, {"milliseconds", 1000}, {"s", US_PER_S},
    {"second", US_PER_S}, {"seconds", US_PER_S}, {"m", 60 * US_PER_S}, {"minute", 60 * US_PER_S}, {"minutes", 60 * US_PER_S},
    {"h", 3600 * US_PER_S}, {"hour", 3600 * US_PER_S}, {"hours", 3600 * US_PER_S}, {"d", 86400 * US_PER_S},
    {"day", 86400 * US_PER_S}, {"days", 86400 * US_PER_S}, {"w", 7 * 86400 * US_PER_S}, {"week", 7 * 86400 * US_PER_S},
    {"weeks", 7 * 86400 * US_PER_S}, {NULL, 0}};

bool type_is_text(enum schema_type type) { return type == TYPE_STRING || type == TYPE_SECRET; }

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static bool is_digit(struct span text) { return text.bytes && text.data[0] >= '0' && text.data[0] <= '9'; }

static bool take_digits(struct span *text, uint64_t *number, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (; is_digit(*text); *text = span_skip(*text, 1), count++)
        if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, text->data[0] - '0', number))
            return false;
    *ret_count = count;
    return count > 0;
}

static void skip_blanks(struct span *text)
{
    while (text->bytes && text->data[0] == ' ')
        *text = span_skip(*text, 1);
}

static uint64_t take_unit(struct span *text, const struct unit *units)
{
    size_t letters = 0;
    while (letters < text->bytes && (text->data[letters] | 0x20) >= 'a' && (text->data[letters] | 0x20) <= 'z')
        letters++;
    for (; units->name; units++)
        if (strlen(units->name) == letters && strncasecmp((const char *)text->data, units->name, letters) == 0) break;
    *text = span_skip(*text, letters);
    return units->factor;
}

/* NUMBER[.FRACTION] UNIT; exact: 1.5GiB is a whole number of bytes, 1.3B is none. */
static bool take_measure(struct span *text, const struct unit *units, uint64_t *ret_value)
{
    uint64_t digits = 0, divisor = 1, value;
    uint32_t count, fraction = 0;
    if (!take_digits(text, &digits, &count)) return false;
    if (text->bytes && text->data[0] == '.') {
        *text = span_skip(*text, 1);
        if (!take_digits(text, &digits, &fraction) || fraction > 9) return false;
    }
    skip_blanks(text);
    uint64_t factor = take_unit(text, units);
    for (; fraction; fraction--)
        divisor *= 10;
    if (factor == 0 || __builtin_mul_overflow(digits, factor, &value) || value % divisor) return false;
    *ret_value = value / divisor;
    return true;
}

static bool parse_unsigned(struct span text, uint64_t *ret_number)
{
    uint32_t count;
    *ret_number = 0;
    return take_digits(&text, ret_number, &count) && text.bytes == 0;
}

static bool parse_duration(struct span text, uint32_t unit_us, uint64_t *ret_number)
{
    uint64_t sum_us = 0, part_us;
    if (parse_unsigned(text, ret_number)) return *ret_number == 0;
    do {
        if (!take_measure(&text, durations, &part_us) || __builtin_add_overflow(sum_us, part_us, &sum_us)) return false;
        skip_blanks(&text);
    } while (text.bytes);
    *ret_number = sum_us / unit_us;
    return sum_us % unit_us == 0;
}

/* Of bytes, when the key's unit says so: then the number may have a unit, as a size has. */
static bool parse_rate(struct span text, bool bytes, uint64_t *ret_number)
{
    static const struct unit per[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {NULL, 0}};
    uint32_t count;
    *ret_number = 0;
    if (bytes ? !take_measure(&text, sizes, ret_number) : !take_digits(&text, ret_number, &count)) return false;
    if (text.bytes == 0) return *ret_number == 0;
    if (text.data[0] != '/') return false;
    text = span_skip(text, 1);
    uint64_t seconds = take_unit(&text, per);
    if (seconds == 0 || text.bytes || *ret_number % seconds) return false;
    *ret_number /= seconds;
    return true;
}

static bool parse_bool(struct span text, uint64_t *ret_number)
{
    static const char *const names[] = {"false", "true", "off", "on", "no", "yes"};
    for (uint64_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) != text.bytes || strncasecmp(names[i], (const char *)text.data, text.bytes) != 0) continue;
        *ret_number = i & 1;
        return true;
    }
    return false;
}

static bool same_word(const char *name, struct span text)
{
    if (strlen(name) != text.bytes) return false;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = text.data[i] == '-' ? '_' : text.data[i];
        if (byte >= 'A' && byte <= 'Z') byte |= 0x20;
        if (byte != (uint8_t)name[i]) return false;
    }
    return true;
}

static bool parse_number(const struct schema_key *key, struct span text, uint64_t *ret_number)
{
    uint32_t end = 0;
    switch (key->type) {
    case TYPE_UNSIGNED: return parse_unsigned(text, ret_number);
    case TYPE_SIZE: return take_measure(&text, sizes, ret_number) && text.bytes == end;
    case TYPE_DURATION: return parse_duration(text, key->unit_us, ret_number);
    case TYPE_RATE: return parse_rate(text, key->unit_us != 0, ret_number);
    default: return false; /* words only */
    }
}

bool type_parse(const struct schema_key *key, struct span text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (const struct schema_word *word = key->words; word && word->name; word++) {
        if (!same_word(word->name, text)) continue;
        *ret_number = word->value;
        return true;
    }
    bool sound = key->type == TYPE_BOOL ? parse_bool(text, &number)
                                        : parse_number(key, text, &number) && number >= key->min && number <= key->max;
    if (sound) *ret_number = number;
    return sound;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void format_measure(uint64_t value, const struct unit *units, char *ret_text, size_t bytes)
{
    while (units->factor > 1 && (value == 0 || value % units->factor))
        units++;
    snprintf(ret_text, bytes, "%" PRIu64 "%s", value / units->factor, units->name);
}

void type_format(const struct schema_key *key, uint64_t number, char *ret_text, size_t bytes)
{
    for (const struct schema_word *word = key->words; word && word->name; word++) {
        if (word->value != number) continue;
        snprintf(ret_text, bytes, "%s", word->name);
        return;
    }
    switch (key->type) {
    case TYPE_BOOL: snprintf(ret_text, bytes, "%s", number ? "true" : "false"); return;
    case TYPE_SIZE: return format_measure(number, sizes_shown, ret_text, bytes);
    case TYPE_DURATION:
        if (number) return format_measure(number * key->unit_us, durations_shown, ret_text, bytes);
        snprintf(ret_text, bytes, "0s");
        return;
    case TYPE_RATE: snprintf(ret_text, bytes, "%" PRIu64 "/s", number); return;
    default: snprintf(ret_text, bytes, "%" PRIu64, number); return;
    }
}

static void add_words(const struct schema_key *key, const char *before, const char *last, char *ret_text, size_t bytes)
{
    for (const struct schema_word *word = key->words; word && word->name; word++) {
        size_t used = strlen(ret_text);
        snprintf(ret_text + used, bytes - used, "%s%s", word == key->words ? before : word[1].name ? ", " : last, word->name);
    }
}

void type_describe(const struct schema_key *key, char *ret_text, size_t bytes)
{
    static const char *const names[] = {[TYPE_UNSIGNED] = "a whole number", [TYPE_SIZE] = "a size", [TYPE_DURATION] = "a duration",
                                        [TYPE_RATE] = "a rate"};
    char min[TYPE_TEXT_BYTES_MAX], max[TYPE_TEXT_BYTES_MAX];
    *ret_text = 0;
    switch (key->type) {
    case TYPE_BOOL: snprintf(ret_text, bytes, "true or false"); return;
    case TYPE_ENUM: add_words(key, "", " or ", ret_text, bytes); return;
    case TYPE_STRING:
    case TYPE_SECRET:
        snprintf(ret_text, bytes, "a string of %s%" PRIu64 " bytes%s", key->min ? "1 to " : "up to ", key->max,
                 key->type == TYPE_SECRET ? ", or file://PATH" : "");
        return;
    default: break;
    }
    struct schema_key plain = *key; /* the limits as numbers, not as the words that may stand for them */
    plain.words = NULL;
    type_format(&plain, key->min, min, sizeof min);
    type_format(&plain, key->max, max, sizeof max);
    snprintf(ret_text, bytes, "%s from %s to %s", names[key->type], min, max);
    add_words(key, ", or ", " or ", ret_text, bytes);
}
