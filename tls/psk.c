#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "tls/tls.h"

struct entry {
    uint32_t identity; /* offsets into the store */
    uint32_t key;
    uint16_t identity_bytes, key_bytes;
    uint32_t line;
};

struct tls_psk {
    _Atomic uint32_t references;
    uint32_t count;
    size_t store_bytes;
    struct entry *entries; /* by identity */
    uint8_t *store;        /* identities and keys; wiped when released */
};

static int compare(const struct tls_psk *psk, struct span identity, const struct entry *entry)
{
    size_t bytes = identity.bytes < entry->identity_bytes ? identity.bytes : entry->identity_bytes;
    int order = memcmp(identity.data, psk->store + entry->identity, bytes);
    return order ? order : (identity.bytes > entry->identity_bytes) - (identity.bytes < entry->identity_bytes);
}

static int compare_entries(const void *a, const void *b, void *psk)
{
    const struct entry *first = a;
    const struct tls_psk *table = psk;
    return compare(table, span_of(table->store + first->identity, first->identity_bytes), b);
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/* NULL, or what is wrong with the line. The store has room for whatever a file of that size can hold. */
static const char *add_line(struct tls_psk *psk, struct span line, uint32_t number)
{
    const uint8_t *colon = memrchr(line.data, ':', line.bytes);
    if (!colon) return "there is no colon; write identity:hexkey";
    size_t identity_bytes = (size_t)(colon - line.data), digits = line.bytes - identity_bytes - 1;
    if (identity_bytes == 0 || identity_bytes > TLS_PSK_IDENTITY_BYTES_MAX) return "the identity must have 1 to 127 bytes";
    for (size_t i = 0; i < identity_bytes; i++)
        if (line.data[i] < ' ' || line.data[i] == 0x7F) return "the identity has a control character";
    if (!utf8_sound(span_of(line.data, identity_bytes))) return "the identity is not UTF-8"; /* RFC 4279 §5.1; and it may become a user name */
    if (digits % 2 || digits < 2 * TLS_PSK_KEY_BYTES_MIN || digits > 2 * TLS_PSK_KEY_BYTES_MAX)
        return "the key must have 32 to 128 hexadecimal digits (`openssl rand -hex 32` makes a good one)";
    struct entry entry = {(uint32_t)psk->store_bytes, (uint32_t)(psk->store_bytes + identity_bytes), (uint16_t)identity_bytes,
                          (uint16_t)(digits / 2), number};
    memcpy(psk->store + entry.identity, line.data, identity_bytes);
    for (size_t i = 0; i < digits / 2; i++) {
        int high = hex_digit(colon[1 + 2 * i]), low = hex_digit(colon[2 + 2 * i]);
        if (high < 0 || low < 0) return "the key has a character that is no hexadecimal digit";
        psk->store[entry.key + i] = (uint8_t)(high << 4 | low);
    }
    psk->store_bytes += identity_bytes + digits / 2;
    psk->entries[psk->count++] = entry;
    return NULL;
}

static struct span next_line(struct span *rest)
{
    const uint8_t *end = rest->bytes ? memchr(rest->data, '\n', rest->bytes) : NULL;
    struct span line = span_of(rest->data, end ? (size_t)(end - rest->data) : rest->bytes);
    *rest = span_skip(*rest, line.bytes + (end != NULL));
    if (line.bytes && line.data[line.bytes - 1] == '\r') line.bytes--;
    return line;
}

static uint32_t count_lines(struct span text)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < text.bytes; i++)
        lines += text.data[i] == '\n';
    return lines;
}

/* Sorts, and finds an identity that is there twice. */
static const char *finish(struct tls_psk *psk, uint32_t *ret_line)
{
    if (psk->count == 0) return "there is no key in it";
    qsort_r(psk->entries, psk->count, sizeof *psk->entries, compare_entries, psk);
    for (uint32_t i = 1; i < psk->count; i++) {
        const struct entry *a = &psk->entries[i - 1], *b = &psk->entries[i];
        if (compare(psk, span_of(psk->store + a->identity, a->identity_bytes), b) != 0) continue;
        *ret_line = a->line > b->line ? a->line : b->line;
        return "the identity is there a second time";
    }
    return NULL;
}

struct tls_psk *tls_psk_create(const struct tls_file *file, char *ret_error, size_t error_bytes)
{
    struct tls_psk *psk = memory_acquire_zeroed(sizeof *psk);
    psk->references = 1;
    psk->store = memory_acquire(file->content.bytes + 1);
    psk->entries = memory_acquire_zeroed(count_lines(file->content) * sizeof *psk->entries);
    struct span rest = file->content;
    const char *wrong = NULL;
    uint32_t number = 0;
    while (rest.bytes && !wrong) {
        struct span line = next_line(&rest);
        number++;
        if (line.bytes && line.data[0] != '#') wrong = add_line(psk, line, number);
    }
    if (!wrong) {
        number = 0;
        wrong = finish(psk, &number);
    }
    if (!wrong) return psk;
    psk->store_bytes = file->content.bytes; /* a key may be half read */
    tls_psk_release(psk);
    if (number)
        snprintf(ret_error, error_bytes, "%s, line %u: %s", file->name, number, wrong);
    else
        snprintf(ret_error, error_bytes, "%s: %s; write identity:hexkey lines", file->name, wrong);
    return NULL;
}

struct tls_psk *tls_psk_retain(struct tls_psk *psk)
{
    if (psk) atomic_fetch_add_explicit(&psk->references, 1, memory_order_relaxed);
    return psk;
}

void tls_psk_release(struct tls_psk *psk)
{
    if (!psk || atomic_fetch_sub_explicit(&psk->references, 1, memory_order_acq_rel) > 1) return;
    explicit_bzero(psk->store, psk->store_bytes);
    memory_release(psk->store);
    memory_release(psk->entries);
    memory_release(psk);
}

uint32_t tls_psk_count(const struct tls_psk *psk) { return psk->count; }

struct span tls_psk_find(const struct tls_psk *psk, struct span identity)
{
    uint32_t low = 0, high = psk->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct entry *entry = &psk->entries[middle];
        int order = compare(psk, identity, entry);
        if (order == 0) return span_of(psk->store + entry->key, entry->key_bytes);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return span_of(NULL, 0);
}
