/* password.c - see password.h. */
#include "features/auth/password.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "features/auth/encode.h"

#define SALT_BYTES 12      /* of $6$ and $7$: mosquitto reads no other before 2.1 */
#define SALT_BYTES_MAX 128
#define HASH_BYTES_MAX 64
#define PASSWORD_BYTES_MAX 65535 /* what an MQTT packet can carry */

const char *const password_algorithm_names[PASSWORD_ALGORITHMS] = {"encoded", "plain", "md5", "sha", "sha256", "sha512", "bcrypt", "pbkdf2"};
const char *const password_maker_names[PASSWORD_MAKERS] = {"sha512-pbkdf2", "sha512", "argon2id", "bcrypt"};

static const EVP_MD *digest_of(uint8_t algorithm)
{
    switch (algorithm) {
    case PASSWORD_MD5: return EVP_md5();
    case PASSWORD_SHA1: return EVP_sha1();
    case PASSWORD_SHA256: return EVP_sha256();
    case PASSWORD_SHA512: return EVP_sha512();
    default: return NULL;
    }
}

/* One digest over two pieces. */
static bool digest_two(const EVP_MD *digest, struct span first, struct span second, uint8_t ret_hash[static EVP_MAX_MD_SIZE], unsigned *ret_bytes)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool fine = context && EVP_DigestInit_ex(context, digest, NULL) && EVP_DigestUpdate(context, first.data, first.bytes) &&
                EVP_DigestUpdate(context, second.data, second.bytes) && EVP_DigestFinal_ex(context, ret_hash, ret_bytes);
    EVP_MD_CTX_free(context);
    return fine;
}

static bool pbkdf2(const EVP_MD *digest, struct span password, struct span salt, uint32_t iterations, uint8_t *ret_key, size_t bytes)
{
    return PKCS5_PBKDF2_HMAC((const char *)password.data, (int)password.bytes, salt.data, (int)salt.bytes, (int)iterations, digest,
                             (int)bytes, ret_key) == 1;
}

/* ---- the self-describing forms ---------------------------------------------------------------------------------- */

struct mosquitto_hash {
    uint32_t iterations; /* 0: $6$ */
    uint8_t salt[SALT_BYTES_MAX], hash[HASH_BYTES_MAX];
    size_t salt_bytes, hash_bytes;
};

static bool cut(struct span *rest, struct span *ret_field)
{
    const uint8_t *end = rest->bytes ? memchr(rest->data, '$', rest->bytes) : NULL;
    if (!end) return false;
    *ret_field = span_of(rest->data, (size_t)(end - rest->data));
    *rest = span_skip(*rest, ret_field->bytes + 1);
    return true;
}

static bool mosquitto_parse(struct span stored, struct mosquitto_hash *ret_hash)
{
    struct mosquitto_hash hash = {0};
    struct span field, rest = span_skip(stored, 3);
    if (stored.data[1] == '7') {
        if (!cut(&rest, &field) || field.bytes == 0 || field.bytes > 8) return false;
        for (size_t i = 0; i < field.bytes; i++) {
            if (field.data[i] < '0' || field.data[i] > '9') return false;
            hash.iterations = hash.iterations * 10 + (uint32_t)(field.data[i] - '0');
        }
        if (hash.iterations == 0 || hash.iterations > PASSWORD_PBKDF2_ITERATIONS_MAX) return false;
    }
    if (!cut(&rest, &field) || !b64_decode(field, hash.salt, sizeof hash.salt, &hash.salt_bytes) || hash.salt_bytes == 0) return false;
    if (!b64_decode(rest, hash.hash, sizeof hash.hash, &hash.hash_bytes) || hash.hash_bytes != HASH_BYTES_MAX) return false;
    *ret_hash = hash;
    return true;
}

