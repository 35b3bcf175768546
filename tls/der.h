/* der.h - DER (X.690), read one element after another; lengths up to 16 MiB. */
#ifndef RINGMQ_TLS_DER_H
#define RINGMQ_TLS_DER_H

#include "base/span.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0A,
    DER_UTF8 = 0x0C,
    DER_NUMERIC = 0x12,
    DER_PRINTABLE = 0x13,
    DER_T61 = 0x14,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_TIME = 0x18,
    DER_VISIBLE = 0x1A,
    DER_UNIVERSAL = 0x1C,
    DER_BMP = 0x1E,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31
};

struct der_element {
    uint8_t tag;
    struct span content;
    struct span whole;
};

/* The next element of `rest`. False at its end, and when it is broken. */
static inline bool der_next(struct span *rest, struct der_element *ret_element)
{
    if (rest->bytes < 2) return false;
    size_t header = 2, length = rest->data[1];
    if (length > 0x80) {
        size_t count = length - 0x80;
        if (count > 3 || rest->bytes < 2 + count) return false;
        length = 0;
        for (size_t i = 0; i < count; i++)
            length = length << 8 | rest->data[2 + i];
        header += count;
    } else if (length == 0x80) {
        return false; /* indefinite: not DER */
    }
    if (rest->bytes - header < length) return false;
    *ret_element = (struct der_element){rest->data[0], span_of(rest->data + header, length), span_of(rest->data, header + length)};
    *rest = span_skip(*rest, header + length);
    return true;
}

static inline bool der_next_is(struct span *rest, uint8_t tag, struct der_element *ret_element)
{
    return der_next(rest, ret_element) && ret_element->tag == tag;
}

#endif
