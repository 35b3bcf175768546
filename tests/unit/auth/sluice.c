/* The sluice between a client library and its server: what the "library" here can read, and that nothing is lost or changed on the way. */
#include "features/auth/sluice.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sluice sluice;
static int library, server;

static void begin(void)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    library = pair[0];
    server = pair[1];
    cr_assert_eq(fcntl(library, F_SETFL, O_NONBLOCK), 0);
    sluice_init(&sluice);
    cr_assert(sluice_open(&sluice, library));
}

static void end(void)
{
    sluice_close(&sluice);
    close(library);
    close(server);
}

TestSuite(sluice, .init = begin, .fini = end);

static uint8_t byte_at(size_t number) { return (uint8_t)(number * 7 + (number >> 8)); }

/* A server that never waits for anybody. */
static void *flood(void *context)
{
    static uint8_t bytes[65536];
    while (send(server, bytes, sizeof bytes, MSG_NOSIGNAL) > 0) {}
    return NULL;
}

/* As libpq does: until nothing is there. */
static size_t read_all(size_t number)
{
    uint8_t bytes[1000];
    size_t all = 0;
    for (ssize_t got; (got = recv(library, bytes, sizeof bytes, 0)) > 0; all += (size_t)got)
        for (ssize_t i = 0; number != SIZE_MAX && i < got; i++)
            cr_assert_eq(bytes[i], byte_at(number + all + (size_t)i));
    return all;
}

Test(sluice, no_more_than_allowed_comes_from_a_server_without_end, .timeout = 60)
{
    pthread_t thread;
    size_t all = 0;
    pthread_create(&thread, NULL, flood, NULL);
    sluice_allow(&sluice, 100000);
    while (sluice_wait(&sluice, library, POLLIN, 30000))
        all += read_all(SIZE_MAX);
    cr_assert(sluice_spent(&sluice));
    cr_assert_geq(all, 100001 - SLUICE_STEP_BYTES); /* the last step is not waited for */
    cr_assert_leq(all + read_all(SIZE_MAX), 100001);
    cr_assert_not(sluice_wait(&sluice, library, POLLIN, 0));
    shutdown(server, SHUT_RDWR);
    pthread_join(thread, NULL);
}

Test(sluice, an_answer_just_as_large_as_allowed_comes_whole, .timeout = 60)
{
    static uint8_t bytes[50000];
    size_t all = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = byte_at(i);
    for (int round = 0; round < 3; round++, all = 0) {
        sluice_allow(&sluice, sizeof bytes);
        cr_assert_eq(send(server, bytes, sizeof bytes, 0), sizeof bytes);
        while (all < sizeof bytes) {
            cr_assert(sluice_wait(&sluice, library, POLLIN, 30000));
            all += read_all(all);
        }
        cr_assert_not(sluice_wait(&sluice, library, POLLIN, 0));
        cr_assert_not(sluice_spent(&sluice));
    }
}

static void *read_question(void *context)
{
    size_t *bytes = context, all = 0;
    uint8_t some[3000];
    for (ssize_t got; all < *bytes && (got = recv(server, some, sizeof some, 0)) > 0; all += (size_t)got)
        for (ssize_t i = 0; i < got; i++)
            if (some[i] != byte_at(all + (size_t)i)) return NULL;
    *bytes = all;
    send(server, "!", 1, 0);
    return bytes;
}

Test(sluice, a_question_larger_than_all_buffers_goes_out, .timeout = 60)
{
    size_t bytes = 3000000, sent = 0;
    uint8_t *question = malloc(bytes);
    void *fine;
    pthread_t thread;
    for (size_t i = 0; i < bytes; i++)
        question[i] = byte_at(i);
    pthread_create(&thread, NULL, read_question, &bytes);
    while (sent < 3000000) {
        ssize_t got = send(library, question + sent, 3000000 - sent, MSG_NOSIGNAL);
        cr_assert(got > 0 || errno == EAGAIN);
        if (got > 0) sent += (size_t)got;
        else cr_assert(sluice_wait(&sluice, library, POLLOUT, 30000));
    }
    cr_assert(sluice_wait(&sluice, library, POLLIN, 30000));
    pthread_join(thread, &fine);
    cr_assert_not_null(fine);
    cr_assert_eq(bytes, 3000000);
    free(question);
}

Test(sluice, the_servers_end_comes_behind_what_it_said, .timeout = 60)
{
    char bytes[10];
    cr_assert_eq(send(server, "last", 4, 0), 4);
    shutdown(server, SHUT_RDWR);
    cr_assert(sluice_wait(&sluice, library, POLLIN, 30000));
    cr_assert_eq(recv(library, bytes, sizeof bytes, 0), 4);
    cr_assert(sluice_wait(&sluice, library, POLLIN, 30000));
    cr_assert_eq(recv(library, bytes, sizeof bytes, 0), 0);
}

Test(sluice, what_the_library_said_last_goes_out, .timeout = 60)
{
    char bytes[10];
    cr_assert_eq(send(library, "bye", 3, 0), 3);
    close(library);
    sluice_close(&sluice);
    cr_assert_eq(recv(server, bytes, sizeof bytes, 0), 3);
    cr_assert_eq(recv(server, bytes, sizeof bytes, 0), 0);
    library = dup(server);
}

Test(sluice, not_open_it_only_waits, .timeout = 60)
{
    sluice_close(&sluice);
    int quiet[2];
    cr_assert_eq(pipe(quiet), 0);
    cr_assert_not(sluice_wait(&sluice, quiet[0], POLLIN, 1));
    close(quiet[0]);
    close(quiet[1]);
    cr_assert(sluice_wait(&sluice, library, POLLIN, 30000), "its end");
}
