/* resolve.c - see resolve.h. */
#include "base/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/list.h"
#include "base/memory.h"

#define LOOK_MS 100 /* at *given_up */

struct name {
    struct list link;             /* of `names` */
    char *host;
    uint32_t waiting;             /* threads: it may not go */
    bool looking;                 /* a thread looks it up */
    uint64_t looking_since_ms, asked_ms;
    uint64_t found_ms;            /* when the addresses were found; 0: never */
    uint64_t lookups;             /* that have ended */
    int failed, failed_errno;     /* of the last one: EAI_…; 0: it found them */
    struct resolve_addresses found; /* with port 0 */
};

/* All below are guarded by the lock. Names are few: sources of users, responders of certificates. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER; /* some look-up; waited for with CLOCK_MONOTONIC */
static struct list names = {&names, &names};
static uint32_t names_count;
static int (*look_up)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = getaddrinfo;

void resolve_look_up_with(int (*with)(const char *, const char *, const struct addrinfo *, struct addrinfo **)) { look_up = with ? with : getaddrinfo; }

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void keep(const struct addrinfo *all, struct resolve_addresses *ret_addresses)
{
    ret_addresses->count = 0;
    for (const struct addrinfo *one = all; one && ret_addresses->count < RESOLVE_ADDRESSES_MAX; one = one->ai_next) {
        struct resolve_address *to = &ret_addresses->addresses[ret_addresses->count];
        if (one->ai_addrlen > sizeof to->address) continue;
        *to = (struct resolve_address){.bytes = one->ai_addrlen};
        memcpy(&to->address, one->ai_addr, one->ai_addrlen);
        ret_addresses->count++;
    }
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static void forget(struct name *name)
{
    list_remove(&name->link);
    names_count--;
    memory_release(name->host);
    memory_release(name);
}

static void make_room(void)
{
    struct name *oldest = NULL;
    for (struct list *at = names.next; at != &names; at = at->next) {
        struct name *name = CONTAINER_OF(at, struct name, link);
        if (!name->looking && !name->waiting && (!oldest || name->asked_ms < oldest->asked_ms)) oldest = name;
    }
    if (oldest) forget(oldest); /* else one more than the limit: who waits for each is a thread, and of those there are not many */
}

static struct name *name_of(const char *host)
{
    for (struct list *at = names.next; at != &names; at = at->next) {
        struct name *name = CONTAINER_OF(at, struct name, link);
        if (strcmp(name->host, host) == 0) return name;
    }
    if (names_count >= RESOLVE_NAMES_MAX) make_room();
    struct name *name = memory_acquire_zeroed(sizeof *name);
    name->host = memory_copy_string(span_of_string(host));
    list_append(&names, &name->link);
    names_count++;
    return name;
}

/* ---- looking up --------------------------------------------------------------------------------------------------- */

/* Nobody waits for this thread's end: at the end of the process it may be in the middle of a look-up. */
static void *look_up_one(void *argument)
{
    struct name *name = argument; /* stays while it is looked up, and so does its host */
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all = NULL;
    int failed = look_up(name->host, NULL, &hints, &all), failed_errno = errno;
    pthread_mutex_lock(&lock);
    name->failed = failed ? failed : all ? 0 : EAI_NONAME;
    name->failed_errno = failed_errno;
    if (!name->failed) {
        keep(all, &name->found);
        name->found_ms = now_ms();
    }
    name->lookups++;
    name->looking = false;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
    if (all) freeaddrinfo(all);
    return NULL;
}

/* False: the system gives no thread. The lock is held. */
static bool begin(struct name *name)
{
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are others' */
    bool fine = pthread_create(&thread, &detached, look_up_one, name) == 0;
    if (fine) pthread_setname_np(thread, "resolver");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    name->looking = fine;
    name->looking_since_ms = now_ms();
    return fine;
}

static void wait_until(uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    pthread_cond_clockwait(&ended, &lock, CLOCK_MONOTONIC, &until);
}

/* Waits for the end of the look-up under way. False: the deadline came first. The lock is held, but not all the time. */
static bool await(struct name *name, uint64_t deadline_ms, const _Atomic bool *given_up)
{
    uint64_t lookups = name->lookups;
    name->waiting++;
    for (uint64_t now; name->lookups == lookups && (now = now_ms()) < deadline_ms && !(given_up && atomic_load(given_up));)
        wait_until(given_up && deadline_ms - now > LOOK_MS ? now + LOOK_MS : deadline_ms);
    name->waiting--;
    return name->lookups != lookups;
}

static void say_failed(const struct name *name, char *ret_error, size_t error_bytes)
{
    char reason[100];
    if (name->failed == EAI_SYSTEM) snprintf(reason, sizeof reason, "%s", strerrordesc_np(name->failed_errno) ? strerrordesc_np(name->failed_errno) : "system error");
    else snprintf(reason, sizeof reason, "%s", gai_strerror(name->failed));
    snprintf(ret_error, error_bytes, "its name cannot be resolved (%s)", reason);
}

/* The lock is held. */
static bool find(struct name *name, uint64_t deadline_ms, const _Atomic bool *given_up, char *ret_error, size_t error_bytes)
{
    uint64_t now = now_ms(), began_ms = now;
    bool known = name->found_ms != 0;
    name->asked_ms = now;
    if (known && now - name->found_ms < RESOLVE_FRESH_MS) return true;
    if (!name->looking && !begin(name)) return known || (snprintf(ret_error, error_bytes, "its name cannot be resolved (the system gives no thread)"), false);
    uint64_t patient_until_ms = name->looking_since_ms + RESOLVE_PATIENCE_MS;
    bool done = await(name, known && patient_until_ms < deadline_ms ? patient_until_ms : deadline_ms, given_up);
    if (name->found_ms) return true; /* found now, or before */
    if (done) return say_failed(name, ret_error, error_bytes), false;
    snprintf(ret_error, error_bytes, "its name was not resolved within %u ms", (unsigned)(now_ms() - began_ms));
    return false;
}

bool resolve(const char *host, const char *port, uint64_t deadline_ms, const _Atomic bool *given_up, struct resolve_addresses *ret_addresses, char *ret_error,
             size_t error_bytes)
{
    struct addrinfo numeric = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *all = NULL;
    if (getaddrinfo(host, NULL, &numeric, &all) == 0) {
        keep(all, ret_addresses);
        freeaddrinfo(all);
    } else {
        pthread_mutex_lock(&lock);
        struct name *name = name_of(host);
        bool found = find(name, deadline_ms, given_up, ret_error, error_bytes);
        if (found) *ret_addresses = name->found;
        pthread_mutex_unlock(&lock);
        if (!found) return false;
    }
    in_port_t number = htons((uint16_t)strtoul(port, NULL, 10));
    for (uint32_t i = 0; i < ret_addresses->count; i++) {
        struct sockaddr_storage *address = &ret_addresses->addresses[i].address;
        if (address->ss_family == AF_INET) ((struct sockaddr_in *)address)->sin_port = number;
        if (address->ss_family == AF_INET6) ((struct sockaddr_in6 *)address)->sin6_port = number;
    }
    return true;
}

void resolve_text(const struct resolve_addresses *addresses, char *ret_text, size_t bytes)
{
    size_t used = 0;
    ret_text[0] = 0;
    for (uint32_t i = 0; i < addresses->count; i++) {
        const struct resolve_address *one = &addresses->addresses[i];
        char text[NI_MAXHOST];
        if (getnameinfo((const struct sockaddr *)&one->address, one->bytes, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0) continue;
        if (used + strlen(text) + 2 > bytes) return;
        used += (size_t)snprintf(ret_text + used, bytes - used, "%s%s", used ? "," : "", text);
    }
}
