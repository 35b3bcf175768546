/* otlp_http.c - see admin/otlp_http.h. Linked to libcurl and zlib alone. No redirects are followed, no proxy of the environment is used, nothing but HTTP is spoken. */
#include "admin/otlp_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

struct instance {
    CURLM *multi; /* rather than easy_perform(): it can be woken */
    CURL *curl;
    atomic_bool interrupted;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void start(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static void http_close(void *context)
{
    struct instance *instance = context;
    if (instance->curl) curl_easy_cleanup(instance->curl);
    if (instance->multi) curl_multi_cleanup(instance->multi);
    free(instance);
}

static void *http_open(void)
{
    pthread_once(&once, start);
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance) return NULL;
    instance->multi = curl_multi_init();
    instance->curl = curl_easy_init();
    if (instance->multi && instance->curl) return instance;
    http_close(instance);
    return NULL;
}

static void http_interrupt(void *context)
{
    struct instance *instance = context;
    atomic_store(&instance->interrupted, true);
    curl_multi_wakeup(instance->multi);
}

static size_t receive(char *data, size_t size, size_t count, void *context)
{
    struct otlp_http_answer *answer = context;
    size_t bytes = size * count, room = sizeof answer->body - answer->body_bytes, kept = bytes < room ? bytes : room;
    memcpy(answer->body + answer->body_bytes, data, kept);
    answer->body_bytes += kept;
    return bytes;
}

/* NULL: no memory. */
static uint8_t *compress_body(const struct otlp_http_request *request, size_t *ret_bytes)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return NULL; /* 16: gzip's frame */
    size_t room = deflateBound(&stream, request->bytes);
    uint8_t *out = malloc(room);
    stream.next_in = (Bytef *)(uintptr_t)request->body;
    stream.avail_in = (uInt)request->bytes;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    bool done = out && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    *ret_bytes = room - stream.avail_out;
    deflateEnd(&stream);
    if (done) return out;
    free(out);
    return NULL;
}

static struct curl_slist *headers_of(const struct otlp_http_request *request, bool gzip)
{
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/x-protobuf");
    list = curl_slist_append(list, "Expect:"); /* no 100-continue */
    if (gzip) list = curl_slist_append(list, "Content-Encoding: gzip");
    for (const char *const *header = request->headers; *header; header++)
        list = curl_slist_append(list, *header);
    return list;
}

/* ---- the host's addresses ---------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What CURLOPT_RESOLVE wants: "HOST:PORT:ADDRESS,ADDRESS". False with a sentence: there are no addresses. An empty list: the host is an address, or what is wrong with
 * the URL is for the library to say. */
static bool find_host(struct instance *instance, const struct otlp_http_request *request, uint64_t deadline_ms, struct curl_slist **ret_list, char *ret_error, size_t error_bytes)
{
    char *host = NULL, *port = NULL, addresses[OTLP_HTTP_ADDRESSES_BYTES], entry[256 + 8 + OTLP_HTTP_ADDRESSES_BYTES], why[160];
    CURLU *parts = curl_url();
    bool named = parts && curl_url_set(parts, CURLUPART_URL, request->url, 0) == CURLUE_OK && curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                 curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK && host[0] != '[' && strlen(host) < 256;
    bool found = !named || request->resolve(host, deadline_ms, &instance->interrupted, addresses, sizeof addresses, why, sizeof why);
    *ret_list = NULL;
    if (!found) {
        snprintf(ret_error, error_bytes, "%.80s: %s", host, why);
    } else if (named) {
        snprintf(entry, sizeof entry, "%s:%s:%s", host, port, addresses);
        *ret_list = curl_slist_append(NULL, entry);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return found;
}

/* ---- the request ------------------------------------------------------------------------------------------------------- */

static void set_options(CURL *curl, const struct otlp_http_request *request, const uint8_t *body, size_t bytes, struct curl_slist *headers, struct otlp_http_answer *answer)
{
    curl_easy_reset(curl); /* the connection stays */
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "ringmq");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->error);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, request->verify ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, request->verify ? 2L : 0L);
    if (*request->ca_file) curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca_file);
    if (*request->certificate_file) curl_easy_setopt(curl, CURLOPT_SSLCERT, request->certificate_file);
    if (*request->key_file) curl_easy_setopt(curl, CURLOPT_SSLKEY, request->key_file);
}

