/* pod: the sandbox itself: namespaces, network, pause process, records, its end. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "shim/network.h"
#include "shim/selfexe.h"
#include "shim/shim.h"
#include "store/record.h"

/* A request to stop or remove that waits until the pod is down. */
struct pod_stop {
	struct list node;
	struct reply reply;
	bool remove;
};

const char *pod_str(const struct shim *s, const char *key)
{
	return str_or_empty(json_str(s->pod.spec, key));
}

static const char *ns_mode(const struct shim *s, const char *key)
{
	return str_or_empty(json_str(json_obj(s->pod.spec, "ns"), key));
}

yyjson_mut_val *pod_json(struct shim *s, yyjson_mut_doc *d)
{
	static const char *const states[] = {"new", "ready", "notready"};
	yyjson_mut_val *v = yyjson_mut_obj(d), *arr;
	yyjson_val *ip;

	json_add_str(d, v, "id", s->id);
	json_add_str(d, v, "state", states[s->pod.state]);
	json_add_i64(d, v, "created_at", s->pod.created_at);
	arr = json_add_arr(d, v, "ips");
	json_each (ip,
		   s->pod.net ? json_arr(yyjson_doc_get_root(s->pod.net), "ips") : NULL)
		yyjson_mut_arr_add_strcpy(d, arr, yyjson_get_str(ip));
	json_add_str(d, v, "netns", s->pod.netns);
	json_add_i64(d, v, "pause_pid", s->pod.pause.pid);
	json_add_i64(d, v, "shim_pid", getpid());
	json_add_u64(d, v, "shim_start", s->start_time);
	json_add_str(d, v, "boot_id", s->boot_id);
	json_add_str(d, v, "cgroup", s->pod.cgroup);
	json_add_bool(d, v, "clean", s->pod.clean);
	if (s->pod.unseen)
		json_add_bool(d, v, "unseen", true);
	if (json_obj(s->pod.spec, "ns"))
		yyjson_mut_obj_add_val(
			d, v, "ns", yyjson_val_mut_copy(d, json_obj(s->pod.spec, "ns")));
	return v;
}

int pod_save(struct shim *s, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	BUF_AUTO text = {0};

	yyjson_mut_doc_set_root(d, pod_json(s, d));
	json_write(d, false, &text);
	return record_write(s->podfd, SHIM_FILE_STATE, SHIM_KIND_POD_STATE, text.data,
			    text.len, false, err);
}

static void pod_event(struct shim *s)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);

	json_add_str(d, root, "event", "pod");
	yyjson_mut_obj_add_val(d, root, "pod", pod_json(s, d));
	shim_event(s, d);
}

static void reply_pod(struct shim *s, const struct reply *r, bool containers)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *arr;

	yyjson_mut_obj_add_val(d, root, "pod", pod_json(s, d));
	if (containers) {
		arr = json_add_arr(d, root, "containers");
		list_each (n, &s->containers)
			yyjson_mut_arr_append(arr, ctr_json_of(n, d));
	}
	if (containers)
		reply_json(r, d, s->pod.config.data, s->pod.config.len);
	else
		reply_json(r, d, NULL, 0);
}

/* The pod's directory was removed: a new one with what containers need of it. */
static int restore_dir(struct shim *s, struct err *err)
{
	STR_AUTO path = xasprintf("pods/%s", s->id);
	struct stat st;
	int fd;

	if (fstat(s->podfd, &st) == 0 && st.st_nlink)
		return 0;
	fd = file_open_dir(s->rootfd, path, true, 0700, err);
	if (fd < 0)
		return -1;
	fd_close(&s->podfd);
	s->podfd = fd;
	return pod_files(s->podfd, s->pod.spec, err);
}

/* Some record was found damaged, maybe one of the pod's. */
static void restore(struct shim *s)
{
	struct err err;

	if (s->pod.state == POD_NEW) /* it has none yet */
		return;
	if (restore_dir(s, &err) < 0 || pod_save(s, &err) < 0 ||
	    shim_record(s->podfd, "spec", "pod-spec", s->pod.doc, &err) < 0)
		log_error(&s->log, "%s", err.msg);
	ctr_save_all(s);
}

