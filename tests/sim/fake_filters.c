#include "tests/sim/fake_filters.h"

#include "base/check.h"
#include "base/memory.h"

#define CIPHER_HEAD  4
#define CIPHER_BYTES 200 /* most in one record */
#define FRAME_HEAD   5

enum record_type { RECORD_DATA, RECORD_OWN, RECORD_CLOSE };
enum frame_type { FRAME_DATA, FRAME_PING, FRAME_PONG, FRAME_CLOSE };

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

uint8_t *fake_bytes_room(struct fake_bytes *buffer, size_t bytes)
{
    if (buffer->bytes + bytes > buffer->capacity) {
        buffer->capacity = (buffer->bytes + bytes) * 2;
        buffer->data = memory_resize(buffer->data, buffer->capacity);
    }
    return buffer->data + buffer->bytes;
}

void fake_bytes_append(struct fake_bytes *buffer, const void *data, size_t bytes)
{
    uint8_t *room = fake_bytes_room(buffer, bytes);
    if (bytes) memcpy(room, data, bytes);
    buffer->bytes += bytes;
}

void fake_bytes_drop(struct fake_bytes *buffer, size_t bytes)
{
    if (bytes) memmove(buffer->data, buffer->data + bytes, buffer->bytes - bytes);
    buffer->bytes -= bytes;
}

/* One record; returns its bytes. */
static size_t record_write(uint8_t *out, enum record_type type, uint8_t sequence, const uint8_t *data, size_t bytes)
{
    out[0] = (uint8_t)type;
    out[1] = sequence;
    out[2] = (uint8_t)bytes;
    out[3] = (uint8_t)(bytes >> 8);
    for (size_t i = 0; i < bytes; i++)
        out[CIPHER_HEAD + i] = data[i] ^ sequence ^ 0x5a;
    return CIPHER_HEAD + bytes;
}

static size_t records_bytes(size_t bytes) { return bytes + CIPHER_HEAD * ((bytes + CIPHER_BYTES - 1) / CIPHER_BYTES); }

/* ---- header --------------------------------------------------------------------------------------------------------- */

struct fake_header {
    struct filter filter;
    bool begun;
};

static struct filter_step header_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct fake_header *header = (struct fake_header *)filter;
    for (size_t i = 0; i < bytes; i++) {
        if (!header->begun && input[i] != 'P') return (struct filter_step){.consumed = i, .wants = FILTER_FAILED};
        header->begun = true;
        if (input[i] == '\n') return (struct filter_step){.consumed = i + 1, .wants = FILTER_TRANSPARENT};
    }
    return (struct filter_step){.consumed = bytes};
}

static bool never_open(const struct filter *filter) { return false; }
static const char *no_reason(const struct filter *filter) { return "not what was agreed"; }
static void filter_release(struct filter *filter) { memory_release(filter); }

static struct span header_fact(const struct filter *filter, enum filter_fact fact)
{
    return fact == FACT_ADDRESS ? SPAN_LITERAL("192.0.2.1:5") : span_of(NULL, 0);
}

static const struct filter_verbs header_verbs = {.name = "header", .receive = header_receive, .is_open = never_open,
                                                 .reason = no_reason, .fact = header_fact, .release = filter_release};

/* ---- cipher --------------------------------------------------------------------------------------------------------- */

struct fake_cipher {
    struct filter filter;
    struct random_source random;
    uint8_t greeting; /* bytes of "CIPH" seen */
    bool asked_later, open, ok_to_send, own_to_send, close_to_send, closed;
    uint8_t received, sent;
    uint32_t record_bytes;
    uint8_t record[CIPHER_HEAD + CIPHER_BYTES];
};

/* Takes input into the record at hand. Returns what it used; *ret_whole says that the record is complete. */
static size_t cipher_collect(struct fake_cipher *cipher, const uint8_t *input, size_t bytes, bool *ret_whole)
{
    size_t used = 0;
    for (;;) {
        size_t wanted = cipher->record_bytes < CIPHER_HEAD ? CIPHER_HEAD
                                                            : CIPHER_HEAD + (size_t)(cipher->record[2] | cipher->record[3] << 8);
        *ret_whole = cipher->record_bytes >= CIPHER_HEAD && cipher->record_bytes == wanted;
        if (*ret_whole || used == bytes) return used;
        size_t taken = wanted - cipher->record_bytes < bytes - used ? wanted - cipher->record_bytes : bytes - used;
        CHECK(wanted <= sizeof cipher->record);
        memcpy(cipher->record + cipher->record_bytes, input + used, taken);
        cipher->record_bytes += (uint32_t)taken;
        used += taken;
    }
}

