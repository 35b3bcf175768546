/* tools.c - what sources in shared objects reach the broker through; see source.h. */
#include "base/log.h"
#include "features/auth/dial.h"
#include "features/auth/reply.h"
#include "features/auth/source.h"

const char *const auth_backend_names[AUTH_BACKENDS] = {"password_file", "built_in_database", "certificate", "jwt", "http", "postgresql", "mysql", "redis", "ldap"};

static void tool_log(bool warning, const char *event, const char *source, const char *what)
{
    if (warning)
        LOG_LIMITED(WARN, 1000, event, "source=%s what=%s", source, log_quoted(span_of_string(what)));
    else
        LOG_LIMITED(INFO, 1000, event, "source=%s what=%s", source, log_quoted(span_of_string(what)));
}

const struct auth_tools auth_tools = {
    .log = tool_log,
    .now_ms = auth_now_ms,
    .template_compile = template_compile,
    .template_release = template_release,
    .template_uses_password = template_uses_password,
    .template_render = template_render,
    .template_sql = template_sql,
    .template_parameters = template_parameters,
    .template_escape = template_escape,
    .password_check_form = password_check_form,
    .say = auth_answer_say,
    .attribute = auth_answer_attribute,
    .rule_words = auth_answer_rule_words,
    .truth = auth_truth,
    .retain_word = auth_retain_word,
    .text_add = auth_text_add,
    .text_release = auth_text_release,
    .reply = auth_reply,
    .resolve = auth_resolve,
    .dial = auth_dial,
};
