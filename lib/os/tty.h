/* tty: pseudo terminals (pty(7)). */
#ifndef OS_TTY_H
#define OS_TTY_H

#include <stdbool.h>

#include "base/err.h"

/* Window size in characters. 0 or -1 with errno. */
int tty_get_size(int fd, unsigned short *ret_rows, unsigned short *ret_cols);
int tty_set_size(int fd, unsigned short rows, unsigned short cols);

/* Makes fd the controlling terminal of this session. 0 or -1 with errno. */
int tty_control(int fd);

/*
 * A new terminal of the devpts instance that dirfd is ("ptmx" in it; nothing else is
 * taken for one). Owned fds. 0 or -1; *ret_number is the N of /dev/pts/N.
 */
int tty_open(int dirfd, int *ret_master, int *ret_slave, unsigned *ret_number,
	     struct err *err);

#endif
