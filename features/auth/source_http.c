/* source_http.c - asks an HTTP server, as EMQX does: a request made from templates, an answer as features/auth/reply.h has it.
 *
 *     200 with a body   what `result` says (application/json or a form)
 *     204               allowed
 *     429, 5xx, none    the source is down
 *     others            ignored: the next source is asked
 * One handle, and so one connection that is kept alive, per thread. No redirects are followed and nothing but HTTP is spoken. A placeholder may stand in
 * the URL's path and query, never in its host. The library's time-out does not hold for its look-ups of names (it waits for the thread that looks up), so it is told the
 * addresses. */
#include <curl/curl.h>
#include <pthread.h>
#include <strings.h>

#include "features/auth/module.h"

struct http {
    const struct auth_source_settings *settings;
    const struct auth_tools *tools;
    struct template *url, *body;
    bool json;
    struct curl_slist *headers;
    char *host, *port; /* of the URL; the host without brackets */
};

struct link {
    CURL *curl;
    struct http *http;
    struct curl_slist *addresses; /* as CURLOPT_RESOLVE wants them */
};

static const char default_body[] = "{\"username\":\"${username}\",\"password\":\"${password}\",\"clientid\":\"${clientid}\"}";
static const char default_form[] = "username=${username}&password=${password}&clientid=${clientid}";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void start(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* Is some part of the path "." or ".."? Those are steps to another place (RFC 3986 §5.2.4), taken by our library or by the server: a user called ".." must not
 * have the server asked about something else. */
static bool path_steps(const char *url)
{
    const char *at = strstr(url, "://") + 3;
    for (at += strcspn(at, "/?#"); *at == '/';) {
        size_t bytes = strcspn(++at, "/?#");
        if (bytes && bytes <= 2 && strspn(at, ".") >= bytes) return true;
        at += bytes;
    }
    return false;
}

static bool url_sound(const char *url, char *ret_error, size_t error_bytes)
{
    bool http = strncasecmp(url, "http://", 7) == 0, https = strncasecmp(url, "https://", 8) == 0;
    const char *host = url + (https ? 8 : 7);
    if (!http && !https) return snprintf(ret_error, error_bytes, "url must begin with http:// or https://"), false;
    size_t bytes = strcspn(host, "/?#");
    if (bytes == 0 || memmem(host, bytes, "${", 2)) return snprintf(ret_error, error_bytes, "url needs a host, and no placeholder may stand in it"), false;
    if (path_steps(url)) return snprintf(ret_error, error_bytes, "url has . or .. as a part of its path"), false;
    return true;
}

/* Host and port of a URL, to be released with free(). False: it has none. */
static bool url_server(const char *url, char **ret_host, char **ret_port)
{
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL;
    bool fine = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    bool v6 = fine && host[0] == '[';
    *ret_host = fine ? strndup(host + v6, strlen(host) - 2 * v6) : NULL;
    *ret_port = fine ? strdup(port) : NULL;
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return fine;
}

/* "Name: value, Name: value". False: a part is none; what was there before it is in the list all the same. */
static bool headers_read(const char *text, struct curl_slist **ret_list, bool *ret_json, bool *ret_typed)
{
    bool fine = true;
    struct curl_slist *list = NULL;
    char *copy = strdup(text), *rest = NULL;
    *ret_json = true;
    *ret_typed = false;
    for (char *one = strtok_r(copy, ",\n", &rest); one; one = strtok_r(NULL, ",\n", &rest)) {
        one += strspn(one, " ");
        if (!*one) continue;
        if (!strchr(one, ':')) fine = false;
        if (strncasecmp(one, "content-type:", 13) == 0) {
            *ret_typed = true;
            *ret_json = strcasestr(one, "json") != NULL;
        }
        list = curl_slist_append(list, one);
    }
    free(copy);
    *ret_list = list;
    return fine;
}

static void http_close(void *instance)
{
    struct http *http = instance;
    http->tools->template_release(http->url);
    http->tools->template_release(http->body);
    curl_slist_free_all(http->headers);
    free(http->host);
    free(http->port);
    free(http);
}

static void *http_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    bool typed;
    pthread_once(&once, start);
    if (!url_sound(settings->url, ret_error, error_bytes)) return NULL;
    struct http *http = calloc(1, sizeof *http);
    http->settings = settings;
    http->tools = tools;
    if (!headers_read(settings->headers, &http->headers, &http->json, &typed)) {
        snprintf(ret_error, error_bytes, "headers is a list of NAME: VALUE with commas between them; a value has no comma in it");
        http_close(http);
        return NULL;
    }
    if (!typed && settings->method == AUTH_HTTP_POST) http->headers = curl_slist_append(http->headers, "content-type: application/json");
    http->headers = curl_slist_append(http->headers, "accept: application/json");
    struct auth_text url = {0};
    http->url = tools->template_compile(span_of_string(settings->url), ret_error, error_bytes);
    if (http->url) tools->template_render(http->url, &(struct auth_query){0}, TEMPLATE_URL, &url);
    bool sound = http->url && url_server(url.data, &http->host, &http->port);
    if (http->url && !sound) snprintf(ret_error, error_bytes, "url is none");
    tools->text_release(&url);
    const char *body = *settings->body ? settings->body : http->json ? default_body : default_form;
    http->body = sound ? tools->template_compile(span_of_string(body), ret_error, error_bytes) : NULL;
    if (http->body) return http;
    http_close(http);
    return NULL;
}

