#include "shim/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "shim/launch.h"
#include "store/record.h"

enum {
	DRAIN_MS = 500,
	PIPE_MAX = 1 << 20,	  /* fs.pipe-max-size */
	PATIENCE_MAX = 1000000000 /* s */
};

/* A caller that waits for the container's end. */
struct ctr_stop {
	struct list node;
	struct reply reply;
};

yyjson_doc *container_request(const struct container *ct)
{
	struct err err;
	yyjson_doc *doc = json_parse(ct->request, strlen(ct->request), &err);

	if (!doc) /* written by ourselves: there is one other reason */
		err_oom(0);
	return doc;
}

yyjson_mut_val *ctr_json(struct container *ct, yyjson_mut_doc *d)
{
	static const char *const states[] = {"created", "running", "exited"};
	yyjson_mut_val *v = yyjson_mut_obj(d);

	json_add_str(d, v, "id", ct->id);
	json_add_str(d, v, "pod", ct->shim->id);
	json_add_str(d, v, "state", states[ct->state]);
	json_add_i64(d, v, "created_at", ct->created_at);
	json_add_i64(d, v, "started_at", ct->started_at);
	json_add_i64(d, v, "finished_at", ct->finished_at);
	json_add_i64(d, v, "pid", ct->state == CTR_RUNNING ? ct->pid : 0);
	json_add_i64(d, v, "exit_code", ct->exit_code);
	json_add_str(d, v, "reason", ct->reason);
	json_add_str(d, v, "message", ct->message);
	json_add_str(d, v, "log_path", ct->log_path);
	json_add_str(d, v, "cgroup", ct->cgroup);
	json_add_str(d, v, "boot_id", ct->shim->boot_id);
	if (ct->making)
		json_add_bool(d, v, "creating", true);
	if (ct->unseen)
		json_add_bool(d, v, "unseen", true);
	if (ct->user)
		yyjson_mut_obj_add_val(
			d, v, "user",
			yyjson_val_mut_copy(d, yyjson_doc_get_root(ct->user)));
	if (ct->meta)
		yyjson_mut_obj_add_val(
			d, v, "meta",
			yyjson_val_mut_copy(d, yyjson_doc_get_root(ct->meta)));
	return v;
}

yyjson_mut_val *ctr_json_of(struct list *node, yyjson_mut_doc *d)
{
	return ctr_json(container_of(node, struct container, node), d);
}

/* Writes the state below containers/NAME. */
static int save_as(struct container *ct, const char *name, struct err *err)
{
	STR_AUTO path = xasprintf("containers/%s/" SHIM_FILE_STATE, name);
	JSON_MUT_AUTO d = json_new();
	BUF_AUTO text = {0};

	yyjson_mut_doc_set_root(d, ctr_json(ct, d));
	json_write(d, false, &text);
	return record_write(ct->shim->rootfd, path, SHIM_KIND_CTR_STATE, text.data,
			    text.len, false, err);
}

static void announce(struct container *ct)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);

	json_add_str(d, root, "event", "container");
	yyjson_mut_obj_add_val(d, root, "container", ctr_json(ct, d));
	shim_event(ct->shim, d);
}

void ctr_save_all(struct shim *s)
{
	list_each (n, &s->containers) {
		struct container *ct = container_of(n, struct container, node);
		STR_AUTO path = xasprintf("containers/%s/" SHIM_FILE_SPEC, ct->id);
		struct err err;

		if (ct->making)
			continue;
		if (save_as(ct, ct->id, &err) < 0 ||
		    record_write(s->rootfd, path, SHIM_KIND_SPEC, ct->request,
				 strlen(ct->request), false, &err) < 0)
			log_error(&s->log, "container %s: %s", ct->id, err.msg);
	}
}

/* Makes a new state known: record first, then whoever listens. */
static void changed(struct container *ct)
{
	struct err err;

	if (save_as(ct, ct->id, &err) < 0)
		log_error(&ct->shim->log, "container %s: %s", ct->id, err.msg);
	announce(ct);
}

