/*
 * shim: the pod supervisor, one process per pod. It owns the pod's
 * namespaces, network, containers, logs and sessions, and outlives crid.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/self.h"
#include "os/sock.h"
#include "shim/shim.h"
#include "store/record.h"

static void on_msg(void *arg, struct chan *c, struct chan_msg *m)
{
	static const struct {
		const char *op;
		void (*fn)(struct shim *s, struct chan *c, struct chan_msg *m);
	} ops[] = {
		{"pod.run", pod_run},
		{"pod.sync", pod_sync},
		{"pod.stop", pod_stop},
		{"pod.remove", pod_remove},
		{"pod.usage", pod_usage},
		{"ctr.create", ctr_create},
		{"ctr.start", ctr_start},
		{"ctr.stop", ctr_stop},
		{"ctr.remove", ctr_remove},
		{"ctr.update", ctr_update},
		{"ctr.reopen_log", ctr_reopen_log},
		{"ctr.exec_sync", ctr_exec_sync},
		{"ctr.exec_cancel", ctr_exec_cancel},
		{"ctr.exec", ctr_exec},
	};
	struct peer *p = arg;
	const char *op = str_or_empty(json_str(m->json, "op"));
	struct err err;

	if (m->type != CHAN_REQUEST)
		return;
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (str_eq(ops[i].op, op)) {
			ops[i].fn(p->shim, c, m);
			return;
		}
	err_set(&err, ERR_UNIMPLEMENTED, "the pod's shim does not know %s", op);
	chan_send_error(c, m->serial, &err);
}

static void on_end(void *arg, struct chan *c, const struct err *err)
{
	struct peer *p = arg;
	struct shim *s = p->shim;
	struct err ignored;

	(void)err;
	list_del(&p->node);
	chan_free(c);
	/* crid died between starting us and saying what for: nobody else can */
	if (!s->pod.doc && p->id == 1) {
		pod_forget(s, &ignored);
		loop_stop(s->loop, 1);
	}
	free(p);
}

static const struct chan_ops peer_ops = {on_msg, on_end};

static int peer_new(struct shim *s, int fd_taken, bool events, struct err *err)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->shim = s;
	p->events = events;
	p->id = ++s->npeers;
	p->chan = chan_new(s->loop, fd_taken, &peer_ops, p, err);
	if (!p->chan) {
		free(p);
		return -1;
	}
	list_add(&s->peers, &p->node);
	return 0;
}

static void on_conn(struct acceptor *a, int fd)
{
	struct shim *s = container_of(a, struct shim, acceptor);
	struct err err;
	pid_t pid;
	uid_t uid;

	/* R28: root only, and a process that our pid namespace can see */
	if (sock_peer(fd, &pid, &uid, &err) < 0 || uid != 0 || pid == 0) {
		close(fd);
		return;
	}
	if (peer_new(s, fd, false, &err) < 0)
		log_warn(&s->log, "%s", err.msg);
}

struct reply reply_to(struct shim *s, struct chan *c, const struct chan_msg *m)
{
	struct reply r = {.shim = s, .serial = m->serial};

	list_each (n, &s->peers)
		if (container_of(n, struct peer, node)->chan == c)
			r.peer = container_of(n, struct peer, node)->id;
	return r;
}

/* The channel of the peer that asked, if it is still there. */
static struct chan *reply_chan(const struct reply *r)
{
	list_each (n, &r->shim->peers)
		if (container_of(n, struct peer, node)->id == r->peer)
			return container_of(n, struct peer, node)->chan;
	return NULL;
}

bool reply_heard(const struct reply *r)
{
	return reply_chan(r) != NULL;
}

void reply_json(const struct reply *r, const yyjson_mut_doc *d, const void *blob,
		size_t n)
{
	struct chan *c = reply_chan(r);

	if (c)
		chan_send(c, CHAN_REPLY, r->serial, d, blob, n, NULL, 0);
}

void reply_ok(const struct reply *r)
{
	reply_json(r, NULL, NULL, 0);
}

void reply_error(const struct reply *r, const struct err *err)
{
	struct chan *c = reply_chan(r);

	if (c)
		chan_send_error(c, r->serial, err);
}