static enum password_verdict mosquitto_check(const struct mosquitto_hash *stored, struct span password)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned bytes = HASH_BYTES_MAX;
    struct span salt = span_of(stored->salt, stored->salt_bytes);
    bool fine = stored->iterations ? pbkdf2(EVP_sha512(), password, salt, stored->iterations, hash, HASH_BYTES_MAX)
                                   : digest_two(EVP_sha512(), password, salt, hash, &bytes);
    bool right = fine && secret_equal(span_of(hash, HASH_BYTES_MAX), span_of(stored->hash, HASH_BYTES_MAX));
    secret_wipe(hash, sizeof hash);
    if (!fine) return PASSWORD_UNREADABLE;
    return right ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

/* What argon2 would allocate is written in the stored form: a file somebody broke must not take the machine's memory. */
static bool argon2_affordable(const char *stored)
{
    const char *memory = strstr(stored, "$m=");
    return memory && strtoul(memory + 3, NULL, 10) <= PASSWORD_ARGON2_MEMORY_KIB_MAX;
}

static enum password_verdict argon2_check(const char *stored, struct span password)
{
    if (!argon2_affordable(stored)) return PASSWORD_UNREADABLE;
    argon2_type type = strncmp(stored, "$argon2id$", 10) == 0 ? Argon2_id : strncmp(stored, "$argon2i$", 9) == 0 ? Argon2_i : Argon2_d;
    switch (argon2_verify(stored, password.data, password.bytes, type)) {
    case ARGON2_OK: return PASSWORD_RIGHT;
    case ARGON2_VERIFY_MISMATCH: return PASSWORD_WRONG;
    default: return PASSWORD_UNREADABLE;
    }
}

static enum password_verdict crypt_check(const char *stored, struct span password)
{
    if (memchr(password.data ? (const char *)password.data : "", 0, password.bytes)) return PASSWORD_WRONG; /* crypt would stop at the NUL */
    struct crypt_data *data = calloc(1, sizeof *data);
    char *text = malloc(password.bytes + 1);
    CHECK(data && text);
    if (password.bytes) memcpy(text, password.data, password.bytes);
    text[password.bytes] = '\0';
    const char *made = crypt_rn(text, stored, data, sizeof *data);
    enum password_verdict verdict = !made || made[0] == '*'                                        ? PASSWORD_UNREADABLE
                                    : secret_equal(span_of_string(made), span_of_string(stored)) ? PASSWORD_RIGHT
                                                                                                   : PASSWORD_WRONG;
    secret_wipe(data, sizeof *data);
    secret_wipe(text, password.bytes);
    free(data);
    free(text);
    return verdict;
}

static bool is_crypt(const char *stored)
{
    if (strlen(stored) < 26) return false; /* crypt_checksalt() would be content with the beginning */
    static const char *const starts[] = {"$2a$", "$2b$", "$2y$", "$y$", "$gy$", "$5$", "$6$", "$7$", "$1$"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(stored, starts[i], strlen(starts[i])) == 0)
            return crypt_checksalt(stored) != CRYPT_SALT_INVALID && crypt_checksalt(stored) != CRYPT_SALT_METHOD_DISABLED;
    return false;
}

static bool is_mosquitto(struct span stored, struct mosquitto_hash *ret_hash)
{
    bool start = span_starts_with(stored, SPAN_LITERAL("$6$")) || span_starts_with(stored, SPAN_LITERAL("$7$"));
    return start && mosquitto_parse(stored, ret_hash); /* crypt's own $6$ and $7$ have no base64 with padding */
}

static bool text_of(struct span stored, char ret_text[static PASSWORD_STORED_BYTES_MAX])
{
    if (stored.bytes == 0 || stored.bytes >= PASSWORD_STORED_BYTES_MAX || memchr(stored.data, 0, stored.bytes)) return false;
    memcpy(ret_text, stored.data, stored.bytes);
    ret_text[stored.bytes] = '\0';
    return true;
}

