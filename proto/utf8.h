/* utf8.h - UTF-8 as MQTT wants it (§1.5.4): well formed, no overlong forms, no surrogates, nothing above U+10FFFF and, in
 * strings, no U+0000. Control characters and non-characters are allowed: the standard only advises against them.
 *
 * Threads: pure functions. Cost: 16 bytes a step as long as the text is ASCII. */
#ifndef RINGMQ_PROTO_UTF8_H
#define RINGMQ_PROTO_UTF8_H

#include "base/span.h"

/* An MQTT string: UTF-8 without U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2]. */
bool mqtt_utf8_valid(struct span text);
/* Plain UTF-8, U+0000 allowed: a payload whose format indicator is 1 (§3.3.2.3.2). */
bool mqtt_utf8_payload_valid(struct span payload);

#endif
