#include "tls/hello.h"

#include "base/memory.h"

#define RECORD_HEADER_BYTES    5
#define RECORD_HANDSHAKE       22
#define RECORD_BYTES_MAX       16384
#define RECORD_SEALED_BYTES_MAX (16384 + 2048) /* RFC 5246 §6.2.3 */
#define HANDSHAKE_HEADER_BYTES 4
#define CLIENT_HELLO           1

#define EXTENSION_SERVER_NAME          0
#define EXTENSION_SIGNATURE_ALGORITHMS 13
#define EXTENSION_SUPPORTED_VERSIONS   43

/* ---- a reader that stays at its end once it has run over ---------------------------------------------------------- */

struct reader {
    const uint8_t *at, *end;
    bool over;
};

static struct span take(struct reader *reader, size_t bytes)
{
    if ((size_t)(reader->end - reader->at) < bytes) {
        reader->over = true;
        reader->at = reader->end;
        return span_of(reader->end, 0);
    }
    struct span taken = span_of(reader->at, bytes);
    reader->at += bytes;
    return taken;
}

static uint32_t take_number(struct reader *reader, size_t bytes)
{
    struct span taken = take(reader, bytes);
    uint32_t number = 0;
    for (size_t i = 0; i < taken.bytes; i++)
        number = number << 8 | taken.data[i];
    return number;
}

/* A vector whose length is written in front of it in `length_bytes`. */
static struct reader take_vector(struct reader *reader, size_t length_bytes)
{
    struct span taken = take(reader, take_number(reader, length_bytes));
    return (struct reader){taken.data, taken.data + taken.bytes, reader->over};
}

static bool more(const struct reader *reader) { return !reader->over && reader->at < reader->end; }

/* ---- the records the hello lies in --------------------------------------------------------------------------------- */

