#include "cmd/ringmq_terminal.h"

#include <signal.h>
#include <stddef.h>
#include <termios.h>
#include <unistd.h>

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define ENDS (sizeof ends / sizeof *ends)

static struct termios as_it_was;
static struct sigaction before[ENDS];
static int hidden_fd = -1;

/* SA_RESETHAND: the second time it ends the program. */
static void on_signal(int number)
{
    tcsetattr(hidden_fd, TCSANOW, &as_it_was);
    raise(number);
}

bool terminal_hide(int fd)
{
    if (tcgetattr(fd, &as_it_was) != 0) return false;
    hidden_fd = fd;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < ENDS; i++) {
        sigaction(ends[i], NULL, &before[i]);
        if (before[i].sa_handler == SIG_DFL) sigaction(ends[i], &action, NULL);
    }
    struct termios silent = as_it_was;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_cc[VSUSP] = _POSIX_VDISABLE;
    tcsetattr(fd, TCSAFLUSH, &silent);
    return true;
}

void terminal_show(void)
{
    tcsetattr(hidden_fd, TCSAFLUSH, &as_it_was);
    for (size_t i = 0; i < ENDS; i++) sigaction(ends[i], &before[i], NULL);
}