static struct filter_step cipher_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct fake_cipher *cipher = (struct fake_cipher *)filter;
    struct filter_step step = {.output = room};
    CHECK(!cipher->closed); /* it is not to be called again after the end */
    while (!cipher->open) {
        if (cipher->greeting < 4) {
            if (step.consumed == bytes) return step;
            if (input[step.consumed++] != (uint8_t)"CIPH"[cipher->greeting++]) return step.wants = FILTER_FAILED, step;
            continue;
        }
        if (!cipher->asked_later && random_below(&cipher->random, 2)) {
            cipher->asked_later = true;
            step.wants = FILTER_LATER;
            return step;
        }
        cipher->open = cipher->ok_to_send = step.to_send = true;
    }
    while (step.consumed < bytes) {
        bool whole;
        step.consumed += cipher_collect(cipher, input + step.consumed, bytes - step.consumed, &whole);
        if (!whole) break;
        uint32_t length = cipher->record_bytes - CIPHER_HEAD;
        if (step.output_bytes + length > room_bytes) return step.wants = FILTER_MORE, step;
        if (cipher->record[1] != cipher->received) return step.wants = FILTER_FAILED, step;
        for (uint32_t i = 0; i < length; i++)
            room[step.output_bytes + i] = cipher->record[CIPHER_HEAD + i] ^ cipher->received ^ 0x5a;
        step.output_bytes += length;
        cipher->record_bytes = 0;
        cipher->received++;
        if (cipher->record[0] == RECORD_CLOSE) return cipher->closed = true, step.wants = FILTER_ENDED, step;
        if (random_below(&cipher->random, 8) == 0) cipher->own_to_send = step.to_send = true;
        if (random_below(&cipher->random, 8) == 0) return step.wants = FILTER_MORE, step;
    }
    return step;
}

static size_t cipher_own(struct fake_cipher *cipher, uint8_t *room)
{
    size_t made = 0;
    if (cipher->ok_to_send) {
        memcpy(room, "OK", 2);
        made = 2;
    }
    if (cipher->open && cipher->own_to_send) made += record_write(room + made, RECORD_OWN, cipher->sent++, (const uint8_t *)"own", 3);
    if (cipher->open && cipher->close_to_send) made += record_write(room + made, RECORD_CLOSE, cipher->sent++, NULL, 0);
    cipher->ok_to_send = cipher->own_to_send = cipher->close_to_send = false;
    return made;
}

static struct filter_step cipher_send(struct filter *filter, struct span input, uint8_t *room, size_t room_bytes)
{
    struct fake_cipher *cipher = (struct fake_cipher *)filter;
    struct filter_step step = {.consumed = input.bytes, .output = room};
    CHECK(cipher->open || input.bytes == 0);
    step.output_bytes = cipher_own(cipher, room);
    while (input.bytes) {
        size_t taken = input.bytes < CIPHER_BYTES ? input.bytes : CIPHER_BYTES;
        step.output_bytes += record_write(room + step.output_bytes, RECORD_DATA, cipher->sent++, input.data, taken);
        input = span_skip(input, taken);
    }
    CHECK(step.output_bytes <= room_bytes);
    return step;
}

static size_t cipher_send_bytes_max(const struct filter *filter, size_t bytes) { return records_bytes(bytes) + 64; }
static bool cipher_is_open(const struct filter *filter) { return ((const struct fake_cipher *)filter)->open; }
static void cipher_end(struct filter *filter) { ((struct fake_cipher *)filter)->close_to_send = true; }

static const struct filter_verbs cipher_verbs = {.name = "cipher", .receive = cipher_receive, .send = cipher_send,
                                                 .send_bytes_max = cipher_send_bytes_max, .is_open = cipher_is_open,
                                                 .end = cipher_end, .reason = no_reason, .release = filter_release};

/* ---- frame ---------------------------------------------------------------------------------------------------------- */

struct fake_frame {
    struct filter filter;
    uint8_t greeting, head_bytes;
    bool open, greeting_to_send, close_to_send;
    uint8_t head[FRAME_HEAD];
    uint32_t left, pongs_to_send;
};

static uint32_t frame_length(const uint8_t *head) { return head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24; }

