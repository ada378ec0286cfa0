/*
 * start: makes a container's init process.
 *
 * The caller opens what lies in the host, and clones a child into the new namespaces
 * (from a stage in between, if namespaces are joined that only children see: user, pid).
 * It writes the child's id maps, puts it into its cgroup, and lets it go on. All that the
 * child has to say comes over one socket: warnings, one error, "ready"; its end is
 * execve.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/rdt.h"
#include "oci/oci-int.h"
#include "os/cgentry.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

/* --- messages ----------------------------------------------------------------------- */

void oci_send(int sock, enum oci_msg_type type, pid_t pid, const struct err *err)
{
	struct oci_msg m = {.type = type, .pid = pid};

	if (err)
		m.err = *err;
	/* the starter may be gone: there is nobody else to tell */
	if (send(sock, &m, sizeof(m), MSG_NOSIGNAL) < 0)
		return;
}

void oci_warn(int sock, const char *fmt, ...)
{
	struct err e = {.code = ERR_NONE};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
	va_end(ap);
	oci_send(sock, OCI_MSG_WARN, 0, &e);
}

/* One message, or 0 at the end, or -1. */
static int receive(int sock, struct oci_msg *m)
{
	ssize_t n;

	do
		n = recv(sock, m, sizeof(*m), 0);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*m)) {
		m->err.msg[sizeof(m->err.msg) - 1] = 0;
		return 1;
	}
	return n == 0 || (n < 0 && errno == ECONNRESET) ? 0 : -1;
}

int oci_wait(const struct oci_watch *w, struct err *err)
{
	struct oci_msg m;
	int r;

	while ((r = receive(w->sock, &m)) > 0) {
		if (m.type == OCI_MSG_WARN && w->warnings) {
			buf_add_fmt(w->warnings, "%s\n", m.err.msg);
		} else if (m.type == OCI_MSG_ERROR) {
			*err = m.err;
			return -1;
		} else if (m.type == OCI_MSG_READY && w->stop_at_ready) {
			return 1;
		} else if (w->on && w->on(w->arg, &m, err) < 0) {
			return -1;
		}
	}
	return r < 0 ? err_sys(err, errno, "wait for the container") : 0;
}

int oci_started(int errfd, struct err *err)
{
	struct oci_watch w = {.sock = errfd};

	return oci_wait(&w, err);
}

bool oci_go_may_fail(const struct oci_spec *s)
{
	return s->hooks[OCI_HOOK_START_CONTAINER].n > 0;
}

int oci_go_outcome(int fd, struct err *err)
{
	bool told = false;
	struct err said;

	for (;;) {
		ssize_t n = read(fd, &said, sizeof(said));

		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(said))
			break;
		told = true;
		said.msg[sizeof(said.msg) - 1] = 0;
		if (said.code != ERR_NONE) {
			*err = said;
			return -1;
		}
	}
	return told ? 0
		    : err_set(err, ERR_ABORTED,
			      "the container died in its startContainer hooks");
}

/* --- rights ------------------------------------------------------------------------- */

void oci_clamp_caps(struct caps *c, struct buf *warnings)
{
	uint64_t want =
		c->bounding | c->permitted | c->effective | c->inheritable | c->ambient;
	uint64_t have = caps_bounding(want), lost = want & ~have;

	c->bounding &= have;
	c->permitted &= have;
	c->effective &= have;
	c->inheritable &= have;
	c->ambient &= have;
	if (!lost || !warnings)
		return;
	buf_add_str(warnings, "left out, for we do not have them ourselves:");
	for (unsigned i = 0; caps_name(i); i++)
		if (lost >> i & 1)
			buf_add_fmt(warnings, " %s", caps_name(i));
	buf_add_char(warnings, '\n');
}

int oci_apply_oom(pid_t pid, const struct oci_process *p, struct buf *warnings,
		  struct err *err)
{
	char path[64], text[16];
	BUF_AUTO old = {0};
	struct err ignored;

	if (!p->has_oom)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	snprintf(text, sizeof(text), "%d", p->oom_score_adj);
	if (file_write(AT_FDCWD, path, text, err) == 0)
		return 0;
	if (err->sys != EACCES && err->sys != EPERM)
		return err_wrap(err, "oom_score_adj %d", p->oom_score_adj);
	/* lowering takes CAP_SYS_RESOURCE: as low as it is already */
	if (file_read(AT_FDCWD, path, 64, &old, &ignored) == 0 && warnings)
		buf_add_fmt(warnings, "oom_score_adj %d clamped to %d\n",
			    p->oom_score_adj, atoi(buf_str(&old)));
	return 0;
}

