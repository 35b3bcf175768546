/* http_tls.c - TLS for the admin's connections: the filter of tls/, driven with blocking patience instead of a shard's turns. */
#include "admin/http_inside.h"
#include "base/check.h"
#include "base/filter.h"
#include "base/memory.h"

#define ROOM_BYTES (20 * 1024)

bool http_tls_receive(struct http_connection *connection, uint8_t *data, size_t bytes)
{
    struct filter *tls = connection->tls;
    uint8_t room[ROOM_BYTES];
    for (;;) {
        struct filter_step step = tls->verbs->receive(tls, data, bytes, room, sizeof room);
        if (step.output_bytes) http_text_add(&connection->in, step.output, step.output_bytes);
        data += step.consumed;
        bytes -= step.consumed;
        switch (step.wants) {
        case FILTER_GOES_ON: return true;
        case FILTER_MORE:
        case FILTER_LATER: continue; /* this thread has time: the expensive step is the next call */
        case FILTER_TRANSPARENT: http_text_add(&connection->in, data, bytes); return true;
        case FILTER_ENDED: connection->ended = true; return true;
        case FILTER_PARKED: UNREACHABLE("the admin port asks for no certificates whose state others must be asked for");
        case FILTER_FAILED: connection->broken = true; return true; /* an alert is to be sent yet */
        }
    }
}

/* Own bytes first (handshake, alerts), then those of the answer once the handshake is over. */
bool http_tls_send(struct http_connection *connection)
{
    struct filter *tls = connection->tls;
    uint8_t room[ROOM_BYTES];
    struct filter_step step;
    do {
        step = tls->verbs->send(tls, span_of(NULL, 0), room, sizeof room);
        http_text_add(&connection->wire, step.output, step.output_bytes);
        if (step.wants == FILTER_FAILED) return false;
    } while (step.to_send && step.output_bytes);
    if (!tls->verbs->is_open(tls)) return true;
    while (connection->out_sent < connection->out.bytes && connection->wire.bytes - connection->wire_sent < 256 * 1024) {
        size_t piece = connection->out.bytes - connection->out_sent;
        if (piece > 8192) piece = 8192;
        size_t needed = tls->verbs->send_bytes_max(tls, piece);
        uint8_t *output = memory_acquire(needed);
        step = tls->verbs->send(tls, span_of(connection->out.data + connection->out_sent, piece), output, needed);
        http_text_add(&connection->wire, step.output, step.output_bytes);
        memory_release(output);
        if (step.wants == FILTER_FAILED) return false;
        connection->out_sent += piece;
    }
    return true;
}

void http_tls_end(struct http_connection *connection)
{
    if (connection->tls_ended) return;
    connection->tls_ended = true;
    if (connection->tls->verbs->end) connection->tls->verbs->end(connection->tls);
}
