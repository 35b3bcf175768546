/* request.h - what the request() of features have in common: a table of verbs, members of the question, answers and refusals.
 *
 * Header only, so that loadable modules may have it, too. Threads: any. */
#ifndef RINGMQ_FEATURES_COMMON_REQUEST_H
#define RINGMQ_FEATURES_COMMON_REQUEST_H

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/feature.h"

struct request_verb {
    const char *verb;
    void (*run)(struct feature_request *request, const json_t *body);
};

static inline void __attribute__((format(printf, 3, 4))) request_refuse(struct feature_request *request, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(request->error, sizeof request->error, format, arguments);
    va_end(arguments);
    request->status = status;
}

/* `value` is taken over. */
static inline void request_answer(struct feature_request *request, json_t *value)
{
    request->answer = value ? json_dumps(value, JSON_COMPACT) : NULL;
    request->status = request->answer ? 200 : 500;
    if (!request->answer) snprintf(request->error, sizeof request->error, "the answer cannot be written as JSON");
    json_decref(value);
}

/* A member that is a text; .data NULL: there is none. */
static inline struct span request_text(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    return span_of(json_string_value(value), json_string_length(value));
}

/* Texts from elsewhere may be no UTF-8: what is not ASCII is shown as question marks then. */
static inline json_t *request_text_json(struct span text)
{
    json_t *value = json_stringn(text.bytes ? (const char *)text.data : "", text.bytes);
    if (value) return value;
    char *shown = malloc(text.bytes + 1);
    for (size_t i = 0; shown && i < text.bytes; i++)
        shown[i] = text.data[i] & 0x80 ? '?' : (char)text.data[i];
    value = shown ? json_stringn(shown, text.bytes) : NULL;
    free(shown);
    return value;
}

static inline void request_run(struct feature_request *request, const char *whose, const struct request_verb *verbs, size_t verbs_count)
{
    json_t *body = json_loadb((const char *)request->body.data, request->body.bytes, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body)) request_refuse(request, 400, "the request is no JSON object");
    for (size_t i = 0; json_is_object(body) && i < verbs_count; i++)
        if (strcmp(verbs[i].verb, request->verb) == 0) verbs[i].run(request, body);
    if (!request->status) request_refuse(request, 404, "%s knows no request '%s'", whose, request->verb);
    json_decref(body);
}

#endif
