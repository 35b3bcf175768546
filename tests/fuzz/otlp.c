/* Any bytes as what a collector answers, and as the texts of metrics.otlp: headers, attributes, endpoint. */
#include <stdlib.h>

#include "admin/otlp.h"
#include "base/check.h"
#include "config/otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct otlp_answer answer;
    struct otlp_attribute attribute;
    struct span all = span_of(data, size), rest, name, value;
    char url[4096];
    otlp_answer_read(all, true, &answer);
    otlp_answer_read(all, false, &answer);
    if (size > 2000 || memchr(data, 0, size)) return 0; /* texts of the configuration end with the first 0 */
    char *text = strndup((const char *)data, size);
    all = span_of_string(text);
    for (rest = all; otlp_header_next(&rest, &name, &value);)
        CHECK(name.bytes == 0 || (name.data >= all.data && name.data + name.bytes <= all.data + all.bytes));
    for (rest = all; otlp_attribute_next(&rest, &attribute);) {}
    otlp_check_headers(all);
    otlp_check_attributes(all);
    if (size && !otlp_check_endpoint(all)) CHECK(otlp_url(text, url, sizeof url));
    free(text);
    return 0;
}
