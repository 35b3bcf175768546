/* proxy.h - the PROXY protocol, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt): the first bytes of a connection say for whom a
 * proxy speaks. The filter reads them, steps aside and keeps what it learned: FACT_ADDRESS, and of version 2 FACT_CERTIFICATE_CN,
 * FACT_TLS_VERSION, FACT_TLS_CIPHER (TLV SSL) and FACT_SERVER_NAME (TLV AUTHORITY).
 *
 * Whoever makes one must have seen that the peer is a proxy it trusts: the filter believes all it reads.
 * LOCAL (v2) and UNKNOWN (v1), as health checks send them, tell nothing: the address is the peer's own then. A CRC-32C is checked.
 * Memory: 64 bytes and the texts; the header itself only while it arrives in pieces. */
#ifndef RINGMQ_PROXY_PROXY_H
#define RINGMQ_PROXY_PROXY_H

#include "base/filter.h"

enum proxy_versions { PROXY_V1 = 1, PROXY_V2 = 2, PROXY_ANY = 3 };

/* Longest header that is read; the standard wants 536 at least, large TLVs of a certificate included. */
#define PROXY_HEADER_BYTES_MAX 4096

struct filter *proxy_create(enum proxy_versions versions);

#endif