/* --- the child ---------------------------------------------------------------------- */

struct start {
	const struct oci_start *how;
	struct oci_plan *plan;
	struct arena arena;
	struct oci_process process;
	struct buf seccomp;
	struct cgroups *host; /* for cgroup mounts when the caller gave none */
	int ns[OCI_NS_COUNT]; /* to join: opened, or the caller's; -1 */
	bool own_ns[OCI_NS_COUNT];
	unsigned joined; /* 1 << OCI_NS_x: before the user namespace */
	int sock[2];	 /* ours, the child's */
	bool late;	 /* without root's rights: mounts are opened by the child */
	volatile int *taken;
	struct cgentry entry;
	bool slowly; /* not born in its cgroup, but moved there (cgroup.procs) */
	bool moved;  /* into the cgroup, by its birth and by itself */
	bool heard;  /* the child has asked for something to be done */
	bool silent; /* it ended, if it did, without a word */
	bool stillborn;
	bool wait; /* the starter has something to do before the child goes on */
	bool rdt_made;
	struct buf *warnings;
};

static bool is_new(const struct start *s, enum oci_ns ns)
{
	return s->plan->new_ns >> ns & 1;
}

static bool has_userns(const struct start *s)
{
	return is_new(s, OCI_NS_USER) || s->ns[OCI_NS_USER] >= 0;
}

int oci_wait_go(int sock, struct err *err)
{
	char c;

	if (recv(sock, &c, 1, 0) != 1)
		return err_set(err, ERR_CANCELLED, "the starting process is gone");
	return 0;
}

static int join(const struct start *s, struct err *err)
{
	static const enum oci_ns later[] = {OCI_NS_CGROUP, OCI_NS_IPC, OCI_NS_UTS,
					    OCI_NS_NET,	   OCI_NS_MNT, OCI_NS_TIME};

	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (s->ns[later[i]] >= 0 && !(s->joined >> later[i] & 1) &&
		    setns(s->ns[later[i]], oci_ns_types[later[i]].flag) < 0)
			return err_sys(err, errno, "join %s namespace",
				       oci_ns_types[later[i]].name);
	/* its root is where we are now: in the container's group */
	if (is_new(s, OCI_NS_CGROUP) && unshare(oci_ns_types[OCI_NS_CGROUP].flag) < 0)
		return err_sys(err, errno, "new cgroup namespace");
	return 0;
}

static void loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	FD_AUTO fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return;
	ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return; /* it is there and down: as some sandboxes want it */
}

/* A session keyring of its own: keys of the caller's session are not the container's. */
static int new_keyring(const char *id, struct err *err)
{
	STR_AUTO name = xasprintf("_ses.%s", id);

	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) < 0 &&
	    errno != ENOSYS && errno != EPERM && errno != EDQUOT)
		return err_sys(err, errno, "join session keyring %s", name);
	return 0;
}

static int child_setup(struct start *s, struct oci_root *r, struct err *err)
{
	bool user = has_userns(s);
	FD_AUTO offsets = -1;

	/* then maps are written, and what only the starter can do is done */
	if (s->moved && cgentry_join(&s->entry, err) < 0)
		return -1;
	cgentry_close(&s->entry);
	if (s->wait && oci_wait_go(s->sock[1], err) < 0)
		return -1;
	if (is_new(s, OCI_NS_TIME)) /* as long as it is ours */
		offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (user && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return err_sys(err, errno, "become root of the user namespace");
	/* becoming another user has reset it */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || join(s, err) < 0)
		return err->code ? -1 : err_sys(err, errno, "dumpable");
	if (is_new(s, OCI_NS_TIME) && oci_ns_new_time(s->how->spec, offsets, err) < 0)
		return -1;
	setsid();
	if (oci_set_cpus(NULL, "", err) < 0)
		return -1;
	if (is_new(s, OCI_NS_NET))
		loopback_up();
	if (!s->how->no_new_keyring && new_keyring(s->how->id, err) < 0)
		return -1;
	umask(0);
	if (s->late && oci_prepare(s->plan, s->how, s->ns[OCI_NS_USER], err) < 0)
		return -1;
	if (oci_setup(r, err) < 0)
		return -1;
	/* then there may be few: the limits of the program */
	oci_unprepare(s->plan);
	for (size_t i = 0; i < r->nmounted; i++)
		fd_close(&r->mounted[i].fd);
	return 0;
}

