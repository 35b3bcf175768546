/* Any bytes where a PROXY header should be; the first byte says which versions are agreed and how the rest is cut. */
#include "proxy/proxy.h"
#include "tests/fuzz/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_outcome whole, pieces;
    if (size < 2 || size > FUZZ_BYTES_MAX) return 0;
    enum proxy_versions versions = (data[0] & 3) ? (enum proxy_versions)(data[0] & 3) : PROXY_ANY;
    for (int i = 0; i < 2; i++) {
        struct filter *filter = proxy_create(versions);
        fuzz_feed(filter, data + 1, size - 1, i ? (size_t)1 + (data[0] >> 2) : size, i ? &pieces : &whole);
        for (int fact = 0; fact < FACT_COUNT; fact++)
            filter->verbs->fact(filter, (enum filter_fact)fact);
        filter->verbs->release(filter);
    }
    fuzz_same(&whole, &pieces);
    return 0;
}
