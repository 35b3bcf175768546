/* Tokens, key sets and answers of HTTP servers from strangers. The first byte says which. A token that passes must have been signed: the only key is a secret
 * no input knows. */
#include <stdlib.h>

#include "features/auth/auth.h"
#include "features/auth/jwt.h"
#include "features/auth/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char error[200];
    if (bytes == 0) return 0;
    struct span input = span_of(data + 1, bytes - 1);
    if (data[0] % 4 == 0) {
        struct jwt_keys *keys = jwt_keys_create();
        json_t *claims;
        jwt_keys_add_secret(keys, SPAN_LITERAL("nobody will ever guess this secret of more than 32 bytes"));
        if (jwt_verify(keys, JWT_ALL, input, &claims, error, sizeof error) == JWT_GOOD) abort();
        jwt_keys_release(keys);
    } else if (data[0] % 4 == 1) {
        struct jwt_keys *keys = jwt_keys_create();
        jwt_keys_add_jwks(keys, input);
        jwt_keys_release(keys);
    } else {
        struct auth_answer *answer = auth_answer_create();
        bool fine = auth_reply(input, data[0] % 4 == 2, answer, error, sizeof error);
        if (fine && answer->verdict != AUTH_ALLOW && answer->verdict != AUTH_DENY && answer->verdict != AUTH_NEXT) abort();
        auth_answer_release(answer);
    }
    return 0;
}
