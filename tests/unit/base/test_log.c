#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

static char written[1 << 20];

/* What a function writes to stderr. */
static void capture(void (*what)(void))
{
    char path[] = "/tmp/ringmq-log-XXXXXX";
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    what();
    dup2(saved, STDERR_FILENO);
    ssize_t bytes = pread(file, written, sizeof written - 1, 0);
    written[bytes < 0 ? 0 : bytes] = 0;
    close(file);
    close(saved);
    unlink(path);
}

static void hostile(void)
{
    struct span id = SPAN_LITERAL("evil\n2026 error [x] forged \"q\" n=9 \\\"\x1b[31m");
    LOG(WARN, "client lost", "client=%s n=%d", log_quoted(id), 7);
}

Test(log, a_value_cannot_forge_a_line)
{
    log_configure(LOG_INFO, LOG_TEXT);
    capture(hostile);
    cr_assert_eq(strchr(written, '\n'), written + strlen(written) - 1, "one line: %s", written);
    cr_assert_not_null(strstr(written, "\\x0a"));
    cr_assert_not_null(strstr(written, "\\x1b"));
}

Test(log, json_lines_are_json)
{
    log_configure(LOG_INFO, LOG_JSON);
    capture(hostile);
    cr_assert_not_null(strstr(written, "\"event\":\"client lost\""), "%s", written);
    cr_assert_not_null(strstr(written, "\"level\":\"warn\""));
    cr_assert_not_null(strstr(written, "forged \\\"q\\\" n=9 \\\\\\\"\\u001b[31m\",\"n\":\"7\"}"), "%s", written);
    log_configure(LOG_INFO, LOG_TEXT);
}

static void flood(void)
{
    int wake = eventfd(0, EFD_NONBLOCK);
    log_start(LOG_TEXT, wake);
    log_thread_attach("flood");
    for (int i = 0; i < LOG_LINES_PENDING_MAX + 25; i++)
        LOG(INFO, "line", "i=%d", i);
    log_drain();
    log_stop();
    close(wake);
}

Test(log, a_full_ring_counts_what_it_drops)
{
    log_configure(LOG_INFO, LOG_TEXT);
    capture(flood);
    cr_assert_not_null(strstr(written, "i=511\n"));
    cr_assert_null(strstr(written, "i=512\n"));
    cr_assert_not_null(strstr(written, "log lines dropped: count=25"), "%s", written + strlen(written) - 200);
}

static void limited(void)
{
    for (int i = 0; i < 10; i++)
        LOG_LIMITED(WARN, 60000, "often", "i=%d", i);
    LOG(DEBUG, "quiet", "x=%d", 1);
}

Test(log, limited_lines_and_levels)
{
    log_configure(LOG_INFO, LOG_TEXT);
    capture(limited);
    cr_assert_not_null(strstr(written, "often: i=0"));
    cr_assert_null(strstr(written, "i=1"));
    cr_assert_null(strstr(written, "quiet"));
}