bool password_stored_valid(struct span stored)
{
    char text[PASSWORD_STORED_BYTES_MAX];
    struct mosquitto_hash hash;
    if (!text_of(stored, text)) return false;
    return is_mosquitto(stored, &hash) || (strncmp(text, "$argon2", 7) == 0 && argon2_affordable(text)) || is_crypt(text);
}

enum password_verdict password_check(struct span stored, struct span password)
{
    char text[PASSWORD_STORED_BYTES_MAX];
    struct mosquitto_hash hash;
    if (password.bytes > PASSWORD_BYTES_MAX) return PASSWORD_WRONG;
    if (!text_of(stored, text)) return PASSWORD_UNREADABLE;
    if (is_mosquitto(stored, &hash)) return mosquitto_check(&hash, password);
    if (strncmp(text, "$argon2", 7) == 0) return argon2_check(text, password);
    return is_crypt(text) ? crypt_check(text, password) : PASSWORD_UNREADABLE;
}

void password_check_nobody(struct span stored_of_another, struct span password) { (void)password_check(stored_of_another, password); }

/* ---- the bare forms --------------------------------------------------------------------------------------------- */

/* The hash as bytes. False: not one that can be computed. */
static bool form_hash(const struct password_form *form, struct span salt, struct span password, uint8_t *ret_hash, size_t room, size_t *ret_bytes)
{
    const EVP_MD *digest = digest_of(form->algorithm == PASSWORD_PBKDF2 ? form->mac : form->algorithm);
    if (!digest) return false;
    if (form->algorithm == PASSWORD_PBKDF2) {
        size_t bytes = form->key_bytes ? form->key_bytes : (size_t)EVP_MD_get_size(digest);
        if (bytes > room || form->iterations == 0 || form->iterations > PASSWORD_PBKDF2_ITERATIONS_MAX) return false;
        *ret_bytes = bytes;
        return pbkdf2(digest, password, salt, form->iterations, ret_hash, bytes);
    }
    unsigned bytes = 0;
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (form->salt_position == PASSWORD_SALT_DISABLE) salt = span_of(NULL, 0);
    bool prefix = form->salt_position == PASSWORD_SALT_PREFIX;
    if (!digest_two(digest, prefix ? salt : password, prefix ? password : salt, hash, &bytes)) return false;
    memcpy(ret_hash, hash, bytes);
    secret_wipe(hash, sizeof hash);
    *ret_bytes = bytes;
    return true;
}

enum password_verdict password_check_form(const struct password_form *form, struct span stored, struct span salt, struct span password)
{
    if (password.bytes > PASSWORD_BYTES_MAX) return PASSWORD_WRONG;
    if (form->algorithm == PASSWORD_PLAIN) return stored.bytes && secret_equal(stored, password) ? PASSWORD_RIGHT : PASSWORD_WRONG;
    if (form->algorithm == PASSWORD_ENCODED || form->algorithm == PASSWORD_BCRYPT || (stored.bytes && stored.data[0] == '$'))
        return password_check(stored, password);
    uint8_t hash[256], wanted[256];
    size_t bytes, wanted_bytes;
    if (!hex_decode(stored, wanted, sizeof wanted, &wanted_bytes)) return PASSWORD_UNREADABLE;
    if (!form_hash(form, salt, password, hash, sizeof hash, &bytes)) return PASSWORD_UNREADABLE;
    bool right = secret_equal(span_of(hash, bytes), span_of(wanted, wanted_bytes));
    secret_wipe(hash, sizeof hash);
    return right ? PASSWORD_RIGHT : PASSWORD_WRONG;
}