void shim_event(struct shim *s, const yyjson_mut_doc *d)
{
	list_each (n, &s->peers) {
		struct peer *p = container_of(n, struct peer, node);

		if (p->events)
			chan_send(p->chan, CHAN_EVENT, 0, d, NULL, 0, NULL, 0);
	}
}

/* A child may have ended before its pid was known here: work.c's are its parents. */
static void late_exits(struct loop_later *l)
{
	struct shim *s = container_of(l, struct shim, later);

	for (unsigned i = 0; i < s->nearly;) {
		struct early e = s->early[i];
		struct child *found = NULL;

		list_each (n, &s->children)
			if (container_of(n, struct child, node)->pid == e.pid)
				found = container_of(n, struct child, node);
		if (!found) {
			i++;
			continue;
		}
		s->early[i] = s->early[--s->nearly];
		list_del(&found->node);
		found->on_exit(found, e.status);
	}
	/* no worker has a child to tell of: a pid may be given to another process now */
	if (!s->workers)
		s->nearly = 0;
}

void child_watch(struct shim *s, struct child *c)
{
	list_add(&s->children, &c->node);
	if (s->nearly)
		loop_later_add(s->loop, &s->later);
}

/* A process that nobody waits for yet: a container whose worker has not reported. */
static void keep_status(struct shim *s, pid_t pid, int status)
{
	if (!s->workers)
		return;
	if (s->nearly == SHIM_EARLY) /* the oldest one was nobody's */
		memmove(s->early, s->early + 1, sizeof(s->early[0]) * --s->nearly);
	s->early[s->nearly++] = (struct early){pid, status};
}

static void reap(struct shim *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *found = NULL;

		list_each (n, &s->children)
			if (container_of(n, struct child, node)->pid == pid)
				found = container_of(n, struct child, node);
		if (!found) {
			keep_status(s, pid, status);
			continue;
		}
		list_del(&found->node);
		found->on_exit(found, status);
	}
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	struct shim *s = arg;

	if (si->ssi_signo == SIGCHLD)
		reap(s);
	/* SIGTERM and SIGINT are for the service manager's processes: a pod is
	 * stopped by its kubelet */
}

int shim_record(int dirfd, const char *name, const char *kind, yyjson_doc *doc,
		struct err *err)
{
	BUF_AUTO text = {0};

	json_write_val(yyjson_doc_get_root(doc), false, &text);
	return record_write(dirfd, name, kind, text.data, text.len, false, err);
}

/* The record directories: crid has made the pod's. */
static int open_dirs(struct shim *s, struct err *err)
{
	STR_AUTO pods = xasprintf("pods/%s", s->id);

	s->rootfd = file_open(AT_FDCWD, s->root, O_RDONLY | O_DIRECTORY, 0, err);
	if (s->rootfd < 0)
		return -1;
	s->podfd = file_open_dir(s->rootfd, pods, false, 0, err);
	return s->podfd < 0 ? -1 : 0;
}

/*
 * A crid that found no shim yet may clean up. We are in our group by now, so that a
 * clean-up that begins later kills us; one that has begun is waited for.
 */
static int claim_pod(struct shim *s, struct err *err)
{
	struct stat st;

	if (flock(s->podfd, LOCK_EX) < 0 || fstat(s->podfd, &st) < 0)
		return err_sys(err, errno, "lock pod %s", s->id);
	if (!st.st_nlink)
		return err_set(err, ERR_ABORTED, "pod %s was removed", s->id);
	flock(s->podfd, LOCK_UN);
	return file_mkdirs(s->rootfd, "containers", 0700, err);
}

static int listen_socket(struct shim *s, struct err *err)
{
	STR_AUTO dir = xasprintf("%s/pods/%s", s->state, s->id);
	STR_AUTO path = xasprintf("%s/shim.sock", dir);
	int fd;

	acceptor_init(&s->acceptor, s->loop, on_conn);
	if (file_mkdirs(AT_FDCWD, dir, 0700, err) < 0)
		return -1;
	fd = sock_listen_unix(path, 0600, err);
	return fd < 0 ? -1 : acceptor_listen(&s->acceptor, fd, err);
}

