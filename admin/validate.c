#include "admin/validate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static bool wrong(char *ret_error, size_t error_bytes, const char *where, const char *name, const char *what)
{
    snprintf(ret_error, error_bytes, "%s%s%s %s", where, *where ? "." : "", name, what);
    return false;
}

static bool is_one_of(const char *const *words, const char *text)
{
    for (; *words; words++)
        if (strcmp(*words, text) == 0) return true;
    return false;
}

static void list_words(const char *const *words, char *ret_text, size_t bytes)
{
    size_t used = (size_t)snprintf(ret_text, bytes, "must be one of ");
    for (const char *const *word = words; *word && used < bytes; word++)
        used += (size_t)snprintf(ret_text + used, bytes - used, "%s%s", word == words ? "" : ", ", *word);
}

static bool limited(const struct api_field *field) { return field->min || field->max; }

static bool check_string(const struct api_field *field, const char *text, size_t length, const char *where, char *ret_error, size_t error_bytes)
{
    char what[256];
    if (memchr(text, 0, length)) return wrong(ret_error, error_bytes, where, field->name, "must not have a NUL in it");
    if (field->words && !is_one_of(field->words, text)) {
        list_words(field->words, what, sizeof what);
        return wrong(ret_error, error_bytes, where, field->name, what);
    }
    if (limited(field) && ((int64_t)length < field->min || (int64_t)length > field->max)) {
        snprintf(what, sizeof what, "must have %lld to %lld bytes", (long long)field->min, (long long)field->max);
        return wrong(ret_error, error_bytes, where, field->name, what);
    }
    return true;
}

static bool check_integer(const struct api_field *field, int64_t number, const char *where, char *ret_error, size_t error_bytes)
{
    if (!limited(field) || (number >= field->min && number <= field->max)) return true;
    char what[128];
    snprintf(what, sizeof what, "must be %lld to %lld", (long long)field->min, (long long)field->max);
    return wrong(ret_error, error_bytes, where, field->name, what);
}

static bool object_at(const struct api_schema *schema, const json_t *value, const char *where, int depth, char *ret_error, size_t error_bytes);

static bool check_array(const struct api_field *field, const json_t *value, const char *where, int depth, char *ret_error, size_t error_bytes)
{
    char place[192], what[128];
    size_t count = json_array_size(value);
    if (limited(field) && ((int64_t)count < field->min || (int64_t)count > field->max)) {
        snprintf(what, sizeof what, "must have %lld to %lld items", (long long)field->min, (long long)field->max);
        return wrong(ret_error, error_bytes, where, field->name, what);
    }
    const struct api_schema *items = api_schema_find(field->of);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        snprintf(place, sizeof place, "%s%s%s[%zu]", where, *where ? "." : "", field->name, i);
        if (items && !json_is_object(item)) return wrong(ret_error, error_bytes, "", place, "must be an object");
        if (items && !object_at(items, item, place, depth + 1, ret_error, error_bytes)) return false;
        if (!items && !json_is_string(item)) return wrong(ret_error, error_bytes, "", place, "must be a string");
        if (!items && memchr(json_string_value(item), 0, json_string_length(item))) return wrong(ret_error, error_bytes, "", place, "must not have a NUL in it");
        if (!items && (json_string_length(item) == 0 || json_string_length(item) > API_WORD_BYTES_MAX))
            return wrong(ret_error, error_bytes, "", place, "must have 1 to 4096 bytes");
    }
    return true;
}

static bool check_map(const struct api_field *field, const json_t *value, const char *where, char *ret_error, size_t error_bytes)
{
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        bool scalar = json_is_string(item) || json_is_number(item) || json_is_boolean(item) || json_is_null(item);
        if (!scalar) return wrong(ret_error, error_bytes, field->name, key, "must be a string, a number, true, false or null");
        if (json_is_string(item) && memchr(json_string_value(item), 0, json_string_length(item)))
            return wrong(ret_error, error_bytes, field->name, key, "must not have a NUL in it");
    }
    return true;
}