/* The child from clone to execve. */
static void child(struct start *s)
{
	const struct oci_start *how = s->how;
	struct err err = {.code = ERR_NONE};
	struct oci_hook_state hooks = {.id = how->id,
				       .bundle = str_or_empty(how->bundle),
				       .pid = getpid(),
				       .dir = -1};
	struct oci_root root = {
		.plan = s->plan,
		.foreign = !is_new(s, OCI_NS_MNT),
		.how = how,
		.cgroups = how->cgroups ? how->cgroups : s->host,
		.arena = &s->arena,
		.sock = s->sock[1],
		.fd = -1,
		.proc = -1,
		.empty = -1,
		.console = -1,
		.mounted = arena_array(&s->arena, s->plan->n + 1, sizeof(*root.mounted)),
	};
	struct oci_enter enter = {
		.process = &s->process,
		.spec = how->spec,
		.seccomp = &s->seccomp,
		.taken = s->taken,
		.seen_by_starter = s->late,
		.start_hooks =
			how->spec->hooks[OCI_HOOK_START_CONTAINER].n ? &hooks : NULL,
		.sock = s->sock[1],
		.stdio = {how->stdio[0], how->stdio[1], how->stdio[2]},
		.console = s->process.terminal ? how->console : -1,
		.userns = has_userns(s),
		.pdeathsig = how->pdeathsig,
		.start_fd = how->start_fd,
		.outcome_fd = how->outcome_fd,
		.preserve_fds = how->preserve_fds,
	};

	oci_reset_signals();
	fd_close(&s->sock[0]);
	if (child_setup(s, &root, &err) == 0) {
		if (root.console >= 0)
			enter.console = root.console;
		oci_enter(&enter, &err);
	}
	oci_send(s->sock[1], OCI_MSG_ERROR, 0, &err);
	_exit(1);
}

/* --- the parent --------------------------------------------------------------------- */

static int open_namespaces(struct start *s, struct err *err)
{
	for (unsigned i = 0; i < OCI_NS_COUNT; i++) {
		const struct oci_namespace *n = &s->how->spec->ns[i];

		s->ns[i] = s->how->ns_fds[i];
		if (s->ns[i] >= 0 || !n->present || !n->path)
			continue;
		s->ns[i] = oci_ns_open(n->path, i, err);
		if (s->ns[i] < 0)
			return -1;
		s->own_ns[i] = true;
	}
	return 0;
}

/* Those that a process in the container's user namespace may have no rights to. */
static const enum oci_ns of_the_host[] = {OCI_NS_IPC, OCI_NS_UTS, OCI_NS_NET};

/* Those that only children see are joined before the clone, by a process that is ours. */
static int join_early(struct start *s, struct err *err)
{
	/* what is refused is the user namespace's own, and joined from there */
	for (size_t i = 0; i < ARRAY_LEN(of_the_host); i++) {
		enum oci_ns ns = of_the_host[i];

		if (has_userns(s) && s->ns[ns] >= 0 &&
		    setns(s->ns[ns], oci_ns_types[ns].flag) == 0)
			s->joined |= 1U << ns;
	}
	if (s->ns[OCI_NS_USER] >= 0 && setns(s->ns[OCI_NS_USER], CLONE_NEWUSER) < 0)
		return err_sys(err, errno, "join user namespace");
	if (s->ns[OCI_NS_PID] >= 0 && setns(s->ns[OCI_NS_PID], CLONE_NEWPID) < 0)
		return err_sys(err, errno, "join pid namespace");
	return 0;
}