static void reply_ctr(const struct reply *r, struct container *ct)
{
	JSON_MUT_AUTO d = json_new();

	yyjson_mut_obj_add_val(d, yyjson_mut_doc_get_root(d), "container",
			       ctr_json(ct, d));
	reply_json(r, d, NULL, 0);
}

struct container *ctr_by_id(struct shim *s, const char *id, struct err *err)
{
	list_each (n, &s->containers) {
		struct container *ct = container_of(n, struct container, node);

		if (str_eq(ct->id, id))
			return ct;
	}
	err_set(err, ERR_NOT_FOUND, "container \"%s\" not found", id);
	return NULL;
}

static void close_output(struct ctr_output *o)
{
	loop_fd_del(&o->src);
	fd_close(&o->src.fd);
}

static void ctr_free(struct container *ct)
{
	list_del(&ct->node);
	loop_timer_del(&ct->kill);
	loop_timer_del(&ct->drain);
	for (unsigned i = 0; i < 2; i++) {
		close_output(&ct->out[i]);
		buf_done(&ct->out[i].line.line);
	}
	fd_close(&ct->stdin_fd);
	fd_close(&ct->pidfd);
	logger_done(&ct->log);
	json_free(&ct->meta);
	json_free(&ct->user);
	free(ct->request);
	free(ct->log_path);
	free(ct->message);
	free(ct->cgroup);
	free(ct->id);
	free(ct);
}

/* --- create ---------------------------------------------------------------------------- */

struct create {
	struct container *ct;
	struct reply reply;
	char *name; /* below containers/, until it is whole */
	struct buf config;
};

static void create_free(struct create *cr)
{
	free(cr->name);
	buf_done(&cr->config);
	free(cr);
}

static int create_work(void *arg, struct work_result *res, struct err *err)
{
	struct create *cr = arg;
	struct shim *s = cr->ct->shim;
	JSON_MUT_AUTO d = json_new();
	STR_AUTO path = xasprintf("containers/%s", cr->name);
	JSON_AUTO doc = container_request(cr->ct);
	FD_AUTO dir = file_open_dir(s->rootfd, path, true, 0700, err);

	if (dir < 0 ||
	    record_write(dir, SHIM_FILE_CONFIG, SHIM_KIND_CONFIG, cr->config.data,
			 cr->config.len, false, err) < 0 ||
	    shim_record(dir, SHIM_FILE_SPEC, SHIM_KIND_SPEC, doc, err) < 0 ||
	    launch_prepare(s, yyjson_doc_get_root(doc), dir, d,
			   yyjson_mut_doc_get_root(d), err) < 0)
		return -1;
	json_write(d, false, &res->out);
	return 0;
}

static void answer_ends(struct container *ct);

/* Tells that a container is gone, or why it could not be made. */
static void announce_end(struct container *ct, const struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);

	json_add_str(d, root, "event", "removed");
	json_add_str(d, root, "id", ct->id);
	if (err) {
		json_add_u64(d, root, "code", err_grpc_status(err->code));
		json_add_str(d, root, "message", err->msg);
	}
	shim_event(ct->shim, d);
}

static void create_done(void *arg, struct work_result *res, const struct err *err)
{
	struct create *cr = arg;
	struct container *ct = cr->ct;
	STR_AUTO from = xasprintf("containers/%s", cr->name);
	STR_AUTO to = xasprintf("containers/%s", ct->id);
	struct shim *s = ct->shim;
	struct err e, ignored;

	if (!err && !(ct->user = json_parse(res->out.data, res->out.len, &e)))
		err = &e;
	ct->starting = ct->making = false;
	ct->unseen = !reply_heard(&cr->reply);
	if (!err && save_as(ct, cr->name, &e) < 0)
		err = &e;
	if (!err && renameat(s->rootfd, from, s->rootfd, to) < 0) {
		err_sys(&e, errno, "make container %s", ct->id);
		err = &e;
	}
	if (err) {
		file_remove_tree(s->rootfd, from, &ignored);
		reply_error(&cr->reply, err);
		announce_end(ct, err);
		ctr_free(ct);
	} else {
		announce(ct); /* for a crid that has come since */
		reply_ctr(&cr->reply, ct);
		answer_ends(ct);
	}
	create_free(cr);
	pod_progress(s);
}