static void *http_attach(void *instance)
{
    struct link *link = calloc(1, sizeof *link);
    link->http = instance;
    link->curl = curl_easy_init();
    return link;
}

static void http_detach(void *instance)
{
    struct link *link = instance;
    curl_easy_cleanup(link->curl);
    curl_slist_free_all(link->addresses);
    free(link);
}

struct sink {
    const struct auth_tools *tools;
    struct auth_text *text;
    size_t got_bytes, bytes_max; /* of headers and body */
    bool too_large;
};

/* 0: curl gives up. */
static size_t count_bytes(struct sink *sink, size_t bytes)
{
    sink->got_bytes += bytes;
    sink->too_large = sink->got_bytes > sink->bytes_max;
    return sink->too_large ? 0 : bytes;
}

static size_t receive(char *data, size_t size, size_t count, void *context)
{
    struct sink *sink = context;
    if (!count_bytes(sink, size * count)) return 0;
    sink->tools->text_add(sink->text, span_of(data, size * count));
    return size * count;
}

static size_t receive_header(char *data, size_t size, size_t count, void *context) { return count_bytes(context, size * count); }

static void set_common(CURL *curl, const struct auth_source_settings *settings, struct sink *sink)
{
    curl_easy_reset(curl); /* the connection stays */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, receive_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, sink);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "ringmq");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, settings->tls_verify ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, settings->tls_verify ? 2L : 0L);
    if (*settings->tls_ca_file) curl_easy_setopt(curl, CURLOPT_CAINFO, settings->tls_ca_file);
    if (*settings->tls_certificate_file) curl_easy_setopt(curl, CURLOPT_SSLCERT, settings->tls_certificate_file);
    if (*settings->tls_key_file) curl_easy_setopt(curl, CURLOPT_SSLKEY, settings->tls_key_file);
}

static uint64_t left_ms(const struct auth_tools *tools, uint64_t deadline_ms)
{
    uint64_t now_ms = tools->now_ms();
    return deadline_ms > now_ms ? deadline_ms - now_ms : 1;
}

/* Tells the library the server's addresses. */
static bool give_addresses(CURL *curl, const char *host, const char *port, const struct auth_tools *tools, uint64_t deadline_ms, struct curl_slist **list, char *ret_error,
                           size_t error_bytes)
{
    struct auth_text entry = {0};
    bool v6 = strchr(host, ':') != NULL; /* an address: nothing is looked up */
    if (v6) return true;
    tools->text_add(&entry, span_of_string(host));
    tools->text_add(&entry, SPAN_LITERAL(":"));
    tools->text_add(&entry, span_of_string(port));
    tools->text_add(&entry, SPAN_LITERAL(":"));
    struct auth_text addresses = {0};
    bool found = tools->resolve(host, deadline_ms, &addresses, ret_error, error_bytes);
    if (found) {
        tools->text_add(&entry, span_of(addresses.data, addresses.bytes));
        curl_slist_free_all(*list);
        *list = curl_slist_append(NULL, entry.data);
        curl_easy_setopt(curl, CURLOPT_RESOLVE, *list);
    }
    tools->text_release(&addresses);
    tools->text_release(&entry);
    return found;
}

/* Asks. False with a sentence: there is no answer. */
static bool perform(CURL *curl, const char *host, const char *port, struct curl_slist **list, struct sink *sink, uint64_t deadline_ms, long *ret_status, char *ret_error,
                    size_t error_bytes)
{
    *ret_status = 0;
    if (!give_addresses(curl, host, port, sink->tools, deadline_ms, list, ret_error, error_bytes)) return false;
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms(sink->tools, deadline_ms));
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    if (code == CURLE_OK) return true;
    if (sink->too_large) auth_too_large(host, sink->bytes_max, ret_error, error_bytes);
    else snprintf(ret_error, error_bytes, code == CURLE_OPERATION_TIMEDOUT ? "%.100s: %s (timeout)" : "%.100s: %s", host, curl_easy_strerror(code));
    return false;
}

