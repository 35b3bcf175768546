#include "ws/websocket.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "ws/unmask.h"

#define HEAD_BYTES_MAX    14
#define CONTROL_BYTES_MAX 125
#define OWN_BYTES_MAX     (16 * 1024) /* pongs beyond that to a peer that does not read are left out (§5.5.3 allows it) */

enum opcode { OPCODE_CONTINUATION, OPCODE_TEXT, OPCODE_BINARY, OPCODE_CLOSE = 8, OPCODE_PING, OPCODE_PONG };

/* §7.4.1 */
enum close_code {
    CLOSE_NORMAL = 1000, CLOSE_PROTOCOL_ERROR = 1002, CLOSE_UNSUPPORTED = 1003, CLOSE_NONE = 1005, CLOSE_NOT_UTF8 = 1007, CLOSE_TOO_LARGE = 1009
};

/* Frames of our own that wait to be sent, and the payload of a control frame that has not come whole: allocated while there are any. */
struct own {
    uint8_t *data;
    uint32_t bytes, capacity;
};

struct websocket {
    struct filter filter;
    union {
        const struct websocket_options *options;
        const struct websocket_client_options *client_options;
    };
    union {
        struct upgrade *upgrade; /* until the handshake is over or has failed */
        struct request *request; /* the client's; also when it has failed: the reason is in it */
        uint64_t left;           /* open: bytes of the frame's payload to come */
        const char *reason;      /* failed */
    };
    uint8_t mask[4];          /* of what comes, turned to the next byte; the client's: of what leaves */
    uint8_t head_bytes;       /* of a head that has not come whole */
    uint8_t opcode : 4;       /* of the frame at hand */
    uint8_t final : 1;
    uint8_t in_frame : 1;     /* the head has come whole */
    uint8_t in_message : 1;   /* a fragmented message has begun and not ended */
    uint8_t ours : 1;         /* we are the client */
    uint8_t open : 1;
    uint8_t failed : 1;
    uint8_t close_sent : 1;
    uint8_t control_bytes;    /* of the control frame's payload at hand */
    uint16_t close_code;      /* of the close frame that end() is to send; 0: a normal one */
    union {
        uint8_t head[HEAD_BYTES_MAX];
        uint8_t *control;     /* in_frame of a control frame: its payload */
    };
    struct own *own;
    char *client;             /* FACT_ADDRESS; NULL: unknown */
};

static struct websocket *websocket_of(const struct filter *filter) { return (struct websocket *)(uintptr_t)filter; }

static bool is_client(const struct websocket *websocket) { return websocket->ours; }

/* A fresh one for each frame (§5.3). */
static void mask_choose(struct websocket *websocket, uint8_t ret_mask[4])
{
    uint64_t random = websocket->client_options->random(websocket->client_options->context);
    memcpy(ret_mask, &random, 4);
}

/* ---- frames of our own ---------------------------------------------------------------------------------------------- */

static void own_append(struct websocket *websocket, struct span bytes)
{
    struct own *own = websocket->own;
    if (!own) own = websocket->own = memory_acquire_zeroed(sizeof *own);
    if (own->bytes + bytes.bytes > own->capacity) {
        own->capacity = 2 * (own->bytes + (uint32_t)bytes.bytes);
        own->data = memory_resize(own->data, own->capacity);
    }
    if (bytes.bytes) memcpy(own->data + own->bytes, bytes.data, bytes.bytes);
    own->bytes += (uint32_t)bytes.bytes;
}

static void own_control(struct websocket *websocket, enum opcode opcode, struct span payload)
{
    DCHECK(payload.bytes <= CONTROL_BYTES_MAX);
    uint8_t second = (uint8_t)payload.bytes, mask[4], masked[CONTROL_BYTES_MAX];
    if (is_client(websocket)) second |= 0x80;
    own_append(websocket, span_of(((uint8_t[]){0x80 | (uint8_t)opcode, second}), 2));
    if (is_client(websocket)) {
        mask_choose(websocket, mask);
        own_append(websocket, span_of(mask, sizeof mask));
        unmask(masked, payload.data, payload.bytes, mask);
        payload.data = masked;
    }
    own_append(websocket, payload);
}

static void own_close(struct websocket *websocket, enum close_code code)
{
    if (websocket->close_sent) return;
    websocket->close_sent = true;
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    own_control(websocket, OPCODE_CLOSE, span_of(payload, code == CLOSE_NONE ? 0 : 2));
}

static void own_release(struct websocket *websocket)
{
    if (websocket->own) memory_release(websocket->own->data);
    memory_release(websocket->own);
    websocket->own = NULL;
}

/* ---- the handshake -------------------------------------------------------------------------------------------------- */

