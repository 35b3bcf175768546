/* tls.c - the bytes a stranger may send to a TLS listener, and the files and certificates that are read by our own parsers.
 * The first byte chooses: 0 the filter, in pieces; 1 a file of pre-shared keys; 2 a certificate's names; 3 a hello. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/certificate.h"
#include "tls/hello.h"
#include "tls/tls.h"

/* Made for this and nothing else. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdTCCARugAwIBAgIUCzH4sDy7oQukXrBEHYokb58uKkUwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjUxNjMwMjJaGA8yMTI2MTEwMTE2MzAy\n"
    "MlowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABG/T\n"
    "2GzrVY2l4TL1oqiK0jpobltSCfqkgtzG18hG9AogSzWxHiznIhz78CAPiUzZYZHh\n"
    "Vocnt9pqndrvMFKlK2ijUzBRMB0GA1UdDgQWBBRNKq5kGQcGIcY2SoiloNaIstMv\n"
    "gzAfBgNVHSMEGDAWgBRNKq5kGQcGIcY2SoiloNaIstMvgzAPBgNVHRMBAf8EBTAD\n"
    "AQH/MAoGCCqGSM49BAMCA0gAMEUCIQC4fzKDlieWNBJDrOOe47ltZPLTHiWt+iNQ\n"
    "4u8JmZGmUAIgMasT5og8/gfWv+hgh9PZM1jEPSRR93n9N639xWofYLo=\n"
    "-----END CERTIFICATE-----\n";
static const char key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUFkLrNkycFpobQbx\n"
    "efo0b3lfigyYnTnvf9QFCWe5pdShRANCAARv09hs61WNpeEy9aKoitI6aG5bUgn6\n"
    "pILcxtfIRvQKIEs1sR4s5yIc+/AgD4lM2WGR4VaHJ7faap3a7zBSpSto\n"
    "-----END PRIVATE KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct tls_context *context;

static struct tls_context *make_context(void)
{
    char error[TLS_ERROR_BYTES] = "";
    struct tls_certificate pair = {.chain = {"certificate", span_of_string(certificate)}, .key = {"key", span_of_string(key)}};
    struct tls_file keys = {"keys", SPAN_LITERAL("device:000102030405060708090a0b0c0d0e0f\n")};
    struct tls_options options = {.certificates = &pair, .certificates_count = 1, .ca = {"ca", span_of_string(certificate)},
                                  .ask_certificate = true, .depth = 3, .version_min = TLS_1_2, .version_max = TLS_1_3, .alpn = "mqtt",
                                  .psk = tls_psk_create(&keys, error, sizeof error)};
    struct tls_context *made = tls_context_create(&options, error, sizeof error);
    if (!made) fprintf(stderr, "%s\n", error);
    CHECK(made);
    tls_psk_release(options.psk);
    return made;
}

static void drain(struct filter *filter)
{
    uint8_t room[1024];
    for (bool more = true; more;)
        more = filter->verbs->send(filter, span_of(NULL, 0), room, sizeof room).to_send;
}

/* A length byte, then so many bytes: a delivery. */
static void feed_filter(struct span input)
{
    static uint8_t room[4096];
    struct filter *filter = tls_filter_create(context);
    bool over = false;
    while (input.bytes > 1 && !over) {
        size_t count = input.data[0] == 255 ? input.bytes - 1 : input.data[0];
        input = span_skip(input, 1);
        if (count > input.bytes) count = input.bytes;
        uint8_t *piece = malloc(count + 1), *at = piece;
        size_t left = count;
        if (count) memcpy(piece, input.data, count);
        input = span_skip(input, count);
        for (bool again = true; again && !over;) {
            struct filter_step step = filter->verbs->receive(filter, at, left, room, sizeof room);
            CHECK(step.consumed <= left && step.output_bytes <= sizeof room);
            at += step.consumed;
            left -= step.consumed;
            if (step.to_send) drain(filter);
            over = step.wants == FILTER_FAILED || step.wants == FILTER_ENDED;
            again = step.wants == FILTER_MORE || step.wants == FILTER_LATER;
            CHECK(step.wants != FILTER_FAILED || filter->verbs->reason(filter)[0]);
            CHECK(step.wants != FILTER_GOES_ON || left == 0);
        }
        free(piece);
    }
    filter->verbs->end(filter);
    drain(filter);
    filter->verbs->release(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!context) context = make_context();
    if (bytes == 0) return 0;
    struct span rest = span_of(data + 1, bytes - 1);
    char error[TLS_ERROR_BYTES];
    struct certificate_names names;
    struct hello hello;
    struct tls_file file = {"keys", rest};
    switch (data[0]) {
    case 0: feed_filter(rest); break;
    case 1: tls_psk_release(tls_psk_create(&file, error, sizeof error)); break;
    case 2:
        certificate_read(rest, &names);
        certificate_is_for(&names, "a.example");
        certificate_release(&names);
        break;
    case 3:
        hello_look(rest, &hello);
        CHECK(records_whole(rest) <= rest.bytes);
        break;
    default: break;
    }
    return 0;
}
