#include "os/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "os/fd.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
#ifndef DEVPTS_SUPER_MAGIC
#define DEVPTS_SUPER_MAGIC 0x1cd1
#endif

/* C libraries do not agree on the type of a request. */
static int control(int fd, unsigned long request, void *arg)
{
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

int tty_get_size(int fd, unsigned short *ret_rows, unsigned short *ret_cols)
{
	struct winsize ws;

	if (control(fd, TIOCGWINSZ, &ws) < 0)
		return -1;
	*ret_rows = ws.ws_row;
	*ret_cols = ws.ws_col;
	return 0;
}

int tty_set_size(int fd, unsigned short rows, unsigned short cols)
{
	struct winsize ws = {.ws_row = rows, .ws_col = cols};

	return control(fd, TIOCSWINSZ, &ws);
}

int tty_control(int fd)
{
	return control(fd, TIOCSCTTY, NULL);
}

int tty_open(int dirfd, int *ret_master, int *ret_slave, unsigned *ret_number,
	     struct err *err)
{
	FD_AUTO master =
		openat(dirfd, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	FD_AUTO slave = -1;
	struct statfs fs;
	int unlocked = 0;

	if (master < 0)
		return err_sys(err, errno, "open ptmx");
	if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(err, ERR_INVALID, "ptmx is not of a devpts");
	if (control(master, TIOCSPTLCK, &unlocked) < 0 ||
	    control(master, TIOCGPTN, ret_number) < 0)
		return err_sys(err, errno, "unlock the terminal");
	slave = (int)syscall(SYS_ioctl, master, (unsigned long)TIOCGPTPEER,
			     O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(err, errno, "open the terminal");
	*ret_master = fd_take(&master);
	*ret_slave = fd_take(&slave);
	return 0;
}