static bool check_value(const struct api_field *field, const json_t *value, const char *where, int depth, char *ret_error, size_t error_bytes)
{
    char place[192];
    if (json_is_null(value)) return field->nullable || wrong(ret_error, error_bytes, where, field->name, "must not be null");
    switch (field->type) {
    case FIELD_STRING:
        if (!json_is_string(value)) return wrong(ret_error, error_bytes, where, field->name, "must be a string");
        return check_string(field, json_string_value(value), json_string_length(value), where, ret_error, error_bytes);
    case FIELD_INTEGER:
        if (!json_is_integer(value)) return wrong(ret_error, error_bytes, where, field->name, "must be an integer");
        return check_integer(field, json_integer_value(value), where, ret_error, error_bytes);
    case FIELD_NUMBER: return json_is_number(value) || wrong(ret_error, error_bytes, where, field->name, "must be a number");
    case FIELD_BOOLEAN: return json_is_boolean(value) || wrong(ret_error, error_bytes, where, field->name, "must be true or false");
    case FIELD_OBJECT:
        if (!json_is_object(value)) return wrong(ret_error, error_bytes, where, field->name, "must be an object");
        snprintf(place, sizeof place, "%s%s%s", where, *where ? "." : "", field->name);
        return object_at(api_schema_find(field->of), value, place, depth + 1, ret_error, error_bytes);
    case FIELD_ARRAY:
        if (!json_is_array(value)) return wrong(ret_error, error_bytes, where, field->name, "must be an array");
        return check_array(field, value, where, depth, ret_error, error_bytes);
    case FIELD_MAP:
        if (!json_is_object(value)) return wrong(ret_error, error_bytes, where, field->name, "must be an object");
        return check_map(field, value, where, ret_error, error_bytes);
    }
    UNREACHABLE("a field of no type");
}

/* For JSON schema 5.0 is an integer, too. */
static void integers_mend(const struct api_schema *schema, json_t *value)
{
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        const json_t *member = json_object_get(value, schema->fields[i].name);
        if (schema->fields[i].type != FIELD_INTEGER || !json_is_real(member)) continue;
        double number = json_real_value(member);
        if (number >= -9007199254740992.0 && number <= 9007199254740992.0 && (double)(json_int_t)number == number)
            json_object_set_new(value, schema->fields[i].name, json_integer((json_int_t)number));
    }
}

static bool object_at(const struct api_schema *schema, const json_t *value, const char *where, int depth, char *ret_error, size_t error_bytes)
{
    const char *key;
    json_t *member;
    CHECK(schema && depth < 8); /* the table's own depth */
    integers_mend(schema, (json_t *)(uintptr_t)value);
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const struct api_field *field = api_field_find(schema->fields, schema->fields_count, key);
        if (!field) return wrong(ret_error, error_bytes, where, key, "is no member of this object");
        if (!check_value(field, member, where, depth, ret_error, error_bytes)) return false;
    }
    for (uint32_t i = 0; i < schema->fields_count; i++)
        if (schema->fields[i].required && !json_object_get(value, schema->fields[i].name))
            return wrong(ret_error, error_bytes, where, schema->fields[i].name, "is missing");
    return true;
}

bool validate_object(const struct api_schema *schema, const json_t *value, char *ret_error, size_t error_bytes)
{
    if (!json_is_object(value)) {
        snprintf(ret_error, error_bytes, "the body must be a JSON object");
        return false;
    }
    return object_at(schema, value, "", 0, ret_error, error_bytes);
}

bool validate_number(const struct api_field *field, const char *text, int64_t *ret_number)
{
    if (field->type == FIELD_BOOLEAN) {
        *ret_number = strcmp(text, "true") == 0;
        return *ret_number || strcmp(text, "false") == 0;
    }
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits == 0 || strspn(digits, "0123456789") != strlen(digits)) return false;
    errno = 0;
    *ret_number = strtoll(text, NULL, 10);
    return errno == 0;
}

bool validate_parameter(const struct api_field *field, const char *text, size_t bytes, char *ret_error, size_t error_bytes)
{
    int64_t number;
    switch (field->type) {
    case FIELD_STRING: return check_string(field, text, bytes, "", ret_error, error_bytes);
    case FIELD_INTEGER:
        if (!validate_number(field, text, &number)) return wrong(ret_error, error_bytes, "", field->name, "must be an integer");
        return check_integer(field, number, "", ret_error, error_bytes);
    case FIELD_BOOLEAN: return validate_number(field, text, &number) || wrong(ret_error, error_bytes, "", field->name, "must be true or false");
    default: UNREACHABLE("no such parameters");
    }
}
