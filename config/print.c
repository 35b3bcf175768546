/* The table, printed: what is in force, and a file to begin with. */
#include "base/check.h"
#include "config/print.h"
#include "config/types.h"

#define COLUMNS 100

void print_wrapped(FILE *file, const char *prefix, const char *text)
{
    size_t used = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (used && used + 1 + word > COLUMNS) {
            fputc('\n', file);
            used = 0;
        }
        used += (size_t)fprintf(file, "%s%.*s", used ? " " : prefix, (int)word, text);
        text += word + (text[word] == ' ');
    }
    if (used) fputc('\n', file);
}

static void print_quoted(const char *text, FILE *file)
{
    fputc('"', file);
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        if (byte < 0x20 || byte == 0x7F)
            fprintf(file, "\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            fprintf(file, "\\%c", byte);
        else
            fputc(byte, file);
    }
    fputc('"', file);
}

void value_print(const struct config_value *value, FILE *file)
{
    if (value->key->type == TYPE_SECRET)
        fputs(*value->text ? "\"******\"" : "\"\"", file);
    else if (value->key->type == TYPE_STRING)
        print_quoted(value->text, file);
    else
        fputs(value->text, file);
}

void print_default(const struct schema_key *key, const char *of_default, FILE *file)
{
    const char *text = of_default ? of_default : key->default_text;
    char shown[TYPE_TEXT_BYTES_MAX];
    struct config_value value = {.key = key, .text = text};
    if (!type_is_text(key->type)) {
        CHECK(type_parse(key, span_of_string(text), &value.number));
        type_format(key, value.number, shown, sizeof shown);
        value.text = shown;
    }
    value_print(&value, file);
}

void config_print_effective(const struct config *config, FILE *file)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct config_value *value = &config->values[i];
        char origin[CONFIG_ORIGIN_BYTES_MAX];
        config_origin_format(&value->origin, origin, sizeof origin);
        fprintf(file, "%s = ", value->path);
        value_print(value, file);
        fprintf(file, "  # %s\n", origin);
    }
}

/* ---- the sample --------------------------------------------------------------------------------------------------- */

bool print_in_section(const struct schema *schema, const struct schema_key *key, const struct schema_section *section)
{
    const char *rest;
    return schema_section_of(schema, key, &rest) == section;
}

/* `whole`: the section is commented out as a whole. */
static void print_sample_key(const struct schema *schema, const struct schema_key *key, enum listener_kind kind, bool whole, FILE *file)
{
    char wanted[512], line[640];
    const char *rest; /* what stands inside the section's braces: "bind", "tls.certificate" */
    schema_section_of(schema, key, &rest);
    const char *of_default = key->default_of_default ? key->default_of_default[kind] : NULL;
    print_wrapped(file, whole ? "#   # " : "  # ", key->documentation);
    type_describe(key, wanted, sizeof wanted);
    snprintf(line, sizeof line, "Write %s.%s", wanted, key->reloadable ? "" : " Needs a restart.");
    print_wrapped(file, whole ? "#   # " : "  # ", line);
    fprintf(file, "%s%s = ", whole ? "#   " : "  # ", rest);
    if (of_default || key->default_text)
        print_default(key, of_default, file);
    else if (schema_of_listener(key))
        fputs("\"/run/ringmq/mqtt.sock\"", file);
    else
        fputs(key->words ? key->words->name : "\"…\"", file);
    fputs(whole ? "\n#\n" : "\n\n", file);
}

static void print_sample_section(const struct schema *schema, const struct schema_section *section, FILE *file)
{
    print_wrapped(file, "# ", section->documentation);
    bool named = strstr(section->path, ".NAME") != NULL; /* there is none unless it is written down */
    if (named)
        fprintf(file, "# %.*sexample {\n", (int)(strstr(section->path, "NAME") - section->path), section->path);
    else
        fprintf(file, "%s {\n", section->path);
    for (size_t i = 0; i < schema->keys_count; i++)
        if (print_in_section(schema, &schema->keys[i], section)) print_sample_key(schema, &schema->keys[i], LISTENER_TCP, named, file);
    fputs(named ? "# }\n" : "}\n", file);
}

/* All keys of a TCP listener, and of the other kinds, commented out as a whole, what they have beside those. */
static void print_sample_listeners(const struct schema *schema, const struct schema_section *section, FILE *file)
{
    print_wrapped(file, "# ", section->documentation);
    for (int kind = 0; kind < LISTENER_KINDS; kind++) {
        bool first = kind == LISTENER_TCP;
        fprintf(file, first ? "listeners.%s.%s {\n" : "\n# listeners.%s.%s {\n", listener_kind_names[kind], SCHEMA_DEFAULT_NAME);
        for (size_t i = 0; i < schema->keys_count; i++) {
            const struct schema_key *key = &schema->keys[i];
            if (!print_in_section(schema, key, section) || !(key->kinds >> kind & 1)) continue;
            if (first || !(key->kinds >> LISTENER_TCP & 1) || key->default_of_default) print_sample_key(schema, key, (enum listener_kind)kind, !first, file);
        }
        fputs(first ? "}\n" : "# }\n", file);
    }
}

void config_print_sample(FILE *file)
{
    fputs("# ringmq.conf - the configuration of ringmqd. Every key stands here with its default, commented out: remove the #\n"
          "# of those to change. `ringmqd --check` looks for mistakes, `ringmqd --print-effective` shows what is in force and\n"
          "# where it comes from, docs/configuration.md explains the language. Made by `ringmqd --print-sample`.\n", file);
    const struct schema *schema = config_schema();
    for (size_t i = 0; i < schema->sections_count; i++) {
        bool listeners = strstr(schema->sections[i].path, SCHEMA_LISTENER) != NULL;
        fputc('\n', file);
        (listeners ? print_sample_listeners : print_sample_section)(schema, &schema->sections[i], file);
    }
}
