#include "shim/selfexe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/ns.h"
#include "os/self.h"
#include "os/sock.h"

static void become_pause(int exe, int fail)
{
	char *const argv[] = {(char[]){"pause"}, NULL};
	char *const envp[] = {NULL};
	struct err e;

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	syscall(SYS_execveat, exe, "", argv, envp, AT_EMPTY_PATH);
	err_sys(&e, errno, "start the pause process");
	fd_write_all(fail, &e, sizeof(e));
	_exit(127);
}

pid_t pause_start(int userns, struct err *err)
{
	FD_AUTO exe = self_open_protected(err);
	int pair[2];
	struct err e;
	pid_t pid;
	ssize_t n;

	if (exe < 0)
		return -1;
	if (userns >= 0 && setns(userns, CLONE_NEWUSER) < 0)
		return err_sys(err, errno, "enter the pod's user namespace");
	if (sock_pair(pair, err) < 0)
		return -1;
	pid = ns_clone(CLONE_NEWPID | CLONE_PARENT, NULL, err);
	if (pid == 0)
		become_pause(exe, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_wrap(err, "new PID namespace");
	}
	n = fd_read_full(pair[0], &e, sizeof(e)); /* closed by the exec */
	close(pair[0]);
	if (n == (ssize_t)sizeof(e)) {
		*err = e;
		return -1;
	}
	return pid;
}
