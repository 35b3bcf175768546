/* An HTTP request of any kind; cut by its first byte. */
#include "tests/fuzz/filter.h"
#include "ws/upgrade.h"

static int run(const struct websocket_options *options, const uint8_t *data, size_t size, size_t piece, size_t *ret_used)
{
    struct upgrade *upgrade = upgrade_create(options, true);
    enum upgrade_status status = UPGRADE_MORE;
    *ret_used = 0;
    while (*ret_used < size && status == UPGRADE_MORE) {
        size_t now = size - *ret_used < piece ? size - *ret_used : piece, consumed = 0;
        uint8_t *block = malloc(now);
        memcpy(block, data + *ret_used, now);
        status = upgrade_receive(upgrade, span_of(block, now), &consumed);
        CHECK(consumed <= now);
        *ret_used += consumed;
        free(block);
    }
    if (status != UPGRADE_MORE) CHECK(upgrade_response(upgrade).bytes > 20);
    if (status == UPGRADE_REFUSED) CHECK(upgrade_reason(upgrade));
    if (status == UPGRADE_ACCEPTED) upgrade_client(upgrade);
    upgrade_release(upgrade);
    return (int)status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct websocket_options options = {.path = "/mqtt", .allowed_origins = "https://*.example", .header_bytes_max = 4096, .x_forwarded_for = true};
    if (size < 2) return 0;
    CHECK(!cidr_list_parse(SPAN_LITERAL("10.0.0.0/8"), &options.trusted_proxies));
    size_t used_whole, used_pieces;
    int whole = run(&options, data + 1, size - 1, size, &used_whole), pieces = run(&options, data + 1, size - 1, 1 + data[0] % 40, &used_pieces);
    CHECK(whole == pieces);
    if (whole == UPGRADE_ACCEPTED) CHECK(used_whole == used_pieces);
    cidr_list_release(&options.trusted_proxies);
    return 0;
}
