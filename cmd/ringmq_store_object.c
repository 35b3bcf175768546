/* One line of an export, read: a flat JSON object (RFC 8259). */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq_store.h"
#include "proto/utf8.h"

struct text_reader {
    char *at, *end;
    const char *fault;
};

static void skip_space(struct text_reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at))
        reader->at++;
}

static bool take(struct text_reader *reader, char what)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != what) return false;
    reader->at++;
    return true;
}

static bool take_word(struct text_reader *reader, const char *word)
{
    size_t bytes = strlen(word);
    if ((size_t)(reader->end - reader->at) < bytes || memcmp(reader->at, word, bytes) != 0) return false;
    reader->at += bytes;
    return true;
}

static bool take_hex4(struct text_reader *reader, uint32_t *ret_value)
{
    *ret_value = 0;
    if (reader->end - reader->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = *reader->at++;
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return false;
        *ret_value = *ret_value << 4 | (uint32_t)digit;
    }
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 63));
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

static bool take_escape(struct text_reader *reader, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end) return false;
    char c = *reader->at++;
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        *(*out)++ = to[simple - from];
        return true;
    }
    uint32_t code, low;
    if (c != 'u' || !take_hex4(reader, &code)) return false;
    if (code >= 0xd800 && code < 0xdc00) { /* the first of a pair */
        if (!take_word(reader, "\\u") || !take_hex4(reader, &low) || low < 0xdc00 || low > 0xdfff) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return false;
    }
    *out = put_utf8(*out, code);
    return true;
}

/* Unescaped in its place: that never takes more room. */
static bool take_text(struct text_reader *reader, struct span *ret_text)
{
    reader->fault = "a string with its quotes is wanted";
    if (!take(reader, '"')) return false;
    reader->fault = "a string that is not whole, or has an escape that JSON does not know";
    char *start = reader->at, *out = start;
    while (reader->at < reader->end && *reader->at != '"') {
        if ((uint8_t)*reader->at < 0x20) return false;
        if (*reader->at != '\\') {
            *out++ = *reader->at++;
            continue;
        }
        reader->at++;
        if (!take_escape(reader, &out)) return false;
    }
    if (reader->at == reader->end) return false;
    reader->at++;
    *ret_text = span_of(start, (size_t)(out - start));
    return true;
}

static bool take_number(struct text_reader *reader, uint64_t *ret_number)
{
    reader->fault = "a whole number that is not negative is wanted";
    skip_space(reader);
    *ret_number = 0;
    char *start = reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
        if (__builtin_mul_overflow(*ret_number, 10, ret_number) || __builtin_add_overflow(*ret_number, (uint64_t)(*reader->at - '0'), ret_number))
            return false;
    return reader->at > start && (reader->at == reader->end || !strchr(".eE", *reader->at));
}

static bool take_numbers(struct text_reader *reader, struct store_field *field)
{
    field->kind = FIELD_NUMBERS;
    if (take(reader, ']')) return true;
    do {
        uint64_t number;
        if (!take_number(reader, &number)) return false;
        if (number > UINT32_MAX) return false;
        field->numbers = memory_resize(field->numbers, (field->numbers_count + 1) * sizeof *field->numbers);
        field->numbers[field->numbers_count++] = (uint32_t)number;
    } while (take(reader, ','));
    reader->fault = "an array that is not whole";
    return take(reader, ']');
}

static bool take_value(struct text_reader *reader, struct store_field *field)
{
    skip_space(reader);
    if (reader->at < reader->end && *reader->at == '"') {
        field->kind = FIELD_TEXT;
        return take_text(reader, &field->text);
    }
    if (take(reader, '[')) return take_numbers(reader, field);
    field->kind = FIELD_TRUE;
    if (take_word(reader, "true")) return true;
    field->kind = FIELD_FALSE;
    if (take_word(reader, "false")) return true;
    field->kind = FIELD_NULL;
    if (take_word(reader, "null")) return true;
    field->kind = FIELD_NUMBER;
    return take_number(reader, &field->number);
}

static bool take_field(struct text_reader *reader, struct store_object *object)
{
    struct span name;
    if (!take_text(reader, &name)) return false;
    reader->fault = "an object with more fields than an export has";
    if (object->count == STORE_FIELDS_MAX || name.bytes >= sizeof object->fields[0].name) return false;
    struct store_field *field = &object->fields[object->count];
    *field = (struct store_field){.kind = FIELD_NULL};
    memcpy(field->name, name.data, name.bytes);
    reader->fault = "a field that comes twice";
    if (store_object_find(object, field->name)) return false;
    object->count++;
    reader->fault = "a colon is wanted behind a field's name";
    return take(reader, ':') && take_value(reader, field);
}

static bool take_object(struct text_reader *reader, struct store_object *object)
{
    reader->fault = "not a JSON object";
    if (!take(reader, '{')) return false;
    do
        if (!take_field(reader, object)) return false;
    while (take(reader, ','));
    reader->fault = "an object that is not whole";
    if (!take(reader, '}')) return false;
    skip_space(reader);
    reader->fault = "something behind the object";
    return reader->at == reader->end;
}

bool store_object_read(char *line, size_t bytes, struct store_object *ret_object)
{
    struct text_reader reader = {line, line + bytes, "it is not UTF-8"};
    *ret_object = (struct store_object){.count = 0};
    bool good = mqtt_utf8_payload_valid(span_of(line, bytes)) && take_object(&reader, ret_object);
    ret_object->fault = good ? NULL : reader.fault;
    return good;
}

void store_object_release(struct store_object *object)
{
    for (uint32_t i = 0; i < object->count; i++)
        memory_release(object->fields[i].numbers);
    object->count = 0;
}

struct store_field *store_object_find(struct store_object *object, const char *name)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (strcmp(object->fields[i].name, name) == 0) {
            object->fields[i].used = true;
            return &object->fields[i];
        }
    return NULL;
}
