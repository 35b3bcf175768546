/* pages.h - what is served outside of /api/v1: the OpenAPI document, its readable form, /metrics. */
#ifndef RINGMQ_ADMIN_PAGES_H
#define RINGMQ_ADMIN_PAGES_H

#include "admin/admin.h"
#include "admin/accounts.h"
#include "admin/http.h"

/* False: there is no such page. */
bool page_serve(struct admin *admin, struct http_exchange *exchange);

/* api.c. browser: a person may be asked for name and password by the browser. */
bool api_admit(struct admin *admin, struct http_exchange *exchange, enum api_role role, bool browser, struct accounts_identity *ret_who);

/* openapi.c: the document (OpenAPI 3.1), made once. */
struct span openapi_document(void);
/* openapi_page.c: the same for people, as HTML without scripts. */
struct span openapi_page(void);

/* openapi_page.c: and as Markdown: docs/admin-api-reference.md. */
void openapi_write_docs(struct http_text *ret_text);

#endif
