#include <criterion/criterion.h>

#include "admin/otlp.h"
#include "base/memory.h"
#include "base/random.h"

/* protobuf.dev, "Encoding": 150 in field 1 is 08 96 01; "testing" in field 2 is 12 07 74 …; a message with the first in field 3 is 1a 03 08 96 01. */
Test(otlp_wire, is_written_as_the_manual_of_protobuf_says)
{
    struct otlp_wire wire = {0};
    otlp_wire_varint(&wire, 1, 150);
    otlp_wire_text(&wire, 2, "testing");
    size_t mark = otlp_wire_open(&wire, 3);
    otlp_wire_varint(&wire, 1, 150);
    otlp_wire_close(&wire, mark);
    otlp_wire_fixed64(&wire, 4, 0x0102030405060708);
    static const uint8_t wanted[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't', 'e', 's', 't', 'i', 'n', 'g', 0x1a, 0x03, 0x08, 0x96, 0x01, 0x21, 8, 7, 6, 5, 4, 3, 2, 1};
    cr_assert_eq(wire.bytes, sizeof wanted);
    cr_assert_arr_eq(wire.data, wanted, sizeof wanted);
    otlp_wire_release(&wire);
}

/* Lengths of one, two and three bytes, one within the other. */
Test(otlp_wire, messages_of_every_length_come_back)
{
    static const size_t lengths[] = {0, 1, 100, 127, 128, 129, 16381, 16382, 16383, 16384, 16385, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct otlp_wire wire = {0};
        struct otlp_field outer, inner, text;
        char *long_text = memory_acquire_zeroed(lengths[i] + 1);
        memset(long_text, 'x', lengths[i]);
        size_t one = otlp_wire_open(&wire, 1), two = otlp_wire_open(&wire, 15);
        otlp_wire_text(&wire, 16, long_text);
        otlp_wire_close(&wire, two);
        otlp_wire_varint(&wire, 2, UINT64_MAX);
        otlp_wire_close(&wire, one);
        struct span rest = span_of(wire.data, wire.bytes);
        cr_assert(otlp_wire_next(&rest, &outer) && rest.bytes == 0 && outer.number == 1 && outer.is_bytes);
        cr_assert(otlp_wire_next(&outer.bytes, &inner) && inner.number == 15);
        cr_assert(otlp_wire_next(&inner.bytes, &text) && text.number == 16 && inner.bytes.bytes == 0);
        cr_assert(span_equal(text.bytes, span_of_string(long_text)));
        cr_assert(otlp_wire_next(&outer.bytes, &text) && text.number == 2 && !text.is_bytes && text.value == UINT64_MAX);
        cr_assert(!otlp_wire_next(&outer.bytes, &text) && outer.bytes.bytes == 0);
        otlp_wire_release(&wire);
        memory_release(long_text);
    }
}

Test(otlp_answer, partial_success_is_read)
{
    struct otlp_answer answer;
    /* ExportMetricsServiceResponse {partial_success {rejected_data_points: 300, error_message: "too old"}} */
    cr_assert(otlp_answer_read(SPAN_LITERAL("\x0a\x0c\x08\xac\x02\x12\x07too old"), true, &answer));
    cr_assert_eq(answer.points_rejected, 300);
    cr_assert_str_eq(answer.message, "too old");
    cr_assert(otlp_answer_read(span_of(NULL, 0), true, &answer) && answer.points_rejected == 0 && !*answer.message);
    /* google.rpc.Status {code: 3, message: "no"} */
    cr_assert(otlp_answer_read(SPAN_LITERAL("\x08\x03\x12\x02no"), false, &answer));
    cr_assert_str_eq(answer.message, "no");
    cr_assert_eq(answer.points_rejected, 0);
    cr_assert(!otlp_answer_read(SPAN_LITERAL("<html>no</html>"), false, &answer));
    cr_assert(!otlp_answer_read(SPAN_LITERAL("\x0a\xff"), true, &answer), "longer than there is");
}

Test(otlp_answer, what_is_tried_again)
{
    static const int again[] = {0, 429, 502, 503, 504}, final[] = {301, 400, 401, 403, 404, 413, 415, 500, 501};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        cr_assert(otlp_status_passes(again[i]), "%d", again[i]);
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        cr_assert(!otlp_status_passes(final[i]), "%d", final[i]);
}

/* Cut and changed answers: read or refused, never beyond their end (the sanitizers look). */
Test(otlp_answer, broken_ones_are_survived)
{
    static const char sound[] = "\x0a\x0c\x08\xac\x02\x12\x07too old\x18\x05\x21\x01\x02\x03\x04\x05\x06\x07\x08";
    struct random_source random = {.state = 7};
    for (int round = 0; round < 20000; round++) {
        size_t bytes = random_next(&random) % sizeof sound;
        uint8_t *copy = memory_acquire(bytes + 1);
        struct otlp_answer answer;
        memcpy(copy, sound, bytes);
        if (bytes) copy[random_next(&random) % bytes] = (uint8_t)random_next(&random);
        otlp_answer_read(span_of(copy, bytes), round & 1, &answer);
        cr_assert(memchr(answer.message, 0, sizeof answer.message) != NULL);
        memory_release(copy);
    }
}
