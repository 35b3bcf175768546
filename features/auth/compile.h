/* compile.h - the rules that came with a login, as features/acl wants them. */
#ifndef RINGMQ_FEATURES_AUTH_COMPILE_H
#define RINGMQ_FEATURES_AUTH_COMPILE_H

#include "features/auth/auth.h"

/* Sets answer->compiled. A rule that cannot be compiled turns the answer into DENY: leaving out one that denies would allow. */
void compile_rules(struct auth_answer *answer);

#endif
