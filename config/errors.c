#include "config/errors.h"

#include <stdarg.h>
#include <string.h>

#include "base/memory.h"

#define ERROR_BYTES_MAX 2048

void config_origin_format(const struct config_origin *origin, char *ret_text, size_t bytes)
{
    static const char *const kinds[] = {[ORIGIN_DEFAULT] = "default", [ORIGIN_FILE] = "",
                                        [ORIGIN_ENVIRONMENT] = "environment ", [ORIGIN_COMMAND_LINE] = "command line --set "};
    const char *name = origin->name && origin->kind != ORIGIN_DEFAULT ? origin->name : "";
    if (origin->line)
        snprintf(ret_text, bytes, "%s%.400s:%u:%u", kinds[origin->kind], name, origin->line, origin->column);
    else
        snprintf(ret_text, bytes, "%s%.400s", kinds[origin->kind], name);
}

void config_errors_add(struct config_errors *errors, const struct config_origin *origin, const char *format, ...)
{
    char text[ERROR_BYTES_MAX] = "";
    if (origin) {
        config_origin_format(origin, text, CONFIG_ORIGIN_BYTES_MAX);
        strcat(text, ": ");
    }
    size_t start = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + start, sizeof text - start, format, arguments);
    va_end(arguments);

    uint32_t kept = errors->count < CONFIG_ERRORS_MAX ? errors->count : CONFIG_ERRORS_MAX;
    for (uint32_t i = 0; i < kept; i++)
        if (strcmp(errors->texts[i], text) == 0) return;
    if (kept < CONFIG_ERRORS_MAX) errors->texts[kept] = memory_copy_string(span_of_string(text));
    errors->count++;
}

void config_errors_print(const struct config_errors *errors, FILE *file)
{
    for (uint32_t i = 0; i < errors->count && i < CONFIG_ERRORS_MAX; i++)
        fprintf(file, "%s\n", errors->texts[i]);
    if (errors->count > CONFIG_ERRORS_MAX)
        fprintf(file, "… and %u more error%s\n", errors->count - CONFIG_ERRORS_MAX,
                errors->count - CONFIG_ERRORS_MAX == 1 ? "" : "s");
}

void config_errors_clear(struct config_errors *errors)
{
    for (uint32_t i = 0; i < errors->count && i < CONFIG_ERRORS_MAX; i++)
        memory_release(errors->texts[i]);
    *errors = (struct config_errors){0};
}
