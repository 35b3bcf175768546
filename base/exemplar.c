#include "base/exemplar.h"

#include <string.h>

/* How much of the text fits: whole characters (UTF-8: a byte 10xxxxxx goes on with one). */
static uint8_t name_set(char *ret_name, size_t room, struct span text)
{
    size_t bytes = text.bytes;
    if (bytes > room)
        for (bytes = room; bytes && (text.data[bytes] & 0xC0) == 0x80;)
            bytes--;
    if (bytes) memcpy(ret_name, text.data, bytes);
    return (uint8_t)bytes;
}

void exemplar_names_set(struct exemplar_names *names, struct span topic, struct span client)
{
    names->topic_bytes = name_set(names->topic, sizeof names->topic, topic);
    names->client_bytes = name_set(names->client, sizeof names->client, client);
}

void exemplar_write(struct exemplar_place *place, uint64_t value_ns, uint64_t at_ms, const struct exemplar_names *names)
{
    struct exemplar exemplar = {.value_ns = value_ns, .at_ms = at_ms, .names = *names};
    uint64_t words[EXEMPLAR_WORDS];
    memcpy(words, &exemplar, sizeof words);
    uint64_t version = __atomic_load_n(&place->version, __ATOMIC_RELAXED);
    /* A reader that sees one of the words sees the odd version, too: each word is stored with release, behind it. */
    __atomic_store_n(&place->version, version + 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < EXEMPLAR_WORDS; i++)
        __atomic_store_n(&place->words[i], words[i], __ATOMIC_RELEASE); /* pairs: exemplars_get() */
    __atomic_store_n(&place->version, version + 2, __ATOMIC_RELEASE);
}

bool exemplars_get(const struct exemplars *exemplars, uint32_t number, struct exemplar *ret_exemplar)
{
    const struct exemplar_place *place = &exemplars->places[number];
    uint64_t words[EXEMPLAR_WORDS], before = __atomic_load_n(&place->version, __ATOMIC_ACQUIRE);
    if (before == 0 || before & 1) return false;
    for (size_t i = 0; i < EXEMPLAR_WORDS; i++)
        words[i] = __atomic_load_n(&place->words[i], __ATOMIC_ACQUIRE); /* pairs: exemplar_write() */
    if (__atomic_load_n(&place->version, __ATOMIC_RELAXED) != before) return false;
    memcpy(ret_exemplar, words, sizeof words);
    return true;
}
