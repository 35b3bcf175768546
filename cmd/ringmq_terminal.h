/* ringmq_terminal.h - what is typed is not shown: passwords. */
#ifndef RINGMQ_CMD_TERMINAL_H
#define RINGMQ_CMD_TERMINAL_H

#include <stdbool.h>

/* From here on the terminal `fd` does not show what is typed. False: it is no terminal. A signal that ends the program shows it again before it ends, and Ctrl-Z does nothing. */
bool terminal_hide(int fd);
void terminal_show(void);

#endif
