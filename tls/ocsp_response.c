#include "tls/ocsp_response.h"

#include <time.h>

#include "tls/der.h"

enum { TAG_0 = 0xA0, TAG_1 = 0xA1, TAG_RESPONDER_NAME = 0xA1, TAG_RESPONDER_KEY = 0xA2, STATUS_UNKNOWN = 0x82 };

/* "YYYYMMDDhhmmssZ"; 0: not so. */
static int64_t time_of(struct span text)
{
    struct tm time = {0};
    int fields[6] = {0}, digits[6] = {4, 2, 2, 2, 2, 2};
    size_t at = 0;
    if (text.bytes != 15 || text.data[14] != 'Z') return 0;
    for (int f = 0; f < 6; f++)
        for (int d = 0; d < digits[f]; d++, at++) {
            if (text.data[at] < '0' || text.data[at] > '9') return 0;
            fields[f] = fields[f] * 10 + text.data[at] - '0';
        }
    time.tm_year = fields[0] - 1900;
    time.tm_mon = fields[1] - 1;
    time.tm_mday = fields[2];
    time.tm_hour = fields[3];
    time.tm_min = fields[4];
    time.tm_sec = fields[5];
    return timegm(&time);
}

/* SingleResponse: certID, certStatus, thisUpdate, [0] nextUpdate. */
static void read_single(struct span rest, bool first, struct ocsp_response *response)
{
    struct der_element id, status, element, time;
    if (!der_next_is(&rest, DER_SEQUENCE, &id) || !der_next(&rest, &status) || !der_next_is(&rest, DER_TIME, &element)) return;
    if (first) response->says_unknown = status.tag == STATUS_UNKNOWN;
    if (!der_next_is(&rest, TAG_0, &element) || !der_next_is(&element.content, DER_TIME, &time)) return;
    int64_t next_s = time_of(time.content);
    if (next_s && (response->next_update_s == 0 || next_s < response->next_update_s)) response->next_update_s = next_s;
}

/* BasicOCSPResponse: tbsResponseData { [0] version, responderID, producedAt, responses }, … */
static bool read_basic(struct span der, struct ocsp_response *response)
{
    struct der_element basic, data, element, responses, single;
    if (!der_next_is(&der, DER_SEQUENCE, &basic) || !der_next_is(&basic.content, DER_SEQUENCE, &data)) return false;
    struct span rest = data.content;
    if (!der_next(&rest, &element)) return false;
    if (element.tag == TAG_0 && !der_next(&rest, &element)) return false;
    if (element.tag != TAG_RESPONDER_NAME && element.tag != TAG_RESPONDER_KEY) return false;
    if (!der_next_is(&rest, DER_TIME, &element) || !der_next_is(&rest, DER_SEQUENCE, &responses)) return false;
    bool first = true;
    for (; der_next_is(&responses.content, DER_SEQUENCE, &single); first = false)
        read_single(single.content, first, response);
    return !first;
}

bool ocsp_response_read(struct span der, struct ocsp_response *ret_response)
{
    struct der_element whole, status, tagged, bytes, type, content;
    *ret_response = (struct ocsp_response){.successful = false};
    if (!der_next_is(&der, DER_SEQUENCE, &whole) || !der_next_is(&whole.content, DER_ENUMERATED, &status) || status.content.bytes != 1)
        return false;
    if (status.content.data[0] != 0) return true;
    ret_response->successful = true;
    if (!der_next_is(&whole.content, TAG_0, &tagged) || !der_next_is(&tagged.content, DER_SEQUENCE, &bytes)) return false;
    if (!der_next_is(&bytes.content, DER_OID, &type) || !der_next_is(&bytes.content, DER_OCTET_STRING, &content)) return false;
    return read_basic(content.content, ret_response);
}