static void on_kill_timer(struct loop_timer *t);
static void on_drain_timer(struct loop_timer *t);

static struct container *ctr_new(struct shim *s, struct chan_msg *m)
{
	struct container *ct = xcalloc(1, sizeof(*ct));
	yyjson_val *req = m->json;
	BUF_AUTO text = {0};

	ct->shim = s;
	json_write_val(req, false, &text);
	ct->request = xstrdup(buf_str(&text));
	if (json_obj(req, "meta"))
		ct->meta = json_copy(json_obj(req, "meta"));
	ct->id = xstrdup(str_or_empty(json_str(req, "id")));
	ct->log_path = xstrdup(str_or_empty(json_str(req, "log_path")));
	ct->stop_signal = (int)json_i64(req, "stop_signal", SIGTERM);
	ct->tty = json_bool(req, "tty", false);
	ct->has_stdin = json_bool(req, "stdin", false);
	ct->created_at = json_i64(req, "created_at", 1);
	ct->cgroup = launch_cgroup(s, ct->id);
	ct->pidfd = ct->stdin_fd = ct->console = ct->log.fd = -1;
	ct->kill.fn = on_kill_timer;
	ct->drain.fn = on_drain_timer;
	for (unsigned i = 0; i < 2; i++) {
		ct->out[i].ct = ct;
		ct->out[i].src.fd = -1;
		ct->out[i].line.name = i ? "stderr" : "stdout";
	}
	list_init(&ct->stops);
	list_init(&ct->removes);
	list_add(&s->containers, &ct->node);
	return ct;
}

void ctr_create(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	const char *id = str_or_empty(json_str(m->json, "id"));
	struct create *cr;
	struct err err;

	if (s->pod.state != POD_READY || !list_empty(&s->stops))
		err_set(&err, ERR_STATE, "pod %s is not ready", s->id);
	else if (strlen(id) != 64 || strspn(id, "0123456789abcdef") != 64)
		err_set(&err, ERR_INVALID, "container id \"%s\"", id);
	else if (ctr_by_id(s, id, &err))
		err_set(&err, ERR_EXISTS, "container %s exists", id);
	else
		err.code = ERR_NONE;
	if (err.code) {
		reply_error(&r, &err);
		return;
	}
	cr = xcalloc(1, sizeof(*cr));
	cr->reply = r;
	buf_add(&cr->config, m->blob, m->blob_len);
	cr->name = xasprintf(".%s-%s", s->id, id);
	cr->ct = ctr_new(s, m);
	cr->ct->starting = cr->ct->making =
		true; /* under way: a stop of the pod waits for it */
	if (work_start(s, create_work, create_done, cr, &err) < 0) {
		reply_error(&r, &err);
		ctr_free(cr->ct);
		create_free(cr);
	}
}

/* --- output ------------------------------------------------------------------------------ */

