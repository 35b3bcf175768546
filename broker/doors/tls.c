#include "broker/doors/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/doors/ocsp.h"
#include "tls/tls.h"

#define FILE_BYTES_MAX (16 * 1024 * 1024) /* revocation lists get large */
#define FILES_MAX      (3 * TLS_CERTIFICATES_MAX + 3)
#define EXPIRY_WARNING_DAYS 21

/* What stat() says; a change of any of it is a change of the file. */
struct stamp {
    uint64_t device, inode, bytes;
    int64_t changed_s, changed_ns;
};

struct watched_file {
    char *path;
    struct stamp loaded, seen; /* seen: at the last look */
    uint8_t *content;          /* during a load only */
    size_t bytes;
};

struct door_tls {
    const struct listener_settings *settings; /* the listener's own copy */
    struct tls_slot *slot;
    struct tls_tickets *tickets; /* NULL: off */
    struct watched_file files[FILES_MAX];
    uint32_t files_count;
    struct door_staple *staples[TLS_CERTIFICATES_MAX]; /* NULL: not fetched */
    int64_t warned_s; /* of a certificate that is about to expire */
};

/* ---- keys for tickets, by listener: they outlive a change of its settings ------------------------------------------- */

struct ticket_home {
    struct ticket_home *next;
    char name[80];
    struct tls_tickets *tickets;
    uint32_t lifetime_s;
    int64_t rotated_s;
};

static struct ticket_home *homes; /* the control thread's */

static int64_t monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static struct ticket_home *home_of(const struct listener_settings *settings)
{
    char name[80];
    snprintf(name, sizeof name, "%s.%s", listener_kind_names[settings->kind], settings->name);
    for (struct ticket_home *home = homes; home; home = home->next)
        if (strcmp(home->name, name) == 0) return home;
    struct ticket_home *home = memory_acquire_zeroed(sizeof *home);
    memcpy(home->name, name, sizeof name);
    home->next = homes;
    homes = home;
    return home;
}

static struct tls_tickets *tickets_of(const struct listener_settings *settings)
{
    struct ticket_home *home = home_of(settings);
    if (home->tickets && home->lifetime_s == settings->tls.ticket_lifetime_s) return home->tickets;
    tls_tickets_release(home->tickets);
    home->tickets = tls_tickets_create(settings->tls.ticket_lifetime_s);
    home->lifetime_s = settings->tls.ticket_lifetime_s;
    home->rotated_s = monotonic_s();
    return home->tickets;
}

static void tickets_tick(const struct listener_settings *settings)
{
    struct ticket_home *home = home_of(settings);
    if (!home->tickets || monotonic_s() - home->rotated_s < (int64_t)home->lifetime_s) return;
    tls_tickets_rotate(home->tickets);
    home->rotated_s = monotonic_s();
}