static pid_t clone_child(struct start *s, uint64_t flags, int *ret_pidfd, struct err *err)
{
	pid_t pid;

	for (unsigned i = 0; i < OCI_NS_COUNT; i++)
		if (is_new(s, i) && i != OCI_NS_CGROUP && i != OCI_NS_TIME)
			flags |= (uint64_t)oci_ns_types[i].flag;
	/*
	 * Ours is not to be seen from within: /proc/PID/fd, /proc/PID/exe, ptrace. Without
	 * rights of root it has to be seen by us until its maps are written: nobody else is
	 * in its user namespace before that.
	 */
	if (!s->late)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	s->moved = s->how->cgroup && !s->slowly;
	pid = s->entry.tree < 0 || s->slowly
		      ? ns_clone(flags, ret_pidfd, err)
		      : ns_clone_into(flags, s->entry.tree, ret_pidfd, err);
	/* an older kernel, or not for us */
	if (pid < 0 && s->entry.tree >= 0 && !s->slowly) {
		s->moved = false;
		s->wait = true;
		pid = ns_clone(flags, ret_pidfd, err);
	}
	if (pid == 0)
		child(s);
	return pid < 0 ? err_wrap(err, "new namespaces") : pid;
}

/* Through a stage that joins namespaces and clones a sibling of itself. */
static pid_t clone_by_stage(struct start *s, int *ret_pidfd, struct err *err)
{
	struct err e = {.code = ERR_NONE};
	pid_t stage, pid = -1;
	struct oci_msg m;

	stage = fork();
	if (stage < 0)
		return err_sys(err, errno, "fork");
	if (stage == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		if (join_early(s, &e) == 0)
			pid = clone_child(s, CLONE_PARENT, NULL, &e);
		m = (struct oci_msg){.type = pid < 0 ? OCI_MSG_ERROR : OCI_MSG_PID,
				     .pid = pid,
				     .n = s->moved,
				     .err = e};
		if (send(s->sock[1], &m, sizeof(m), MSG_NOSIGNAL) < 0)
			_exit(1);
		_exit(0);
	}
	fd_close(&s->sock[1]);
	if (receive(s->sock[0], &m) != 1) {
		err_set(err, ERR_INTERNAL, "the process in between died");
	} else if (m.type != OCI_MSG_PID) {
		*err = m.err;
	} else {
		pid = m.pid;
		s->moved = m.n;
		*ret_pidfd = proc_pidfd(pid, err);
	}
	waitpid(stage, NULL, 0);
	return pid;
}

static bool has_hooks(const struct oci_spec *spec)
{
	for (unsigned i = 0; i < OCI_HOOK_COUNT; i++)
		if (spec->hooks[i].n)
			return true;
	return false;
}

static pid_t launch(struct start *s, int *ret_pidfd, struct err *err)
{
	const struct oci_spec *spec = s->how->spec;
	bool early = s->ns[OCI_NS_USER] >= 0 || s->ns[OCI_NS_PID] >= 0;
	pid_t pid;

	/* without root's rights there are none over the host's */
	for (size_t i = 0; i < ARRAY_LEN(of_the_host); i++)
		early |= is_new(s, OCI_NS_USER) && !s->late && s->ns[of_the_host[i]] >= 0;
	fd_close(&s->sock[0]);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->sock) < 0)
		return err_sys(err, errno, "socket pair");
	/*
	 * Each wait for the other costs two switches between processes. Who was born in the
	 * cgroup is found there, should we die before its pid is written down.
	 */
	s->wait = (s->how->on_pid && (s->entry.tree < 0 || has_hooks(spec))) || early ||
		  is_new(s, OCI_NS_USER) || s->process.has_oom || spec->nnetdevs != 0 ||
		  spec->rdt != NULL || s->slowly;
	if (early && !s->how->for_parent)
		return clone_by_stage(s, ret_pidfd, err);
	/* afterwards we have no rights left to lower it */
	if (early && (oci_apply_oom(getpid(), &s->process, s->warnings, err) < 0 ||
		      join_early(s, err) < 0))
		return -1;
	s->process.has_oom = s->process.has_oom && !early;
	pid = clone_child(s, s->how->for_parent ? CLONE_PARENT : 0, ret_pidfd, err);
	fd_close(&s->sock[1]);
	return pid;
}

struct drive {
	struct start *s;
	pid_t pid;
	int pidfd;
};

