/* scram.c - see scram.h. */
#include "features/auth/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/random.h>

#include "features/auth/encode.h"
#include "features/auth/saslprep.h"

static bool hmac(const uint8_t key[SCRAM_KEY_BYTES], struct span text, uint8_t ret_mac[SCRAM_KEY_BYTES])
{
    unsigned bytes = SCRAM_KEY_BYTES;
    return HMAC(EVP_sha256(), key, SCRAM_KEY_BYTES, text.data, text.bytes, ret_mac, &bytes) != NULL;
}

static bool sha256(const uint8_t in[SCRAM_KEY_BYTES], uint8_t ret_hash[SCRAM_KEY_BYTES])
{
    return EVP_Digest(in, SCRAM_KEY_BYTES, ret_hash, NULL, EVP_sha256(), NULL) == 1;
}

bool scram_secret_make(struct span password, uint32_t iterations, const uint8_t *salt, uint32_t salt_bytes, struct scram_secret *ret_secret)
{
    struct scram_secret secret = {.iterations = iterations, .salt_bytes = salt ? salt_bytes : 16};
    uint8_t salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];
    if (secret.salt_bytes > SCRAM_SALT_BYTES_MAX) return false;
    if (salt)
        memcpy(secret.salt, salt, salt_bytes);
    else if (getrandom(secret.salt, 16, 0) != 16)
        return false;
    struct auth_text prepared;
    if (!saslprep(password, true, &prepared)) return false;
    bool fine = PKCS5_PBKDF2_HMAC(prepared.data, (int)prepared.bytes, secret.salt, (int)secret.salt_bytes, (int)iterations, EVP_sha256(),
                                  SCRAM_KEY_BYTES, salted) == 1 &&
                hmac(salted, SPAN_LITERAL("Client Key"), client_key) && sha256(client_key, secret.stored_key) &&
                hmac(salted, SPAN_LITERAL("Server Key"), secret.server_key);
    auth_text_release(&prepared);
    secret_wipe(salted, sizeof salted);
    secret_wipe(client_key, sizeof client_key);
    if (fine) *ret_secret = secret;
    return fine;
}

/* The next attribute `letter=value` of a message; the value ends at a comma. False: it is not there. */
static bool take(struct span *rest, char letter, struct span *ret_value)
{
    if (rest->bytes < 2 || rest->data[0] != (uint8_t)letter || rest->data[1] != '=') return false;
    const uint8_t *comma = memchr(rest->data, ',', rest->bytes);
    size_t bytes = comma ? (size_t)(comma - rest->data) : rest->bytes;
    *ret_value = span_of(rest->data + 2, bytes - 2);
    *rest = span_skip(*rest, bytes + (comma != NULL));
    return true;
}

static bool copy(struct span text, char *ret_text, size_t room)
{
    if (text.bytes >= room || (text.bytes && memchr(text.data, 0, text.bytes))) return false;
    if (text.bytes) memcpy(ret_text, text.data, text.bytes);
    ret_text[text.bytes] = '\0';
    return true;
}

/* =2C is a comma and =3D an equals sign; other = are not allowed (RFC 5802 §5.1). */
static bool decode_name(struct span name, char *ret_name, size_t room)
{
    size_t out = 0;
    for (size_t i = 0; i < name.bytes; i++, out++) {
        if (out + 1 >= room || name.data[i] == 0) return false;
        ret_name[out] = (char)name.data[i];
        if (name.data[i] != '=') continue;
        struct span escape = span_of(name.data + i, name.bytes - i);
        if (span_starts_with(escape, SPAN_LITERAL("=2C")))
            ret_name[out] = ',';
        else if (!span_starts_with(escape, SPAN_LITERAL("=3D")))
            return false;
        i += 2;
    }
    ret_name[out] = '\0';
    return out > 0;
}

/* In place; the name may become another (RFC 5802 §5.1). */
static bool prepare_name(char *name, size_t room)
{
    struct auth_text prepared;
    bool fine = saslprep(span_of_string(name), false, &prepared) && prepared.bytes && prepared.bytes < room;
    if (fine) strcpy(name, prepared.data);
    auth_text_release(&prepared);
    return fine;
}

static bool nonce_valid(struct span nonce)
{
    for (size_t i = 0; i < nonce.bytes; i++)
        if (nonce.data[i] < 0x21 || nonce.data[i] > 0x7E) return false;
    return nonce.bytes >= 8;
}

