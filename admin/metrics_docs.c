/* metrics_docs.c - docs/metrics.md, from the tables. */
#include <stdio.h>

#include "admin/alarms.h"
#include "admin/metrics.h"
#include "admin/metrics_table.h"
#include "admin/numbers.h"

static const char introduction[] =
    "# Metrics\n\nMade by `ringmqd --print-metrics-docs`.\n\n"
    "[Scraping](#scraping) · [Pushing (OTLP)](#pushing-otlp) · [Exemplars](#exemplars) · [Grafana and alerts](#grafana-and-alerts) · "
    "[Shards](#counters-and-gauges-of-the-shards) · [Histograms](#histograms-of-the-shards) · [Others](#others) · [Alarms](#alarms)\n\n"
    "The names are stable: they change only with a line in CHANGELOG.md. Counters of shards have the label `shard`; `sum without (shard) (…)` is the "
    "node's. Counting costs the shards less than 2 % of their work ([internals/performance.md](internals/performance.md)) and cannot be switched off.\n\n"
    "## Scraping\n\n"
    "`GET /metrics` of the admin API (port 18083) serves all of them in the text format of Prometheus, or as OpenMetrics 1.0 to who accepts it. It needs an API key of "
    "the role viewer by HTTP Basic authentication, unless `admin.metrics_auth = false`. `GET /api/v1/stats` has the shards' counters as JSON.\n\n"
    "```yaml\nscrape_configs:\n- job_name: ringmq\n  basic_auth: {username: KEY, password: SECRET} # ringmq ctl keys create --name prometheus --role viewer\n"
    "  static_configs: [{targets: [\"broker:18083\"]}]\n```\n\n"
    "## Pushing (OTLP)\n\n"
    "The broker can push the same metrics to an [OpenTelemetry](https://opentelemetry.io/docs/specs/otlp/) collector, or to anything else that takes OTLP over HTTP:\n\n"
    "```\nmetrics.otlp {\n  endpoint = \"https://collector.example.com:4318\" // /v1/metrics is put behind it\n  interval = 30s\n"
    "  headers = \"file:///etc/ringmq/otlp-headers\"      // Authorization: Bearer …\n  compression = gzip\n"
    "  resource_attributes = \"deployment.environment.name=production\"\n  tls.cafile = /etc/ringmq/collector-ca.pem\n}\n```\n\n"
    "A reload (`ringmq ctl config reload`, SIGHUP) puts every key in force. Requests are protobuf (`application/x-protobuf`), the form every receiver must take; port 4317 is "
    "gRPC, which is another protocol. A thread of its own encodes and sends; shards and the admin API never wait for it. libcurl is loaded when an endpoint is configured "
    "(package ringmq-modules).\n\n"
    "* Names are those of `/metrics` without `_total`, labels become attributes. Counters are monotonic cumulative sums, histograms have explicit bounds; both count from the "
    "start of the process (those of a login source: from when it was configured).\n"
    "* The resource says `service.name` (ringmq), `service.version`, `service.instance.id` (`node.name` @ host), `host.name`, `process.pid`, and `metrics.otlp.resource_attributes`.\n"
    "* A connection that fails and the statuses 429, 502, 503 and 504 are tried again after a back-off (1 s, doubled up to a minute), not before `Retry-After`; when the next "
    "push is due first, the old one is given up, which loses resolution but no counts. Other statuses are final. What a collector leaves out (partial success) is counted.\n"
    "* Failures are in the log (a line in ten seconds at most), in `ringmq_otlp_requests_total`, and raise the alarm `otlp` once something was given up.\n"
    "* At the end of the broker there is a last push, for a second at most.\n\n"
    "## Exemplars\n\n"
    "In OpenMetrics and OTLP, buckets of `ringmq_stage_route_seconds` and `ringmq_publish_to_send_seconds` name a sampled message of the last second or, if none came, of earlier: `topic` and `client_id` of its "
    "publisher, cut to 64 and 40 bytes, with its value and time. So a bucket of slow messages says whom to trace (`ringmq ctl clients get ID`). Prometheus keeps them with "
    "`--enable-feature=exemplar-storage`; Grafana shows them as dots on a histogram. They are left out with `metrics.exemplars = false`, from `/metrics` also with "
    "`admin.metrics_auth = false`, and from the older text format, which knows none.\n\n"
    "## Grafana and alerts\n\n"
    "[grafana.json](grafana.json) is a dashboard (import it, choose the Prometheus data source), [alerts.yml](alerts.yml) has rules for alerts (`rule_files:` of Prometheus).\n\n";

void metrics_write_docs(struct http_text *ret_text)
{
    http_text_print(ret_text, "%s## Counters and gauges of the shards\n\n| metric | type | meaning |\n|---|---|---|\n", introduction);
    for (uint32_t i = 0; i < STATS_COUNT; i++)
        http_text_print(ret_text, "| `ringmq_%s%s` | %s | %s |\n", stats_names[i], stats_is_gauge(i) ? "" : "_total", stats_is_gauge(i) ? "gauge" : "counter", stats_says(i));
    http_text_print(ret_text, "\n## Histograms of the shards\n\nAlways on. Every 64th PUBLISH a shard receives is followed through its turn.\n\n"
                              "| metric | meaning |\n|---|---|\n");
    for (int kind = 0; kind < SPREADS; kind++) {
        char name[128];
        metrics_histogram_name((enum spread_kind)kind, name, sizeof name);
        http_text_print(ret_text, "| `%s` | %s |\n", name, spread_documentation[kind]);
    }
    http_text_print(ret_text, "\n## Others\n\nA `reason` is the name of a reason code of MQTT 5 (§2.4) in small letters: `not_authorized`, `quota_exceeded`, …; of listeners, the words "
                              "`too_many`, `no_descriptor`, `address`, `proxy`, `handshake_timeout`, `protocol`, `connect_timeout`. A listener's counts begin anew when it was closed and "
                              "opened again, a login source's when authentication was configured anew.\n\n"
                              "| metric | type | labels | meaning |\n|---|---|---|---|\n");
#define FAMILY(type, name, labels, says)                                                                                                             \
    http_text_print(ret_text, "| `%s%s` | %s | %s | %s |\n", #name, METRICS_##type == METRICS_COUNTER ? "_total" : "", metrics_type_names[METRICS_##type], labels, says);
    METRICS_TABLE(FAMILY)
#undef FAMILY
    http_text_print(ret_text, "\n## Alarms\n\nThe label `alarm` of `ringmq_alarms`, and `name` in `GET /api/v1/alarms`.\n\n| alarm | raised when |\n|---|---|\n");
    for (int kind = 0; kind < ALARM_KINDS; kind++)
        http_text_print(ret_text, "| `%s` | %s |\n", alarm_names[kind], alarm_documentation[kind]);
}
