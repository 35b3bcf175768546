#include "base/settings.h"

const char *const listener_kind_names[LISTENER_KINDS] = {"tcp", "tls", "ws", "wss", "unix"};