/* False: no more of the input is to be looked at. */
static bool receive_upgrade(struct websocket *websocket, struct span input, struct filter_step *step)
{
    enum upgrade_status status = upgrade_receive(websocket->upgrade, input, &step->consumed);
    if (status == UPGRADE_MORE) return false;
    own_append(websocket, upgrade_response(websocket->upgrade));
    step->to_send = true;
    struct span client = status == UPGRADE_ACCEPTED ? upgrade_client(websocket->upgrade) : span_of(NULL, 0);
    const char *reason = upgrade_reason(websocket->upgrade);
    if (client.bytes) websocket->client = memory_copy_string(client);
    upgrade_release(websocket->upgrade);
    websocket->left = 0;
    websocket->open = status == UPGRADE_ACCEPTED;
    if (websocket->open) return true;
    step->wants = FILTER_FAILED;
    websocket->failed = true;
    websocket->reason = reason;
    return false;
}

/* The client's. False: no more of the input is to be looked at. */
static bool receive_answer(struct websocket *websocket, struct span input, struct filter_step *step)
{
    enum request_status status = request_receive(websocket->request, input, &step->consumed);
    if (status == REQUEST_MORE) return false;
    websocket->open = status == REQUEST_ACCEPTED;
    if (websocket->open) {
        request_release(websocket->request);
        websocket->left = 0;
        return true;
    }
    step->wants = FILTER_FAILED;
    websocket->failed = true;
    return false;
}

/* ---- heads ---------------------------------------------------------------------------------------------------------- */

static bool fail(struct websocket *websocket, struct filter_step *step, enum close_code code, const char *reason)
{
    websocket->failed = true;
    websocket->reason = reason;
    websocket->close_code = code;
    step->wants = FILTER_FAILED;
    return false;
}

static size_t head_wants(const uint8_t *head, size_t bytes)
{
    if (bytes < 2) return 2;
    uint8_t length = head[1] & 0x7f;
    size_t wanted = length == 127 ? 10 : length == 126 ? 4 : 2;
    return wanted + (head[1] & 0x80 ? 4 : 0);
}

static uint64_t head_length(const uint8_t *head)
{
    uint8_t length = head[1] & 0x7f;
    uint64_t value = 0;
    if (length < 126) return length;
    for (int i = 0; i < (length == 126 ? 2 : 8); i++)
        value = value << 8 | head[2 + i];
    return value;
}

/* §5.2: what is wrong with the first two bytes, or NULL. */
static const char *head_wrong(const struct websocket *websocket, uint8_t first, uint8_t second)
{
    uint8_t opcode = first & 0x0f;
    bool control = opcode >= OPCODE_CLOSE, final = first & 0x80;
    if (first & 0x70) return "a reserved bit is set"; /* no extension was agreed */
    if (opcode > OPCODE_PONG || (opcode > OPCODE_BINARY && !control)) return "an opcode that RFC 6455 does not know";
    if (!(second & 0x80) && !is_client(websocket)) return "a frame of a client is not masked"; /* §5.1 */
    if (second & 0x80 && is_client(websocket)) return "a frame of a server is masked";         /* §5.1 */
    if (control && !final) return "a control frame is fragmented";    /* §5.5 */
    if (control && (second & 0x7f) > CONTROL_BYTES_MAX) return "a control frame is longer than 125 bytes";
    if (opcode == OPCODE_CONTINUATION && !websocket->in_message) return "a continuation without a beginning"; /* §5.4 */
    if (!control && opcode != OPCODE_CONTINUATION && websocket->in_message) return "a new message within a fragmented one";
    return NULL;
}

static bool head_take(struct websocket *websocket, const uint8_t *head, struct filter_step *step)
{
    uint64_t length = head_length(head);
    uint8_t written = head[1] & 0x7f;
    bool control = (head[0] & 0x0f) >= OPCODE_CLOSE;
    if (written >= 126 && (length < 126 || (written == 127 && length <= UINT16_MAX)))
        return fail(websocket, step, CLOSE_PROTOCOL_ERROR, "a length is not written in the fewest bytes");
    if (length >> 63) return fail(websocket, step, CLOSE_PROTOCOL_ERROR, "a length has its highest bit set");
    uint64_t limit = is_client(websocket) ? 0 : websocket->options->frame_bytes_max;
    if (limit && length > limit) return fail(websocket, step, CLOSE_TOO_LARGE, "a frame is larger than websocket.max_frame_size");
    if (!is_client(websocket)) memcpy(websocket->mask, head + head_wants(head, 2) - 4, 4);
    websocket->opcode = head[0] & 0x0f;
    websocket->final = head[0] >> 7;
    websocket->left = length;
    websocket->in_frame = true;
    websocket->head_bytes = websocket->control_bytes = 0;
    if (control) websocket->control = length ? memory_acquire(length) : NULL;
    return true;
}

