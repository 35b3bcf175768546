/* Where text comes from: files, included files, and single settings. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "config/hocon_parse.h"
#include "config/hocon_scan.h"

struct open_file {
    dev_t device;
    ino_t number;
    const char *name;
    const struct open_file *outer;
};

static struct cursor cursor_create(struct hocon_tree *tree, struct span text, struct config_origin origin,
                                   struct config_errors *errors)
{
    origin.line = origin.column = 1;
    return (struct cursor){.tree = tree, .errors = errors, .at = text.data, .end = text.data + text.bytes, .here = origin,
                           .directory = "", .place_known = true};
}

/* ---- one file ----------------------------------------------------------------------------------------------------- */

/* Everything in the file, in the tree's arena. False with errno. */
static bool read_all(struct hocon_tree *tree, int fd, struct span *ret_text)
{
    struct arena_text text = {.arena = &tree->arena};
    char block[16384];
    for (;;) {
        ssize_t bytes = read(fd, block, sizeof block);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0) return false;
        if (bytes == 0) break;
        arena_text_add(&text, block, (size_t)bytes);
        if (text.bytes > HOCON_FILE_BYTES_MAX) {
            errno = EFBIG;
            return false;
        }
    }
    *ret_text = arena_text_span(&text);
    return true;
}

static const char *directory_of(struct hocon_tree *tree, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (const char *)arena_copy(&tree->arena, span_of(path, (size_t)(slash - path) + 1)).data : "";
}

static bool already_open(const struct open_file *files, const struct open_file *wanted)
{
    for (; files; files = files->outer)
        if (files->device == wanted->device && files->number == wanted->number) return true;
    return false;
}

static uint32_t files_open(const struct open_file *files)
{
    uint32_t count = 0;
    for (; files; files = files->outer)
        count++;
    return count;
}

/* `cursor` is where the file was asked for; NULL for the command line. Errors go to that place. */
static void read_opened(struct hocon_tree *tree, int fd, const char *name, const struct cursor *asked_by, struct node *object,
                        struct config_errors *errors)
{
    const struct config_origin *place = asked_by ? &asked_by->here : NULL;
    struct stat status = {0};
    fstat(fd, &status);
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)) { /* <(…) of a shell; the second reading would find it empty, and say nothing */
        config_errors_add(errors, place, "%s is a pipe, which can be read once; the configuration is read several times: write it to a file", name);
        return;
    }
    struct open_file file = {status.st_dev, status.st_ino, name, asked_by ? asked_by->open_files : NULL};
    if (already_open(file.outer, &file)) {
        config_errors_add(errors, place, "%s includes itself (in the end); remove one of the includes", name);
        return;
    }
    if (files_open(&file) > HOCON_INCLUDE_DEPTH_MAX || tree->files_read >= HOCON_FILES_MAX) {
        config_errors_add(errors, place, "%s is one file too many: at most %d included in one another, and %d in all", name,
                          HOCON_INCLUDE_DEPTH_MAX, HOCON_FILES_MAX);
        return;
    }
    tree->files_read++;
    struct span text;
    if (!read_all(tree, fd, &text)) {
        if (errno == EFBIG)
            config_errors_add(errors, place, "%s is larger than %u MiB; split it", name, HOCON_FILE_BYTES_MAX >> 20);
        else
            config_errors_add(errors, place, "cannot read %s: %s", name, strerror(errno));
        return;
    }
    struct cursor cursor = cursor_create(tree, text, (struct config_origin){ORIGIN_FILE, 1, 1, name}, errors);
    cursor.directory = directory_of(tree, name);
    cursor.open_files = &file;
    if (asked_by) {
        cursor.depth = asked_by->depth;
        cursor.place = asked_by->place;
        cursor.place_known = asked_by->place_known;
        if (asked_by->place_known) cursor.prefix = asked_by->place;
    }
    parse_document(&cursor, object);
}

bool hocon_read_file(struct hocon_tree *tree, const char *path, struct config_errors *errors)
{
    uint32_t errors_before = errors->count;
    const char *name = arena_copy_string(&tree->arena, path);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        config_errors_add(errors, NULL, "cannot open the configuration file %s: %s; give another with --config FILE", name,
                          strerror(errno));
        return false;
    }
    read_opened(tree, fd, name, NULL, tree->root, errors);
    close(fd);
    return errors->count == errors_before;
}

/* ---- include ------------------------------------------------------------------------------------------------------ */

bool cursor_at_include(const struct cursor *cursor)
{
    struct cursor ahead = *cursor;
    return cursor_looking_at(cursor, "include") && (cursor_skip(&ahead, 7), !cursor_at_unquoted(&ahead));
}

struct include_statement {
    struct config_origin start;
    bool required;
    struct span name;
};

/* `word(`, with blanks behind it. */
static bool take_call(struct cursor *cursor, const char *word)
{
    if (!cursor_looking_at(cursor, word)) return false;
    cursor_skip(cursor, strlen(word));
    cursor_skip_blanks(cursor);
    return true;
}

static bool take_closing(struct cursor *cursor)
{
    cursor_skip_blanks(cursor);
    if (cursor_peek(cursor) != ')') {
        config_errors_add(cursor->errors, &cursor->here, "found %s; write ) here", cursor_describe(cursor));
        return false;
    }
    cursor_skip(cursor, 1);
    return true;
}

