/* api.h - the REST API: one table of routes (routes.c), a handler for each operation (api_*.c), and what handlers have at hand.
 *
 *     request ─► route ─► who is it (accounts.h), may they ─► parameters and body against their schemas ─► handler ─► JSON
 *
 * All of it on worker threads. A handler answers exactly once: api_reply(), api_done(), api_error() or an http_…() of its own.
 * Errors have the form {"code": "NOT_FOUND", "message": "…"}. */
#ifndef RINGMQ_ADMIN_API_H
#define RINGMQ_ADMIN_API_H

#include <jansson.h>

#include "admin/admin.h"
#include "admin/accounts.h"
#include "admin/http.h"
#include "admin/routes.h"

struct inspect;

#define API_PARAMETERS_MAX 24

struct api_call {
    struct admin *admin;
    struct http_exchange *exchange;
    const struct api_route *route;
    struct accounts_identity who;
    const char *texts[API_PARAMETERS_MAX]; /* by place in route->parameters; NULL: not given */
    json_t *body;                          /* checked; NULL: the route has none */
    char *storage;
    bool answered;
};

/* Everything that comes in. The http_handler; context: struct admin. */
void api_handle(void *context, struct http_exchange *exchange);

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* NULL: not given. The name must be one of the route's. */
const char *api_text(const struct api_call *call, const char *name);
/* Given, or the default of the table. */
int64_t api_number(const struct api_call *call, const char *name);
bool api_given(const struct api_call *call, const char *name);

/* ---- answers ---------------------------------------------------------------------------------------------------- */

/* 200 (or the route's success) with this object, which is taken over. */
void api_reply(struct api_call *call, json_t *reply);
/* The route's success without a body. */
void api_done(struct api_call *call);
/* As api_reply(), of what is JSON already. */
void api_reply_text(struct api_call *call, struct http_text *reply);
void api_error(struct api_call *call, int status, const char *code, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* UTF-8 as it is; other bytes are replaced by U+FFFD. */
json_t *api_string(struct span text);
json_t *api_string_of(const char *text, size_t bytes);
/* RFC 3339 in UTC with milliseconds; 0: null. */
json_t *api_time(uint64_t unix_ms);
/* Both as text, for what there are thousands of: a value into `out`; a string; a time ("null" when there is none). */
void api_put(struct http_text *out, json_t *value);
void api_put_string(struct http_text *out, const char *text, size_t bytes);
#define API_TIME_BYTES 64
const char *api_time_text(uint64_t unix_ms, char ret_text[API_TIME_BYTES]);
/* False: it is no RFC 3339 time, or one before 1970. */
bool api_time_parse(const char *text, uint64_t *ret_unix_ms);

/* ---- asking shards ---------------------------------------------------------------------------------------------- */

/* Sends it to its shard and waits. False: it has answered the call (503, 504) and taken `inspect` over. */
bool api_ask(struct api_call *call, struct inspect *inspect);
/* A page over all shards, in their order: rows [(page - 1) * limit, page * limit) as JSON by `put`, and `meta`. `make` gives a fresh question
 * for a shard. count: all there are, or negative: nobody knows without looking at everything. */
void api_page(struct api_call *call, struct inspect *(*make)(struct api_call *call), void (*put)(struct api_call *call, const void *row, struct http_text *out), int64_t count);
/* The same by hand: begin, rows with commas between them, end (which answers and takes the text over). */
void api_page_begin(struct http_text *out);
void api_page_end(struct api_call *call, struct http_text *out, uint64_t page, uint64_t limit, int64_t count, bool more);
/* True when nothing but `page` and `limit` is given. */
bool api_unfiltered(const struct api_call *call);
/* The shard where a client id lives, where a retained topic lives. */
uint32_t api_client_home(const struct api_call *call, const char *client_id);
uint32_t api_topic_owner(const struct api_call *call, struct span topic);

/* api_clients.c: disconnects a client, if it is connected. False: answered (503, 504). */
bool api_client_kick(struct api_call *call, const char *client_id);
/* api_configs.c: sets one key in the runtime layer and applies it. False: answered. */
bool api_config_set(struct api_call *call, const char *key, const char *value);
/* The same with a value made from the settings in force. `make` is called on the control thread, where nobody changes them meanwhile; what it returns is
 * released with memory_release(). NULL: ret_refusal has what to answer. */
struct settings;
struct api_refusal {
    int status;
    const char *code;
    char message[300];
};
typedef char *api_config_make(const struct settings *settings, const void *context, struct api_refusal *ret_refusal);
bool api_config_make_set(struct api_call *call, const char *key, api_config_make *make, const void *context);

/* ---- handlers: named as the operations of routes.def ------------------------------------------------------------- */

#define API_OPERATION(name) void api_##name(struct api_call *call);
#include "admin/operations.def"
#undef API_OPERATION

#endif
