/* source.h - the table of verbs behind which every authentication source lies.
 *
 * A source runs on worker threads (workers.h): all verbs may block and burn CPU, up to their deadline. What a thread needs for itself (a
 * connection to a server) is its *link*, made by attach() on that thread without connecting; verbs connect when they need to and leave the
 * link clean or closed.
 *
 *     open(settings) ─► instance ─┬─ thread: attach() ─► link ─ authenticate()/authorize()/probe() … ─ detach()
 *                                 └─ thread: …
 *     close(instance), when all threads have detached
 *
 * Those with heavy client libraries are shared objects with the symbol `auth_source`; they reach the broker through `tools` alone and are
 * linked to nothing of it, so that they neither carry a second copy of its modules nor depend on what the executable exports.
 * Failure: open() refuses settings with a sentence. A server that cannot be reached is AUTH_DOWN, said anew for each question. */
#ifndef RINGMQ_FEATURES_AUTH_SOURCE_H
#define RINGMQ_FEATURES_AUTH_SOURCE_H

#include "features/auth/auth.h"
#include "features/auth/password.h"
#include "features/auth/settings.h"
#include "features/auth/template.h"

#define AUTH_SOURCE_ABI 5u /* raised with every change of struct auth_source_kind, struct auth_tools or of what they are given */

struct auth_tools {
    void (*log)(bool warning, const char *event, const char *source, const char *what); /* limited to a line a second */
    uint64_t (*now_ms)(void);
    struct template *(*template_compile)(struct span text, char *ret_error, size_t error_bytes);
    void (*template_release)(struct template *template);
    bool (*template_uses_password)(const struct template *template);
    void (*template_render)(const struct template *template, const struct auth_query *query, enum template_escape escape, struct auth_text *text);
    bool (*template_sql)(const struct template *template, enum template_marks marks, struct auth_text *ret_sql, char *ret_error, size_t error_bytes);
    uint32_t (*template_parameters)(const struct template *template, const struct auth_query *query, struct span ret_values[TEMPLATE_PARAMETERS_MAX]);
    void (*template_escape)(struct span value, enum template_escape escape, struct auth_text *text);
    enum password_verdict (*password_check_form)(const struct password_form *form, struct span stored, struct span salt, struct span password);
    enum auth_verdict (*say)(struct auth_answer *answer, enum auth_verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
    void (*attribute)(struct auth_answer *answer, struct span name, struct span value);
    const char *(*rule_words)(struct auth_answer *answer, struct span permission, struct span action, struct span topic, uint8_t qos_mask, int retain);
    bool (*truth)(struct span text);
    int (*retain_word)(struct span text);
    void (*text_add)(struct auth_text *text, struct span more);
    void (*text_release)(struct auth_text *text);
    /* A JSON object or form (features/auth/reply.h); false with a reason: nonsense. */
    bool (*reply)(struct span body, bool json, struct auth_answer *answer, char *ret_error, size_t error_bytes);
    /* features/auth/dial.h */
    bool (*resolve)(const char *host, uint64_t deadline_ms, struct auth_text *ret_addresses, char *ret_error, size_t error_bytes);
    int (*dial)(const char *host, const char *port, uint64_t deadline_ms, char *ret_error, size_t error_bytes);
};

struct auth_source_kind {
    uint32_t abi;             /* AUTH_SOURCE_ABI */
    const char *name;
    bool local;               /* no server behind it: no circuit breaker, and its questions go to the hash threads */
    bool closed;              /* it decides by password alone and is asked on a thread; a client without password is not one of its users */
    void *(*open)(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes);
    void (*close)(void *instance);
    void *(*attach)(void *instance); /* NULL: it needs no link */
    void (*detach)(void *link);
    /* The deadline is auth_now_ms()'s. The verdict is in the answer and returned. */
    enum auth_verdict (*authenticate)(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer);
    /* Adds the client's rules; NEXT: done, DOWN: it could not be asked. NULL: it has none. */
    enum auth_verdict (*authorize)(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer);
    /* Is the server there? False with a reason. NULL: nothing to look at. */
    bool (*probe)(void *instance, void *link, uint64_t deadline_ms, char *ret_error, size_t error_bytes);
    /* About every 100 ms on one of its threads while nobody is asked. NULL: nothing to do. */
    void (*tick)(void *instance);
    /* The HTTP source only: what a GET answers with 200, at most answer_max, by the TLS settings given. For key sets. */
    bool (*fetch)(const struct auth_source_settings *settings, const char *url, const struct auth_tools *tools, uint64_t deadline_ms, struct auth_text *ret_body,
                  char *ret_error, size_t error_bytes);
};

extern const struct auth_tools auth_tools;

/* Built in. */
extern const struct auth_source_kind auth_source_password_file, auth_source_built_in, auth_source_certificate, auth_source_jwt;

/* What the stored password, salt and superuser columns of a row mean; shared by all databases. Static, so that modules have their own. */
static inline struct password_form auth_password_form(const struct auth_source_settings *settings)
{
    return (struct password_form){.algorithm = settings->hash_algorithm, .salt_position = settings->salt_position, .mac = settings->mac_fun,
                                  .iterations = settings->iterations, .key_bytes = settings->key_bytes};
}

static inline enum auth_verdict auth_check_row(const struct auth_tools *tools, const struct auth_source_settings *settings, const struct auth_query *query,
                                               struct span stored, struct span salt, struct span superuser, struct auth_answer *answer)
{
    struct password_form form = auth_password_form(settings);
    switch (tools->password_check_form(&form, stored, salt, query->password)) {
    case PASSWORD_RIGHT: answer->superuser = superuser.bytes && tools->truth(superuser); return tools->say(answer, AUTH_ALLOW, "the password is right");
    case PASSWORD_WRONG: return tools->say(answer, AUTH_DENY, "wrong password");
    default:
        answer->of_client = true;
        return tools->say(answer, AUTH_DOWN, "the stored password hash is none of the configured form");
    }
}

#endif