void door_tls_forget(void)
{
    door_ocsp_stop();
    while (homes) {
        struct ticket_home *home = homes;
        homes = home->next;
        tls_tickets_release(home->tickets);
        memory_release(home);
    }
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

/* Where a sentence about what is wrong goes. */
struct complaint {
    const struct listener_settings *settings;
    char *text;
    size_t bytes;
};

static bool complain(struct complaint *complaint, const char *key, const char *path, const char *what)
{
    snprintf(complaint->text, complaint->bytes, "listeners.%s.%s.tls.%s: %s%s%s", listener_kind_names[complaint->settings->kind],
             complaint->settings->name, key, path, *path ? ": " : "", what);
    return false;
}

static struct stamp stamp_of(const struct stat *status)
{
    return (struct stamp){(uint64_t)status->st_dev, (uint64_t)status->st_ino, (uint64_t)status->st_size, status->st_mtim.tv_sec,
                          status->st_mtim.tv_nsec};
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b) { return memcmp(a, b, sizeof *a) == 0; }

static struct stamp look(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? stamp_of(&status) : (struct stamp){0};
}

/* The whole file into file->content. NULL, or what is wrong. */
static const char *file_read(struct watched_file *file, mode_t *ret_mode)
{
    struct stat status;
    const char *wrong = NULL;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hold us up */
    if (fd < 0) return strerror(errno);
    if (fstat(fd, &status) != 0) {
        wrong = strerror(errno);
    } else if (!S_ISREG(status.st_mode)) {
        wrong = "it is no file";
    } else if (status.st_size > FILE_BYTES_MAX) {
        wrong = "it is larger than 16 MiB";
    } else {
        file->loaded = file->seen = stamp_of(&status);
        file->content = memory_acquire((size_t)status.st_size + 1);
        ssize_t bytes;
        while ((size_t)status.st_size > file->bytes &&
               (bytes = read(fd, file->content + file->bytes, (size_t)status.st_size - file->bytes)) != 0) {
            if (bytes < 0 && errno == EINTR) continue;
            if (bytes < 0) {
                wrong = strerror(errno);
                break;
            }
            file->bytes += (size_t)bytes;
        }
        *ret_mode = status.st_mode;
    }
    close(fd);
    return wrong;
}

static void file_forget(struct watched_file *file)
{
    if (file->content) explicit_bzero(file->content, file->bytes); /* it may have been a key */
    memory_release(file->content);
    file->content = NULL;
    file->bytes = 0;
}

/* One more file of this load; what it holds is good until the load ends. A file with number `files_count` in the load before keeps its place. */
static bool file_add(struct door_tls *door, const char *key, struct span path, struct tls_file *ret_file, struct complaint *complaint)
{
    CHECK(door->files_count < FILES_MAX);
    struct watched_file *file = &door->files[door->files_count++];
    mode_t mode = 0;
    file->path = memory_copy_string(path);
    const char *wrong = file_read(file, &mode);
    if (wrong) return complain(complaint, key, file->path, wrong);
    bool is_secret = strcmp(key, "keyfile") == 0 || strcmp(key, "psk_file") == 0;
    if (is_secret && mode & S_IROTH)
        LOG(WARN, "a secret file can be read by everybody", "listener=%s.%s file=%s what=\"chmod o-r\"",
            listener_kind_names[door->settings->kind], door->settings->name, log_quoted(path));
    *ret_file = (struct tls_file){file->path, span_of(file->content, file->bytes)};
    return true;
}

/* The next path of a list with commas. */
static struct span next_path(const char **list)
{
    while (**list == ',' || **list == ' ')
        ++*list;
    size_t bytes = strcspn(*list, ",");
    struct span path = span_of(*list, bytes);
    *list += bytes;
    while (path.bytes && path.data[path.bytes - 1] == ' ')
        path.bytes--;
    return path;
}

/* ---- loading -------------------------------------------------------------------------------------------------------- */

static bool load_certificates(struct door_tls *door, struct tls_certificate *certificates, struct tls_options *options,
                              struct complaint *complaint)
{
    const struct tls_settings *tls = &door->settings->tls;
    const char *chains = tls->certificate_files, *keys = tls->key_files, *staples = tls->ocsp_files;
    for (;;) {
        struct span chain = next_path(&chains), key = next_path(&keys), staple = next_path(&staples);
        if (chain.bytes == 0 && key.bytes == 0)
            return staple.bytes == 0 || complain(complaint, "ocsp_file", "", "there are more OCSP responses than certificate files");
        if (chain.bytes == 0) return complain(complaint, "certfile", "", "there are more key files than certificate files");
        if (options->certificates_count == TLS_CERTIFICATES_MAX) return complain(complaint, "certfile", "", "there are more than 32 files");
        if (key.bytes == 0) key = chain; /* both in one file, as some tools write them */
        struct tls_certificate *certificate = &certificates[options->certificates_count++];
        certificate->key_password = tls->password;
        if (!file_add(door, "certfile", chain, &certificate->chain, complaint) ||
            !file_add(door, "keyfile", key, &certificate->key, complaint) ||
            (staple.bytes && !file_add(door, "ocsp_file", staple, &certificate->staple, complaint)))
            return false;
    }
}

static bool load_optional(struct door_tls *door, const char *key, const char *path, struct tls_file *ret_file, struct complaint *complaint)
{
    return !*path || file_add(door, key, span_of_string(path), ret_file, complaint);
}

static const char *alpn_of(const struct listener_settings *settings)
{
    if (strcmp(settings->tls.alpn, "none") == 0) return "";
    if (*settings->tls.alpn) return settings->tls.alpn;
    return settings->kind == LISTENER_WSS ? "http/1.1" : "mqtt";
}

static void staples_forget(struct door_tls *door)
{
    for (uint32_t i = 0; i < TLS_CERTIFICATES_MAX; i++) {
        door_staple_release(door->staples[i]);
        door->staples[i] = NULL;
    }
}

static void staples_tick(struct door_tls *door)
{
    for (uint32_t i = 0; i < TLS_CERTIFICATES_MAX && door->staples[i]; i++)
        door_staple_tick(door->staples[i]);
}

/* Those of a context that is about to serve. */
static void staples_begin(struct door_tls *door, struct tls_context *context, const struct tls_options *options)
{
    staples_forget(door);
    if (!door->settings->tls.ocsp_stapling) return;
    for (uint32_t i = 0; i < options->certificates_count; i++)
        door->staples[i] = door_staple_create(door->settings, context, i, options->certificates[i].chain.content, options->ca.content);
}

static bool judge_ocsp(const struct tls_settings *tls, struct complaint *complaint)
{
    if (tls->ocsp_check != OCSP_CHECK_OFF && !tls->verify_peer)
        return complain(complaint, "ocsp_check", "", "clients are asked for no certificate: set verify = verify_peer");
    if (tls->ocsp_stapling && *tls->ocsp_files) return complain(complaint, "ocsp_stapling", "", "either it or ocsp_file");
    if (*tls->ocsp_responder && strncmp(tls->ocsp_responder, "http://", 7) != 0)
        return complain(complaint, "ocsp_responder", "", "write http://host:port/path (OCSP answers are signed, not encrypted)");
    return true;
}

static struct tls_context *build(struct door_tls *door, struct complaint *complaint)
{
    const struct tls_settings *tls = &door->settings->tls;
    struct tls_certificate certificates[TLS_CERTIFICATES_MAX] = {0};
    struct tls_file psk_file = {0};
    struct tls_options options = {.certificates = certificates,
                                  .ask_certificate = tls->verify_peer,
                                  .require_certificate = tls->verify_peer && tls->certificate_required,
                                  .depth = tls->depth,
                                  .version_min = (enum tls_version)tls->version_min,
                                  .version_max = (enum tls_version)tls->version_max,
                                  .ciphers = tls->ciphers,
                                  .alpn = alpn_of(door->settings),
                                  .tickets = door->tickets,
                                  .psk_username = tls->psk_as_username,
                                  .username = (enum tls_name)tls->username,
                                  .client_id = (enum tls_name)tls->client_id};
    if (!judge_ocsp(tls, complaint) || !load_certificates(door, certificates, &options, complaint)) return NULL;
    for (uint32_t i = 0; i < options.certificates_count; i++)
        certificates[i].staple_comes = tls->ocsp_stapling;
    if (!load_optional(door, "cacertfile", tls->ca_file, &options.ca, complaint)) return NULL;
    if (!load_optional(door, "crlfile", tls->crl_file, &options.crl, complaint)) return NULL;
    if (!load_optional(door, "psk_file", tls->psk_file, &psk_file, complaint)) return NULL;
    char error[TLS_ERROR_BYTES];
    if (psk_file.name && !(options.psk = tls_psk_create(&psk_file, error, sizeof error))) {
        complain(complaint, "psk_file", "", error);
        return NULL;
    }
    struct door_ocsp *ocsp = tls->ocsp_check ? door_ocsp_create(door->settings, options.ca.content) : NULL;
    if (ocsp) {
        options.checker = &door_ocsp_checker;
        options.checker_context = ocsp;
    }
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    door_ocsp_release(ocsp);
    tls_psk_release(options.psk);
    if (context) staples_begin(door, context, &options);
    if (!context) {
        snprintf(complaint->text, complaint->bytes, "listeners.%s.%s.tls: %s", listener_kind_names[door->settings->kind],
                 door->settings->name, error);
    }
    return context;
}

static void files_forget(struct watched_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        file_forget(&files[i]);
        memory_release(files[i].path);
    }
}

