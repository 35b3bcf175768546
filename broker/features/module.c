/* module.c - features and libraries in shared objects. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"

#define INSTALLED_BESIDE "../lib/ringmq" /* of the folder with the program */

static bool folder_of_program(char *ret_path, size_t bytes)
{
    ssize_t used = readlink("/proc/self/exe", ret_path, bytes - 1);
    if (used <= 0) return false;
    ret_path[used] = 0;
    char *slash = strrchr(ret_path, '/');
    if (!slash) return false;
    *slash = 0;
    return true;
}

static bool file_there(char *ret_path, size_t bytes, const char *folder, const char *below, const char *name)
{
    int used = snprintf(ret_path, bytes, "%s%s%s/%s.so", folder, *below ? "/" : "", below, name);
    return used > 0 && (size_t)used < bytes && access(ret_path, F_OK) == 0;
}

/* A name with a slash is a path; others are looked for in `path`, or beside this program. False: where it was looked for. */
static bool module_find(const char *name, const char *path, char *ret_path, size_t bytes, char *ret_error, size_t error_bytes)
{
    if (strchr(name, '/')) {
        snprintf(ret_path, bytes, "%s", name);
        if (access(ret_path, F_OK) == 0) return true;
        snprintf(ret_error, error_bytes, "there is no file %s", name);
        return false;
    }
    if (path && *path) {
        const char *rest = path;
        while (*rest) {
            char folder[PATH_MAX];
            size_t folder_bytes = strcspn(rest, ":");
            snprintf(folder, sizeof folder, "%.*s", (int)folder_bytes, rest);
            if (folder_bytes && file_there(ret_path, bytes, folder, "", name)) return true;
            rest += folder_bytes + (rest[folder_bytes] == ':');
        }
        snprintf(ret_error, error_bytes, "there is no %s.so in %s", name, path);
        return false;
    }
    char folder[PATH_MAX];
    if (!folder_of_program(folder, sizeof folder)) {
        snprintf(ret_error, error_bytes, "cannot find out where this program lies (is /proc mounted?); write the module's path");
        return false;
    }
    if (file_there(ret_path, bytes, folder, "features", name) || file_there(ret_path, bytes, folder, INSTALLED_BESIDE, name)) return true;
    snprintf(ret_error, error_bytes, "there is no %s.so in %s/features or %s/" INSTALLED_BESIDE, name, folder, folder);
    return false;
}

static void *module_open(const char *name, const char *path, const char *symbol, char *ret_error, size_t error_bytes)
{
    char file[PATH_MAX];
    if (!module_find(name, path, file, sizeof file, ret_error, error_bytes)) return NULL;
    void *module = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        snprintf(ret_error, error_bytes, "cannot load %s", dlerror()); /* begins with the file */
        return NULL;
    }
    void *found = dlsym(module, symbol);
    if (!found) {
        snprintf(ret_error, error_bytes, "%s has no symbol `%s`: it is not a module of ringmq", file, symbol);
        dlclose(module);
    }
    return found;
}

static bool load_one(struct feature_list *list, const char *name, const char *path, char *ret_error, size_t error_bytes)
{
    char reason[1024];
    const struct feature *const *feature = module_open(name, path, "ringmq_feature", reason, sizeof reason);
    bool added = feature && *feature && feature_list_add(list, *feature, reason, sizeof reason);
    if (feature && !*feature) snprintf(reason, sizeof reason, "its symbol `ringmq_feature` is NULL");
    if (!added) snprintf(ret_error, error_bytes, "module %s: %s", name, reason);
    return added; /* modules stay loaded to the end of the process */
}

bool feature_list_load(struct feature_list *list, const char *modules, const char *path, char *ret_error, size_t error_bytes)
{
    while (modules && *modules) {
        modules += strspn(modules, " ,");
        size_t bytes = strcspn(modules, " ,");
        if (bytes == 0) break;
        char *name = memory_copy_string(span_of(modules, bytes));
        bool loaded = load_one(list, name, path, ret_error, error_bytes);
        memory_release(name);
        if (!loaded) return false;
        modules += bytes;
    }
    return true;
}

void *feature_library(struct feature_node *node, const char *name, const char *symbol, char *ret_error, size_t error_bytes)
{
    return module_open(name, node->frame->module_path, symbol, ret_error, error_bytes);
}

const void *features_library(const struct features *features, const char *name, const char *symbol, char *ret_error, size_t error_bytes)
{
    return module_open(name, features ? features->module_path : NULL, symbol, ret_error, error_bytes);
}
