/* client: the parent's side of an unpacker. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/num.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"
#include "unpack-int.h"

enum { PIPE = 1 << 20 };

static const char *algo_name(const struct digest *d)
{
	return d->algo == DIGEST_SHA512 ? "sha512" : "sha256";
}

static int send_view(struct unpack *u, int view, struct err *err)
{
	struct unpack_msg m = {.kind = MSG_VIEW};

	/* one that has ended has said why before: unpack_read tells */
	if (sock_send_fds(u->sock, &m, sizeof(m), &view, 1) != sizeof(m) &&
	    errno != EPIPE)
		return err_sys(err, errno, "talk to the unpacker");
	return 0;
}

int unpack_spawn(struct unpack *u, int layer_dir, const struct unpack_options *o,
		 struct err *err)
{
	char max[24];
	const char *argv[] = {"unpack",
			      o->lowest	     ? "lowest"
			      : o->view >= 0 ? "view"
					     : "stage",
			      max,
			      algo_name(&o->digest),
			      algo_name(&o->diff_id),
			      NULL};
	FD_AUTO in = -1;
	FD_AUTO sock = -1;
	int pipe[2], socks[2];
	struct proc_spawn how = {.argv = argv};

	*u = (struct unpack){.pidfd = -1,
			     .in = -1,
			     .sock = -1,
			     .passed = -1,
			     .partial = xcalloc(1, sizeof(*u->partial)),
			     .want_digest = o->digest,
			     .want_diff_id = o->diff_id};
	snprintf(max, sizeof(max), "%llu",
		 (unsigned long long)(o->max_bytes ? o->max_bytes : UINT64_C(64) << 30));
	if (pipe2(pipe, O_CLOEXEC) < 0) {
		err_sys(err, errno, "start the unpacker: pipe");
		unpack_end(u);
		return -1;
	}
	in = pipe[0];
	u->in = pipe[1];
	/* beyond pipe-max-size or the user's share: the usual size will do */
	(void)fcntl(in, F_SETPIPE_SZ, PIPE);
	if (sock_pair(socks, err) < 0) {
		unpack_end(u);
		return -1;
	}
	u->sock = socks[0];
	sock = socks[1];
	how.fds[0] = in;
	how.fds[1] = layer_dir;
	how.fds[2] = STDERR_FILENO;
	how.fd3 = sock;
	u->pid = proc_spawn(&how, &u->pidfd, err);
	if (u->pid < 0 || fd_set_nonblock(u->in, true) < 0 ||
	    fd_set_nonblock(u->sock, true) < 0 ||
	    (!o->lowest && o->view >= 0 && send_view(u, o->view, err) < 0)) {
		unpack_end(u);
		return -1;
	}
	return 0;
}

/* A directory that the unpacker cannot mark itself: trusted.* needs CAP_SYS_ADMIN. */
static int mark_opaque(int fd, struct err *err)
{
	/*
	 * Whatever the unpacker sends: it can only open what is in its layer, and what
	 * lies below is read-only for it.
	 */
	if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_sys(err, errno, "mark an opaque directory");
	return 0;
}

static int died(struct unpack *u, struct err *err)
{
	siginfo_t si = {0};

	/* it may have closed its socket and live on; how it died is not changed by this */
	if (u->pid > 0)
		kill(u->pid, SIGKILL);
	if (u->pid > 0 && waitid(P_PID, (id_t)u->pid, &si, WEXITED | WNOWAIT) == 0) {
		if (si.si_code == CLD_EXITED)
			return err_set(err, ERR_INTERNAL,
				       "the unpacker ended with status %d", si.si_status);
		return err_set(err, ERR_INTERNAL, "the unpacker was killed by signal %d",
			       si.si_status);
	}
	return err_set(err, ERR_INTERNAL, "the unpacker has gone");
}

/*
 * Takes what is there of a message. 1: it is whole; 0: not yet; -1. Never waits: whatever the
 * unpacker does to us, it cannot make the puller stand still.
 */
static int receive(struct unpack *u, struct err *err)
{
	uint8_t *p = (uint8_t *)u->partial;

	while (u->have < sizeof(*u->partial)) {
		size_t nfds = u->have ? 0 : 1;
		ssize_t n =
			sock_recv_fds(u->sock, p + u->have, sizeof(*u->partial) - u->have,
				      u->have ? NULL : &u->passed, &nfds);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != ECONNRESET)
			return err_sys(err, errno, "listen to the unpacker");
		if (n <= 0)
			return died(u, err);
		if (!u->have && !nfds)
			u->passed = -1;
		u->have += (size_t)n;
	}
	u->have = 0;
	return 1;
}

static int check(const char *what, const struct digest *got, const struct digest *want,
		 struct err *err)
{
	char is[DIGEST_TEXT], expected[DIGEST_TEXT];

	if (want->algo == DIGEST_NONE || digest_equal(got, want))
		return 0;
	digest_format(is, got);
	digest_format(expected, want);
	return err_set(err, ERR_CORRUPT, "layer: %s is %s, expected %s", what, is,
		       expected);
}

int unpack_read(struct unpack *u, struct unpack_report *ret, struct err *err)
{
	struct unpack_msg *m = u->partial;
	FD_AUTO fd = -1;
	int r = receive(u, err);

	if (r < 0)
		return -1;
	if (r == 0) {
		*ret = (struct unpack_report){.event = UNPACK_NOTHING};
		return 0;
	}
	fd = fd_take(&u->passed);
	if (m->kind == MSG_FAILED) {
		m->err.msg[sizeof(m->err.msg) - 1] = 0;
		*err = m->err;
		if (err->code <= ERR_NONE || err->code >= ERR_CODE_COUNT)
			err->code = ERR_INTERNAL;
		return -1;
	}
	if (m->kind == MSG_OPAQUE) {
		*ret = (struct unpack_report){.event = UNPACK_NOTHING};
		return mark_opaque(fd, err);
	}
	if (m->kind != MSG_STAGED && m->kind != MSG_DONE)
		return err_set(err, ERR_INTERNAL, "the unpacker talks nonsense");
	if (check("digest", &m->report.digest, &u->want_digest, err) < 0 ||
	    check("diff id", &m->report.diff_id, &u->want_diff_id, err) < 0)
		return -1;
	*ret = m->report;
	ret->event = m->kind == MSG_STAGED ? UNPACK_STAGED : UNPACK_DONE;
	return 0;
}

int unpack_resolve(struct unpack *u, int view, struct err *err)
{
	return send_view(u, view, err);
}

void unpack_end(struct unpack *u)
{
	if (u->pid > 0) {
		/* one that has ended does not mind */
		kill(u->pid, SIGKILL);
		waitpid(u->pid, NULL, 0);
	}
	if (u->partial) { /* else nothing was started */
		fd_close(&u->pidfd);
		fd_close(&u->in);
		fd_close(&u->sock);
		fd_close(&u->passed);
		free(u->partial);
	}
	*u = (struct unpack){.pidfd = -1, .in = -1, .sock = -1, .passed = -1};
}