/* Reads all files again and makes a context of them. On failure the files are watched as before, with what was seen of them now: the same
 * mistake is not read again and again. */
static struct tls_context *load(struct door_tls *door, struct complaint *complaint)
{
    struct watched_file before[FILES_MAX];
    uint32_t before_count = door->files_count;
    memcpy(before, door->files, sizeof before);
    memset(door->files, 0, sizeof door->files);
    door->files_count = 0;
    struct tls_context *context = build(door, complaint);
    if (context || before_count == 0) {
        for (uint32_t i = 0; i < door->files_count; i++)
            file_forget(&door->files[i]);
        files_forget(before, before_count);
        return context;
    }
    files_forget(door->files, door->files_count);
    memcpy(door->files, before, sizeof before);
    door->files_count = before_count;
    for (uint32_t i = 0; i < before_count; i++)
        door->files[i].loaded = door->files[i].seen = look(door->files[i].path);
    return NULL;
}

/* ---- what the log says ---------------------------------------------------------------------------------------------- */

static void warn_of_expiry(struct door_tls *door, const struct tls_context *context)
{
    int64_t now = time(NULL), expires;
    if (now - door->warned_s < 86400) return;
    for (uint32_t i = 0; tls_context_expiry(context, i, &expires); i++) {
        char text[512] = "";
        if (expires - now > EXPIRY_WARNING_DAYS * 86400) continue;
        tls_context_describe(context, i, text, sizeof text);
        LOG(WARN, expires < now ? "certificate has expired" : "certificate expires soon", "listener=%s.%s %s",
            listener_kind_names[door->settings->kind], door->settings->name, text);
        door->warned_s = now;
    }
}

