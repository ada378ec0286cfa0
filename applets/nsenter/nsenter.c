/* nsenter: runs a program in the namespaces of another process, as util-linux's does. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "tool.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const char usage[] =
	"  -t, --target PID        the process whose namespaces are meant\n"
	"  -a, --all               all of its namespaces\n"
	"  -m, --mount [FILE]      the mount namespace, of the process or FILE\n"
	"  -u, --uts [FILE]        host name\n"
	"  -i, --ipc [FILE]        System V IPC, message queues\n"
	"  -n, --net [FILE]        network\n"
	"  -p, --pid [FILE]        processes\n"
	"  -C, --cgroup [FILE]     control groups\n"
	"  -U, --user [FILE]       users\n"
	"  -T, --time [FILE]       clocks\n"
	"  -r, --root [DIRECTORY]  its root directory\n"
	"  -w, --wd [DIRECTORY]    its working directory\n"
	"  -S, --setuid UID\n"
	"  -G, --setgid GID\n"
	"      --preserve-credentials  keep user and group when entering -U\n"
	"  -F, --no-fork           with -p: only its children are in the namespace\n"
	"\n"
	"Runs $SHELL or /bin/sh if there is no PROGRAM.\n";

/* In the order of entering: user first gives privileges, mount last takes paths away. */
static const struct {
	char option[8], file[8];
	int flag;
} spaces[] = {
	{"user", "user", CLONE_NEWUSER}, {"cgroup", "cgroup", CLONE_NEWCGROUP},
	{"ipc", "ipc", CLONE_NEWIPC},	 {"uts", "uts", CLONE_NEWUTS},
	{"net", "net", CLONE_NEWNET},	 {"pid", "pid", CLONE_NEWPID},
	{"time", "time", CLONE_NEWTIME}, {"mount", "mnt", CLONE_NEWNS},
};

struct entering {
	struct tool t;
	const char *pid; /* of the target, or NULL */
	int ns[ARRAY_LEN(spaces)], root, wd;
};

/* Opens FILE, or /proc/PID/NAME; *ret stays -1 if neither is wanted. */
static int open_of(struct entering *e, const struct opt_value *o, const char *name,
		   int flags, int *ret, struct err *err)
{
	char path[64];
	const char *at = o->text;

	if (!o->set)
		return 0;
	if (!at && !e->pid)
		return err_set(err, ERR_INVALID,
			       "nsenter: no target PID specified for %s", name);
	if (!at) {
		snprintf(path, sizeof(path), "/proc/%s/%s", e->pid, name);
		at = path;
	}
	*ret = open(at, flags | O_CLOEXEC);
	if (*ret < 0)
		return err_sys(err, errno, "nsenter: cannot open %s", at);
	return 0;
}