/* In place: payloads are moved together at the front of the input. */
static struct filter_step frame_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct fake_frame *frame = (struct fake_frame *)filter;
    struct filter_step step = {.output = input};
    while (!frame->open && step.consumed < bytes) {
        if (input[step.consumed++] != (uint8_t)"GET\n"[frame->greeting++]) return step.wants = FILTER_FAILED, step;
        if (frame->greeting == 4) frame->open = frame->greeting_to_send = step.to_send = true;
    }
    while (step.consumed < bytes) {
        if (frame->left) {
            size_t taken = frame->left < bytes - step.consumed ? frame->left : bytes - step.consumed;
            memmove(input + step.output_bytes, input + step.consumed, taken);
            step.output_bytes += taken;
            step.consumed += taken;
            frame->left -= (uint32_t)taken;
            continue;
        }
        frame->head[frame->head_bytes++] = input[step.consumed++];
        if (frame->head_bytes < FRAME_HEAD) continue;
        frame->head_bytes = 0;
        switch (frame->head[0]) {
        case FRAME_DATA: frame->left = frame_length(frame->head); break;
        case FRAME_PING:
            frame->pongs_to_send++;
            step.to_send = true;
            break;
        case FRAME_CLOSE: step.wants = FILTER_ENDED; return step;
        default: step.wants = FILTER_FAILED; return step;
        }
    }
    return step;
}

static struct filter_step frame_send(struct filter *filter, struct span input, uint8_t *room, size_t room_bytes)
{
    struct fake_frame *frame = (struct fake_frame *)filter;
    struct filter_step step = {.output = room};
    CHECK(input.bytes == 0);
    if (frame->greeting_to_send) memcpy(room, "101\n", step.output_bytes = 4);
    frame->greeting_to_send = false;
    for (; frame->pongs_to_send && step.output_bytes + 2 * FRAME_HEAD <= room_bytes; frame->pongs_to_send--, step.output_bytes += FRAME_HEAD)
        memcpy(room + step.output_bytes, (uint8_t[FRAME_HEAD]){FRAME_PONG}, FRAME_HEAD);
    step.to_send = frame->pongs_to_send != 0;
    if (frame->close_to_send && frame->open && !step.to_send) {
        memcpy(room + step.output_bytes, (uint8_t[FRAME_HEAD]){FRAME_CLOSE}, FRAME_HEAD);
        step.output_bytes += FRAME_HEAD;
        frame->close_to_send = false;
    }
    return step;
}

static size_t frame_prefix(struct filter *filter, uint64_t bytes, uint8_t *end)
{
    uint8_t head[FRAME_HEAD] = {FRAME_DATA, (uint8_t)bytes, (uint8_t)(bytes >> 8), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 24)};
    memcpy(end - FRAME_HEAD, head, FRAME_HEAD);
    return FRAME_HEAD;
}

static bool frame_is_open(const struct filter *filter) { return ((const struct fake_frame *)filter)->open; }
static void frame_end(struct filter *filter) { ((struct fake_frame *)filter)->close_to_send = true; }

static const struct filter_verbs frame_verbs = {.name = "frame", .receive = frame_receive, .send = frame_send, .prefix = frame_prefix,
                                                .is_open = frame_is_open, .end = frame_end, .reason = no_reason,
                                                .release = filter_release};

struct conn_filters *fake_filters_create(uint32_t layers, uint64_t seed)
{
    struct conn_filters *filters = filters_create();
    if (layers & FAKE_HEADER) {
        struct fake_header *header = memory_acquire_zeroed(sizeof *header);
        header->filter.verbs = &header_verbs;
        filters_add(filters, &header->filter);
    }
    if (layers & FAKE_CIPHER) {
        struct fake_cipher *cipher = memory_acquire_zeroed(sizeof *cipher);
        cipher->filter.verbs = &cipher_verbs;
        cipher->random.state = seed;
        filters_add(filters, &cipher->filter);
    }
    if (layers & FAKE_FRAME) {
        struct fake_frame *frame = memory_acquire_zeroed(sizeof *frame);
        frame->filter.verbs = &frame_verbs;
        filters_add(filters, &frame->filter);
    }
    return filters;
}

/* ---- the client's end ----------------------------------------------------------------------------------------------- */

static void link_to_wire(struct fake_link *link, const void *data, size_t bytes, struct fake_bytes *wire)
{
    if (!(link->layers & FAKE_CIPHER)) return fake_bytes_append(wire, data, bytes);
    for (struct span rest = span_of(data, bytes); rest.bytes;) {
        size_t taken = rest.bytes < CIPHER_BYTES ? rest.bytes : CIPHER_BYTES;
        uint8_t record[CIPHER_HEAD + CIPHER_BYTES];
        fake_bytes_append(wire, record, record_write(record, RECORD_DATA, link->cipher_sent++, rest.data, taken));
        rest = span_skip(rest, taken);
    }
}

