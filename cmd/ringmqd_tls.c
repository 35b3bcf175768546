#include "cmd/ringmqd_tls.h"

#include <stdio.h>
#include <sys/timerfd.h>

#include "base/check.h"
#include "base/log.h"
#include "broker/doors/tls.h"
#include "broker/doors/doors.h"
#include "engine/listener.h"
#include "tls/tls.h"

static bool is_tls(const struct listener_settings *listener) { return listener->kind == LISTENER_TLS || listener->kind == LISTENER_WSS; }

bool ringmqd_tls_check(const struct settings *settings)
{
    bool sound = true;
    log_configure(LOG_WARN, LOG_TEXT); /* of what is found only what is amiss */
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        const struct listener_settings *listener = &settings->listeners[i];
        char error[1024];
        if (!listener->enable || !is_tls(listener)) continue;
        struct door_tls *door = door_tls_open(listener, error, sizeof error);
        if (!door) fprintf(stderr, "ringmqd: %s\n", error);
        sound &= door != NULL;
        door_tls_close(door);
    }
    door_tls_forget();
    return sound;
}

static bool has_tls(const struct node *node)
{
    const struct listener *listener;
    bool found = false;
    for (uint32_t i = 0; i < LISTENERS_MAX && !found; i++)
        found = (listener = node_listener(node, i)) && is_tls(listener->settings);
    return found;
}

void ringmqd_tls_print(const struct node *node)
{
    if (!has_tls(node)) return;
    uint32_t speed = tls_library_megabytes_per_s();
    LOG(INFO, "tls", "library=wolfssl-%s aes_gcm_megabytes_per_s=%u", tls_library_version(), speed);
    if (speed < TLS_LIBRARY_SLOW)
        LOG(WARN, "TLS is slow", "aes_gcm_megabytes_per_s=%u what=\"this wolfSSL was built without AES-NI, or the CPU has none; build "
            "with -DRINGMQ_WOLFSSL=private\"", speed);
}

void ringmqd_tls_timer(const struct node *node, int timer)
{
    time_t every_s = has_tls(node) ? DOOR_TLS_TICK_S : 0; /* without TLS this thread sleeps */
    struct itimerspec time = {{every_s, 0}, {every_s, 0}};
    CHECK(timerfd_settime(timer, 0, &time, NULL) == 0);
}

void ringmqd_tls_tick(const struct node *node, bool forced)
{
    const struct listener *listener;
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if ((listener = node_listener(node, i))) door_tick(listener, forced);
}