const char *scram_first(struct scram *scram, struct span message)
{
    struct span name, nonce, rest = message;
    if (span_starts_with(rest, SPAN_LITERAL("p="))) return "the client asks for channel binding, which SCRAM-SHA-256 does without";
    if (!span_starts_with(rest, SPAN_LITERAL("n,,")) && !span_starts_with(rest, SPAN_LITERAL("y,,"))) return "the first message does not begin with n,, or y,,";
    scram->final[0] = (char)rest.data[0]; /* kept for c= of the final message */
    rest = span_skip(rest, 3);
    if (!copy(rest, scram->first_bare, sizeof scram->first_bare)) return "the first message is too long";
    if (span_starts_with(rest, SPAN_LITERAL("m="))) return "the client asks for an extension we do not know";
    if (!take(&rest, 'n', &name) || !decode_name(name, scram->user, sizeof scram->user)) return "the first message has no sound user name";
    if (!prepare_name(scram->user, sizeof scram->user)) return "SASLprep does not allow the user name";
    if (!take(&rest, 'r', &nonce) || !nonce_valid(nonce)) return "the first message has no nonce, or one of less than 8 characters";
    return copy(nonce, scram->nonce, sizeof scram->nonce) ? NULL : "the nonce is too long";
}

const char *scram_challenge(struct scram *scram, const struct scram_secret *secret, const uint8_t nonce[SCRAM_NONCE_BYTES], const uint8_t seed[32])
{
    char ours[BASE64_BYTES(SCRAM_NONCE_BYTES) + 1], salt[BASE64_BYTES(SCRAM_SALT_BYTES_MAX) + 1];
    scram->known = secret != NULL;
    if (secret) {
        scram->secret = *secret;
    } else {
        uint8_t made_up[SCRAM_KEY_BYTES];
        if (!hmac(seed, span_of_string(scram->user), made_up)) return "the digest cannot be computed";
        scram->secret = (struct scram_secret){.salt_bytes = 16, .iterations = SCRAM_ITERATIONS};
        memcpy(scram->secret.salt, made_up, 16);
    }
    b64_encode(span_of(nonce, SCRAM_NONCE_BYTES), ours);
    b64_encode(span_of(scram->secret.salt, scram->secret.salt_bytes), salt);
    size_t theirs = strlen(scram->nonce);
    if (theirs + strlen(ours) >= sizeof scram->nonce) return "the nonce is too long";
    strcpy(scram->nonce + theirs, ours);
    int bytes = snprintf(scram->challenge, sizeof scram->challenge, "r=%s,s=%s,i=%u", scram->nonce, salt, scram->secret.iterations);
    return bytes > 0 && (size_t)bytes < sizeof scram->challenge ? NULL : "the nonce is too long";
}

const char *scram_final(struct scram *scram, struct span message)
{
    struct span binding, nonce, proof, rest = message;
    uint8_t sent[SCRAM_KEY_BYTES], signature[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES], hash[SCRAM_KEY_BYTES];
    char text[3 * SCRAM_MESSAGE_BYTES_MAX];
    size_t sent_bytes;
    if (!take(&rest, 'c', &binding)) return "the final message has no channel binding";
    if (!span_equal(binding, span_of_string(scram->final[0] == 'y' ? "eSws" : "biws"))) return "the final message's channel binding is not that of the first";
    if (!take(&rest, 'r', &nonce) || !span_equal(nonce, span_of_string(scram->nonce))) return "the final message's nonce is not ours";
    const uint8_t *end = rest.data; /* what is signed ends before ",p=" */
    while (rest.bytes && rest.data[0] != 'p') { /* extensions we need not know */
        const uint8_t *comma = memchr(rest.data, ',', rest.bytes);
        if (!comma) return "the final message has no proof";
        rest = span_skip(rest, (size_t)(comma - rest.data) + 1);
        end = rest.data;
    }
    if (!take(&rest, 'p', &proof) || rest.bytes || !b64_decode(proof, sent, sizeof sent, &sent_bytes) || sent_bytes != sizeof sent)
        return "the final message has no sound proof";
    struct span unproved = span_of(message.data, (size_t)(end - message.data) - 1);
    int bytes = snprintf(text, sizeof text, "%s,%s,%.*s", scram->first_bare, scram->challenge, SPAN_PRINT(unproved));
    if (bytes < 0 || (size_t)bytes >= sizeof text) return "the final message is too long";
    struct span all = span_of(text, (size_t)bytes);
    if (!hmac(scram->secret.stored_key, all, signature)) return "the digest cannot be computed";
    for (int i = 0; i < SCRAM_KEY_BYTES; i++)
        client_key[i] = sent[i] ^ signature[i];
    bool right = sha256(client_key, hash) && secret_equal(span_of(hash, sizeof hash), span_of(scram->secret.stored_key, SCRAM_KEY_BYTES));
    secret_wipe(client_key, sizeof client_key);
    if (!right || !scram->known) return "wrong user or password";
    if (!hmac(scram->secret.server_key, all, signature)) return "the digest cannot be computed";
    strcpy(scram->final, "v=");
    b64_encode(span_of(signature, sizeof signature), scram->final + 2);
    return NULL;
}

void scram_wipe(struct scram *scram) { secret_wipe(scram, sizeof *scram); }
