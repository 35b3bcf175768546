#include "support.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char *stream_end(FILE *stream, char **buffer)
{
    fclose(stream);
    char *copy = memory_copy_string(span_of_string(*buffer)); /* memory_release() may be another allocator's */
    free(*buffer);
    return copy;
}

char *errors_text(struct config_errors *errors)
{
    char *buffer;
    size_t bytes;
    FILE *stream = open_memstream(&buffer, &bytes);
    config_errors_print(errors, stream);
    config_errors_clear(errors);
    char *text = stream_end(stream, &buffer);
    if (*text) text[strlen(text) - 1] = 0; /* the last newline */
    return text;
}

char *json_of(struct hocon_tree *tree, struct config_errors *errors)
{
    const struct hocon_value *root = errors->count == 0 ? hocon_resolve(tree, errors) : NULL;
    if (!root) return errors_text(errors);
    char *buffer;
    size_t bytes;
    FILE *stream = open_memstream(&buffer, &bytes);
    hocon_print_json(root, stream);
    return stream_end(stream, &buffer);
}

char *json_of_text(const char *text)
{
    struct config_errors errors = {0};
    struct hocon_tree *tree = hocon_tree_create(LIST("HOME=/root", "EMPTY=", "HOMELESS=x"));
    hocon_read_text(tree, span_of_string(text), (struct config_origin){ORIGIN_FILE, 0, 0, "t"}, &errors);
    char *json = json_of(tree, &errors);
    hocon_tree_release(tree);
    return json;
}

static size_t length(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

struct config *load(const char *const *files, const char *const *environment, const char *const *sets, char **ret_errors)
{
    struct config_sources sources = {files, length(files), environment, sets, length(sets)};
    struct config_errors errors = {0};
    struct config *config = NULL;
    bool loaded = config_load(&sources, &config, &errors);
    cr_assert_eq(loaded, errors.count == 0);
    cr_assert_eq(loaded, config != NULL);
    *ret_errors = errors_text(&errors);
    return config;
}

struct config *load_sound(const char *const *files, const char *const *environment, const char *const *sets)
{
    char *errors;
    struct config *config = load(files, environment, sets, &errors);
    cr_assert(config, "%s", errors);
    memory_release(errors);
    return config;
}

char *load_wrong(const char *const *files, const char *const *environment, const char *const *sets)
{
    char *errors;
    cr_assert_null(load(files, environment, sets, &errors), "this should be refused");
    return errors;
}

char *printed_by(void (*print)(FILE *))
{
    char *buffer;
    size_t bytes;
    FILE *stream = open_memstream(&buffer, &bytes);
    print(stream);
    return stream_end(stream, &buffer);
}

char *effective(const struct config *config)
{
    char *buffer;
    size_t bytes;
    FILE *stream = open_memstream(&buffer, &bytes);
    config_print_effective(config, stream);
    return stream_end(stream, &buffer);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/ringmq-config-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) { return remove(path); }

static void remove_directory(void) { nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

void file_write(const char *name, const char *text)
{
    static bool made;
    if (!made) {
        cr_assert(mkdtemp(directory));
        cr_assert_eq(chdir(directory), 0);
        atexit(remove_directory);
        made = true;
    }
    char path[256];
    snprintf(path, sizeof path, "%s", name);
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    cr_assert(file);
    fputs(text, file);
    fclose(file);
}
