/* ocsp_cache.h - answers about certificates, until they are out of date. A fixed size: 16,384 answers, four to a set; a full set
 * gives up the one that ends first. Threads: whoever holds the owner's lock. */
#ifndef RINGMQ_BROKER_DOORS_OCSP_CACHE_H
#define RINGMQ_BROKER_DOORS_OCSP_CACHE_H

#include "tls/ocsp.h"

#define OCSP_KEY_BYTES 32

struct ocsp_cache;

struct ocsp_cache *ocsp_cache_create(void);
void ocsp_cache_release(struct ocsp_cache *cache);
/* SHA-256 of the certificate. */
void ocsp_cache_key(struct span certificate, uint8_t ret_key[OCSP_KEY_BYTES]);
bool ocsp_cache_find(const struct ocsp_cache *cache, const uint8_t *key, int64_t now_s, enum tls_ocsp_answer *ret_answer);
void ocsp_cache_put(struct ocsp_cache *cache, const uint8_t *key, enum tls_ocsp_answer answer, int64_t until_s);

#endif
