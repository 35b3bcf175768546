#include "admin/otlp_wire.h"

#include "base/check.h"
#include "base/memory.h"

enum { TYPE_VARINT = 0, TYPE_FIXED64 = 1, TYPE_BYTES = 2, TYPE_FIXED32 = 5 };
#define VARINT_BYTES_MAX 10

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void make_room(struct otlp_wire *wire, size_t bytes)
{
    if (wire->room - wire->bytes >= bytes) return;
    while (wire->room - wire->bytes < bytes)
        wire->room = wire->room ? wire->room * 2 : 4096;
    wire->data = memory_resize(wire->data, wire->room);
}

static size_t varint_write(uint8_t *out, uint64_t value)
{
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        out[bytes++] = (uint8_t)(value | 0x80);
    out[bytes++] = (uint8_t)value;
    return bytes;
}

static void put_varint(struct otlp_wire *wire, uint64_t value)
{
    make_room(wire, VARINT_BYTES_MAX);
    wire->bytes += varint_write(wire->data + wire->bytes, value);
}

static void put_bytes(struct otlp_wire *wire, const void *data, size_t bytes)
{
    make_room(wire, bytes);
    if (bytes) memcpy(wire->data + wire->bytes, data, bytes);
    wire->bytes += bytes;
}

static void put_tag(struct otlp_wire *wire, uint32_t field, uint32_t type) { put_varint(wire, field << 3 | type); }

size_t otlp_wire_open(struct otlp_wire *wire, uint32_t field)
{
    put_tag(wire, field, TYPE_BYTES);
    put_bytes(wire, "", 1); /* the length, when it is below 128 */
    return wire->bytes;
}

void otlp_wire_close(struct otlp_wire *wire, size_t mark)
{
    uint8_t length[VARINT_BYTES_MAX];
    size_t content = wire->bytes - mark, more = varint_write(length, content) - 1;
    DCHECK(mark > 0 && wire->bytes >= mark);
    make_room(wire, more);
    if (more) memmove(wire->data + mark + more, wire->data + mark, content);
    memcpy(wire->data + mark - 1, length, more + 1);
    wire->bytes += more;
}

void otlp_wire_varint(struct otlp_wire *wire, uint32_t field, uint64_t value)
{
    put_tag(wire, field, TYPE_VARINT);
    put_varint(wire, value);
}

void otlp_wire_packed64(struct otlp_wire *wire, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    put_bytes(wire, bytes, sizeof bytes);
}

void otlp_wire_packed_double(struct otlp_wire *wire, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    otlp_wire_packed64(wire, bits);
}

void otlp_wire_fixed64(struct otlp_wire *wire, uint32_t field, uint64_t value)
{
    put_tag(wire, field, TYPE_FIXED64);
    otlp_wire_packed64(wire, value);
}

void otlp_wire_double(struct otlp_wire *wire, uint32_t field, double value)
{
    put_tag(wire, field, TYPE_FIXED64);
    otlp_wire_packed_double(wire, value);
}

void otlp_wire_text(struct otlp_wire *wire, uint32_t field, const char *text)
{
    size_t bytes = strlen(text);
    put_tag(wire, field, TYPE_BYTES);
    put_varint(wire, bytes);
    put_bytes(wire, text, bytes);
}

void otlp_wire_release(struct otlp_wire *wire)
{
    memory_release(wire->data);
    *wire = (struct otlp_wire){0};
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static bool varint_read(struct span *rest, uint64_t *ret_value)
{
    *ret_value = 0;
    for (size_t i = 0; i < rest->bytes && i < VARINT_BYTES_MAX; i++) {
        *ret_value |= (uint64_t)(rest->data[i] & 0x7F) << 7 * i;
        if (rest->data[i] & 0x80) continue;
        *rest = span_skip(*rest, i + 1);
        return true;
    }
    return false;
}

static bool fixed_read(struct span *rest, size_t bytes, uint64_t *ret_value)
{
    if (rest->bytes < bytes) return false;
    *ret_value = 0;
    for (size_t i = 0; i < bytes; i++)
        *ret_value |= (uint64_t)rest->data[i] << 8 * i;
    *rest = span_skip(*rest, bytes);
    return true;
}

bool otlp_wire_next(struct span *rest, struct otlp_field *ret_field)
{
    struct span at = *rest;
    uint64_t tag, bytes;
    *ret_field = (struct otlp_field){0};
    if (!varint_read(&at, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3) return false;
    ret_field->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case TYPE_VARINT:
        if (!varint_read(&at, &ret_field->value)) return false;
        break;
    case TYPE_FIXED64:
    case TYPE_FIXED32:
        if (!fixed_read(&at, (tag & 7) == TYPE_FIXED64 ? 8 : 4, &ret_field->value)) return false;
        break;
    case TYPE_BYTES:
        if (!varint_read(&at, &bytes) || bytes > at.bytes) return false;
        ret_field->is_bytes = true;
        ret_field->bytes = span_of(at.data, (size_t)bytes);
        at = span_skip(at, (size_t)bytes);
        break;
    default: return false; /* groups, which nobody uses any more */
    }
    *rest = at;
    return true;
}