/* True if the file is the namespace that we are in. */
static bool ours(const char *file, int fd)
{
	char path[64];
	struct stat a, b;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", file);
	return stat(path, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

static int open_all(struct entering *e, struct err *err)
{
	static const struct opt_value yes = {.set = true};
	const struct opts *o = &e->t.o;
	bool all = opts_flag(o, "all");
	uint64_t pid;

	e->pid = opts_text(o, "target");
	if (e->pid && num_u64(e->pid, 1, INT32_MAX, &pid) < 0)
		return err_set(err, ERR_INVALID, "nsenter: '%.100s' is no process id",
			       e->pid);
	if (all && !e->pid)
		return err_set(err, ERR_INVALID, "nsenter: no target PID specified");
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
		const struct opt_value *v = opts_get(o, spaces[i].option);
		char name[16];

		snprintf(name, sizeof(name), "ns/%s", spaces[i].file);
		if (open_of(e, all && !v->set ? &yes : v, name, O_RDONLY, &e->ns[i],
			    err) < 0) {
			if (all && !v->set && err->sys == ENOENT)
				continue; /* of a kernel without them */
			return -1;
		}
		/* a user namespace cannot be entered from itself */
		if (all && e->ns[i] >= 0 && ours(spaces[i].file, e->ns[i]))
			fd_close(&e->ns[i]);
	}
	if (open_of(e, opts_get(o, "root"), "root", O_PATH, &e->root, err) < 0)
		return -1;
	return open_of(e, opts_get(o, "wd"), "cwd", O_PATH, &e->wd, err);
}

static int enter(struct entering *e, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
		if (e->ns[i] >= 0 && setns(e->ns[i], spaces[i].flag) < 0)
			return err_sys(err, errno,
				       "nsenter: reassociate to namespace '%s' failed",
				       spaces[i].file);
	if (e->root >= 0 && (fchdir(e->root) < 0 || chroot(".") < 0))
		return err_sys(err, errno, "nsenter: chroot failed");
	if (e->root >= 0 && chdir("/") < 0)
		return err_sys(err, errno, "nsenter: chdir failed");
	if (e->wd >= 0 && fchdir(e->wd) < 0)
		return err_sys(err, errno, "nsenter: change directory failed");
	return 0;
}

static int id_of(const struct opts *o, const char *name, int64_t def, int64_t *ret,
		 struct err *err)
{
	const char *text = opts_text(o, name);
	uint64_t v;

	*ret = def;
	if (!text)
		return 0;
	if (num_u64(text, 0, UINT32_MAX - 1, &v) < 0)
		return err_set(err, ERR_INVALID, "nsenter: --%s: '%.100s' is no id", name,
			       text);
	*ret = (int64_t)v;
	return 0;
}

/* In a user namespace the old ids mean nothing: root, unless told otherwise. */
static int change_user(struct entering *e, struct err *err)
{
	const struct opts *o = &e->t.o;
	bool user = e->ns[0] >= 0 && !opts_flag(o, "preserve-credentials");
	int64_t uid, gid;

	if (id_of(o, "setuid", user ? 0 : -1, &uid, err) < 0 ||
	    id_of(o, "setgid", user ? 0 : -1, &gid, err) < 0)
		return -1;
	if (gid >= 0) {
		/* a namespace may deny setgroups: user_namespaces(7) */
		if (setgroups(0, NULL) < 0 && !user)
			return err_sys(err, errno, "nsenter: setgroups failed");
		if (setgid((gid_t)gid) < 0)
			return err_sys(err, errno, "nsenter: setgid failed");
	}
	if (uid >= 0 && setuid((uid_t)uid) < 0)
		return err_sys(err, errno, "nsenter: setuid failed");
	return 0;
}

/* The child is what is in the PID namespace: stops when it stops, ends as it ends. */
static int follow(pid_t pid, struct err *err)
{
	int status;

	for (;;) {
		if (waitpid(pid, &status, WUNTRACED) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(err, errno, "nsenter: wait");
		}
		if (!WIFSTOPPED(status))
			break;
		kill(getpid(), SIGSTOP);
		kill(pid, SIGCONT);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	signal(WTERMSIG(status), SIG_DFL);
	kill(getpid(), WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

static int start(struct entering *e, struct err *err)
{
	const char *shell = getenv("SHELL");
	char *const fallback[] = {(char *)(uintptr_t)(shell ? shell : "/bin/sh"), NULL};
	char *const *argv = e->t.o.argc ? e->t.o.argv : fallback;

	if (e->ns[5] >= 0 && !opts_flag(&e->t.o, "no-fork")) {
		pid_t pid = fork();

		if (pid < 0)
			return err_sys(err, errno, "nsenter: fork");
		if (pid > 0)
			return follow(pid, err);
	}
	if (change_user(e, err) < 0)
		return -1;
	execvp(argv[0], argv);
	tool_warn(&e->t, errno, "failed to execute %s", argv[0]);
	return errno == ENOENT ? 127 : 126;
}

static int run(int argc, char **argv, struct err *err)
{
	struct entering e = {.root = -1, .wd = -1};

	for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
		e.ns[i] = -1;
	if (tool_start_ordered(&e.t, &applet_nsenter, argc, argv, err) < 0 ||
	    open_all(&e, err) < 0 || enter(&e, err) < 0)
		return -1;
	return start(&e, err);
}

const struct applet applet_nsenter = {
	.name = "nsenter",
	.purpose = "run a program in the namespaces of another process",
	.synopsis = "[OPTION]... [PROGRAM [ARGUMENT]...]",
	.usage = usage,
	.run = run,
};
