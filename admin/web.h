/* web.h - the dashboard: the files of web/, packed and put into the program at build time (cmake/Web.cmake). Constant. */
#ifndef RINGMQ_ADMIN_WEB_H
#define RINGMQ_ADMIN_WEB_H

#include "admin/http.h"

struct web_file {
    const char *name;        /* "app.js" */
    const char *type;        /* of its content */
    const char *tag;         /* strong ETag with its quotes: the hash of the content */
    struct span plain, gzip; /* the content, as it is and packed */
};

/* Made by cmake/Web.cmake. */
extern const struct web_file web_files[];
extern const uint32_t web_files_count;

/* False: the path belongs to none of them. GET and HEAD only; needs no authentication: the files are the same for everybody and hold nothing. */
bool web_serve(struct http_exchange *exchange);

#endif
