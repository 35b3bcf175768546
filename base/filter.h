/* filter.h - the contract of what sits between a socket and the protocol: PROXY header, TLS, WebSocket. The same for connections that
 * came and for those that we opened: the filters of the latter have own bytes to send as soon as the level below them is open.
 *
 *     socket ─ engine/conn ─ [proxy] ─ [tls] ─ [websocket] ─ proto       receive(): from left to right
 *                              0         1          2                     prefix(), send(): from right to left
 *
 * A filter does no I/O, reads no clock, starts no thread: it is given bytes and room, and says what it used, what it made and
 * what it wants next. So it can be tested without a socket, and moves with its connection to another shard: its memory comes
 * from base/memory.h, never from a shard's pool. Plain TCP has no filters: the engine tests one pointer. The engine's half of
 * the contract is engine/filters.h; the filters of a connection are chosen in broker/doors/doors.c.
 *
 * Owner:   the connection. Threads: the shard the connection lives on. Units: bytes. */
#ifndef RINGMQ_BASE_FILTER_H
#define RINGMQ_BASE_FILTER_H

#include "base/span.h"

struct filter_verbs;

/* The first member of every filter. */
struct filter {
    const struct filter_verbs *verbs;
};

enum filter_wants {
    FILTER_GOES_ON,     /* has used all input: call again with more */
    FILTER_MORE,        /* the room was too small: call again at once, with what is left of the input (which may be nothing) */
    FILTER_LATER,       /* the next step is expensive (a private-key operation): call again with what is left of the input when this
                           shard has time; that call does it. Only before is_open() */
    FILTER_PARKED,      /* the next step needs the answer of another thread: call again with what is left of the input once ready() says
                           so. Only before is_open() */
    FILTER_TRANSPARENT, /* its work is done: from the unused input on, all bytes pass by; it is kept for its facts */
    FILTER_ENDED,       /* the peer has ended the stream in an orderly way (close_notify, close frame); the answer to it is end()'s */
    FILTER_FAILED       /* the peer broke the filter's protocol, see reason(). What is to be sent yet (an alert, a 400) is sent */
};

struct filter_step {
    size_t consumed;     /* of the input */
    const uint8_t *output; /* where the bytes made lie: in the room, or within the input (changed in place) */
    size_t output_bytes;
    bool to_send;        /* it has bytes of its own for the peer (a handshake, a pong): the engine calls send() before the turn is over */
    enum filter_wants wants;
};

/* What a filter found out about the peer; an empty span where it knows nothing. The text lives as long as the filter. */
enum filter_fact {
    FACT_ADDRESS,     /* of the client behind a proxy: "192.0.2.7:55123", "[2001:db8::1]:4711", "192.0.2.7" */
    FACT_CERTIFICATE_CN,
    FACT_CERTIFICATE_DN,
    FACT_CERTIFICATE_SAN,
    FACT_USERNAME,    /* taken from the certificate or the pre-shared key, as the listener says */
    FACT_CLIENT_ID,   /* the same */
    FACT_TLS_VERSION, /* "TLSv1.3" */
    FACT_TLS_CIPHER,
    FACT_SERVER_NAME, /* SNI */
    FACT_COUNT
};

struct filter_verbs {
    const char *name; /* "proxy", "tls", "websocket": for the log */

    /* Bytes from the peer become bytes for the level above. The input may be changed in place. All of it is used unless `wants` says
     * MORE, LATER, PARKED or TRANSPARENT; what a filter can do nothing with yet it keeps itself. */
    struct filter_step (*receive)(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes);

    /* Bytes from the level above become bytes for the peer. The room has at least send_bytes_max(input.bytes), and all input is used.
     * With an empty input it is asked for bytes of its own, in whatever room there is (1 KiB at least); to_send in the answer: there
     * are more. Own bytes that wait go out in front of those of the input. NULL: it has no bytes of its own and changes none. */
    struct filter_step (*send)(struct filter *filter, struct span input, uint8_t *room, size_t room_bytes);
    /* Room that send() may need for `bytes` of input. NULL: send() is for own bytes only, those of the level above pass unchanged.
     * At most one filter of a connection has it. */
    size_t (*send_bytes_max)(const struct filter *filter, size_t bytes);
    /* Puts in front of the `bytes` that leave together (once a turn) what they need there: at most FILTER_PREFIX_BYTES_MAX bytes that
     * stop right before `end`. Returns how many. NULL: nothing. Own bytes are asked for between two such batches only. */
    size_t (*prefix)(struct filter *filter, uint64_t bytes, uint8_t *end);

    /* Right after prefix(): the bytes that leave behind it, changed in place, in order, in as many calls as there are pieces (a client's
     * WebSocket masks them). Only for connections whose bytes are all their own, never shared. NULL: they stay as they are. */
    void (*change)(struct filter *filter, uint8_t *bytes, size_t count);

    /* After PARKED: has the answer come? Asked every few milliseconds. NULL: it never parks. */
    bool (*ready)(const struct filter *filter);
    /* True once the handshake is over. Bytes of the level above are sent only from then on. */
    bool (*is_open)(const struct filter *filter);
    /* No more bytes will come from above, all have left: what remains to be said (close_notify, close frame) becomes own bytes.
     * Called once, from the top level down, also after FILTER_ENDED and FILTER_FAILED (when there may be nothing to add). NULL: nothing. */
    void (*end)(struct filter *filter);
    const char *(*reason)(const struct filter *filter); /* after FILTER_FAILED: a phrase for the log */
    struct span (*fact)(const struct filter *filter, enum filter_fact fact); /* NULL: it knows none */
    void (*release)(struct filter *filter);
};

#define FILTER_PREFIX_BYTES_MAX 16

#endif
