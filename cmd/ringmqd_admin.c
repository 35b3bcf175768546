#include "cmd/ringmqd_admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "admin/metrics.h"
#include "admin/pages.h"
#include "base/log.h"
#include "broker/broker.h"

int ringmqd_admin_prepare(const struct settings *settings, struct broker *broker)
{
    if (!settings->admin.enable) return -1;
    broker->inspected_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (broker->inspected_wake < 0) {
        LOG(ERROR, "no admin API", "what=\"no descriptor for what it asks of the shards: %s\"", strerror(errno));
        return -1;
    }
    broker->trace = trace_node_create(broker->shards_count, (uint32_t)settings->trace.ring_bytes);
    return broker->inspected_wake;
}

struct admin *ringmqd_admin_start(const struct admin_options *options)
{
    char error[700];
    if (!options->settings->admin.enable || options->broker->inspected_wake < 0) return NULL;
    struct admin *admin = admin_start(options, error, sizeof error);
    if (!admin) LOG(ERROR, "no admin API", "what=%s", log_quoted(span_of_string(error)));
    return admin;
}

int ringmqd_admin_print(enum ringmqd_action action)
{
    struct http_text text = {0};
    if (action == RINGMQD_PRINT_METRICS_DOCS)
        metrics_write_docs(&text);
    else if (action == RINGMQD_PRINT_API_DOCS)
        openapi_write_docs(&text);
    else
        http_text_add(&text, openapi_document().data, openapi_document().bytes);
    bool printed = fwrite(text.data, 1, text.bytes, stdout) == text.bytes && fflush(stdout) == 0;
    http_text_release(&text);
    return printed ? 0 : 1;
}
