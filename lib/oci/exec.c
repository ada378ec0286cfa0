/* exec: one more process in a running container: setns, clone, then as process.c has it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/cgentry.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

struct exec {
	const struct oci_exec *how;
	struct oci_process process;
	struct buf seccomp;
	int flags; /* CLONE_NEWx to join */
	volatile int *taken;
	int listener; /* of OCI_MSG_NOTIFY before the pid was known; -1 */
	pid_t pid;
	int pidfd;
	struct cgentry entry;
	bool slowly; /* by cgroup.procs, where the other way does not work */
	int sock[2];
	struct buf *warnings;
	bool failed; /* the child has said so */
};

/*
 * Which namespaces differ from ours: joining our own user namespace is an error, and without
 * rights over the host's we can join none of those. Else what the specification names needs no
 * look.
 */
static int find_namespaces(struct exec *x, struct err *err)
{
	const struct oci_spec *spec = x->how->spec;
	bool able = geteuid() == 0 && spec && !spec->ns[OCI_NS_USER].present;

	for (unsigned i = 0; i < OCI_NS_COUNT; i++) {
		char path[64];
		struct stat ours, theirs;

		if (x->how->ns_mask || (able && spec->ns[i].present)) {
			if (!x->how->ns_mask || (x->how->ns_mask >> i & 1))
				x->flags |= oci_ns_types[i].flag;
			continue;
		}
		snprintf(path, sizeof(path), "/proc/self/ns/%s", oci_ns_types[i].file);
		if (stat(path, &ours) < 0)
			continue; /* not in this kernel */
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)x->how->pid,
			 oci_ns_types[i].file);
		if (stat(path, &theirs) < 0)
			return err_sys(err, errno, "namespaces of process %d",
				       (int)x->how->pid);
		if (ours.st_ino != theirs.st_ino)
			x->flags |= oci_ns_types[i].flag;
	}
	return 0;
}

