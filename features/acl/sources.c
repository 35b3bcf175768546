#include "features/acl/sources.h"

static const struct acl_sources *offered; /* the control thread's */

void acl_sources_offer(const struct acl_sources *sources) { offered = sources; }
const struct acl_sources *acl_sources_offered(void) { return offered; }