void pod_sync(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);

	/* what a crid has asked for before it died comes first */
	list_each (n, &s->peers) {
		struct peer *p = container_of(n, struct peer, node);

		if (p->chan == c)
			p->events = true;
		else
			chan_drain(p->chan);
	}
	if (json_bool(m->json, "restore", false))
		restore(s);
	reply_pod(s, &r, true);
}

/* --- making ------------------------------------------------------------------------------ */

static int write_sysctls(yyjson_val *spec, struct err *err)
{
	yyjson_val *k, *v;

	json_each_member (k, v, json_obj(spec, "sysctls")) {
		STR_AUTO path = xasprintf("/proc/sys/%s", yyjson_get_str(k));

		for (char *p = path + strlen("/proc/sys/"); *p; p++)
			if (*p == '.')
				*p = '/';
		if (file_write(AT_FDCWD, path, str_or_empty(yyjson_get_str(v)), err) < 0)
			return err_wrap(err, "sysctl %s", yyjson_get_str(k));
	}
	return 0;
}

/* Writes the sysctls from within the pod's namespaces, and comes back. */
static int apply_sysctls(const int ns[POD_NS_COUNT], yyjson_val *spec, struct err *err)
{
	FD_AUTO net = file_open(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0, err);
	FD_AUTO ipc =
		net < 0 ? -1 : file_open(AT_FDCWD, "/proc/self/ns/ipc", O_RDONLY, 0, err);
	int r;

	if (ipc < 0)
		return -1;
	if ((ns[POD_NS_NET] >= 0 && setns(ns[POD_NS_NET], CLONE_NEWNET) < 0) ||
	    (ns[POD_NS_IPC] >= 0 && setns(ns[POD_NS_IPC], CLONE_NEWIPC) < 0))
		return err_sys(err, errno, "enter the pod's namespaces");
	r = write_sysctls(spec, err);
	if (setns(net, CLONE_NEWNET) < 0 || setns(ipc, CLONE_NEWIPC) < 0)
		return err_sys(err, errno, "leave the pod's namespaces");
	return r;
}

/* A pod.run under way. */
struct run {
	struct shim *s;
	struct reply reply;
	struct err err;
};

/* In the worker: everything that makes a pod, the pause process last. */
static int run_work(void *arg, struct work_result *res, struct err *err)
{
	struct shim *s = ((const struct run *)arg)->s;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	int ns[POD_NS_COUNT];
	bool shared_pid = str_eq(ns_mode(s, "pid"), "pod");

	if (pod_files(s->podfd, s->pod.spec, err) < 0 ||
	    (*pod_str(s, "log_directory") &&
	     file_mkdirs(AT_FDCWD, pod_str(s, "log_directory"), 0755, err) < 0) ||
	    pod_make_ns(s->pod.spec, ns, err) < 0 ||
	    apply_sysctls(ns, s->pod.spec, err) < 0)
		return -1;
	if (s->pod.netns && (netns_bind(ns[POD_NS_NET], s->pod.netns, err) < 0 ||
			     network_up(s, d, root, err) < 0))
		return -1;
	for (unsigned i = 0; i < POD_NS_COUNT; i++)
		if (ns[i] >= 0) {
			static const char *const names[] = {"user", "net", "ipc",
							    "uts",  "pid", "mnt"};

			json_add_u64(d, root, names[i], res->nfds);
			res->fds[res->nfds++] = ns[i];
		}
	if (shared_pid) {
		pid_t pid = pause_start(ns[POD_NS_USER], err);

		if (pid < 0)
			return -1;
		json_add_i64(d, root, "pause_pid", pid);
	}
	json_write(d, false, &res->out);
	return 0;
}

