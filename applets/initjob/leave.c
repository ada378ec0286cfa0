/* leave: the last jobs of a node that goes down. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "initjob/initjob.h"
#include "os/fd.h"
#include "os/mounts.h"
#include "os/proc.h"

enum {
	PODS = 512,
	MOUNTS = 4096,
	ONE_UMOUNT_MS = 4000,
	READ_ONLY = -1, /* a remount, in the place of umount2(2)'s flags */
};

#define GRACE "20" /* seconds of a container between SIGTERM and SIGKILL */

/* --- pods ----------------------------------------------------------------------------------- */

/* "cribox ctl WORDS [ID]", its output to out (-1: nowhere). */
static pid_t run_ctl(const char *const *words, const char *id, int out, struct err *err)
{
	const char *argv[10] = {"cribox", "ctl"};
	struct proc_spawn how = {
		.argv = argv, .fd3 = -1, .fds = {-1, out, STDERR_FILENO}};
	size_t n = 2;

	while (*words && n < ARRAY_LEN(argv) - 2)
		argv[n++] = *words++;
	argv[n] = id;
	return proc_spawn(&how, NULL, err);
}

/*
 * Runs one command for each id that another one lists, all at a time: each has its own
 * grace, and there is one deadline for all of them. How many there were, or -1.
 */
static int for_each(const char *const *list, const char *const *act, struct err *err)
{
	BUF_AUTO ids = {0};
	int fds[2], n = 0, failed = 0, status, r;
	char *save = NULL;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	pid = run_ctl(list, NULL, fds[1], err);
	close(fds[1]);
	r = pid < 0 ? -1 : fd_read_all(fds[0], 1 << 17, &ids, err);
	close(fds[0]);
	if (r < 0)
		return -1;
	buf_add_char(&ids, 0);
	for (char *id = strtok_r((char *)ids.data, "\n", &save); id && n < PODS;
	     id = strtok_r(NULL, "\n", &save))
		n += run_ctl(act, id, -1, err) > 0;
	while (wait(&status) > 0)
		failed += status != 0;
	if (failed)
		complain("stop", "%s: %d of %d failed", act[0], failed, n);
	return n;
}

/* To stop a pod is to kill what is in it (CRI): its containers get their grace before. */
int job_stop_pods(char **args, struct err *err)
{
	static const char *const containers[] = {"ps", "-q", "--no-trunc", NULL};
	static const char *const stop[] = {"stop", "--timeout", GRACE, NULL};
	static const char *const pods[] = {"pods",    "-q",    "--no-trunc",
					   "--state", "ready", NULL};
	static const char *const stopp[] = {"stopp", NULL};
	int c, p;

	(void)args;
	c = for_each(containers, stop, err);
	p = for_each(pods, stopp, err);
	if (c < 0 || p < 0)
		return -1;
	if (p)
		tell("stop", "%d containers and %d pods stopped", c, p);
	return 0;
}

/* --- file systems --------------------------------------------------------------------------- */

static bool stays(const char *at)
{
	static const char *const kernel[] = {"/proc", "/sys", "/dev", "/run"};

	for (size_t i = 0; i < ARRAY_LEN(kernel); i++)
		if (str_starts(at, kernel[i]) &&
		    (!at[strlen(kernel[i])] || at[strlen(kernel[i])] == '/') &&
		    !str_starts(at, "/run/netns/"))
			return true;
	return str_eq(at, "/");
}

/* Servers that are gone make these hang. */
static bool is_remote(const char *type)
{
	static const char *const types[] = {"nfs", "nfs4", "cifs", "smb3", "ceph", "9p"};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(type, types[i]))
			return true;
	return str_starts(type, "fuse");
}

/* In a child: a file system may hang, and then only that does. 0, or an errno. */
static int in_child(const char *at, int flags)
{
	const struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
	int64_t deadline = time_mono() + ONE_UMOUNT_MS * NS_PER_MS;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int r = flags == READ_ONLY
				? mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL)
				: umount2(at, flags | UMOUNT_NOFOLLOW);

		_exit(r == 0 ? 0 : errno & 127);
	}
	while (pid > 0 && time_mono() < deadline) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
		nanosleep(&pause, NULL);
	}
	return ETIMEDOUT;
}

/* False if it was in use, or hangs. */
static bool unmount_any(const struct mounts_line *m)
{
	int r = in_child(m->target, is_remote(m->type) ? MNT_FORCE | MNT_DETACH : 0);

	if (r == 0 || r == EINVAL || r == ENOENT) /* gone with another one */
		return true;
	complain("stop", "%s (%s) %s: unmounted lazily", m->target, m->type,
		 r == ETIMEDOUT ? "hangs" : "was busy");
	/* it goes when it can, and nothing is written to it any more */
	if (r == EBUSY)
		in_child(m->target, READ_ONLY);
	in_child(m->target, MNT_DETACH);
	return false;
}

int job_unmount(char **args, struct err *err)
{
	static struct mounts_line list[MOUNTS];
	BUF_AUTO text = {0};
	unsigned done = 0, left = 0;
	size_t n = 0;
	char *at;

	(void)args;
	if (mounts_read(&text, err) < 0)
		return -1;
	buf_add_char(&text, 0);
	at = (char *)text.data;
	while (n < MOUNTS && mounts_next(&at, &list[n]))
		n++;
	/* the last that was mounted is the first to go */
	while (n-- > 0) {
		if (stays(list[n].target))
			continue;
		if (unmount_any(&list[n]))
			done++;
		else
			left++;
	}
	tell("stop", "%u file systems unmounted, %u lazily", done, left);
	return 0;
}

int job_sync(char **args, struct err *err)
{
	(void)args;
	(void)err;
	sync();
	return 0;
}
