/* Any bytes as an OCSP response, of which we read a little ourselves before and after the library verifies it; and as a certificate. */
#include "tls/certificate.h"
#include "tls/ocsp_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ocsp_response response;
    struct certificate_names names;
    ocsp_response_read(span_of(data, size), &response);
    if (certificate_read(span_of(data, size), &names)) {
        certificate_is_for(&names, "a.example");
        certificate_is_for(&names, "127.0.0.1");
    }
    certificate_release(&names);
    return 0;
}