/* Away from crid: a session of our own, init as parent. Returns in the child only. */
static int detach(struct err *err)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (pid > 0)
		_exit(0);
	setsid();
	return 0;
}

/* -998 as other sandboxes have it. Without the right to (crid says so, once): as we are. */
static void protect(void)
{
	struct err ignored;

	file_write(AT_FDCWD, "/proc/self/oom_score_adj", "-998", &ignored);
}

static int serve(struct shim *s, struct err *err)
{
	static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
	int r;

	s->start_time = proc_start_time(getpid());
	s->loop = loop_new(err);
	if (!s->loop ||
	    loop_signals(s->loop, sigs, ARRAY_LEN(sigs), on_signal, s, err) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	/* crid's would hide cgroups and volumes' directories from a container's users; what
	 * is private has its mode */
	umask(022);
	s->cgroups = cgroups_open(err);
	if (!s->cgroups || place_shim(s, err) < 0 || open_dirs(s, err) < 0 ||
	    claim_pod(s, err) < 0 || listen_socket(s, err) < 0)
		return -1;
	if (fcntl(3, F_GETFD) >= 0 &&
	    (fd_set_cloexec(3, true) < 0 || peer_new(s, 3, true, err) < 0))
		return -1;
	r = loop_run(s->loop, err);
	place_leave(s);
	return r;
}

/* What the command line says besides who we are. */
struct options {
	const char *container;
	bool clean, remove;
};

static int read_options(struct shim *s, struct options *o, int argc, char **argv,
			struct err *err)
{
	static const struct option options[] = {
		{"id", 1, NULL, 'i'},	     {"root", 1, NULL, 'r'},
		{"state", 1, NULL, 's'},     {"log-level", 1, NULL, 'l'},
		{"cleanup", 0, NULL, 'c'},   {"remove", 0, NULL, 'd'},
		{"container", 1, NULL, 'C'}, {"when", 1, NULL, 'w'},
		{"spec", 1, NULL, 'S'},	     {NULL, 0, NULL, 0}};
	uint64_t when;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (c == 'i')
			s->id = optarg;
		else if (c == 'r')
			s->root = optarg;
		else if (c == 's')
			s->state = optarg;
		else if (c == 'c')
			o->clean = true;
		else if (c == 'd')
			o->remove = true;
		else if (c == 'C')
			o->container = optarg;
		else if (c == 'S')
			s->spec = optarg;
		else if (c == 'w' && num_u64(optarg, 0, INT64_MAX, &when) == 0)
			s->when = (int64_t)when;
		else if (c != 'l' || log_level_parse(optarg, &s->log.level) < 0)
			return err_set(err, ERR_INVALID, "shim: bad option %s",
				       argv[optind - 1]);
	if (!s->id || !s->root || !s->state || strchr(s->id, '/') || *s->id == '.' ||
	    (o->container && strchr(o->container, '/')))
		return err_set(err, ERR_INVALID,
			       "shim: --id, --root and --state are needed");
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	unsigned dropped = 0;
	struct shim s = {
		.log = {2, LOG_LEVEL_INFO, "cribox shim", 1}, .rootfd = -1, .podfd = -1};
	struct options o = {0};

	list_init(&s.peers);
	list_init(&s.children);
	list_init(&s.containers);
	list_init(&s.execs);
	list_init(&s.stops);
	s.later.fn = late_exits;
	for (unsigned i = 0; i < POD_NS_COUNT; i++)
		s.pod.ns[i] = -1;
	if (read_options(&s, &o, argc, argv, err) < 0 || proc_boot_id(s.boot_id, err) < 0)
		return -1;
	if (o.clean)
		return open_dirs(&s, err) < 0 && err->code != ERR_NOT_FOUND
			       ? -1
			       : cleanup_pod(&s, o.container, o.remove, err);
	/* our forks enter containers: nothing in there may write to our file */
	if (self_protect(argv, err) < 0 || detach(err) < 0)
		return -1;
	protect();
	s.log.fd = fd_log();
	s.log.dropped = &dropped;
	return serve(&s, err);
}

const struct applet applet_shim = {.name = "shim", .run = run};
