/* compile_none.c - a ringmqd without the feature acl cannot keep rules that came with a login, so it must not let such a client in. */
#include "features/auth/compile.h"

void compile_rules(struct auth_answer *answer)
{
    auth_answer_say(answer, AUTH_DENY, "the login brings rules, and this ringmqd was built without the feature acl");
}
