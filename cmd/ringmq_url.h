/* ringmq_url.h - URLs of servers: mqtt:// mqtts:// ws:// wss:// (and tcp:// ssl:// tls://, as other clients write) and unix:PATH. */
#ifndef RINGMQ_CMD_URL_H
#define RINGMQ_CMD_URL_H

#include "cmd/ringmq_endpoint.h"

extern const char *const url_schemes[ENDPOINT_KINDS];

/* False with a complaint. url_release() is right either way. */
bool url_parse(const char *text, struct url *ret_url);
void url_release(struct url *url);

#endif