static bool parse_statement(struct cursor *cursor, struct include_statement *ret_statement)
{
    struct include_statement statement = {.start = cursor->here};
    cursor_skip(cursor, 7);
    cursor_skip_blanks(cursor);
    statement.required = take_call(cursor, "required(");
    bool file = take_call(cursor, "file(");
    if (cursor_looking_at(cursor, "url(") || cursor_looking_at(cursor, "classpath(") || cursor_looking_at(cursor, "package(")) {
        config_errors_add(cursor->errors, &cursor->here, "only files can be included; write include \"FILE\"");
        return false;
    }
    if (cursor_peek(cursor) != '"') {
        config_errors_add(cursor->errors, &cursor->here,
                          "found %s; write include \"FILE\", or put a key named include in double quotes", cursor_describe(cursor));
        return false;
    }
    if (!scan_quoted(cursor, &statement.name)) return false;
    if (file && !take_closing(cursor)) return false;
    if (statement.required && !take_closing(cursor)) return false;
    *ret_statement = statement;
    return true;
}

/* The name as given, then with the endings HOCON tries. -1 with errno. */
static int open_included(struct cursor *cursor, const char *name, const char **ret_name)
{
    static const char *const endings[] = {"", ".conf", ".json"};
    struct hocon_tree *tree = cursor->tree;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct arena_text full = {.arena = &tree->arena};
        if (name[0] != '/') arena_text_add(&full, cursor->directory, strlen(cursor->directory));
        arena_text_add(&full, name, strlen(name));
        arena_text_add(&full, endings[i], strlen(endings[i]));
        const char *path = (const char *)arena_text_span(&full).data;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (i == 0 || fd >= 0 || errno != ENOENT) *ret_name = path;
        if (fd >= 0 || errno != ENOENT) return fd;
    }
    return -1;
}

bool parse_include(struct cursor *cursor, struct node *object)
{
    struct include_statement statement;
    if (!parse_statement(cursor, &statement)) return false;
    const char *name = "";
    int fd = open_included(cursor, (const char *)statement.name.data, &name);
    if (fd < 0) {
        if (errno == ENOENT && !statement.required) return true;
        config_errors_add(cursor->errors, &statement.start, "cannot include %s: %s", name, strerror(errno));
        return true; /* the statement is sound: go on behind it */
    }
    struct cursor asked_by = *cursor;
    asked_by.here = statement.start;
    read_opened(cursor->tree, fd, name, &asked_by, object, cursor->errors);
    close(fd);
    return true;
}

/* ---- text and settings -------------------------------------------------------------------------------------------- */

static struct config_origin origin_copy(struct hocon_tree *tree, struct config_origin origin)
{
    origin.name = arena_copy_string(&tree->arena, origin.name ? origin.name : "");
    return origin;
}

bool hocon_read_text(struct hocon_tree *tree, struct span text, struct config_origin origin, struct config_errors *errors)
{
    uint32_t errors_before = errors->count;
    struct cursor cursor = cursor_create(tree, text, origin_copy(tree, origin), errors);
    parse_document(&cursor, tree->root);
    return errors->count == errors_before;
}

static struct span trim(struct span text)
{
    while (text.bytes && strchr(" \t\r\n", text.data[0]))
        text = span_skip(text, 1);
    while (text.bytes && strchr(" \t\r\n", text.data[text.bytes - 1]))
        text.bytes--;
    return text;
}

static bool is_plain(struct span text)
{
    if (text.bytes == 0) return true;
    uint8_t first = text.data[0], last = text.data[text.bytes - 1];
    bool hocon = first == '"' || (first == '{' && last == '}') || (first == '[' && last == ']'); /* not [::1]:1883 */
    return !hocon && !memmem(text.data, text.bytes, "${", 2);
}

/* A whole value is one place, whatever lines it has. */
static struct node *setting_value(struct cursor *cursor, struct span text, struct config_origin origin)
{
    text = trim(text);
    if (!is_plain(text)) return parse_only_value(cursor);
    if (!cursor_check_text(cursor)) return NULL;
    struct node *node = hocon_node_create(cursor->tree, scan_classify(text), origin);
    node->text = arena_copy(&cursor->tree->arena, text);
    return node;
}

bool hocon_read_setting(struct hocon_tree *tree, const char *path, struct span value, struct config_origin origin,
                        struct config_errors *errors)
{
    uint32_t errors_before = errors->count;
    origin = origin_copy(tree, origin);
    origin.line = origin.column = 0;
    struct config_errors key_errors = {0};
    struct cursor key = cursor_create(tree, span_of_string(path), origin, &key_errors);
    struct hocon_path names = {0};
    bool sound = cursor_check_text(&key) && scan_path(&key, &names) && cursor_peek(&key) == CURSOR_END;
    config_errors_clear(&key_errors);
    if (!sound) {
        config_errors_add(errors, &origin, "`%.100s` is no key; write names with dots between them, as in node.shards", path);
        return false;
    }
    struct cursor cursor = cursor_create(tree, value, origin, errors);
    cursor.place = names;
    struct node *node = setting_value(&cursor, value, origin);
    if (!node) return errors->count == errors_before;
    struct node *container = object_at(tree, tree->root, &names, names.count - 1, origin);
    object_define(tree, container, span_of_string(names.names[names.count - 1]), origin, node);
    return errors->count == errors_before;
}