bool password_make_form(const struct password_form *form, struct span salt, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX])
{
    uint8_t hash[PASSWORD_STORED_BYTES_MAX / 2 - 1];
    size_t bytes;
    if (form->algorithm == PASSWORD_PLAIN) return text_of(password, ret_stored);
    if (!form_hash(form, salt, password, hash, sizeof hash, &bytes)) return false;
    hex_encode(span_of(hash, bytes), ret_stored);
    secret_wipe(hash, sizeof hash);
    return true;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static const char *make_mosquitto(uint32_t iterations, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX])
{
    struct mosquitto_hash hash = {.iterations = iterations, .salt_bytes = SALT_BYTES};
    char salt[BASE64_BYTES(SALT_BYTES) + 1], text[BASE64_BYTES(HASH_BYTES_MAX) + 1];
    unsigned bytes = HASH_BYTES_MAX;
    if (getrandom(hash.salt, SALT_BYTES, 0) != SALT_BYTES) return "the system gives no random bytes";
    struct span salted = span_of(hash.salt, SALT_BYTES);
    bool fine = iterations ? pbkdf2(EVP_sha512(), password, salted, iterations, hash.hash, HASH_BYTES_MAX)
                           : digest_two(EVP_sha512(), password, salted, hash.hash, &bytes);
    if (!fine) return "the digest cannot be computed";
    b64_encode(salted, salt);
    b64_encode(span_of(hash.hash, HASH_BYTES_MAX), text);
    if (iterations)
        snprintf(ret_stored, PASSWORD_STORED_BYTES_MAX, "$7$%u$%s$%s", iterations, salt, text);
    else
        snprintf(ret_stored, PASSWORD_STORED_BYTES_MAX, "$6$%s$%s", salt, text);
    return NULL;
}

static const char *make_argon2id(uint32_t passes, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX])
{
    uint8_t salt[16];
    if (getrandom(salt, sizeof salt, 0) != sizeof salt) return "the system gives no random bytes";
    int result = argon2id_hash_encoded(passes, PASSWORD_ARGON2_MEMORY_KIB, 1, password.data, password.bytes, salt, sizeof salt, 32, ret_stored,
                                       PASSWORD_STORED_BYTES_MAX);
    return result == ARGON2_OK ? NULL : argon2_error_message(result);
}

static const char *make_bcrypt(uint32_t cost, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX])
{
    char random[16], setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (password.bytes > 72) return "bcrypt looks at no more than 72 bytes of a password; choose another algorithm";
    if (memchr(password.data, 0, password.bytes)) return "bcrypt takes no password with a NUL byte";
    if (getrandom(random, sizeof random, 0) != sizeof random) return "the system gives no random bytes";
    if (!crypt_gensalt_rn("$2b$", cost, random, sizeof random, setting, sizeof setting)) return "bcrypt's cost must be from 4 to 31";
    struct crypt_data *data = calloc(1, sizeof *data);
    char text[73];
    CHECK(data);
    memcpy(text, password.data, password.bytes);
    text[password.bytes] = '\0';
    const char *made = crypt_rn(text, setting, data, sizeof *data);
    const char *wrong = made && made[0] != '*' ? NULL : "this system's libcrypt makes no bcrypt hashes";
    if (!wrong) snprintf(ret_stored, PASSWORD_STORED_BYTES_MAX, "%s", made);
    secret_wipe(text, sizeof text);
    secret_wipe(data, sizeof *data);
    free(data);
    return wrong;
}

const char *password_make(enum password_maker maker, uint32_t cost, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX])
{
    if (password.bytes == 0) return "the password is empty";
    if (password.bytes > PASSWORD_BYTES_MAX) return "the password is longer than an MQTT packet can carry (65535 bytes)";
    switch (maker) {
    case MAKE_SHA512_PBKDF2:
        if (cost > PASSWORD_PBKDF2_ITERATIONS_MAX) return "at most 10,000,000 iterations are read back";
        return make_mosquitto(cost ? cost : PASSWORD_PBKDF2_ITERATIONS, password, ret_stored);
    case MAKE_SHA512: return make_mosquitto(0, password, ret_stored);
    case MAKE_ARGON2ID: return make_argon2id(cost ? cost : 2, password, ret_stored);
    case MAKE_BCRYPT: return make_bcrypt(cost ? cost : PASSWORD_BCRYPT_COST, password, ret_stored);
    default: UNREACHABLE("an unknown maker");
    }
}
