/* saslprep.h - SASLprep (RFC 4013): one form for names and passwords that look the same, and none for what must not be in them.
 *
 * Printable ASCII stays as it is, without a library being asked. Threads: any. */
#ifndef RINGMQ_FEATURES_AUTH_SASLPREP_H
#define RINGMQ_FEATURES_AUTH_SASLPREP_H

#include "features/auth/auth.h"

/* `stored`: what is kept; characters that Unicode 3.2 does not know are refused there (RFC 3454 §7). False: not UTF-8, or it may not be. The text is the
 * caller's to release. */
bool saslprep(struct span text, bool stored, struct auth_text *ret_text);

#endif