/* What the child cannot do itself, in the middle of its way. */
static int on_message(void *arg, const struct oci_msg *m, struct err *err)
{
	struct drive *d = arg;
	const struct oci_start *how = d->s->how;
	struct oci_hook_state st = {.id = how->id,
				    .bundle = str_or_empty(how->bundle),
				    .pid = d->pid,
				    .dir = -1};
	FD_AUTO bundle = -1;

	d->s->heard = true;
	if (m->type == OCI_MSG_NOTIFY)
		return oci_notify_forward(how->spec, &st, "creating", d->pidfd, m->n,
					  d->s->taken, d->s->sock[0], err);
	if (m->type != OCI_MSG_HOOKS || m->n < 0 || m->n >= OCI_HOOK_COUNT)
		return 0;
	bundle = open(*st.bundle ? st.bundle : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	st.dir = bundle;
	if (oci_hooks_run(how->spec, (enum oci_hook_kind)m->n, &st, d->s->warnings, err) <
	    0)
		return -1;
	if (send(d->s->sock[0], "", 1, MSG_NOSIGNAL) != 1)
		return err_sys(err, errno, "the container's process died");
	return 0;
}

/* With rights that the child has not, or will not have. */
static int equip(struct start *s, pid_t pid, struct err *err)
{
	const struct oci_start *how = s->how;
	struct err ignored;

	if ((is_new(s, OCI_NS_USER) && oci_ns_write_maps(how->spec, pid, err) < 0) ||
	    oci_apply_oom(pid, &s->process, s->warnings, err) < 0 ||
	    (how->cgroup && !s->moved &&
	     cgroup_join(how->cgroups, how->cgroup, pid, err) < 0) ||
	    oci_netdevs_move(how->spec, pid, err) < 0 ||
	    (how->spec->rdt &&
	     rdt_join(how->spec->rdt, how->id, pid, &s->rdt_made, err) < 0))
		return -1;
	oci_raise_rlimits(&s->process, pid);
	if (how->spec->ns[OCI_NS_USER].present)
		oci_tune(&s->process, pid, &ignored); /* tried again, and told, inside */
	return 0;
}

/* From the clone to "ready" or to the program. */
static int drive(struct start *s, pid_t pid, int pidfd, struct err *err)
{
	struct drive d = {.s = s, .pid = pid, .pidfd = pidfd};
	const struct oci_start *how = s->how;
	struct oci_watch w = {.sock = s->sock[0],
			      .stop_at_ready = how->start_fd >= 0,
			      .warnings = s->warnings,
			      .on = on_message,
			      .arg = &d};
	struct oci_hook_state st = {.id = how->id,
				    .bundle = str_or_empty(how->bundle),
				    .pid = pid,
				    .dir = -1};
	int r;

	s->silent = true;
	if ((s->wait && equip(s, pid, err) < 0) ||
	    (how->on_pid && how->on_pid(how->on_pid_arg, pid, err) < 0))
		return -1;
	if (s->wait && send(s->sock[0], "", 1, MSG_NOSIGNAL) != 1)
		return err_sys(err, errno, "the container's process died");
	r = oci_wait(&w, err);
	if (r == 0 && how->start_fd >= 0) {
		s->silent = !s->heard;
		return err_set(err, ERR_ABORTED, "the container's process died");
	}
	s->silent = false;
	if (r < 0)
		return -1;
	return how->start_fd >= 0 ? 0
				  : oci_hooks_run(how->spec, OCI_HOOK_POSTSTART, &st,
						  s->warnings, err);
}

static int check(const struct oci_start *how, struct err *err)
{
	const struct oci_process *p = how->spec->process;

	if (!p)
		return err_set(err, ERR_INVALID, "process property must not be empty");
	if (geteuid() != 0 && how->spec->nnetdevs)
		return err_set(
			err, ERR_DENIED,
			"linux.netDevices: unable to move network devices as rootless");
	if (p->terminal && how->console < 0 && how->console_socket < 0)
		return err_set(err, ERR_INVALID,
			       "process.terminal is set, but no console was given");
	return 0;
}

static int prepare(struct start *s, struct err *err)
{
	const struct oci_start *how = s->how;
	struct oci_plan_how plan = {.console = how->spec->process->terminal};
	struct err ignored;

	s->process = *how->spec->process;
	oci_clamp_caps(&s->process.caps, s->warnings);
	for (unsigned i = 0; i < OCI_NS_COUNT; i++)
		if (how->ns_fds[i] >= 0)
			plan.joined |= 1U << i;
	s->plan = oci_plan_new(how->spec, &plan, &s->arena);
	if (!how->cgroups)
		s->host = cgroups_open(&ignored);
	if (oci_seccomp_compile(how->spec, how->seccomp_cache, &s->seccomp, err) < 0 ||
	    open_namespaces(s, err) < 0)
		return -1;
	if (how->cgroup && cgentry_open(how->cgroups, how->cgroup, &s->entry, err) < 0)
		return -1;
	s->late = geteuid() != 0 && is_new(s, OCI_NS_USER);
	if (!s->late && oci_prepare(s->plan, how, s->ns[OCI_NS_USER], err) < 0)
		return -1;
	if (s->seccomp.len &&
	    (seccomp_profile_flags(how->spec->seccomp) &
	     SECCOMP_FILTER_FLAG_NEW_LISTENER) &&
	    !(s->taken = oci_notify_page(err)))
		return -1;
	/* a device in a namespace that dies is lost: that must not be one that has to die */
	s->slowly = how->spec->nnetdevs != 0;
	return 0;
}

static void release(struct start *s)
{
	for (unsigned i = 0; i < OCI_NS_COUNT; i++)
		if (s->own_ns[i])
			fd_close(&s->ns[i]);
	if (s->plan)
		oci_unprepare(s->plan);
	fd_close(&s->sock[0]);
	fd_close(&s->sock[1]);
	cgroups_free(s->host);
	buf_done(&s->seccomp);
	oci_notify_page_free(s->taken);
	cgentry_close(&s->entry);
	arena_done(&s->arena);
}

void oci_start_init(struct oci_start *how)
{
	*how = (struct oci_start){
		.rootfs_fd = -1,
		.stdio = {-1, -1, -1},
		.console = -1,
		.console_socket = -1,
		.start_fd = -1,
		.outcome_fd = -1,
	};
	for (unsigned i = 0; i < OCI_NS_COUNT; i++)
		how->ns_fds[i] = -1;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 20) == 1;
}

