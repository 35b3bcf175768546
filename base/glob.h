/* glob.h - patterns of names: * stands for any number of characters, ? for one (UTF-8), everything else for itself.
 *
 * Linear in the text for one *, text times pattern at worst; no recursion. Threads: any. */
#ifndef RINGMQ_BASE_GLOB_H
#define RINGMQ_BASE_GLOB_H

#include <stdbool.h>

#include "base/span.h"

bool glob_matches(struct span pattern, struct span text);

#endif