static enum auth_verdict understand(struct link *link, long status, struct auth_text *body, struct auth_answer *answer)
{
    const struct auth_tools *tools = link->http->tools;
    char error[160];
    const char *type = NULL;
    if (status == 204) return tools->say(answer, AUTH_ALLOW, "the server allows it");
    if (status == 429 || status >= 500) return tools->say(answer, AUTH_DOWN, "HTTP status %ld", status);
    if (status != 200) return tools->say(answer, AUTH_NEXT, "HTTP status %ld", status);
    curl_easy_getinfo(link->curl, CURLINFO_CONTENT_TYPE, &type);
    bool form = type && strcasestr(type, "x-www-form-urlencoded");
    if (!tools->reply(span_of(body->data, body->bytes), !form, answer, error, sizeof error)) return tools->say(answer, AUTH_DOWN, "the server's answer: %s", error);
    return (enum auth_verdict)answer->verdict;
}

static enum auth_verdict http_authenticate(void *instance, void *thread, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct http *http = instance;
    struct link *link = thread;
    const struct auth_tools *tools = http->tools;
    struct auth_text url = {0}, request = {0}, reply = {0};
    struct sink sink = {.tools = tools, .text = &reply, .bytes_max = http->settings->answer_bytes_max};
    char error[160];
    long status;
    tools->template_render(http->url, query, TEMPLATE_URL, &url);
    if (path_steps(url.data)) {
        tools->text_release(&url);
        return tools->say(answer, AUTH_DENY, "a name that would make another path of the URL");
    }
    tools->template_render(http->body, query, http->json ? TEMPLATE_JSON : TEMPLATE_URL, &request);
    set_common(link->curl, http->settings, &sink);
    curl_easy_setopt(link->curl, CURLOPT_URL, url.data);
    curl_easy_setopt(link->curl, CURLOPT_HTTPHEADER, http->headers);
    if (http->settings->method == AUTH_HTTP_POST) {
        curl_easy_setopt(link->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(link->curl, CURLOPT_POSTFIELDSIZE, (long)request.bytes);
        curl_easy_setopt(link->curl, CURLOPT_POSTFIELDS, request.data);
    }
    bool answered = perform(link->curl, http->host, http->port, &link->addresses, &sink, deadline_ms, &status, error, sizeof error);
    curl_easy_setopt(link->curl, CURLOPT_POSTFIELDS, NULL);
    answer->of_client = sink.too_large;
    enum auth_verdict verdict = answered ? understand(link, status, &reply, answer) : tools->say(answer, AUTH_DOWN, "%s", error);
    tools->text_release(&url);
    tools->text_release(&request);
    tools->text_release(&reply);
    return verdict;
}

static bool http_fetch(const struct auth_source_settings *settings, const char *url, const struct auth_tools *tools, uint64_t deadline_ms, struct auth_text *ret_body,
                       char *ret_error, size_t error_bytes)
{
    struct sink sink = {.tools = tools, .text = ret_body, .bytes_max = settings->answer_bytes_max};
    struct curl_slist *addresses = NULL;
    char *host, *port;
    long status;
    pthread_once(&once, start);
    if (!url_server(url, &host, &port)) return snprintf(ret_error, error_bytes, "jwks_endpoint is no URL"), false;
    CURL *curl = curl_easy_init();
    set_common(curl, settings, &sink);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    bool answered = perform(curl, host, port, &addresses, &sink, deadline_ms, &status, ret_error, error_bytes);
    curl_easy_cleanup(curl);
    curl_slist_free_all(addresses);
    free(host);
    free(port);
    if (answered && status != 200) snprintf(ret_error, error_bytes, "HTTP status %ld", status);
    return answered && status == 200;
}

/* Any answer of the server's shows that it is there. */
static bool http_probe(void *instance, void *thread, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct http *http = instance;
    struct link *link = thread;
    struct auth_text url = {0}, reply = {0};
    struct sink sink = {.tools = http->tools, .text = &reply, .bytes_max = http->settings->answer_bytes_max};
    struct auth_query nobody = {0};
    long status;
    http->tools->template_render(http->url, &nobody, TEMPLATE_URL, &url);
    set_common(link->curl, http->settings, &sink);
    curl_easy_setopt(link->curl, CURLOPT_URL, url.data);
    curl_easy_setopt(link->curl, CURLOPT_NOBODY, 1L);
    bool answered = perform(link->curl, http->host, http->port, &link->addresses, &sink, deadline_ms, &status, ret_error, error_bytes);
    http->tools->text_release(&url);
    http->tools->text_release(&reply);
    if (!answered) return false;
    if (status == 503 || status == 502 || status == 504) return snprintf(ret_error, error_bytes, "HTTP status %ld", status), false; /* a proxy before it */
    return true;
}

AUTH_MODULE = {.abi = AUTH_SOURCE_ABI, .name = "http", .open = http_open, .close = http_close, .attach = http_attach, .detach = http_detach,
               .authenticate = http_authenticate, .probe = http_probe, .fetch = http_fetch};
