/* Names and their addresses: how long somebody waits, how often a name is looked up, what is good for how long. */
#include "base/resolve.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int looked_up;
static sem_t go; /* the name server answers */
static atomic_int fails;

static int slow(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct addrinfo numeric = *hints;
    atomic_fetch_add(&looked_up, 1);
    while (sem_wait(&go) != 0) {}
    numeric.ai_flags = AI_NUMERICHOST;
    return atomic_load(&fails) ? EAI_NONAME : getaddrinfo("192.0.2.7", NULL, &numeric, ret);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void begin(void)
{
    sem_init(&go, 0, 0);
    resolve_look_up_with(slow);
}

static struct resolve_addresses found;
static char error[120];
static bool ask(const char *host, uint64_t ms) { return resolve(host, "1883", now_ms() + ms, NULL, &found, error, sizeof error); }

Test(resolve, addresses_need_no_look_up, .init = begin)
{
    char text[INET6_ADDRSTRLEN];
    cr_assert(ask("127.0.0.1", 0));
    const struct sockaddr_in *four = (const struct sockaddr_in *)&found.addresses[0].address;
    cr_assert(found.count == 1 && four->sin_family == AF_INET && ntohs(four->sin_port) == 1883);
    cr_assert(ask("::1", 0));
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&found.addresses[0].address;
    cr_assert(found.count == 1 && six->sin6_family == AF_INET6 && ntohs(six->sin6_port) == 1883);
    cr_assert_str_eq(inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text), "::1");
    cr_assert_eq(atomic_load(&looked_up), 0);
}

Test(resolve, addresses_as_text)
{
    struct resolve_addresses both = {0}, one;
    char text[RESOLVE_TEXT_BYTES];
    resolve_text(&both, text, sizeof text);
    cr_assert_str_eq(text, "");
    for (const char *const *host = (const char *const[]){"192.0.2.1", "2001:db8::1", NULL}; *host; host++) {
        cr_assert(resolve(*host, "1883", now_ms(), NULL, &one, error, sizeof error));
        both.addresses[both.count++] = one.addresses[0];
    }
    resolve_text(&both, text, sizeof text);
    cr_assert_str_eq(text, "192.0.2.1,2001:db8::1");
    resolve_text(&both, text, 20); /* the second has no room */
    cr_assert_str_eq(text, "192.0.2.1");
}

Test(resolve, a_wait_ends_and_the_look_up_goes_on, .init = begin)
{
    for (int i = 0; i < 3; i++) { /* all wait for the one */
        cr_assert_not(ask("db.example", 20));
        cr_assert(strstr(error, "not resolved within"), "%s", error);
    }
    sem_post(&go);
    cr_assert(ask("db.example", 60000));
    cr_assert_eq(((const struct sockaddr_in *)&found.addresses[0].address)->sin_addr.s_addr, inet_addr("192.0.2.7"));
    cr_assert(ask("db.example", 0)); /* fresh */
    cr_assert_eq(atomic_load(&looked_up), 1);
    sem_post(&go);
    cr_assert(ask("other.example", 60000));
    cr_assert_eq(atomic_load(&looked_up), 2);
}

Test(resolve, what_cannot_be_found_is_said_and_asked_again, .init = begin)
{
    atomic_store(&fails, 1);
    for (int i = 0; i < 2; i++) {
        sem_post(&go);
        cr_assert_not(ask("nowhere.example", 60000));
        cr_assert_str_eq(error, "its name cannot be resolved (Name or service not known)");
    }
    cr_assert_eq(atomic_load(&looked_up), 2);
    atomic_store(&fails, 0);
    sem_post(&go);
    cr_assert(ask("nowhere.example", 60000));
}

Test(resolve, whoever_is_given_up_leaves, .init = begin)
{
    atomic_bool given_up = true;
    uint64_t began_ms = now_ms();
    cr_assert_not(resolve("db.example", "1", began_ms + 60000, &given_up, &found, error, sizeof error));
    cr_assert_lt(now_ms() - began_ms, 30000);
}

Test(resolve, there_is_room_for_so_many_names, .init = begin)
{
    char name[32];
    for (int i = 0; i < RESOLVE_NAMES_MAX + 50; i++) {
        snprintf(name, sizeof name, "name-%d.example", i);
        sem_post(&go);
        cr_assert(ask(name, 60000), "%s: %s", name, error);
    }
    cr_assert(ask(name, 0)); /* the last one is known still */
    sem_post(&go);
    cr_assert(ask("name-0.example", 60000));
    cr_assert_eq(atomic_load(&looked_up), RESOLVE_NAMES_MAX + 51); /* the first had to be asked for again */
}
