#include "admin/pages.h"

#include "admin/api.h"
#include "admin/metrics.h"
#include "admin/web.h"

static void serve(struct http_exchange *exchange, const char *type, struct span body) { http_answer(exchange, 200, type, body); }

static void serve_docs(struct admin *admin, struct http_exchange *exchange, bool page)
{
    struct accounts_identity who;
    if (!api_admit(admin, exchange, admin_settings_now(admin).docs_auth ? ROLE_VIEWER : ROLE_NONE, true, &who)) return;
    if (!page) return serve(exchange, "application/json", openapi_document());
    http_add_header(exchange, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    serve(exchange, "text/html; charset=utf-8", openapi_page());
}

/* OpenMetrics for who asks for it (Prometheus does), the older text format for all others. */
static void serve_metrics(struct admin *admin, struct http_exchange *exchange)
{
    struct accounts_identity who;
    if (!api_admit(admin, exchange, admin_settings_now(admin).metrics_auth ? ROLE_VIEWER : ROLE_NONE, true, &who)) return;
    struct span accept = http_header_find(exchange->request, "accept");
    bool openmetrics = accept.bytes && memmem(accept.data, accept.bytes, "application/openmetrics-text", 28);
    struct http_text text = {0};
    metrics_write(admin, openmetrics, admin_exemplars(admin), &text);
    serve(exchange, openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8",
          span_of(text.data, text.bytes));
    http_text_release(&text);
}

bool page_serve(struct admin *admin, struct http_exchange *exchange)
{
    if (web_serve(exchange)) return true;
    struct span path = exchange->request->path;
    bool openapi = span_equal(path, SPAN_LITERAL("/api/openapi.json")), docs = span_equal(path, SPAN_LITERAL("/api/docs")), metrics = span_equal(path, SPAN_LITERAL("/metrics"));
    if (!openapi && !docs && !metrics) return false;
    if (exchange->request->method != METHOD_GET && exchange->request->method != METHOD_HEAD) {
        http_add_header(exchange, "Allow", "GET, HEAD");
        http_answer(exchange, 405, "application/json", SPAN_LITERAL("{\"code\":\"METHOD_NOT_ALLOWED\",\"message\":\"GET it\"}"));
    } else if (metrics) {
        serve_metrics(admin, exchange);
    } else {
        serve_docs(admin, exchange, docs);
    }
    return true;
}
