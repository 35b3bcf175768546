#include <stdio.h>

#include "admin/otlp.h"

static void take_text(struct otlp_answer *answer, struct span text) { snprintf(answer->message, sizeof answer->message, "%.*s", SPAN_PRINT(text)); }

/* ExportMetricsPartialSuccess: 1 rejected_data_points, 2 error_message. google.rpc.Status: 1 code, 2 message. */
static bool read_inner(struct span rest, bool partial, struct otlp_answer *answer)
{
    struct otlp_field field;
    while (otlp_wire_next(&rest, &field)) {
        if (field.number == 1 && !field.is_bytes && partial) answer->points_rejected = (int64_t)field.value;
        if (field.number == 2 && field.is_bytes) take_text(answer, field.bytes);
    }
    return rest.bytes == 0;
}

bool otlp_answer_read(struct span body, bool accepted, struct otlp_answer *ret_answer)
{
    struct otlp_field field;
    *ret_answer = (struct otlp_answer){0};
    if (!accepted) return read_inner(body, false, ret_answer);
    while (otlp_wire_next(&body, &field))
        if (field.number == 1 && field.is_bytes && !read_inner(field.bytes, true, ret_answer)) return false;
    return body.bytes == 0;
}

bool otlp_status_passes(int status) { return status == 0 || status == 429 || status == 502 || status == 503 || status == 504; }
