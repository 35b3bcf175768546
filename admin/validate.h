/* validate.h - parameters and bodies against the table's schemas. Threads: pure functions. */
#ifndef RINGMQ_ADMIN_VALIDATE_H
#define RINGMQ_ADMIN_VALIDATE_H

#include <jansson.h>

#include "admin/routes.h"

/* True, or a sentence in ret_error that names the member. Integers written as 5.0 become 5. Unknown members are errors: they are typing mistakes. */
bool validate_object(const struct api_schema *schema, const json_t *value, char *ret_error, size_t error_bytes);
/* A parameter's text (decoded). */
bool validate_parameter(const struct api_field *field, const char *text, size_t bytes, char *ret_error, size_t error_bytes);
/* Text of a BOOLEAN: 0 or 1; of an INTEGER. False: it is none. */
bool validate_number(const struct api_field *field, const char *text, int64_t *ret_number);

#endif
