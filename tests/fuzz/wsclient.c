/* Any bytes as a server's answer to our upgrade and behind it. The first byte says how they are cut, and whether a sound answer goes before
 * them. */
#include <stdio.h>
#include <string.h>

#include "base/sha1.h"
#include "tests/fuzz/filter.h"
#include "ws/websocket.h"

static uint64_t no_random(void *context) { return 0; } /* so the answer is always the same */

static size_t sound_answer(char *out, size_t room)
{
    char accept[40];
    uint8_t digest[SHA1_BYTES];
    sha1(span_of_string("AAAAAAAAAAAAAAAAAAAAAA==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest);
    base64_encode(span_of(digest, sizeof digest), accept);
    return (size_t)snprintf(out, room, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                                       "Sec-WebSocket-Protocol: mqtt\r\n\r\n", accept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_outcome whole, pieces;
    static const struct websocket_client_options options = {.host = "h", .path = "/mqtt", .headers = "", .random = no_random};
    if (size < 2 || size > FUZZ_BYTES_MAX) return 0;
    bool upgraded = data[0] & 0x80;
    size_t piece = 1 + (data[0] & 0x1f);
    char answer[300];
    size_t answer_bytes = sound_answer(answer, sizeof answer);
    for (int i = 0; i < 2; i++) {
        struct filter *filter = websocket_client_create(&options);
        struct fuzz_outcome *outcome = i ? &pieces : &whole;
        if (upgraded) fuzz_feed(filter, (const uint8_t *)answer, answer_bytes, 4096, outcome);
        if (upgraded) CHECK(filter->verbs->is_open(filter));
        fuzz_feed(filter, data + 1, size - 1, i ? piece : size, outcome);
        uint8_t room[1024];
        filter->verbs->end(filter);
        while (filter->verbs->send(filter, span_of(NULL, 0), room, sizeof room).to_send) {}
        filter->verbs->release(filter);
    }
    fuzz_same(&whole, &pieces);
    return 0;
}