/* The pid of a process that is ready, or runs. */
static pid_t attempt(struct start *s, int *ret_pidfd, struct err *err)
{
	pid_t pid = launch(s, ret_pidfd, err);

	if (pid < 0 || drive(s, pid, *ret_pidfd, err) == 0)
		return pid;
	/*
	 * Kernels from 6.12.13 on compare how often cgroup.kill was used in the group that one
	 * is born into with how often it was in the parent's, and kill whom they take for
	 * one that was missed.
	 */
	s->stillborn = s->silent && s->moved && s->entry.tree >= 0 &&
		       !s->how->for_parent && has_ended(*ret_pidfd);
	kill(pid, SIGKILL);
	/* for_parent: the caller's parent reaps it */
	waitpid(pid, NULL, 0);
	fd_close(ret_pidfd);
	return -1;
}

int oci_start(const struct oci_start *how, struct oci_started *ret, struct buf *warnings,
	      struct err *err)
{
	struct start s = {
		.how = how, .sock = {-1, -1}, .warnings = warnings, .entry.tree = -1};
	uint64_t before = 0;
	struct err ignored;
	int pidfd = -1;
	pid_t pid = -1;

	memset(s.ns, -1, sizeof(s.ns));
	if (check(how, err) < 0)
		return -1;
	if (oci_shares_mounts(how->spec) && how->rootfs_fd < 0)
		before = oci_root_mount_id(how);
	if (prepare(&s, err) == 0) {
		pid = attempt(&s, &pidfd, err);
		if (pid < 0 && s.stillborn) {
			s.slowly = true;
			pid = attempt(&s, &pidfd, err);
		}
	}
	if (pid > 0)
		*ret = (struct oci_started){
			.pid = pid,
			.pidfd = pidfd,
			.errfd = how->start_fd >= 0 ? fd_take(&s.sock[0]) : -1,
			.rdt_made = s.rdt_made};
	else if (s.rdt_made)
		rdt_remove(how->spec->rdt, how->id, true, &ignored);
	if (pid < 0 && before && oci_root_mount_id(how) != before) {
		STR_AUTO root = xasprintf(
			"%s%s%s",
			*how->spec->root == '/' ? "" : str_or_empty(how->bundle),
			*how->spec->root == '/' ? "" : "/", how->spec->root);

		oci_unmount_root(how->spec, root);
	}
	release(&s);
	return pid < 0 ? -1 : 0;
}
