#include "cmd/ringmq_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"

#define WIDTH_MAX 10000
#define ITEMS     "%ACDEFIJPRSUXjlmpqrtx@"

/* ---- compiling ---- */

/* -1: it is none. */
static int escape(char letter)
{
    switch (letter) {
    case 'a': return '\a';
    case 'e': return '\033';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case '0': return '\0';
    case '\\': return '\\';
    default: return -1;
    }
}

static struct format_piece *add_piece(struct format *format)
{
    format->pieces = memory_resize(format->pieces, (format->count + 1) * sizeof *format->pieces);
    struct format_piece *piece = &format->pieces[format->count++];
    *piece = (struct format_piece){.precision = -1};
    return piece;
}

static const char *take_count(const char *at, uint32_t *ret_count)
{
    uint64_t count = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        if (count <= WIDTH_MAX) count = count * 10 + (uint64_t)(*at - '0');
    *ret_count = count > WIDTH_MAX ? WIDTH_MAX : (uint32_t)count;
    return at;
}

/* What follows a '%'. Returns what follows the item; NULL: it is none, and has been complained about. */
static const char *compile_item(struct format *format, const char *at)
{
    struct format_piece *piece = add_piece(format);
    const char *begin = at;
    for (; *at == '-' || *at == '0'; at++) {
        if (*at == '-') piece->left = true;
        if (*at == '0') piece->zeros = true;
    }
    at = take_count(at, &piece->width);
    if (*at == '.') {
        uint32_t precision;
        at = take_count(at + 1, &precision);
        piece->precision = (int)precision;
    }
    if (*at == 0 || strchr(ITEMS, *at) == NULL) {
        say_error("-F: '%%%.*s' is no item; they are %%%% %%A %%C %%D %%E %%F %%I %%j %%J %%l %%m %%p %%P %%q %%r %%R "
                  "%%S %%t "
                  "%%U %%x %%X %%@ (see --help)",
                  (int)(at - begin) + (*at ? 1 : 0), begin);
        return NULL;
    }
    piece->letter = *at++;
    if (piece->letter != '@') return at;
    piece->time_letter = *at;
    if (*at) return at + 1;
    say_error("-F: '%%@' wants a letter of strftime(3) after it, as in %%@H:%%@M");
    return NULL;
}

bool format_compile(const char *source, bool pretty, struct format *ret_format)
{
    *ret_format = (struct format){.pretty = pretty, .text = memory_acquire(strlen(source) + 1)};
    char *out = ret_format->text, *begin = out;
    for (const char *at = source; at && *at;) {
        if (*at == '\\') {
            if (escape(at[1]) < 0) {
                say_error("-F: '\\%c' is no escape; they are \\\\ \\0 \\a \\e \\n \\r \\t \\v", at[1] ? at[1] : ' ');
                return false;
            }
            *out++ = (char)escape(at[1]);
            at += 2;
            continue;
        }
        if (*at != '%') {
            *out++ = *at++;
            continue;
        }
        if (out > begin) add_piece(ret_format)->text = span_of(begin, (size_t)(out - begin));
        begin = out;
        at = compile_item(ret_format, at + 1);
        if (at == NULL) return false;
    }
    if (out > begin) add_piece(ret_format)->text = span_of(begin, (size_t)(out - begin));
    return true;
}

void format_release(struct format *format)
{
    memory_release(format->pieces);
    memory_release(format->text);
}

/* ---- printing ---- */

/* Cuts to the precision, fills to the width. Zeros fill numbers only, on the left. */
static void print_padded(const struct format_piece *piece, struct span text, bool number, FILE *out)
{
    if (!number && piece->precision >= 0 && text.bytes > (size_t)piece->precision)
        text.bytes = (size_t)piece->precision;
    size_t fill = piece->width > text.bytes ? piece->width - text.bytes : 0;
    char filler = piece->zeros && number && !piece->left ? '0' : ' ';
    for (size_t i = 0; i < fill && !piece->left; i++)
        putc(filler, out);
    if (text.bytes) fwrite(text.data, 1, text.bytes, out);
    for (size_t i = 0; i < fill && piece->left; i++)
        putc(filler, out);
}

static void print_number(const struct format_piece *piece, uint64_t number, FILE *out)
{
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%lu", (unsigned long)number);
    print_padded(piece, span_of(digits, (size_t)count), true, out);
}

static void print_hex(const struct format_piece *piece, struct span payload, FILE *out)
{
    const char *digits = piece->letter == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
    char *text = memory_acquire(payload.bytes * 2 + 1);
    for (size_t i = 0; i < payload.bytes; i++) {
        text[2 * i] = digits[payload.data[i] >> 4];
        text[2 * i + 1] = digits[payload.data[i] & 15];
    }
    print_padded(piece, span_of(text, payload.bytes * 2), false, out);
    memory_release(text);
}