/* Reads what there is: 1; 0 at the end of the stream; -1 if there is nothing now. */
static int read_output(struct ctr_output *o)
{
	char data[LOGGER_MAX_LINE];
	ssize_t n = read(o->src.fd, data, sizeof(data));

	if (n > 0) {
		logger_add(&o->ct->log, &o->line, data, (size_t)n);
		return 1;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : 0;
}

static void maybe_finish(struct container *ct);

static void on_output(struct loop_fd *src, unsigned events)
{
	struct ctr_output *o = container_of(src, struct ctr_output, src);

	(void)events;
	if (read_output(o) != 0)
		return;
	logger_end(&o->ct->log, &o->line);
	close_output(o);
	if (o == &o->ct->out[0])
		o->ct->console = -1;
	maybe_finish(o->ct);
}

static int watch_output(struct ctr_output *o, int fd, struct err *err)
{
	fd_set_nonblock(fd, true);
	o->src = (struct loop_fd){.fn = on_output, .fd = fd};
	return loop_fd_add(o->ct->shim->loop, &o->src, LOOP_IN, err);
}

/* --- start --------------------------------------------------------------------------------- */

struct start {
	struct container *ct;
	int stdio[3]; /* the container's ends */
};

static int start_work(void *arg, struct work_result *res, struct err *err)
{
	struct start *st = arg;
	JSON_MUT_AUTO d = json_new();
	int console = -1;
	pid_t pid = launch_start(st->ct, st->stdio, &console, err);

	if (pid < 0)
		return -1;
	if (console >= 0)
		res->fds[res->nfds++] = console;
	json_add_i64(d, yyjson_mut_doc_get_root(d), "pid", pid);
	json_write(d, false, &res->out);
	return 0;
}

static void on_ctr_exit(struct child *c, int status);

static void failed_to_start(struct container *ct, const struct err *err)
{
	for (unsigned i = 0; i < 2; i++)
		close_output(&ct->out[i]);
	fd_close(&ct->stdin_fd);
	ct->state = CTR_EXITED;
	ct->exit_code = 128;
	/* the program could not be started, or there was nothing to start it in */
	ct->reason = strstr(err->msg, "exec: ") ? "StartError" : "ContainerCannotRun";
	ct->finished_at = time_real();
	free(ct->message);
	ct->message = xstrdup(err->msg);
	changed(ct);
	reply_error(&ct->start, err);
}

static void start_done(void *arg, struct work_result *res, const struct err *err)
{
	struct start *st = arg;
	struct container *ct = st->ct;
	JSON_AUTO doc = NULL;
	struct err e;

	free(st);
	ct->starting = false;
	if (!err) {
		doc = json_parse(res->out.data, res->out.len, &e);
		if (!doc)
			err = &e;
	}
	if (!err && res->nfds && watch_output(&ct->out[0], res->fds[0], &e) < 0)
		err = &e;
	if (err) {
		failed_to_start(ct, err);
		answer_ends(ct);
		pod_progress(ct->shim);
		return;
	}
	if (res->nfds)
		ct->console = res->fds[0];
	ct->pid = (pid_t)json_i64(yyjson_doc_get_root(doc), "pid", 0);
	ct->pidfd = proc_pidfd(ct->pid, &e);
	ct->state = CTR_RUNNING;
	ct->started_at = time_real();
	ct->child = (struct child){.pid = ct->pid, .on_exit = on_ctr_exit};
	changed(ct);
	reply_ctr(&ct->start, ct);
	child_watch(ct->shim, &ct->child);
	pod_progress(ct->shim);
}

/* Pipes for a container without a terminal; the shim's ends are watched. */
static int make_pipes(struct container *ct, int stdio[3], struct err *err)
{
	int fds[2];

	for (unsigned i = 0; i < 2; i++) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return err_sys(err, errno, "pipe");
		stdio[i + 1] = fds[1];
		if (watch_output(&ct->out[i], fds[0], err) < 0)
			return -1;
	}
	if (ct->has_stdin) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return err_sys(err, errno, "pipe");
		stdio[0] = fds[0];
		ct->stdin_fd = fds[1];
	}
	return 0;
}

void ctr_start(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	struct err err;
	struct container *ct = ctr_by_id(s, str_or_empty(json_str(m->json, "id")), &err);
	struct start *st;

	if (ct && (ct->state != CTR_CREATED || ct->starting)) {
		err_set(&err, ERR_STATE, "container %s is not in the created state",
			ct->id);
		ct = NULL;
	}
	if (ct && (s->pod.state != POD_READY || !list_empty(&s->stops))) {
		err_set(&err, ERR_STATE, "pod %s is not ready", s->id);
		ct = NULL;
	}
	if (!ct) {
		reply_error(&r, &err);
		return;
	}
	ct->start = r;
	st = xcalloc(1, sizeof(*st));
	*st = (struct start){ct, {-1, -1, -1}};
	if (logger_open(&ct->log, pod_str(s, "log_directory"), ct->log_path, &err) < 0 ||
	    (!ct->tty && make_pipes(ct, st->stdio, &err) < 0) ||
	    work_start(s, start_work, start_done, st, &err) < 0) {
		failed_to_start(ct, &err);
		for (unsigned i = 0; i < 3; i++)
			fd_close(&st->stdio[i]);
		free(st);
		return;
	}
	ct->starting = true;
	for (unsigned i = 0; i < 3; i++)
		fd_close(&st->stdio[i]);
}

