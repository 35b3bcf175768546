/* keys.h - the table of authentication's configuration keys: it fills struct auth_settings. */
#ifndef RINGMQ_FEATURES_AUTH_KEYS_H
#define RINGMQ_FEATURES_AUTH_KEYS_H

#include "base/schema.h"
#include "features/auth/settings.h"

extern const struct schema_part auth_configuration;

#endif
