/* source_jwt.h - tokens whose keys are fetched: the same source as auth_source_jwt, on threads of its own, with an HTTP client. */
#ifndef RINGMQ_FEATURES_AUTH_SOURCE_JWT_H
#define RINGMQ_FEATURES_AUTH_SOURCE_JWT_H

#include "features/auth/source.h"

extern const struct auth_source_kind auth_source_jwks;
/* Before the first question. */
void auth_jwt_use(void *instance, const struct auth_source_kind *http);

#endif