static void print_time(const struct format_piece *piece, struct timespec now, FILE *out)
{
    char text[128], pattern[3] = {'%', piece->time_letter, 0};
    struct tm local;
    localtime_r(&now.tv_sec, &local);
    size_t count = 0;
    if (piece->letter == 'I')
        count = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local);
    else if (piece->letter == 'U')
        count = (size_t)snprintf(text, sizeof text, "%ld.%09ld", (long)now.tv_sec, now.tv_nsec);
    else if (piece->time_letter == 'N')
        count = (size_t)snprintf(text, sizeof text, "%09ld", now.tv_nsec);
    else
        count = strftime(text, sizeof text, pattern, &local);
    print_padded(piece, span_of(text, count), false, out);
}

static void print_user_properties(const struct format_piece *piece, const struct mqtt_properties *properties, FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    struct span rest = properties->raw;
    struct mqtt_user_property pair;
    bool first = true;
    while (mqtt_has(properties, MQTT_PROPERTY_USER_PROPERTY) && mqtt_user_property_next(&rest, &pair)) {
        fprintf(memory, "%s%.*s:%.*s", first ? "" : " ", SPAN_PRINT(pair.name), SPAN_PRINT(pair.value));
        first = false;
    }
    fclose(memory);
    print_padded(piece, span_of(text, bytes), false, out);
    free(text);
}

static void print_subscription_ids(const struct format_piece *piece, const struct mqtt_properties *properties,
                                   FILE *out)
{
    char text[256];
    size_t used = 0;
    struct span rest = properties->raw;
    uint32_t id;
    while (mqtt_has(properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER) && used < sizeof text - 16 &&
           mqtt_subscription_id_next(&rest, &id))
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u", used ? " " : "", id);
    print_padded(piece, span_of(text, used), false, out);
}

static void print_optional_number(const struct format_piece *piece, bool there, uint64_t number, FILE *out)
{
    if (there)
        print_number(piece, number, out);
    else
        print_padded(piece, SPAN_LITERAL(""), false, out);
}

static void print_optional_text(const struct format_piece *piece, bool there, struct span text, FILE *out)
{
    print_padded(piece, there ? text : SPAN_LITERAL(""), false, out);
}

static void print_item(const struct format *format, const struct format_piece *piece,
                       const struct mqtt_publish *publish, struct timespec now, FILE *out)
{
    const struct mqtt_properties *with = &publish->properties;
#define HAS(symbol) mqtt_has(with, MQTT_PROPERTY_##symbol)
    switch (piece->letter) {
    case 0: fwrite(piece->text.data, 1, piece->text.bytes, out); return;
    case '%': print_padded(piece, SPAN_LITERAL("%"), false, out); return;
    case 't': print_padded(piece, publish->topic, false, out); return;
    case 'p': print_padded(piece, publish->payload, false, out); return;
    case 'x':
    case 'X': print_hex(piece, publish->payload, out); return;
    case 'l': print_number(piece, publish->payload.bytes, out); return;
    case 'q': print_number(piece, publish->qos, out); return;
    case 'r': print_number(piece, publish->retain, out); return;
    case 'm': print_number(piece, publish->packet_id, out); return;
    case 'I':
    case 'U':
    case '@': print_time(piece, now, out); return;
    case 'j':
    case 'J': json_print_message(publish, now, piece->letter == 'J', format->pretty, out); return;
    case 'A': print_optional_number(piece, HAS(TOPIC_ALIAS), with->topic_alias, out); return;
    case 'C': print_optional_text(piece, HAS(CONTENT_TYPE), with->content_type, out); return;
    case 'D': print_optional_text(piece, HAS(CORRELATION_DATA), with->correlation_data, out); return;
    case 'E': print_optional_number(piece, HAS(MESSAGE_EXPIRY_INTERVAL), with->message_expiry_s, out); return;
    case 'F': print_optional_number(piece, HAS(PAYLOAD_FORMAT_INDICATOR), with->payload_format_indicator, out); return;
    case 'P': print_user_properties(piece, with, out); return;
    case 'R': print_optional_text(piece, HAS(RESPONSE_TOPIC), with->response_topic, out); return;
    case 'S': print_subscription_ids(piece, with, out); return;
    }
#undef HAS
}

void format_print(const struct format *format, const struct mqtt_publish *publish, struct timespec now, FILE *out)
{
    for (uint32_t i = 0; i < format->count; i++)
        print_item(format, &format->pieces[i], publish, now, out);
}
