/*
 * process: from a process in the container's namespaces to the program: terminal, labels,
 * rights, user, seccomp, execve. Used by start and exec alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/mount.h"
#include "os/path.h"
#include "os/tty.h"

void oci_reset_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig > 34))
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_from_to(int first, unsigned last)
{
	if (first >= 0 && (unsigned)first <= last &&
	    syscall(SYS_close_range, first, last, 0) < 0 && errno == ENOSYS)
		for (int fd = first; fd < 1024 && (unsigned)fd <= last; fd++)
			close(fd);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void oci_close_but(int from, int *keep, size_t n)
{
	int next = from;

	qsort(keep, n, sizeof(*keep), by_number);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < next)
			continue;
		close_from_to(next, (unsigned)keep[i] - 1);
		next = keep[i] + 1;
	}
	close_from_to(next, ~0U);
}

void oci_raise_rlimits(const struct oci_process *p, pid_t pid)
{
	for (size_t i = 0; i < p->nrlimits; i++) {
		const struct oci_rlimit *l = &p->rlimits[i];
		struct rlimit have;

		/* lower it is set by the process itself, when it can do with that */
		if (prlimit(pid, l->resource, NULL, &have) < 0 ||
		    have.rlim_max >= l->hard)
			continue;
		have.rlim_max = l->hard;
		if (prlimit(pid, l->resource, &have, NULL) < 0)
			continue; /* set_rlimits clamps it, and says so */
	}
}

/* Not before: what makes the container may need more fds than the program shall have. */
static int set_rlimits(const struct oci_process *p, int sock, struct err *err)
{
	for (size_t i = 0; i < p->nrlimits; i++) {
		const struct oci_rlimit *l = &p->rlimits[i];
		struct rlimit want = {l->soft, l->hard}, have;

		if (setrlimit(l->resource, &want) == 0)
			continue;
		if (errno != EPERM || getrlimit(l->resource, &have) < 0)
			return err_sys(err, errno, "rlimit %d", l->resource);
		/* without CAP_SYS_RESOURCE a hard limit is never raised */
		want.rlim_max = MIN(want.rlim_max, have.rlim_max);
		want.rlim_cur = MIN(want.rlim_cur, want.rlim_max);
		if (setrlimit(l->resource, &want) < 0)
			return err_sys(err, errno, "rlimit %d", l->resource);
		oci_warn(sock, "rlimit %d: hard limit %llu clamped to %llu", l->resource,
			 (unsigned long long)l->hard, (unsigned long long)want.rlim_max);
	}
	return 0;
}

/* --- terminal and stdio ------------------------------------------------------------- */

/* R6 and the peers: what a service opens again by /dev/stdout is its own. */
static void own_stdio(uid_t uid)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && st.st_uid != uid &&
		    (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
		     (S_ISCHR(st.st_mode) && isatty(fd))) &&
		    fchown(fd, uid, (gid_t)-1) < 0)
			continue; /* not ours to give: then it is as it is */
	}
}

