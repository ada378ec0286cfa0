#include "unit.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/sandbox.h"

/* Runs fn in a child that is confined to a few calls; its exit status. */
static int confined(int (*fn)(void))
{
	static const int calls[] = {SYS_exit_group, SYS_getpid, SYS_write};
	struct err err;
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		if (sandbox_calls(calls, 3, &err) < 0)
			syscall(SYS_exit_group, 99);
		syscall(SYS_exit_group, fn());
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int listed(void)
{
	return syscall(SYS_getpid) > 0 ? 0 : 1;
}

static int not_listed(void)
{
	if (syscall(SYS_getppid) != -1 || errno != EPERM)
		return 1;
	if (syscall(SYS_socket, 2, 1, 0) != -1 || errno != EPERM)
		return 2;
	return syscall(SYS_execve, "/bin/true", NULL, NULL) == -1 && errno == EPERM ? 0
										    : 3;
}

TEST(listed_calls_work_and_no_others)
{
	CHECK_INT(confined(listed), 0);
	CHECK_INT(confined(not_listed), 0);
}

TEST(capabilities)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct err err;
		int bad = sandbox_caps(UINT64_C(1) << 0, &err) < 0 ? 1 : 0;

		if (!bad && prctl(PR_CAPBSET_READ, 0) != 1)
			bad = 2;
		for (int cap = 1; !bad && cap < 40; cap++)
			if (prctl(PR_CAPBSET_READ, cap) != 0)
				bad = 3;
		if (!bad && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
			bad = 4;
		if (!bad && (syscall(SYS_setuid, 1) != -1 || errno != EPERM))
			bad = 5;
		_exit(bad);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
}