void fake_link_open(struct fake_link *link, uint32_t layers, struct fake_bytes *wire)
{
    *link = (struct fake_link){.layers = layers};
    if (layers & FAKE_HEADER) fake_bytes_append(wire, "Proxied\n", 8);
    if (layers & FAKE_CIPHER) fake_bytes_append(wire, "CIPH", 4);
    if (layers & FAKE_FRAME) link_to_wire(link, "GET\n", 4, wire);
}

void fake_link_send(struct fake_link *link, const void *data, size_t bytes, struct random_source *random, struct fake_bytes *wire)
{
    if (!(link->layers & FAKE_FRAME)) return link_to_wire(link, data, bytes, wire);
    for (struct span rest = span_of(data, bytes); rest.bytes;) {
        size_t taken = random_below(random, 2) ? rest.bytes : 1 + random_below(random, rest.bytes);
        uint8_t head[FRAME_HEAD] = {FRAME_DATA};
        if (random_below(random, 4) == 0) {
            link->pings++;
            link_to_wire(link, (uint8_t[FRAME_HEAD]){FRAME_PING}, FRAME_HEAD, wire);
        }
        for (int i = 0; i < 4; i++)
            head[1 + i] = (uint8_t)(taken >> 8 * i);
        link_to_wire(link, head, FRAME_HEAD, wire);
        link_to_wire(link, rest.data, taken, wire);
        rest = span_skip(rest, taken);
    }
}

static bool receive_frames(struct fake_link *link, struct fake_bytes *plain)
{
    struct fake_bytes *in = &link->cipher_in;
    if (!(link->layers & FAKE_FRAME)) {
        fake_bytes_append(plain, in->data, in->bytes);
        fake_bytes_drop(in, in->bytes);
        return true;
    }
    if (!link->frame_open) {
        if (in->bytes < 4) return true;
        if (memcmp(in->data, "101\n", 4) != 0) return false;
        link->frame_open = true;
        fake_bytes_drop(in, 4);
    }
    while (in->bytes >= FRAME_HEAD) {
        uint32_t length = frame_length(in->data), type = in->data[0];
        if (link->closed || type > FRAME_CLOSE || type == FRAME_PING || (type != FRAME_DATA && length)) return false;
        if (in->bytes < FRAME_HEAD + (size_t)length) return true;
        link->pongs += type == FRAME_PONG;
        link->closed = type == FRAME_CLOSE;
        if (link->pongs > link->pings || (type == FRAME_DATA && length == 0)) return false;
        fake_bytes_append(plain, in->data + FRAME_HEAD, length);
        fake_bytes_drop(in, FRAME_HEAD + length);
    }
    return true;
}

bool fake_link_receive(struct fake_link *link, const void *data, size_t bytes, struct fake_bytes *plain)
{
    struct fake_bytes *in = &link->wire_in;
    if (!(link->layers & FAKE_CIPHER)) {
        fake_bytes_append(&link->cipher_in, data, bytes);
        return receive_frames(link, plain);
    }
    fake_bytes_append(in, data, bytes);
    if (!link->cipher_open) {
        if (in->bytes < 2) return true;
        if (memcmp(in->data, "OK", 2) != 0) return false;
        link->cipher_open = true;
        fake_bytes_drop(in, 2);
    }
    while (in->bytes >= CIPHER_HEAD) {
        size_t length = in->data[2] | (size_t)in->data[3] << 8;
        if (in->bytes < CIPHER_HEAD + length) break;
        if (in->data[1] != link->cipher_received || in->data[0] > RECORD_CLOSE) return false;
        for (size_t i = 0; i < length; i++)
            in->data[CIPHER_HEAD + i] ^= link->cipher_received ^ 0x5a;
        link->cipher_received++;
        if (in->data[0] == RECORD_DATA) fake_bytes_append(&link->cipher_in, in->data + CIPHER_HEAD, length);
        if (in->data[0] == RECORD_CLOSE && !(link->layers & FAKE_FRAME)) link->closed = true;
        fake_bytes_drop(in, CIPHER_HEAD + length);
    }
    return receive_frames(link, plain);
}

void fake_link_release(struct fake_link *link)
{
    memory_release(link->wire_in.data);
    memory_release(link->cipher_in.data);
    *link = (struct fake_link){0};
}
