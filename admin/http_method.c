#include "admin/http_method.h"

const char *const http_method_names[METHODS] = {"OTHER", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