static const char *not_tls(struct span bytes)
{
    static const struct {
        const char *start, *reason;
    } known[] = {{"\x10", "an MQTT CONNECT without TLS"}, {"GET ", "an HTTP request without TLS"},
                 {"POST ", "an HTTP request without TLS"}, {"HEAD ", "an HTTP request without TLS"},
                 {"\x80", "an SSL 2.0 hello"},             {"PROXY ", "a PROXY header this listener is not told to expect"},
                 {"\r\n\r\n", "a PROXY header this listener is not told to expect"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (span_starts_with(bytes, span_of_string(known[i].start))) return known[i].reason;
    return "bytes that are not TLS";
}

static enum hello_state wrong(struct hello *hello, const char *reason)
{
    hello->reason = reason;
    return HELLO_WRONG;
}

struct pieces {
    struct span piece[HELLO_RECORDS_MAX];
    uint32_t count;
    size_t bytes;
};

/* The length of the message, once its header has arrived; it may be spread over the first pieces. */
static bool message_bytes(const struct pieces *pieces, uint8_t *ret_type, size_t *ret_bytes)
{
    uint8_t header[HANDSHAKE_HEADER_BYTES];
    size_t have = 0;
    for (uint32_t i = 0; i < pieces->count; i++)
        for (size_t j = 0; j < pieces->piece[i].bytes && have < sizeof header; j++)
            header[have++] = pieces->piece[i].data[j];
    if (have) *ret_type = header[0];
    if (have < sizeof header) return false;
    *ret_bytes = sizeof header + ((size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3]);
    return true;
}

/* Collects the pieces of the first handshake message. */
static enum hello_state collect(struct span bytes, struct pieces *pieces, size_t *ret_message_bytes, struct hello *hello)
{
    struct reader reader = {bytes.data, bytes.data + bytes.bytes, false};
    while (more(&reader)) {
        struct span rest = span_of(reader.at, (size_t)(reader.end - reader.at));
        if (rest.data[0] != RECORD_HANDSHAKE)
            return wrong(hello, pieces->count ? "another record within the hello" : not_tls(rest));
        if (rest.bytes >= 2 && rest.data[1] != 3) return wrong(hello, "a record of an unknown version");
        if (rest.bytes < RECORD_HEADER_BYTES) return HELLO_INCOMPLETE;
        size_t length = (size_t)rest.data[3] << 8 | rest.data[4], here = rest.bytes - RECORD_HEADER_BYTES;
        if (length == 0 || length > RECORD_BYTES_MAX) return wrong(hello, "a record of a forbidden length");
        if (pieces->count == HELLO_RECORDS_MAX) return wrong(hello, "a hello in too many pieces");
        pieces->piece[pieces->count++] = span_of(rest.data + RECORD_HEADER_BYTES, here < length ? here : length);
        pieces->bytes += here < length ? here : length;
        uint8_t type = CLIENT_HELLO;
        bool known = message_bytes(pieces, &type, ret_message_bytes);
        if (type != CLIENT_HELLO) return wrong(hello, "a handshake that does not begin with a client's hello");
        if (known && *ret_message_bytes > HELLO_BYTES_MAX) return wrong(hello, "a hello that is too large");
        if (known && pieces->bytes >= *ret_message_bytes && here >= length) return HELLO_COMPLETE;
        take(&reader, RECORD_HEADER_BYTES + (here < length ? here : length));
    }
    return HELLO_INCOMPLETE;
}

/* ---- the message ---------------------------------------------------------------------------------------------------- */

static const struct {
    uint16_t algorithm;
    uint8_t verifies_1_3, verifies_1_2;
} signatures[] = {
    {0x0403, HELLO_ECDSA_256, HELLO_ECDSA}, {0x0503, HELLO_ECDSA_384, HELLO_ECDSA}, {0x0603, HELLO_ECDSA_521, HELLO_ECDSA},
    {0x0807, HELLO_ED25519, HELLO_ED25519}, {0x0804, HELLO_RSA, HELLO_RSA},         {0x0805, HELLO_RSA, HELLO_RSA},
    {0x0806, HELLO_RSA, HELLO_RSA},         {0x0401, 0, HELLO_RSA},                 {0x0501, 0, HELLO_RSA},
    {0x0601, 0, HELLO_RSA},
};

/* The key a TLS 1.2 suite with ephemeral ECDH is signed with; 0: it is another kind of suite. */
static uint32_t suite_key(uint32_t suite)
{
    switch (suite) {
    case 0xC02B: case 0xC02C: case 0xCCA9: case 0xC023: case 0xC024: case 0xC0AC: case 0xC0AD: case 0xC0AE: case 0xC0AF:
        return HELLO_ECDSA | HELLO_ED25519;
    case 0xC02F: case 0xC030: case 0xCCA8: case 0xC027: case 0xC028: return HELLO_RSA;
    default: return 0;
    }
}

/* A host name in lower case and without the dot that some clients leave at its end (RFC 6066 §3 wants none), or "": what can't be one names no
 * certificate. */
static void take_server_name(struct reader extension, char *ret_name, size_t name_bytes)
{
    struct reader list = take_vector(&extension, 2);
    if (take_number(&list, 1) != 0) return; /* host_name */
    struct reader name = take_vector(&list, 2);
    size_t bytes = (size_t)(name.end - name.at);
    if (!name.over && bytes && name.end[-1] == '.') bytes--;
    if (name.over || bytes >= name_bytes) return;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = name.at[i];
        bool sound = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                     byte == '-' || byte == '.' || byte == '_';
        if (!sound) {
            ret_name[0] = 0;
            return;
        }
        ret_name[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
    }
    ret_name[bytes] = 0;
}

static void read_message(struct span message, struct hello *hello)
{
    struct reader reader = {message.data + HANDSHAKE_HEADER_BYTES, message.data + message.bytes, false};
    take(&reader, 2 + 32); /* version, random */
    take_vector(&reader, 1); /* session id */
    struct reader suites = take_vector(&reader, 2);
    uint32_t suites_keys = 0, signs_1_3 = 0, signs_1_2 = 0;
    bool offers_1_3 = false;
    while (more(&suites))
        suites_keys |= suite_key(take_number(&suites, 2));
    take_vector(&reader, 1); /* compression */
    struct reader extensions = take_vector(&reader, 2);
    while (more(&extensions)) {
        uint32_t type = take_number(&extensions, 2);
        struct reader extension = take_vector(&extensions, 2);
        if (extension.over) break;
        if (type == EXTENSION_SERVER_NAME) take_server_name(extension, hello->server_name, sizeof hello->server_name);
        if (type == EXTENSION_SUPPORTED_VERSIONS) {
            struct reader versions = take_vector(&extension, 1);
            while (more(&versions))
                offers_1_3 |= take_number(&versions, 2) == 0x0304;
        }
        if (type == EXTENSION_SIGNATURE_ALGORITHMS) {
            struct reader algorithms = take_vector(&extension, 2);
            while (more(&algorithms)) {
                uint32_t algorithm = take_number(&algorithms, 2);
                for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
                    if (signatures[i].algorithm != algorithm) continue;
                    signs_1_3 |= signatures[i].verifies_1_3;
                    signs_1_2 |= signatures[i].verifies_1_2;
                }
            }
        }
    }
    hello->verifies_1_3 = offers_1_3 ? signs_1_3 : 0;
    hello->verifies_1_2 = suites_keys & signs_1_2;
}

enum hello_state hello_look(struct span bytes, struct hello *ret_hello)
{
    *ret_hello = (struct hello){0};
    struct pieces pieces = {.count = 0};
    size_t message_length = 0;
    enum hello_state state = collect(bytes, &pieces, &message_length, ret_hello);
    if (state != HELLO_COMPLETE) return state;
    if (pieces.count == 1) {
        read_message(span_of(pieces.piece[0].data, message_length), ret_hello);
        return state;
    }
    uint8_t *whole = memory_acquire(pieces.bytes);
    size_t at = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        memcpy(whole + at, pieces.piece[i].data, pieces.piece[i].bytes);
        at += pieces.piece[i].bytes;
    }
    read_message(span_of(whole, message_length), ret_hello);
    memory_release(whole);
    return state;
}

size_t records_whole(struct span bytes)
{
    size_t at = 0;
    while (bytes.bytes - at >= RECORD_HEADER_BYTES) {
        size_t length = (size_t)bytes.data[at + 3] << 8 | bytes.data[at + 4], record = RECORD_HEADER_BYTES + length;
        if (length > RECORD_SEALED_BYTES_MAX) return bytes.bytes; /* there is no such record: nothing to wait for */
        if (bytes.bytes - at < record) break;
        at += record;
    }
    return at;
}
