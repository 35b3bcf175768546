#include "config/hocon_value.h"

#include "base/hash.h"

#define SLOTS_FROM_COUNT 16 /* smaller objects are searched one by one */

void values_add(struct values *values, const struct hocon_value *value)
{
    values->list = arena_grow(values->arena, values->list, values->count, sizeof(struct hocon_value *));
    values->list[values->count++] = value;
}

static uint32_t *slot_of(const struct members *members, const char *name)
{
    uint32_t mask = members->slots_count - 1, slot = (uint32_t)hash_span(span_of_string(name)) & mask;
    while (members->slots[slot] && strcmp(members->list[members->slots[slot] - 1].name, name) != 0)
        slot = (slot + 1) & mask;
    return &members->slots[slot];
}

struct hocon_member *members_find(const struct members *members, const char *name)
{
    if (members->slots) {
        uint32_t number = *slot_of(members, name);
        return number ? &members->list[number - 1] : NULL;
    }
    for (uint32_t i = 0; i < members->count; i++)
        if (strcmp(members->list[i].name, name) == 0) return &members->list[i];
    return NULL;
}

void members_add(struct members *members, struct hocon_member member)
{
    members->list = arena_grow(members->arena, members->list, members->count, sizeof member);
    members->list[members->count++] = member;
    if (members->count >= SLOTS_FROM_COUNT && members->count * 2 > members->slots_count) {
        members->slots_count = members->slots_count ? members->slots_count * 2 : SLOTS_FROM_COUNT * 4;
        members->slots = arena_take(members->arena, members->slots_count * sizeof(uint32_t));
        for (uint32_t i = 0; i < members->count; i++)
            *slot_of(members, members->list[i].name) = i + 1;
    } else if (members->slots) {
        *slot_of(members, member.name) = members->count;
    }
}

const struct hocon_value *value_scalar(struct arena *arena, enum hocon_kind kind, struct config_origin origin, struct span text)
{
    struct hocon_value *value = arena_take(arena, sizeof *value);
    *value = (struct hocon_value){.kind = kind, .origin = origin, .text = text, .depth = 1, .weight = 1};
    return value;
}

static void count_child(struct hocon_value *value, const struct hocon_value *child)
{
    if (child->depth >= value->depth) value->depth = child->depth + 1;
    uint64_t weight = (uint64_t)value->weight + child->weight;
    value->weight = weight > UINT32_MAX ? UINT32_MAX : (uint32_t)weight;
}

const struct hocon_value *value_array(const struct values *values, struct config_origin origin)
{
    struct hocon_value *value = arena_take(values->arena, sizeof *value);
    *value = (struct hocon_value){
        .kind = HOCON_ARRAY, .origin = origin, .depth = 1, .weight = 1, .count = values->count, .items = values->list};
    for (uint32_t i = 0; i < value->count; i++)
        count_child(value, value->items[i]);
    return value;
}

const struct hocon_value *value_object(const struct members *members, struct config_origin origin)
{
    struct hocon_value *value = arena_take(members->arena, sizeof *value);
    *value = (struct hocon_value){
        .kind = HOCON_OBJECT, .origin = origin, .depth = 1, .weight = 1, .count = members->count, .members = members->list};
    for (uint32_t i = 0; i < value->count; i++)
        count_child(value, value->members[i].value);
    return value;
}

const struct hocon_value *value_merge(struct arena *arena, const struct hocon_value *over, const struct hocon_value *under)
{
    struct members merged = {.arena = arena};
    for (uint32_t i = 0; i < under->count; i++)
        members_add(&merged, under->members[i]);
    for (uint32_t i = 0; i < over->count; i++) {
        struct hocon_member member = over->members[i];
        struct hocon_member *below = members_find(&merged, member.name);
        if (!below) {
            members_add(&merged, member);
            continue;
        }
        if (member.value->kind == HOCON_OBJECT && below->value->kind == HOCON_OBJECT)
            member.value = value_merge(arena, member.value, below->value);
        *below = member;
    }
    return value_object(&merged, over->origin);
}

const struct hocon_value *hocon_member(const struct hocon_value *object, const char *name)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (strcmp(object->members[i].name, name) == 0) return object->members[i].value;
    return NULL;
}

const char *hocon_kind_name(enum hocon_kind kind)
{
    static const char *const names[] = {[HOCON_NULL] = "null",       [HOCON_BOOL] = "a boolean", [HOCON_NUMBER] = "a number",
                                        [HOCON_STRING] = "a string", [HOCON_ARRAY] = "an array", [HOCON_OBJECT] = "an object"};
    return names[kind];
}

static void print_json_string(struct span text, FILE *file)
{
    fputc('"', file);
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = text.data[i];
        if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7F)
            fprintf(file, "\\u%04x", byte);
        else
            fputc(byte, file);
    }
    fputc('"', file);
}

void hocon_print_json(const struct hocon_value *value, FILE *file)
{
    switch (value->kind) {
    case HOCON_NULL:
    case HOCON_BOOL:
    case HOCON_NUMBER: fwrite(value->text.data, 1, value->text.bytes, file); return;
    case HOCON_STRING: print_json_string(value->text, file); return;
    case HOCON_ARRAY:
        fputc('[', file);
        for (uint32_t i = 0; i < value->count; i++) {
            if (i) fputc(',', file);
            hocon_print_json(value->items[i], file);
        }
        fputc(']', file);
        return;
    case HOCON_OBJECT:
        fputc('{', file);
        for (uint32_t i = 0; i < value->count; i++) {
            if (i) fputc(',', file);
            print_json_string(span_of_string(value->members[i].name), file);
            fputc(':', file);
            hocon_print_json(value->members[i].value, file);
        }
        fputc('}', file);
        return;
    }
}