static bool is_null(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/*
 * A copy. The host's /dev/null becomes the container's own: what is open of a mount that is
 * not there inside cannot be checkpointed.
 */
static int copy_stdio(int fd)
{
	struct stat st;
	int own;

	if (is_null(fd, &st)) {
		own = open("/dev/null", (fcntl(fd, F_GETFL) & O_ACCMODE) | O_NOFOLLOW |
						O_NONBLOCK | O_CLOEXEC);
		if (own >= 0 && is_null(own, &st))
			return own;
		fd_close(&own);
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

static int place_stdio(const struct oci_enter *e, struct err *err)
{
	int high[3];

	for (int i = 0; i < 3; i++) {
		int fd = e->console >= 0 ? e->console : e->stdio[i];

		if (fd < 0)
			high[i] =
				open("/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
		else
			high[i] = copy_stdio(fd);
		if (high[i] < 0)
			return err_sys(err, errno, "stdio %d", i);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(high[i], i) < 0)
			return err_sys(err, errno, "stdio %d", i);
		if (high[i] > 2)
			close(high[i]);
	}
	if (e->console >= 0 && tty_control(0) < 0)
		return err_sys(err, errno, "set the controlling terminal");
	own_stdio(e->process->uid);
	return 0;
}

/* --- labels ------------------------------------------------------------------------- */

/* /proc/self/attr of a procfs that nothing in the container can cover (R3). */
static int write_attr(const char *file, const char *text, struct err *err)
{
	FD_AUTO proc = mount_new("proc", "proc", "subset=pid", 0, err);
	STR_AUTO path = xasprintf("%d/%s", (int)getpid(), file);
	size_t n = strlen(text);
	FD_AUTO fd = -1;

	if (proc < 0)
		return -1;
	fd = path_open_beneath(proc, path, O_WRONLY, 0, err);
	if (fd < 0)
		return -1;
	if (write(fd, text, n) != (ssize_t)n)
		return err_sys(err, errno, "write `/proc/self/%s`", file);
	return 0;
}

static int apply_labels(const struct oci_process *p, struct err *err)
{
	if (!str_empty(p->apparmor) && !str_eq(p->apparmor, "unconfined")) {
		STR_AUTO text = xasprintf("exec %s", p->apparmor);

		if (access("/sys/kernel/security/apparmor", F_OK) < 0 &&
		    access("/sys/module/apparmor", F_OK) < 0)
			return err_set(err, ERR_INVALID,
				       "apparmor profile %s: this kernel has no AppArmor",
				       p->apparmor);
		if (write_attr("attr/apparmor/exec", text, err) < 0 &&
		    write_attr("attr/exec", text, err) < 0)
			return err_wrap(err, "apparmor profile %s", p->apparmor);
	}
	if (!str_empty(p->selinux)) {
		if (access("/sys/fs/selinux", F_OK) < 0)
			return err_set(err, ERR_INVALID,
				       "SELinux label %s: this kernel has no SELinux",
				       p->selinux);
		if (write_attr("attr/exec", p->selinux, err) < 0)
			return err_wrap(err, "SELinux label %s", p->selinux);
	}
	return 0;
}

/* --- user --------------------------------------------------------------------------- */

static int set_groups(const struct oci_enter *e, struct err *err)
{
	const struct oci_process *p = e->process;

	/* podman's --group-add keep-groups */
	if (e->spec && oci_annotation(e->spec, "run.oci.keep_original_groups"))
		return 0;
	if (setgroups(p->ngroups, p->groups) == 0)
		return 0;
	/* a user namespace may forbid it (setgroups deny): then none can be asked for */
	if (errno == EPERM && e->userns && !p->ngroups)
		return 0;
	return err_sys(err, errno, "set additional groups");
}

static int set_user(const struct oci_enter *e, struct err *err)
{
	const struct oci_process *p = e->process;

	if (set_groups(e, err) < 0)
		return -1;
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return err_sys(err, errno, "cannot setgid to %sgid %u",
			       errno == EINVAL ? "unmapped " : "", (unsigned)p->gid);
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return err_sys(err, errno, "cannot setuid to %suid %u",
			       errno == EINVAL ? "unmapped " : "", (unsigned)p->uid);
	return 0;
}

/* R8: where we are must be inside: the kernel says "(unreachable)" of a place outside. */
static int check_cwd(struct err *err)
{
	char path[4096 + 1];

	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return err_sys(err, errno, "getcwd");
	if (path[0] != '/')
		return err_set(err, ERR_DENIED,
			       "current working directory is outside of container mount "
			       "namespace root -- possible container breakout detected");
	return 0;
}

static int enter_cwd(const char *cwd, bool last, struct err *err)
{
	if (chdir(cwd) == 0)
		return 0;
	/* as the user it may work where as root of a network file system it does not */
	if (!last && (errno == EACCES || errno == EPERM))
		return 1;
	return err_sys(err, errno, "chdir to cwd (\"%s\") set in config.json failed",
		       cwd);
}

/* User, directory, capabilities: what is lost on the way is not needed afterwards. */
static int drop_rights(const struct oci_enter *e, bool inside, struct err *err)
{
	const struct oci_process *p = e->process;

	if (caps_limit(&p->caps, err) < 0)
		return -1;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "keep capabilities");
	if (set_user(e, err) < 0)
		return -1;
	/* with the sets of the new user still raised, root's file permissions do not
	 * count */
	if (!inside && (enter_cwd(p->cwd, true, err) < 0 || check_cwd(err) < 0))
		return -1;
	if (caps_apply(&p->caps, err) < 0)
		return -1;
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	return 0;
}

/* --- program ------------------------------------------------------------------------ */

static const char *get_env(char *const *env, const char *key)
{
	size_t n = strlen(key);
	const char *value = NULL;

	for (; *env; env++)
		if (strncmp(*env, key, n) == 0 && (*env)[n] == '=')
			value = *env + n + 1;
	return value;
}

/* 0 if it can be executed, else an errno. */
static int can_execute(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	/* a profile that is older than faccessat2; the real ids are the effective ones */
	return errno == EPERM && access(path, X_OK) == 0 ? 0 : EACCES;
}

static int no_program(const char *name, int sys, struct err *err)
{
	switch (sys) {
	case EISDIR:
		return err_set(err, ERR_DENIED, "exec: \"%s\": is a directory", name);
	case EACCES:
		return err_set(err, ERR_DENIED, "exec: \"%s\": permission denied", name);
	case ENOENT:
		return err_set(err, ERR_NOT_FOUND,
			       "exec: \"%s\": stat %s: no such file or directory", name,
			       name);
	default:
		return err_sys(err, sys, "exec: \"%s\": stat %s", name, name);
	}
}

int oci_lookup(const char *name, char *const *env, struct arena *a, const char **ret,
	       struct err *err)
{
	const char *path = get_env(env, "PATH");
	int sys, denied = 0;

	if (strchr(name, '/')) {
		sys = can_execute(name);
		if (sys)
			return no_program(name, sys, err);
		*ret = name;
		return 0;
	}
	for (const char *p = str_or_empty(path); *name && *p;) {
		size_t n = strcspn(p, ":");
		char *full = arena_fmt(a, "%.*s%s%s", (int)n, p, n ? "/" : "./", name);

		sys = can_execute(full);
		if (sys == 0) {
			*ret = full;
			return 0;
		}
		if (sys == EACCES)
			denied = sys;
		p += n + (p[n] == ':');
	}
	if (denied)
		return no_program(name, denied, err);
	return err_set(err, ERR_NOT_FOUND,
		       "exec: \"%s\": executable file not found in $PATH", name);
}

/* HOME of the user by the container's /etc/passwd, for programs that rely on it. */
static void set_home(struct oci_process *p, struct arena *a)
{
	struct oci_user user = {0};
	char id[16];
	struct err err;
	FD_AUTO root = -1;

	if (!str_empty(get_env(p->env, "HOME")))
		return;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(id, sizeof(id), "%u", (unsigned)p->uid);
	if (oci_user_resolve(root, &(struct oci_user_query){.user = id}, a, &user, &err) <
	    0)
		user.home = "/";
	oci_process_setenv(p, a, "HOME", user.home);
}

static void die(int sig)
{
	_exit(128 + sig);
}

/*
 * Process 1 of a pid namespace gets no signal that it has no handler for, but one that nobody
 * has started yet is ended by those that end a process. execve resets them.
 */
static void die_by_signals(void)
{
	static const int sigs[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	struct sigaction sa = {.sa_handler = die};

	for (size_t i = 0; getpid() == 1 && i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
}

/* Waits for the word to go on. 0, or -1 at the end of file: nobody will say it. */
static int wait_start(int fd, struct err *err)
{
	char c;
	ssize_t n;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	return n < 0 ? err_sys(err, errno, "wait for start")
		     : err_set(err, ERR_CANCELLED, "start was cancelled");
}

/* Moves an fd to a number; what was there is closed. */
static int move_to(int fd, int number)
{
	return fd == number ? fd : dup3(fd, number, O_CLOEXEC);
}

enum { MANY_FILES = 256 };

/* What is open until execve: the starter's socket, and what a start is told by and tells. */
struct ties {
	int sock, start, outcome;
};

/*
 * R7: nothing stays open but stdio, the preserved fds, and until execve the ties to the
 * starter, which are the first numbers after them.
 */
static int close_rest(struct ties *t, int preserve)
{
	int *const fds[] = {&t->sock, &t->start, &t->outcome};
	int first = 3 + preserve, keep[] = {t->sock, t->start, t->outcome};
	struct rlimit limit;

	/* there may be more already than there may be */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MANY_FILES)
		oci_close_but(first, keep, ARRAY_LEN(keep));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0 && (*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC,
						     first + (int)ARRAY_LEN(fds))) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			*fds[i] = move_to(*fds[i], first++);
	if (syscall(SYS_close_range, first, ~0U, 0) < 0)
		fd_cloexec_from(first);
	return 0;
}

/*
 * Loads the filter. A listener is taken over by the starter, who is told beforehand which fd
 * it will be: the lowest free one.
 */
static int load_filter(const struct oci_enter *e, int sock, struct err *err)
{
	unsigned flags = e->spec ? seccomp_profile_flags(e->spec->seccomp) : 0;
	struct oci_msg m = {.type = OCI_MSG_NOTIFY};

	if (!(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return seccomp_filter_load(e->seccomp, flags, err) < 0 ? -1 : 0;
	m.n = fcntl(sock, F_DUPFD_CLOEXEC, 0);
	if (m.n < 0)
		return err_sys(err, errno, "seccomp listener");
	close(m.n);
	if (e->seen_by_starter)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (send(sock, &m, sizeof(m), MSG_NOSIGNAL) != (ssize_t)sizeof(m))
		return err_sys(err, errno, "the starting process is gone");
	if (seccomp_filter_load(e->seccomp, flags, err) < 0)
		return -1;
	oci_notify_wait(e->taken);
	if (e->seen_by_starter)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int run_start_hooks(const struct oci_enter *e, char *const *env, struct err *err)
{
	struct oci_hook_state st = *e->start_hooks;
	mode_t old = umask(022);
	int r;

	st.env = (const char *const *)env;
	r = oci_hooks_run(e->spec, OCI_HOOK_START_CONTAINER, &st, NULL, err);

	umask(old);
	return r;
}

/* The one who said go may be gone: there is nobody else to tell. */
static void tell_outcome(int fd, const struct err *err)
{
	if (fd >= 0 && write(fd, err, sizeof(*err)) < 0)
		return;
}

static int last_steps(const struct oci_enter *e, char *const *env, bool filter,
		      const struct ties *t, struct err *err)
{
	struct err done = {.code = ERR_NONE};

	/* last: a profile need not allow what we did so far */
	if (filter && load_filter(e, t->sock, err) < 0)
		return -1;
	/* what they run is confined as the program is */
	if (e->start_hooks && run_start_hooks(e, env, err) < 0)
		return -1;
	tell_outcome(t->outcome, &done);
	return 0;
}

static int finish(const struct oci_enter *e, const struct oci_process *p, struct arena *a,
		  struct err *err)
{
	bool filter = p->no_new_privs && e->seccomp->len, early;
	struct ties t = {e->sock, e->start_fd, e->outcome_fd};
	const char *path = NULL;

	if (oci_lookup(p->args[0], p->env, a, &path, err) < 0)
		return -1;
	for (int i = 3; i < 3 + e->preserve_fds; i++)
		fd_set_cloexec(i, false);
	if (close_rest(&t, e->preserve_fds) < 0)
		return err_sys(err, errno, "close files");
	if (e->pdeathsig && prctl(PR_SET_PDEATHSIG, e->pdeathsig, 0, 0, 0) < 0)
		return err_sys(err, errno, "set the parent-death signal");
	/* a listener is taken by the starter, who is gone once we are ready */
	early = filter && e->taken;
	if (early && load_filter(e, t.sock, err) < 0) {
		oci_send(t.sock, OCI_MSG_ERROR, 0, err);
		_exit(1);
	}
	if (t.start >= 0) {
		die_by_signals();
		oci_send(t.sock, OCI_MSG_READY, 0, NULL);
		if (wait_start(t.start, err) < 0)
			_exit(0);
		close(t.start);
	}
	if (last_steps(e, p->env, filter && !early, &t, err) == 0)
		execve(path, p->args, p->env);
	else
		errno = 0;
	if (errno == 0)
		err_wrap(err, "exec %s", path);
	else if (errno == ENOENT)
		/* it is there: its interpreter is not */
		err_set(err, ERR_NOT_FOUND, "exec %s: no such file or directory", path);
	else
		err_sys(err, errno, "exec %s", path);
	/* they have moved: the caller's copies are gone */
	oci_send(t.sock, OCI_MSG_ERROR, 0, err);
	tell_outcome(t.outcome, err);
	if (e->start_fd >= 0 && t.outcome < 0)
		dprintf(2, "%s\n", err->msg);
	_exit(err->sys == ENOENT || err->code == ERR_NOT_FOUND ? 127 : 126);
}

int oci_enter(const struct oci_enter *e, struct err *err)
{
	struct oci_process p = *e->process;
	struct arena a = {0};
	int outside;

	if (place_stdio(e, err) < 0 || set_rlimits(&p, e->sock, err) < 0)
		return -1;
	umask(p.has_umask ? p.umask : 022);
	if (p.no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "set no_new_privs");
	if (apply_labels(&p, err) < 0 || oci_tune(&p, 0, err) < 0 ||
	    (e->spec && oci_apply_memory(e->spec, err) < 0))
		return -1;
	set_home(&p, &a);
	/* a profile may forbid getcwd */
	outside = enter_cwd(p.cwd, false, err);
	if (outside < 0 || (outside == 0 && check_cwd(err) < 0))
		return -1;
	/* without no_new_privs, loading takes CAP_SYS_ADMIN, which goes next */
	if (!p.no_new_privs && e->seccomp->len && load_filter(e, e->sock, err) < 0)
		return -1;
	if (drop_rights(e, outside == 0, err) < 0)
		return -1;
	return finish(e, &p, &a, err);
}