/* --- the end ------------------------------------------------------------------------------- */

int ctr_signal(struct container *ct, int sig)
{
	return ct->pidfd < 0 ? -1 : proc_kill(ct->pidfd, sig);
}

static void answer_stops(struct container *ct)
{
	list_each (n, &ct->stops) {
		struct ctr_stop *st = container_of(n, struct ctr_stop, node);

		reply_ctr(&st->reply, ct);
		list_del(&st->node);
		free(st);
	}
}

static void start_remove(struct container *ct);

/* Answers those who wait for the container's end, and goes on with a removal. */
static void answer_ends(struct container *ct)
{
	answer_stops(ct);
	if (!list_empty(&ct->removes))
		start_remove(ct);
}

static int cgroup_work(void *arg, struct work_result *res, struct err *err)
{
	struct container *ct = arg;

	(void)res;
	return launch_cgroup_remove(ct->shim, ct->cgroup, err);
}

/* The cgroup is gone: the container has ended for everybody. */
static void finish(void *arg, struct work_result *res, const struct err *err)
{
	struct container *ct = arg;

	(void)res;
	if (err)
		log_warn(&ct->shim->log, "container %s: %s", ct->id, err->msg);
	ct->starting = false;
	answer_ends(ct);
	pod_progress(ct->shim);
}

/* The process has ended and its output was read: that is the container's end. */
static void maybe_finish(struct container *ct)
{
	struct err err;

	if (!ct->exited || ct->state != CTR_RUNNING || ct->out[0].src.fd >= 0 ||
	    ct->out[1].src.fd >= 0)
		return;
	loop_timer_del(&ct->drain);
	loop_timer_del(&ct->kill);
	ct->state = CTR_EXITED;
	ct->pid = 0;
	fd_close(&ct->pidfd);
	fd_close(&ct->stdin_fd);
	changed(ct);
	ct->starting = true; /* its cgroup goes, before anybody hears of the end */
	if (work_start(ct->shim, cgroup_work, finish, ct, &err) < 0)
		finish(ct, NULL, &err);
}

static void drain(struct container *ct)
{
	for (unsigned i = 0; i < 2; i++) {
		struct ctr_output *o = &ct->out[i];

		if (o->src.fd < 0)
			continue;
		/* what was written is in the pipe: a busy machine must not cost it */
		for (unsigned n = 0; n < PIPE_MAX / LOGGER_MAX_LINE; n++)
			if (read_output(o) <= 0)
				break;
		logger_end(&ct->log, &o->line);
		close_output(o);
	}
	ct->console = -1;
	maybe_finish(ct);
}

/* Somebody outside the container holds its output open: not our concern any more. */
static void on_drain_timer(struct loop_timer *t)
{
	drain(container_of(t, struct container, drain));
}

static void on_ctr_exit(struct child *c, int status)
{
	struct container *ct = container_of(c, struct container, child);

	ct->exited = true;
	ct->finished_at = time_real();
	ct->exit_code =
		WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	launch_kill_all(ct);
	ct->reason = ct->exit_code && launch_oom_kills(ct) > 0 ? "OOMKilled"
		     : ct->exit_code			       ? "Error"
							       : "Completed";
	loop_timer_set(ct->shim->loop, &ct->drain, time_mono() + DRAIN_MS * NS_PER_MS);
	maybe_finish(ct);
}

static void kill_now(struct container *ct)
{
	ctr_signal(ct, SIGKILL);
	launch_kill_all(ct);
}

static void on_kill_timer(struct loop_timer *t)
{
	kill_now(container_of(t, struct container, kill));
}