/* Gathers a head. False: it has not come whole, or is wrong. */
static bool receive_head(struct websocket *websocket, const uint8_t *input, size_t bytes, struct filter_step *step)
{
    uint8_t *head = websocket->head;
    while (websocket->head_bytes < head_wants(head, websocket->head_bytes)) {
        if (step->consumed == bytes) return false;
        head[websocket->head_bytes++] = input[step->consumed++];
        if (websocket->head_bytes != 2) continue;
        const char *wrong = head_wrong(websocket, head[0], head[1]);
        if (wrong) return fail(websocket, step, CLOSE_PROTOCOL_ERROR, wrong);
        if ((head[0] & 0x0f) == OPCODE_TEXT) /* [MQTT-6.0.0-1] */
            return fail(websocket, step, CLOSE_UNSUPPORTED, "a text frame; MQTT needs binary ones");
    }
    uint8_t whole[HEAD_BYTES_MAX]; /* the place of the head is the control frame's, too */
    memcpy(whole, head, sizeof whole);
    return head_take(websocket, whole, step);
}

/* ---- payloads ------------------------------------------------------------------------------------------------------- */

/* §7.4: may a peer send this code? */
static bool code_sound(uint32_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static bool take_close(struct websocket *websocket, const uint8_t *payload, size_t bytes, struct filter_step *step)
{
    uint32_t code = bytes >= 2 ? (uint32_t)payload[0] << 8 | payload[1] : CLOSE_NONE;
    if (bytes == 1) return fail(websocket, step, CLOSE_PROTOCOL_ERROR, "half a close code");
    if (bytes && !code_sound(code)) return fail(websocket, step, CLOSE_PROTOCOL_ERROR, "a close code nobody may send");
    if (bytes > 2 && !utf8_sound(span_of(payload + 2, bytes - 2))) return fail(websocket, step, CLOSE_NOT_UTF8, "the reason to close is not UTF-8");
    websocket->close_code = (uint16_t)code; /* §5.5.1: the same one back, by end(): behind what is on its way to the peer already */
    step->wants = FILTER_ENDED;
    return false;
}

/* False: the stream has ended. */
static bool take_control(struct websocket *websocket, struct filter_step *step)
{
    struct span payload = span_of(websocket->control, websocket->control_bytes);
    bool goes_on = true;
    if (websocket->opcode == OPCODE_CLOSE) goes_on = take_close(websocket, payload.data, payload.bytes, step);
    bool room = !websocket->own || websocket->own->bytes + payload.bytes + 2 <= OWN_BYTES_MAX;
    if (websocket->opcode == OPCODE_PING && room) {
        own_control(websocket, OPCODE_PONG, payload);
        step->to_send = true;
    }
    memory_release(websocket->control);
    websocket->control = NULL;
    return goes_on;
}

/* The end of a frame. False: the stream has ended. */
static bool frame_over(struct websocket *websocket, struct filter_step *step)
{
    bool control = websocket->opcode >= OPCODE_CLOSE;
    bool goes_on = !control || take_control(websocket, step);
    if (!control) websocket->in_message = !websocket->final;
    websocket->in_frame = false;
    return goes_on;
}

static void take_payload(struct websocket *websocket, uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (UNLIKELY(is_client(websocket))) { /* a server does not mask */
        memmove(to, from, bytes);
        return;
    }
    unmask(to, from, bytes, websocket->mask);
    mask_turn(websocket->mask, bytes);
}

static struct filter_step websocket_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct websocket *websocket = websocket_of(filter);
    struct filter_step step = {.output = input, .wants = FILTER_GOES_ON};
    if (!websocket->open && !(is_client(websocket) ? receive_answer : receive_upgrade)(websocket, span_of(input, bytes), &step)) return step;
    for (;;) {
        if (!websocket->in_frame && !receive_head(websocket, input, bytes, &step)) return step;
        size_t here = bytes - step.consumed < websocket->left ? bytes - step.consumed : (size_t)websocket->left;
        bool control = websocket->opcode >= OPCODE_CLOSE;
        if (here) { /* output never overtakes input: each frame's head lies between them */
            uint8_t *to = control ? websocket->control + websocket->control_bytes : input + step.output_bytes;
            take_payload(websocket, to, input + step.consumed, here);
            websocket->left -= here;
            step.consumed += here;
            if (control)
                websocket->control_bytes += (uint8_t)here;
            else
                step.output_bytes += here;
        }
        if (websocket->left) return step;
        if (!frame_over(websocket, &step)) return step;
    }
}

/* ---- down ----------------------------------------------------------------------------------------------------------- */

