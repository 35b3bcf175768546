/* Any bytes at an upgrade and behind it. The first byte says how they are cut, and whether a sound upgrade goes before them. */
#include "tests/fuzz/filter.h"
#include "ws/websocket.h"

static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_outcome whole, pieces;
    static const struct websocket_options options = {.path = "/mqtt", .subprotocol_required = true, .allowed_origins = "https://*.x",
                                                     .header_bytes_max = 2048, .x_forwarded_for = true, .frame_bytes_max = 1 << 20};
    if (size < 2 || size > FUZZ_BYTES_MAX) return 0;
    bool upgraded = data[0] & 0x80;
    size_t piece = 1 + (data[0] & 0x1f);
    for (int i = 0; i < 2; i++) {
        struct filter *filter = websocket_create(&options, true);
        struct fuzz_outcome *outcome = i ? &pieces : &whole;
        if (upgraded) fuzz_feed(filter, (const uint8_t *)request, sizeof request - 1, 4096, outcome);
        fuzz_feed(filter, data + 1, size - 1, i ? piece : size, outcome);
        if (outcome->wants == FILTER_FAILED || outcome->wants == FILTER_ENDED) {
            uint8_t room[1024];
            filter->verbs->end(filter);
            while (filter->verbs->send(filter, span_of(NULL, 0), room, sizeof room).to_send) {}
        }
        filter->verbs->fact(filter, FACT_ADDRESS);
        filter->verbs->release(filter);
    }
    fuzz_same(&whole, &pieces);
    return 0;
}