/* In the container: the process that becomes the program. */
static void child(struct exec *x)
{
	const struct oci_exec *how = x->how;
	struct err err = {.code = ERR_NONE};
	struct oci_enter enter = {
		.process = &x->process,
		.spec = how->spec,
		.taken = x->taken,
		.seccomp = &x->seccomp,
		.sock = x->sock[1],
		.stdio = {how->stdio[0], how->stdio[1], how->stdio[2]},
		.console = x->process.terminal ? how->console : -1,
		.userns = (x->flags & CLONE_NEWUSER) != 0,
		.pdeathsig = how->pdeathsig,
		.start_fd = -1,
		.outcome_fd = -1,
		.preserve_fds = how->preserve_fds,
	};
	FD_AUTO pts = -1;
	int r = 0;

	fd_close(&x->sock[0]);
	setsid();
	if ((x->flags & CLONE_NEWUSER) &&
	    (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		r = err_sys(&err, errno, "become root of the user namespace");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (r == 0 && x->process.terminal && how->console < 0) {
		pts = file_open(AT_FDCWD, "/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW,
				0, &err);
		r = pts < 0 ? -1
			    : (enter.console = oci_make_terminal(
				       pts, &x->process, how->console_socket, &err));
	}
	if (r >= 0)
		oci_enter(&enter, &err);
	oci_send(x->sock[1], OCI_MSG_ERROR, 0, &err);
	_exit(1);
}

/*
 * Into the container's group. On version 2 a group whose children have controllers takes no
 * process: an init that has made such groups is in one of them itself, and so are we then.
 */
static int join_cgroup(const struct oci_exec *how, struct err *err)
{
	const char *own = str_or_empty(how->cgroup), *in;
	STR_AUTO group = NULL;
	struct err ignored;
	size_t n;

	if (!how->cgroup)
		return 0;
	own += strspn(own, "/");
	n = strlen(own);
	if (cgroup_join(how->cgroups, how->cgroup, 0, err) == 0)
		return 0;
	if (err->sys != EBUSY || cgroups_mode(how->cgroups) != CGROUPS_V2)
		return -1;
	group = cgroups_of(how->cgroups, how->pid, &ignored);
	in = str_or_empty(group) + strspn(str_or_empty(group), "/");
	if (strncmp(in, own, n) != 0 || in[n] != '/')
		return -1;
	return cgroup_join(how->cgroups, group, 0, err);
}

static int join_subgroups(const struct oci_exec *how, struct err *err)
{
	for (size_t i = 0; i < how->nsubgroups; i++)
		if (cgroup_write(how->cgroups, how->subgroups[i].controller,
				 how->subgroups[i].path, "tasks", "0", err) < 0)
			return err_wrap(err, "controller %s",
					how->subgroups[i].controller);
	return 0;
}

/* CPUs, scheduler and I/O priority: with the rights of the host. */
static int tune(struct exec *x, struct err *err)
{
	const struct oci_process *p = &x->process;
	struct err ignored;

	if (oci_set_cpus(p->cpus_final, "process.execCPUAffinity.final", err) < 0)
		return -1;
	if (x->flags & CLONE_NEWUSER)
		oci_tune(p, 0, &ignored); /* tried again, and told, inside */
	return 0;
}

/* The cgroup first: then the child is born in it. */
static int enter_container(struct exec *x, struct err *err)
{
	const struct oci_exec *how = x->how;

	if (!str_empty(x->process.cpus_initial) &&
	    oci_set_cpus(x->process.cpus_initial, "process.execCPUAffinity.initial",
			 err) < 0)
		return -1;
	if ((x->slowly ? join_cgroup(how, err) : cgentry_join(&x->entry, err)) < 0 ||
	    join_subgroups(how, err) < 0 || tune(x, err) < 0)
		return -1;
	if (oci_apply_oom(getpid(), &x->process, NULL, err) < 0)
		return -1;
	if (x->flags & CLONE_NEWUSER)
		oci_raise_rlimits(&x->process, 0);
	/* from here on we can be seen from within */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (x->flags && setns(how->pidfd, x->flags) < 0)
		return err_sys(err, errno, "join the container's namespaces");
	return 0;
}

/*
 * The child is seen from within as soon as it is there, and a container with
 * CAP_SYS_PTRACE may look at its fds: it is born without those of the host.
 */
static void drop_fds(struct exec *x)
{
	const struct oci_exec *how = x->how;
	int keep[] = {x->sock[1],    how->stdio[0], how->stdio[1],
		      how->stdio[2], how->console,  how->console_socket};

	/* what is preserved is a range of its own */
	if (how->preserve_fds == 0)
		oci_close_but(3, keep, ARRAY_LEN(keep));
}

static pid_t clone_child(struct exec *x, int *ret_pidfd, struct err *err)
{
	pid_t pid = ns_clone(CLONE_PARENT, ret_pidfd, err);

	if (pid == 0)
		child(x);
	return pid;
}

static int forward(struct exec *x, int number, struct err *err)
{
	struct oci_hook_state st = {.id = str_or_empty(x->how->id),
				    .bundle = str_or_empty(x->how->bundle),
				    .pid = x->pid,
				    .dir = -1};

	return oci_notify_forward(x->how->spec, &st, "running", x->pidfd, number,
				  x->taken, x->sock[0], err);
}

static int on_message(void *arg, const struct oci_msg *m, struct err *err)
{
	return m->type == OCI_MSG_NOTIFY ? forward(arg, m->n, err) : 0;
}

/* Born in the cgroup, if it can be: a child of its own has no fd of that any more. */
static pid_t fork_stage(struct exec *x, struct err *err)
{
	pid_t pid = -1;

	if (!x->slowly && x->entry.tree >= 0)
		pid = ns_clone_into(0, x->entry.tree, NULL, err);
	if (pid >= 0)
		return pid;
	/* an older kernel, or a group of version 2 that has groups with controllers */
	x->slowly = x->slowly || x->entry.tree >= 0;
	return ns_clone(0, NULL, err);
}

static pid_t by_stage(struct exec *x, int *ret_pidfd, bool *ret_stillborn,
		      struct err *err)
{
	struct err e = {.code = ERR_NONE};
	struct oci_msg m = {.type = OCI_MSG_ERROR};
	pid_t stage, pid = -1;
	bool heard = false;
	int status = 0;

	stage = fork_stage(x, err);
	if (stage < 0)
		return -1;
	if (stage == 0) {
		oci_reset_signals();
		if (enter_container(x, &e) == 0) {
			drop_fds(x);
			pid = clone_child(x, NULL, &e);
		}
		oci_send(x->sock[1], pid < 0 ? OCI_MSG_ERROR : OCI_MSG_PID, pid, &e);
		_exit(0);
	}
	fd_close(&x->sock[1]);
	/* the child may be faster than the stage with its own words */
	for (;;) {
		ssize_t n = recv(x->sock[0], &m, sizeof(m), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(m)) {
			err_set(err, ERR_INTERNAL, "the process in between died");
			break;
		}
		heard = true;
		if (m.type == OCI_MSG_WARN && x->warnings)
			buf_add_fmt(x->warnings, "%s\n", m.err.msg);
		if (m.type == OCI_MSG_ERROR) {
			*err = m.err;
			x->failed = true;
			if (m.pid < 0) /* of the stage: there is no child */
				break;
		}
		if (m.type == OCI_MSG_NOTIFY)
			x->listener = m.n;
		if (m.type == OCI_MSG_PID) {
			struct err ignored;

			pid = m.pid;
			*ret_pidfd = proc_pidfd(pid, x->failed ? &ignored : err);
			break;
		}
	}
	waitpid(stage, &status, 0);
	*ret_stillborn = !heard && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	return pid;
}

static pid_t clone_by_stage(struct exec *x, int *ret_pidfd, struct err *err)
{
	bool stillborn = false;
	pid_t pid = by_stage(x, ret_pidfd, &stillborn, err);

	/* as oci_start has it: killed for where it was born */
	if (pid < 0 && stillborn && !x->slowly) {
		x->slowly = true;
		fd_close(&x->sock[0]);
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, x->sock) < 0)
			return err_sys(err, errno, "socket pair");
		pid = by_stage(x, ret_pidfd, &stillborn, err);
	}
	return pid;
}

