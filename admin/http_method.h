/* http_method.h - the methods of HTTP that are known here. Threads: constant. */
#ifndef RINGMQ_ADMIN_HTTP_METHOD_H
#define RINGMQ_ADMIN_HTTP_METHOD_H

enum http_method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS, METHODS };
extern const char *const http_method_names[METHODS];

#endif