/* In the worker: takes down what run_work made, however far it came. */
static int teardown(struct shim *s, struct err *err)
{
	if (s->pod.netns &&
	    (network_down(s, err) < 0 || netns_unbind(s->pod.netns, err) < 0))
		return -1;
	return place_remove(s, err);
}

static int teardown_work(void *arg, struct work_result *res, struct err *err)
{
	(void)res;
	return teardown(arg, err);
}

static int undo_work(void *arg, struct work_result *res, struct err *err)
{
	(void)res;
	return teardown(((const struct run *)arg)->s, err);
}

static void take_ns(struct shim *s, yyjson_val *v, const int *fds, unsigned nfds)
{
	static const char *const names[] = {"user", "net", "ipc", "uts", "pid", "mnt"};

	for (unsigned i = 0; i < POD_NS_COUNT; i++) {
		uint64_t at = json_u64(v, names[i], UINT64_MAX);

		s->pod.ns[i] = at < nfds ? fds[at] : -1;
	}
}

static void close_ns(struct shim *s)
{
	for (unsigned i = 0; i < POD_NS_COUNT; i++)
		fd_close(&s->pod.ns[i]);
}

/* In a shared PID namespace the pause process is init: with it, all have died. */
static void pause_exit(struct child *c, int status)
{
	struct shim *s = container_of(c, struct shim, pod.pause);

	(void)status;
	c->pid = 0;
	fd_close(&s->pod.ns[POD_NS_PID]);
	if (s->pod.state == POD_READY && list_empty(&s->stops)) {
		log_warn(&s->log, "the pod's init process was killed");
		pod_fail(s);
	}
	pod_progress(s);
}

static void watch_pause(struct shim *s, int64_t pid)
{
	STR_AUTO path = xasprintf("/proc/%lld/ns/pid", (long long)pid);
	struct err err;

	s->pod.pause = (struct child){.pid = (pid_t)pid, .on_exit = pause_exit};
	child_watch(s, &s->pod.pause);
	s->pod.ns[POD_NS_PID] = file_open(AT_FDCWD, path, O_RDONLY, 0, &err);
}

/* A pod that could not be made is undone, and its shim ends. */
static void undone(void *arg, struct work_result *res, const struct err *err)
{
	struct run *run = arg;
	struct shim *s = run->s;
	struct err ignored;

	(void)res;
	if (err)
		log_error(&s->log, "pod %s: undo: %s", s->id, err->msg);
	else
		pod_forget(s, &ignored);
	place_leave(s);
	reply_error(&run->reply, &run->err);
	free(run);
	loop_stop(s->loop, 1);
}

static void undo(struct run *run, const struct err *why)
{
	struct err err;

	run->err = *why;
	if (run->s->pod.pause.pid > 0)
		kill(run->s->pod.pause.pid, SIGKILL);
	if (work_start(run->s, undo_work, undone, run, &err) < 0)
		undone(run, NULL, &err);
}

static void run_done(void *arg, struct work_result *res, const struct err *err)
{
	struct run *run = arg;
	struct shim *s = run->s;
	JSON_AUTO doc = NULL;
	struct err e;

	s->busy = false;
	if (!err) {
		doc = json_parse(res->out.data, res->out.len, &e);
		if (!doc)
			err = &e;
	}
	if (err) {
		undo(run, err);
		return;
	}
	s->pod.net = doc;
	doc = NULL;
	take_ns(s, yyjson_doc_get_root(s->pod.net), res->fds, res->nfds);
	if (json_i64(yyjson_doc_get_root(s->pod.net), "pause_pid", 0) > 0)
		watch_pause(s, json_i64(yyjson_doc_get_root(s->pod.net), "pause_pid", 0));
	s->pod.state = POD_READY;
	s->pod.unseen = !reply_heard(&run->reply);
	if (pod_save(s, &e) < 0) {
		undo(run, &e);
		return;
	}
	pod_event(s); /* for a crid that has come since */
	reply_pod(s, &run->reply, false);
	free(run);
	pod_progress(s); /* a stop may have come in between */
}