/* CURLE_OK: there is an answer. */
static CURLcode perform(struct instance *instance, const struct curl_slist *addresses, uint64_t deadline_ms)
{
    CURLcode result = CURLE_FAILED_INIT;
    int running = 1, left;
    uint64_t now = now_ms();
    curl_easy_setopt(instance->curl, CURLOPT_RESOLVE, addresses);
    curl_easy_setopt(instance->curl, CURLOPT_TIMEOUT_MS, (long)(deadline_ms > now ? deadline_ms - now : 1));
    if (curl_multi_add_handle(instance->multi, instance->curl) != CURLM_OK) return result;
    while (curl_multi_perform(instance->multi, &running) == CURLM_OK && running && !atomic_load(&instance->interrupted))
        curl_multi_poll(instance->multi, NULL, 0, 1000, NULL);
    for (CURLMsg *message; (message = curl_multi_info_read(instance->multi, &left));)
        if (message->msg == CURLMSG_DONE) result = message->data.result;
    curl_multi_remove_handle(instance->multi, instance->curl);
    return result;
}

static bool is_hopeless(CURLcode code)
{
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT: return true;
    default: return false;
    }
}

static void http_post(void *context, const struct otlp_http_request *request, struct otlp_http_answer *ret_answer)
{
    struct instance *instance = context;
    size_t bytes = request->bytes;
    uint64_t deadline_ms = now_ms() + request->timeout_ms;
    struct curl_slist *addresses = NULL;
    long status = 0;
    curl_off_t retry_after = 0;
    ret_answer->status = 0;
    ret_answer->interrupted = ret_answer->hopeless = false;
    ret_answer->retry_after_s = 0;
    ret_answer->body_bytes = 0;
    ret_answer->error[0] = 0;
    uint8_t *compressed = request->gzip ? compress_body(request, &bytes) : NULL;
    if (!compressed) bytes = request->bytes; /* as it is: every receiver takes it */
    struct curl_slist *headers = headers_of(request, compressed != NULL);
    set_options(instance->curl, request, compressed ? compressed : request->body, bytes, headers, ret_answer);
    bool found = find_host(instance, request, deadline_ms, &addresses, ret_answer->error, sizeof ret_answer->error);
    CURLcode code = found ? perform(instance, addresses, deadline_ms) : CURLE_COULDNT_RESOLVE_HOST;
    ret_answer->interrupted = atomic_exchange(&instance->interrupted, false);
    ret_answer->sent_bytes = bytes;
    if (code == CURLE_OK) {
        curl_easy_getinfo(instance->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(instance->curl, CURLINFO_RETRY_AFTER, &retry_after);
        ret_answer->status = (int)status;
        ret_answer->retry_after_s = retry_after > 86400 ? 86400 : retry_after > 0 ? (uint32_t)retry_after : 0;
    } else {
        ret_answer->hopeless = is_hopeless(code);
        if (!ret_answer->error[0]) snprintf(ret_answer->error, sizeof ret_answer->error, "%s", curl_easy_strerror(code));
    }
    curl_easy_setopt(instance->curl, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(instance->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(instance->curl, CURLOPT_RESOLVE, NULL);
    curl_easy_setopt(instance->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    curl_slist_free_all(addresses);
    free(compressed);
}

extern __attribute__((visibility("default"))) const struct otlp_http otlp_http;
const struct otlp_http otlp_http = {.abi = OTLP_HTTP_ABI, .open = http_open, .close = http_close, .post = http_post, .interrupt = http_interrupt};