static struct filter_step websocket_send(struct filter *filter, struct span input, uint8_t *room, size_t room_bytes)
{
    struct websocket *websocket = websocket_of(filter);
    struct filter_step step = {.output = room};
    struct own *own = websocket->own;
    DCHECK(input.bytes == 0);
    if (!own) return step;
    step.output_bytes = own->bytes < room_bytes ? own->bytes : room_bytes;
    memcpy(room, own->data, step.output_bytes);
    own->bytes -= (uint32_t)step.output_bytes;
    memmove(own->data, own->data + step.output_bytes, own->bytes);
    step.to_send = own->bytes != 0;
    if (!step.to_send) own_release(websocket);
    return step;
}

static size_t websocket_prefix(struct filter *filter, uint64_t bytes, uint8_t *end)
{
    size_t length_bytes = bytes < 126 ? 0 : bytes <= UINT16_MAX ? 2 : 8;
    bool masks = is_client(websocket_of(filter));
    if (masks) {
        mask_choose(websocket_of(filter), websocket_of(filter)->mask);
        end -= 4;
        memcpy(end, websocket_of(filter)->mask, 4);
    }
    for (size_t i = 0; i < length_bytes; i++)
        end[-1 - (int)i] = (uint8_t)(bytes >> 8 * i);
    uint8_t *head = end - length_bytes - 2;
    head[0] = 0x80 | OPCODE_BINARY;
    head[1] = length_bytes == 0 ? (uint8_t)bytes : length_bytes == 2 ? 126 : 127;
    if (masks) head[1] |= 0x80;
    return length_bytes + 2 + (masks ? 4 : 0);
}

static void websocket_change(struct filter *filter, uint8_t *bytes, size_t count)
{
    struct websocket *websocket = websocket_of(filter);
    unmask(bytes, bytes, count, websocket->mask);
    mask_turn(websocket->mask, count);
}

static bool websocket_is_open(const struct filter *filter) { return websocket_of(filter)->open; }

static void websocket_end(struct filter *filter)
{
    struct websocket *websocket = websocket_of(filter);
    if (websocket->open) own_close(websocket, websocket->close_code ? (enum close_code)websocket->close_code : CLOSE_NORMAL);
}

static const char *websocket_reason(const struct filter *filter)
{
    const struct websocket *websocket = websocket_of(filter);
    if (!websocket->failed) return "";
    return is_client(websocket) && !websocket->open ? request_reason(websocket->request) : websocket->reason;
}

static struct span websocket_fact(const struct filter *filter, enum filter_fact fact)
{
    const struct websocket *websocket = websocket_of(filter);
    return fact == FACT_ADDRESS && websocket->client ? span_of_string(websocket->client) : span_of(NULL, 0);
}

static void websocket_release(struct filter *filter)
{
    struct websocket *websocket = websocket_of(filter);
    if (is_client(websocket) && !websocket->open) request_release(websocket->request);
    if (!is_client(websocket) && !websocket->open && !websocket->failed) upgrade_release(websocket->upgrade);
    if (websocket->in_frame && websocket->opcode >= OPCODE_CLOSE) memory_release(websocket->control);
    own_release(websocket);
    memory_release(websocket->client);
    memory_release(websocket);
}

static const struct filter_verbs websocket_verbs = {.name = "websocket", .receive = websocket_receive, .send = websocket_send,
                                                    .prefix = websocket_prefix, .is_open = websocket_is_open, .end = websocket_end,
                                                    .reason = websocket_reason, .fact = websocket_fact, .release = websocket_release};

/* Beside those of the server: its bytes are masked. */
static const struct filter_verbs websocket_client_verbs = {.name = "websocket", .receive = websocket_receive, .send = websocket_send,
                                                           .prefix = websocket_prefix, .change = websocket_change,
                                                           .is_open = websocket_is_open, .end = websocket_end,
                                                           .reason = websocket_reason, .fact = websocket_fact, .release = websocket_release};

struct filter *websocket_client_create(const struct websocket_client_options *options)
{
    struct websocket *websocket = memory_acquire_zeroed(sizeof *websocket);
    websocket->filter.verbs = &websocket_client_verbs;
    websocket->ours = true;
    websocket->client_options = options;
    websocket->request = request_create(options);
    own_append(websocket, request_bytes(websocket->request));
    return &websocket->filter;
}

struct filter *websocket_create(const struct websocket_options *options, bool trusted)
{
    struct websocket *websocket = memory_acquire_zeroed(sizeof *websocket);
    websocket->filter.verbs = &websocket_verbs;
    websocket->options = options;
    websocket->upgrade = upgrade_create(options, trusted);
    return &websocket->filter;
}

void websocket_behind(struct filter *filter, const struct filter *proxy) { upgrade_behind(websocket_of(filter)->upgrade, proxy); }