void pod_run(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct run *run = xcalloc(1, sizeof(*run));
	struct err err;

	run->s = s;
	run->reply = reply_to(s, c, m);
	if (s->pod.doc) {
		err_set(&err, ERR_STATE, "pod %s was made already", s->id);
		reply_error(&run->reply, &err);
		free(run);
		return;
	}
	s->pod.doc = m->doc;
	s->pod.spec = m->json;
	m->doc = NULL;
	buf_add(&s->pod.config, m->blob, m->blob_len);
	s->pod.created_at = json_i64(s->pod.spec, "created_at", 1);
	place_pod(s);
	s->busy = true;
	if (shim_record(s->podfd, "spec", "pod-spec", s->pod.doc, &err) < 0 ||
	    work_start(s, run_work, run_done, run, &err) < 0) {
		s->busy = false;
		undo(run, &err);
	}
}

/* --- the end ------------------------------------------------------------------------------- */

static void answer_stops(struct shim *s, const struct err *err, bool removes)
{
	list_each (n, &s->stops) {
		struct pod_stop *st = container_of(n, struct pod_stop, node);

		if (!err && st->remove && !removes)
			continue;
		if (err)
			reply_error(&st->reply, err);
		else
			reply_pod(s, &st->reply, false);
		list_del(&st->node);
		free(st);
	}
}

void pod_fail(struct shim *s)
{
	struct err err;

	s->pod.state = POD_NOTREADY;
	if (pod_save(s, &err) < 0)
		log_error(&s->log, "%s", err.msg);
	pod_event(s);
}

int pod_forget(struct shim *s, struct err *err)
{
	STR_AUTO pod = xasprintf("pods/%s", s->id);
	STR_AUTO sock = xasprintf("%s/pods/%s", s->state, s->id);

	if (ctr_remove_all(s, err) < 0 || file_remove_tree(s->rootfd, pod, err) < 0 ||
	    file_remove_tree(AT_FDCWD, sock, err) < 0)
		return -1;
	return 0;
}

/* The pod is down: Stop is answered; Remove takes the records away and ends the shim. */
static void torn_down(void *arg, struct work_result *res, const struct err *err)
{
	struct shim *s = arg;
	bool remove = false;
	struct err e;

	(void)res;
	s->busy = false;
	s->pod.clean = !err;
	s->pod.state = POD_NOTREADY;
	if (!err) {
		close_ns(s);
		json_free(&s->pod.net);
	}
	if (pod_save(s, &e) < 0)
		log_error(&s->log, "%s", e.msg);
	pod_event(s);
	answer_stops(s, err, false);
	list_each (n, &s->stops)
		remove |= container_of(n, struct pod_stop, node)->remove;
	if (!remove)
		return;
	if (pod_forget(s, &e) < 0) {
		answer_stops(s, &e, true);
		return;
	}
	place_leave(s);
	answer_stops(s, NULL, true);
	loop_stop(s->loop, 0);
}

void pod_progress(struct shim *s)
{
	struct err err;

	if (s->busy || list_empty(&s->stops))
		return;
	if (!ctr_kill_all(s))
		return; /* called again when they have ended */
	if (s->pod.pause.pid > 0) {
		kill(s->pod.pause.pid, SIGKILL);
		return;
	}
	s->busy = true;
	if (s->pod.clean)
		torn_down(s, NULL, NULL);
	else if (work_start(s, teardown_work, torn_down, s, &err) < 0)
		torn_down(s, NULL, &err);
}

static void stop(struct shim *s, struct chan *c, struct chan_msg *m, bool remove)
{
	struct pod_stop *st = xcalloc(1, sizeof(*st));

	st->reply = reply_to(s, c, m);
	st->remove = remove;
	list_add(&s->stops, &st->node);
	pod_progress(s);
}

void pod_stop(struct shim *s, struct chan *c, struct chan_msg *m)
{
	stop(s, c, m, false);
}

void pod_remove(struct shim *s, struct chan *c, struct chan_msg *m)
{
	stop(s, c, m, true);
}