static void log_loaded(const struct door_tls *door, const struct tls_context *context)
{
    char text[512];
    for (uint32_t i = 0; tls_context_describe(context, i, text, sizeof text); i++)
        LOG(NOTICE, "certificate loaded", "listener=%s.%s %s", listener_kind_names[door->settings->kind], door->settings->name, text);
}

/* ---- the door ------------------------------------------------------------------------------------------------------- */

struct door_tls *door_tls_open(const struct listener_settings *settings, char *ret_error, size_t error_bytes)
{
    struct door_tls *door = memory_acquire_zeroed(sizeof *door);
    struct complaint complaint = {settings, ret_error, error_bytes};
    tls_library_start();
    door->settings = settings;
    door->tickets = settings->tls.session_tickets ? tls_tickets_retain(tickets_of(settings)) : NULL;
    struct tls_context *context = load(door, &complaint);
    if (!context) {
        door_tls_close(door);
        return NULL;
    }
    door->slot = tls_slot_create(context);
    log_loaded(door, context);
    warn_of_expiry(door, context);
    return door;
}

void door_tls_close(struct door_tls *door)
{
    if (!door) return;
    files_forget(door->files, door->files_count);
    staples_forget(door);
    tls_slot_release(door->slot);
    tls_tickets_release(door->tickets);
    memory_release(door);
}

struct filter *door_tls_filter(struct door_tls *door, struct stats *stats)
{
    struct tls_context *context = tls_slot_take(door->slot);
    struct filter *filter = tls_filter_create_for(context, stats);
    tls_context_release(context);
    return filter;
}

static bool files_changed(struct door_tls *door)
{
    bool changed = false, quiet = true;
    for (uint32_t i = 0; i < door->files_count; i++) {
        struct watched_file *file = &door->files[i];
        struct stamp now = look(file->path);
        changed |= !stamp_equal(&now, &file->loaded);
        quiet &= stamp_equal(&now, &file->seen);
        file->seen = now;
    }
    return changed && quiet;
}

void door_tls_tick(struct door_tls *door, bool forced)
{
    if (door->tickets) tickets_tick(door->settings);
    staples_tick(door);
    if (!forced && !files_changed(door)) {
        struct tls_context *context = tls_slot_take(door->slot);
        warn_of_expiry(door, context);
        tls_context_release(context);
        return;
    }
    char error[1024] = "";
    struct complaint complaint = {door->settings, error, sizeof error};
    struct tls_context *context = load(door, &complaint);
    if (!context) {
        LOG(ERROR, "TLS files not reloaded", "listener=%s.%s what=%s", listener_kind_names[door->settings->kind], door->settings->name,
            log_quoted(span_of_string(error)));
        return;
    }
    door->warned_s = 0;
    log_loaded(door, context);
    warn_of_expiry(door, context);
    tls_slot_set(door->slot, context);
    staples_tick(door);
}
