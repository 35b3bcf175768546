/* authorize_none.c - in place of authorize.c where the feature acl is not built. */
#include <stdio.h>

#include "features/auth/authorize.h"

struct auth_asked *authorize_make(const struct auth_prepared *prepared, char *ret_error, size_t error_bytes)
{
    snprintf(ret_error, error_bytes, "authorization.NAME that is asked about each topic needs the feature acl, which this ringmqd was built without");
    return NULL;
}
void authorize_release(struct auth_asked *asked) {}
void authorize_offer(const struct auth_asked *asked) {}
void authorize_withdraw(const struct auth_asked *asked) {}