void oci_exec_init(struct oci_exec *how)
{
	*how = (struct oci_exec){
		.pidfd = -1, .stdio = {-1, -1, -1}, .console = -1, .console_socket = -1};
}

static int prepare(struct exec *x, struct err *err)
{
	const struct oci_exec *how = x->how;

	x->process = *how->process;
	oci_clamp_caps(&x->process.caps, x->warnings);
	if (x->process.terminal && how->console < 0 && how->console_socket < 0)
		return err_set(err, ERR_INVALID,
			       "process.terminal is set, but no console was given");
	if (find_namespaces(x, err) < 0)
		return -1;
	if (how->spec &&
	    oci_seccomp_compile(how->spec, how->seccomp_cache, &x->seccomp, err) < 0)
		return -1;
	if (how->spec && how->spec->seccomp &&
	    (seccomp_profile_flags(how->spec->seccomp) &
	     SECCOMP_FILTER_FLAG_NEW_LISTENER) &&
	    !(x->taken = oci_notify_page(err)))
		return -1;
	if (how->cgroup && cgentry_open(how->cgroups, how->cgroup, &x->entry, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, x->sock) < 0)
		return err_sys(err, errno, "socket pair");
	return 0;
}

static int run(struct exec *x, struct oci_started *ret, struct err *err)
{
	struct oci_watch w = {
		.sock = x->sock[0], .warnings = x->warnings, .on = on_message, .arg = x};
	int pidfd = -1, r = 0;
	pid_t pid;

	if (x->how->for_parent) {
		pid = enter_container(x, err) < 0 ? -1 : clone_child(x, &pidfd, err);
		fd_close(&x->sock[1]);
	} else {
		pid = clone_by_stage(x, &pidfd, err);
	}
	if (pid < 0)
		return -1;
	x->pid = pid;
	x->pidfd = pidfd;
	if (x->failed || (x->listener >= 0 && forward(x, x->listener, err) < 0))
		r = -1;
	else if (!x->how->async || x->taken)
		r = oci_wait(&w, err);
	if (r < 0) {
		kill(pid, SIGKILL); /* it may wait for us */
		waitpid(pid, NULL, 0);
		fd_close(&pidfd);
		return -1;
	}
	*ret = (struct oci_started){.pid = pid,
				    .pidfd = pidfd,
				    .errfd = x->how->async ? fd_take(&x->sock[0]) : -1};
	return 0;
}

int oci_exec(const struct oci_exec *how, struct oci_started *ret, struct buf *warnings,
	     struct err *err)
{
	struct exec x = {.how = how,
			 .sock = {-1, -1},
			 .warnings = warnings,
			 .listener = -1,
			 .entry.tree = -1,
			 .slowly = how->for_parent ||
				   !str_empty(how->process->cpus_initial)};
	int r = prepare(&x, err);

	if (r == 0)
		r = run(&x, ret, err);
	fd_close(&x.sock[0]);
	fd_close(&x.sock[1]);
	buf_done(&x.seccomp);
	oci_notify_page_free(x.taken);
	cgentry_close(&x.entry);
	return r;
}
