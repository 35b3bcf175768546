/* saslprep.c - see saslprep.h. The tables are GNU libidn's. */
#include "features/auth/saslprep.h"

#include <stdlib.h>
#include <stringprep.h>

#include "features/auth/encode.h"

bool saslprep(struct span text, bool stored, struct auth_text *ret_text)
{
    bool plain = true;
    *ret_text = (struct auth_text){0};
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == 0) return false;
        plain &= text.data[i] >= 0x20 && text.data[i] < 0x7F;
    }
    if (plain) {
        auth_text_add(ret_text, text);
        return true;
    }
    struct auth_text copy = {0}; /* with a NUL behind it */
    char *made = NULL;
    auth_text_add(&copy, text);
    bool fine = stringprep_profile(copy.data, &made, "SASLprep", stored ? STRINGPREP_NO_UNASSIGNED : 0) == STRINGPREP_OK;
    auth_text_release(&copy);
    if (fine) auth_text_add(ret_text, span_of_string(made));
    if (made) secret_wipe(made, strlen(made));
    free(made);
    return fine;
}
