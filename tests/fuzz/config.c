/* Input: lines for the file, and behind a line `%%` one --set. The parser, the resolver and the schema; what was loaded must
 * print itself so that it loads again and differs in nothing. No include is followed: the fuzzer's files are not ours to read. */
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "config/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *const environment[] = {"HOME=/root", "EMPTY=", NULL};
static const struct config_origin place = {ORIGIN_FILE, 0, 0, "fuzz"};

static const struct hocon_value *read_all(struct hocon_tree *tree, struct span text, struct span set, struct config_errors *errors)
{
    bool sound = hocon_read_text(tree, text, place, errors);
    const uint8_t *equals = set.bytes ? memchr(set.data, '=', set.bytes) : NULL;
    if (equals) {
        char *path = memory_copy_string(span_of(set.data, (size_t)(equals - set.data)));
        sound &= hocon_read_setting(tree, path, span_skip(set, (size_t)(equals - set.data) + 1), place, errors);
        memory_release(path);
    }
    return sound ? hocon_resolve(tree, errors) : NULL;
}

static char *print_to_memory(const struct config *config, const struct hocon_value *root, size_t *ret_bytes)
{
    char *text;
    FILE *stream = open_memstream(&text, ret_bytes);
    config ? config_print_effective(config, stream) : hocon_print_json(root, stream);
    fclose(stream);
    return text;
}

/* JSON is HOCON: what we print we read, and print again as the same. */
static void check_json(const struct hocon_value *root)
{
    size_t bytes, again_bytes;
    struct config_errors errors = {0};
    struct hocon_tree *tree = hocon_tree_create(NULL);
    char *json = print_to_memory(NULL, root, &bytes);
    bool deep = root->depth > HOCON_DEPTH_MAX, large = bytes > HOCON_FILE_BYTES_MAX; /* substitutions may build more than a file says */
    if (!deep && !large) {
        CHECK(hocon_read_text(tree, span_of(json, bytes), place, &errors));
        const struct hocon_value *again = hocon_resolve(tree, &errors);
        CHECK(again);
        char *again_json = print_to_memory(NULL, again, &again_bytes);
        CHECK(bytes == again_bytes && memcmp(json, again_json, bytes) == 0);
        free(again_json);
    }
    hocon_tree_release(tree);
    free(json);
}

static void check_config(const struct config *config)
{
    size_t bytes;
    struct config_errors errors = {0};
    char *text = print_to_memory(config, NULL, &bytes);
    struct hocon_tree *tree = hocon_tree_create(NULL);
    struct config *again = values_create(&SCHEMA);
    CHECK(hocon_read_text(tree, span_of(text, bytes), place, &errors));
    values_fill(again, hocon_resolve(tree, &errors), &errors);
    values_apply(again);
    CHECK(errors.count == 0);
    CHECK(config_diff(config, again, NULL, NULL) == 0);
    struct config *merged = config_merge_reloadable(config, again);
    CHECK(config_diff(config, merged, NULL, NULL) == 0);
    config_release(merged);
    config_release(again);
    hocon_tree_release(tree);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 65536 || (bytes && memmem(data, bytes, "include", 7))) return 0;
    const uint8_t *cut = bytes ? memmem(data, bytes, "\n%%\n", 4) : NULL;
    struct span text = span_of(data, cut ? (size_t)(cut - data) : bytes);
    struct span set = cut ? span_of(cut + 4, bytes - text.bytes - 4) : span_of(data, 0);

    struct config_errors errors = {0};
    struct hocon_tree *tree = hocon_tree_create(environment);
    const struct hocon_value *root = read_all(tree, text, set, &errors);
    CHECK((root != NULL) == (errors.count == 0));
    if (root) {
        check_json(root);
        struct config *config = values_create(&SCHEMA);
        values_fill(config, root, &errors);
        values_check(config, &errors);
        values_apply(config);
        config_check_exposure(config, &errors);
        if (errors.count == 0) check_config(config);
        config_release(config);
    }
    hocon_tree_release(tree);
    config_errors_clear(&errors);
    return 0;
}