void ctr_stop(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	struct err err;
	struct container *ct = ctr_by_id(s, str_or_empty(json_str(m->json, "id")), &err);
	int64_t timeout = MIN(json_i64(m->json, "timeout", 0), (int64_t)PATIENCE_MAX);
	struct ctr_stop *st;
	int64_t when;

	if (!ct) {
		reply_error(&r, &err);
		return;
	}
	if (ct->state != CTR_RUNNING && !ct->starting) {
		reply_ctr(&r, ct);
		return;
	}
	st = xcalloc(1, sizeof(*st));
	st->reply = r;
	list_add(&ct->stops, &st->node);
	if (timeout <= 0) {
		kill_now(ct);
		return;
	}
	if (!ct->signalled) /* once, however often the call is retried */
		ctr_signal(ct, ct->stop_signal);
	ct->signalled = true;
	when = time_mono() + timeout * NS_PER_SEC;
	if (!ct->kill.loop || ct->kill.when > when)
		loop_timer_set(s->loop, &ct->kill, when);
}

/* --- remove -------------------------------------------------------------------------------- */

static int remove_work(void *arg, struct work_result *res, struct err *err)
{
	struct container *ct = arg;
	STR_AUTO path = xasprintf("containers/%s", ct->id);

	(void)res;
	if (launch_cgroup_remove(ct->shim, ct->cgroup, err) < 0)
		return -1;
	return file_remove_tree(ct->shim->rootfd, path, err);
}

static void remove_done(void *arg, struct work_result *res, const struct err *err)
{
	struct container *ct = arg;
	struct shim *s = ct->shim;

	(void)res;
	ct->removing = ct->starting = false;
	list_each (n, &ct->removes) {
		struct ctr_stop *st = container_of(n, struct ctr_stop, node);

		if (err)
			reply_error(&st->reply, err);
		else
			reply_ok(&st->reply);
		list_del(&st->node);
		free(st);
	}
	answer_stops(ct); /* one may have come since the container's end */
	if (!err) {
		announce_end(ct, NULL);
		ctr_free(ct);
	}
	pod_progress(s);
}

static void start_remove(struct container *ct)
{
	struct err err;

	if (ct->removing)
		return;
	ct->removing = ct->starting = true;
	if (work_start(ct->shim, remove_work, remove_done, ct, &err) < 0)
		remove_done(ct, NULL, &err);
}

void ctr_remove(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	struct err err;
	struct container *ct = ctr_by_id(s, str_or_empty(json_str(m->json, "id")), &err);
	struct ctr_stop *st;

	if (!ct) {
		reply_ok(&r);
		return;
	}
	st = xcalloc(1, sizeof(*st));
	st->reply = r;
	list_add(&ct->removes, &st->node);
	if (ct->state == CTR_RUNNING)
		kill_now(ct);
	else if (!ct->starting)
		start_remove(ct);
}

bool ctr_kill_all(struct shim *s)
{
	bool none = true;

	list_each (n, &s->containers) {
		struct container *ct = container_of(n, struct container, node);

		if (ct->state == CTR_RUNNING)
			kill_now(ct);
		none &= ct->state != CTR_RUNNING && !ct->starting;
	}
	return none;
}

int ctr_remove_all(struct shim *s, struct err *err)
{
	list_each (n, &s->containers) {
		struct container *ct = container_of(n, struct container, node);
		STR_AUTO path = xasprintf("containers/%s", ct->id);

		if (file_remove_tree(s->rootfd, path, err) < 0)
			return -1;
		ctr_free(ct);
	}
	return 0;
}

void ctr_reopen_log(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	struct err err;
	struct container *ct = ctr_by_id(s, str_or_empty(json_str(m->json, "id")), &err);

	if (ct && ct->state != CTR_RUNNING) {
		err_set(&err, ERR_STATE, "container %s is not running", ct->id);
		ct = NULL;
	}
	if (!ct || logger_reopen(&ct->log, &err) < 0)
		reply_error(&r, &err);
	else
		reply_ok(&r);
}
