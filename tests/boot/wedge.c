/*
 * wedge: a service that makes init stand still: when it is told to stop, which is in the midst of
 * the way down, it freezes the group that process 1 is in.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	int fd = open("/sys/fs/cgroup/init/cgroup.freeze", O_WRONLY | O_CLOEXEC), sig;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (fd < 0 || sigwait(&set, &sig) != 0 || write(fd, "1", 1) != 1) {
		perror("wedge");
		return 1;
	}
	pause();
	return 0;
}
