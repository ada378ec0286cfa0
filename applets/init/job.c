/* job: children that do for init what may hang, or what parses bytes that others wrote. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "init/init.h"
#include "os/fd.h"
#include "os/proc.h"

static pid_t start(struct init *in, const char *const *words, int fd3, int *ret_pidfd)
{
	int out = in->machine && in->kmsg >= 0 ? in->kmsg : STDERR_FILENO;
	const int fds[4] = {-1, out, out, fd3};
	pid_t pid = spawn_job(words, fds, ret_pidfd);

	if (pid < 0)
		say(in, SAY_ERROR, words[0], "cannot start: %s", strerror(errno));
	return pid;
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int job_now(struct init *in, const char *const *words, int seconds, void *out,
	    size_t size, size_t *ret_n)
{
	int64_t deadline = time_mono() + seconds * NS_PER_SEC;
	FD_AUTO from = -1;
	FD_AUTO to = -1;
	FD_AUTO pidfd = -1;
	int pipefd[2] = {-1, -1}, status = 0;
	size_t n = 0;
	pid_t pid;

	if (out && pipe2(pipefd, O_CLOEXEC) < 0)
		return -1;
	from = pipefd[0];
	to = pipefd[1];
	pid = start(in, words, to, &pidfd);
	if (pid < 0)
		return -1;
	fd_close(&to);
	for (;;) {
		struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN},
				      {.fd = from, .events = POLLIN}};
		int64_t left = (deadline - time_mono()) / NS_PER_MS;

		if (poll(p, 2, left < 0 ? 0 : (int)left) == 0) {
			say(in, SAY_ERROR, words[0], "takes more than %d s: given up",
			    seconds);
			kill(pid, SIGKILL); /* reaped whenever it ends */
			return -1;
		}
		if (p[1].revents) {
			ssize_t got =
				n < size ? read(from, (char *)out + n, size - n) : 0;

			if (got > 0)
				n += (size_t)got;
			else
				fd_close(&from);
		} else if (p[0].revents) {
			break;
		}
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (ret_n)
		*ret_n = n;
	if (!WIFEXITED(status))
		say(in, SAY_ERROR, words[0], "killed by signal %d", WTERMSIG(status));
	return exit_status(status);
}

static void on_deadline(struct loop_timer *t)
{
	struct job *j = container_of(t, struct job, deadline);

	say(j->init, SAY_ERROR, j->name, "takes too long: given up");
	if (j->pidfd >= 0)
		proc_kill(j->pidfd, SIGKILL);
	/* its end is not waited for: a child in the kernel's hands cannot be killed */
	fd_close(&j->pidfd);
	j->pid = 0;
	j->done(j->init, -1);
}

int job_start(struct init *in, const char *const *words, int seconds,
	      void (*done)(struct init *in, int status))
{
	struct job *j = NULL;
	pid_t pid;

	for (int i = 0; i < JOBS && !j; i++)
		if (!in->jobs[i].pid)
			j = &in->jobs[i];
	if (!j)
		return -1;
	pid = start(in, words, -1, &j->pidfd);
	if (pid < 0)
		return -1;
	j->init = in;
	j->name = words[0];
	j->pid = pid;
	j->done = done;
	j->deadline.fn = on_deadline;
	loop_timer_set(in->loop, &j->deadline, time_mono() + seconds * NS_PER_SEC);
	return 0;
}

bool job_reaped(struct init *in, pid_t pid, int status)
{
	for (int i = 0; i < JOBS; i++) {
		struct job *j = &in->jobs[i];

		if (j->pid != pid)
			continue;
		loop_timer_del(&j->deadline);
		fd_close(&j->pidfd);
		j->pid = 0;
		j->done(in, exit_status(status));
		return true;
	}
	return false;
}
