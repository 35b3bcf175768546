/* otlp.h - the texts of metrics.otlp.*: checked when the configuration is read, taken apart when metrics are pushed (admin/otlp.h). */
#ifndef RINGMQ_CONFIG_OTLP_H
#define RINGMQ_CONFIG_OTLP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* NULL, or what is wrong and what to do: struct schema_key.check. */
const char *otlp_check_endpoint(struct span text);
const char *otlp_check_headers(struct span text);
const char *otlp_check_attributes(struct span text);

/* The URL that is asked: without a path it gets that of the specification, /v1/metrics. False: it does not fit. */
bool otlp_url(const char *endpoint, char *ret_url, size_t bytes);

/* The next of "Name: value, Name: value"; line breaks part them, too. False: there are no more. */
bool otlp_header_next(struct span *rest, struct span *ret_name, struct span *ret_value);

/* The next of "key=value,key=value"; %XX in both is decoded into the two buffers. False: there are no more. */
#define OTLP_KEY_BYTES_MAX   256
#define OTLP_VALUE_BYTES_MAX 1024
struct otlp_attribute {
    char key[OTLP_KEY_BYTES_MAX + 1], value[OTLP_VALUE_BYTES_MAX + 1];
    const char *wrong; /* NULL, or what is */
};
bool otlp_attribute_next(struct span *rest, struct otlp_attribute *ret_attribute);

#endif
