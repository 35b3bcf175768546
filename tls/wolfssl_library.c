#include "tls/wolfssl.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/tls.h"

static pthread_once_t started = PTHREAD_ONCE_INIT;

static void start(void)
{
    CHECK(wolfSSL_Init() == WOLFSSL_SUCCESS);
}

void tls_library_start(void)
{
    pthread_once(&started, start);
}

const char *tls_library_version(void)
{
    return wolfSSL_lib_version();
}

/* The best of a few tries: what the library can do, not what else the machine was doing. */
#define MEASURE_TRIES 4
#define MEASURE_BYTES (256 * 1024)

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t tls_library_megabytes_per_s(void)
{
    static const uint8_t key[16], iv[12];
    uint8_t tag[16], *bytes = memory_acquire_zeroed(MEASURE_BYTES);
    uint64_t best_ns = UINT64_MAX;
    Aes aes;
    CHECK(wc_AesInit(&aes, NULL, INVALID_DEVID) == 0 && wc_AesGcmSetKey(&aes, key, sizeof key) == 0);
    for (int i = 0; i < MEASURE_TRIES; i++) {
        uint64_t start_ns = now_ns();
        CHECK(wc_AesGcmEncrypt(&aes, bytes, bytes, MEASURE_BYTES, iv, sizeof iv, tag, sizeof tag, NULL, 0) == 0);
        uint64_t took_ns = now_ns() - start_ns;
        if (took_ns < best_ns) best_ns = took_ns;
    }
    wc_AesFree(&aes);
    memory_release(bytes);
    return (uint32_t)(MEASURE_BYTES * 1000ull / (best_ns ? best_ns : 1));
}
