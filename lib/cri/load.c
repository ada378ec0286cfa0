/*
 * load: the index from the records and the live shims, at start. There is no
 * other recovery: a crid that was killed is a crid that starts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cri/service-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"
#include "store/record.h"

enum { SYNC_MS = 1000, HALF_LEN = 1 + ID_LEN + 1 + ID_LEN };

static bool is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") >= ID_LEN;
}

static bool is_id(const char *name)
{
	return strlen(name) == ID_LEN && is_hex(name);
}

/* ".POD-CTR": a container on its way, of its shim. */
static bool is_half(const char *name)
{
	return strlen(name) == HALF_LEN && *name == '.' && is_hex(name + 1) &&
	       name[1 + ID_LEN] == '-' && is_hex(name + 2 + ID_LEN);
}

static yyjson_doc *read_doc(int dirfd, const char *path, const char *kind,
			    struct err *err)
{
	BUF_AUTO text = {0};

	if (record_read(dirfd, path, kind, RECORD_MAX, &text, err) < 0)
		return NULL;
	return json_parse(text.data, text.len, err);
}

static yyjson_doc *read_spec(struct cri_service *s, const char *id)
{
	STR_AUTO path = xasprintf("containers/%s/record", id);
	struct err err;

	return read_doc(s->rootfd, path, "container", &err);
}

yyjson_doc *ctr_spec_load(struct cri_service *s, const struct ctr *c)
{
	return read_spec(s, c->id);
}

/* Such a record is lost; one that cannot be read now, or by us, is not. */
static bool is_lost(const struct err *err)
{
	return err->code == ERR_NOT_FOUND || err->code == ERR_CORRUPT ||
	       err->code == ERR_INVALID;
}

/* --- pods ------------------------------------------------------------------------------ */

static int read_config(struct pod *p, struct err *err)
{
	STR_AUTO path = xasprintf("pods/%s/config", p->id);
	BUF_AUTO bytes = {0};

	if (record_read(p->svc->rootfd, path, "config", RECORD_MAX, &bytes, err) < 0)
		return -1;
	return pod_set_request(p, &bytes, err);
}

static int load_pod(struct cri_service *s, const char *id, struct err *err)
{
	STR_AUTO state = xasprintf("pods/%s/state", id);
	struct pod *p = pod_new(s, id, "");

	if (read_config(p, err) < 0) {
		if (!is_lost(err)) {
			pod_free(p);
			return -1;
		}
		/* its shim knows what it is; without one, what is left of it goes */
		log_warn(s->log, "pods/%s: %s", id, err->msg);
		s->damaged = true;
	} else {
		p->doc = read_doc(s->rootfd, state, "pod-state", err);
		s->damaged |= !p->doc && err->code == ERR_CORRUPT;
	}
	/* without a state its shim may still be at it */
	p->making.running = p->making.resumed = !p->doc;
	p->making.unseen =
		p->doc && json_bool(yyjson_doc_get_root(p->doc), "unseen", false);
	return 0;
}

/* --- containers ------------------------------------------------------------------------ */

/* The request of a container, and its name in the index. */
static int read_request(struct pod *p, const char *id, struct buf *ret, char **ret_name,
			struct err *err)
{
	STR_AUTO path = xasprintf("containers/%s/config", id);
	ARENA_AUTO arena = {0};
	const Cri__RunPodSandboxRequest *run = pod_request(p, &arena, err);
	const Cri__CreateContainerRequest *req;
	ProtobufCMessage *m;

	if (!run ||
	    record_read(p->svc->rootfd, path, "config", RECORD_MAX, ret, err) < 0 ||
	    pb_unpack(&cri__create_container_request__descriptor, ret->data, ret->len,
		      &arena, &m, err) < 0)
		return -1;
	req = (const void *)m;
	if (!req->config || !req->config->metadata)
		return err_set(err, ERR_CORRUPT, "the record has no metadata");
	*ret_name = ctr_name_key(req->config->metadata, run->config->metadata);
	return 0;
}

static int load_ctr(struct cri_service *s, const char *id, struct err *err)
{
	STR_AUTO state = xasprintf("containers/%s/state", id);
	BUF_AUTO bytes = {0};
	JSON_AUTO doc = read_doc(s->rootfd, state, "container-state", err);
	yyjson_val *rec = yyjson_doc_get_root(doc);
	STR_AUTO name = NULL;
	struct pod *p;
	struct ctr *c;

	if (!doc)
		return -1;
	p = map_get(&s->pod_ids, str_or_empty(json_str(rec, "pod")));
	if (!p)
		return err_set(err, ERR_NOT_FOUND, "its pod is not there");
	if (read_request(p, id, &bytes, &name, err) < 0)
		return -1;
	if (map_get(&s->ctr_names, name))
		return err_set(err, ERR_EXISTS, "another container has its name");
	c = ctr_new(p, id, name);
	c->request = bytes;
	bytes = (struct buf){0};
	c->making.unseen = json_bool(rec, "unseen", false);
	c->doc = doc;
	doc = NULL;
	return 0;
}

/* --- orphans: containers that nobody can name -------------------------------------------- */

static void orphan_free(struct orphan *o)
{
	list_del(&o->node);
	free(o->name);
	free(o->why);
	free(o);
}

void orphans_free(struct cri_service *s)
{
	list_each (n, &s->orphans)
		orphan_free(container_of(n, struct orphan, node));
}

static void orphan_add(struct cri_service *s, const char *name, const char *why)
{
	struct orphan *o = xcalloc(1, sizeof(*o));

	o->svc = s;
	o->name = xstrdup(name);
	o->why = xstrdup(why);
	list_add(&s->orphans, &o->node);
	s->damaged = true;
}

/* A pod whose records are not ours to read (of a newer release) keeps what it has. */
static bool has_owner(struct cri_service *s, const char *name)
{
	STR_AUTO state = xasprintf("containers/%s/state", name);
	struct err err;
	JSON_AUTO doc = read_doc(s->rootfd, state, "container-state", &err);
	JSON_AUTO spec = doc ? NULL : read_spec(s, name);
	yyjson_val *rec = yyjson_doc_get_root(doc ? doc : spec);
	const char *pod = str_or_empty(json_str(rec, "pod"));
	STR_AUTO half = is_half(name) ? xstrndup(name + 1, ID_LEN) : NULL;
	STR_AUTO path = NULL;

	if (half)
		pod = half;
	path = xasprintf("pods/%s", pod);
	return is_id(pod) && !map_get(&s->pod_ids, pod) &&
	       faccessat(s->rootfd, path, F_OK, 0) == 0;
}

static void orphan_removed(void *data, const struct err *err)
{
	struct orphan *o = data;

	if (err) /* the next start tries again */
		log_error(o->svc->log, "containers/%s: %s", o->name, err->msg);
	orphan_free(o);
}

/* All shims have said what is theirs: what is left is nobody's. */
static void orphans_settle(struct cri_service *s)
{
	list_each (n, &s->orphans) {
		struct orphan *o = container_of(n, struct orphan, node);
		STR_AUTO id = xstrndup(is_half(o->name) ? o->name + 1 : o->name, ID_LEN);
		struct err err;

		if (map_get(&s->ctr_ids, o->name) || has_owner(s, o->name)) {
			orphan_free(o);
			continue;
		}
		log_warn(s->log, "containers/%s is removed: %s", o->name, o->why);
		if (s->host->spawn_cleanup(s->host_arg, id, o->name, true, 0,
					   orphan_removed, o, &err) < 0)
			orphan_removed(o, &err);
	}
}

static void sync_end(struct cri_service *s)
{
	if (!--s->syncing && !s->closing)
		orphans_settle(s);
}

/* --- directories ----------------------------------------------------------------------- */

static void load_entry(struct cri_service *s, const char *name, bool pods)
{
	struct err err;

	if (pods) {
		if (is_id(name) && load_pod(s, name, &err) < 0)
			log_warn(s->log, "pods/%s is left out: %s", name, err.msg);
	} else if (is_half(name)) {
		STR_AUTO pod = xstrndup(name + 1, ID_LEN);

		if (!map_get(&s->pod_ids, pod))
			orphan_add(s, name, "its creation was cut off");
	} else if (is_id(name) && load_ctr(s, name, &err) < 0) {
		if (is_lost(&err))
			orphan_add(s, name, err.msg);
		else
			log_warn(s->log, "containers/%s is left out: %s", name, err.msg);
	}
}

static int load_dir(struct cri_service *s, const char *dir, bool pods, struct err *err)
{
	int fd = file_open_dir(s->rootfd, dir, true, 0700, err);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		fd_close(&fd);
		return -1;
	}
	while ((e = readdir(d)))
		load_entry(s, e->d_name, pods);
	closedir(d);
	return 0;
}

/* A shim whose pod has lost its directory is known by its socket. */
static int load_sockets(struct cri_service *s, struct err *err)
{
	STR_AUTO dir = xasprintf("%s/pods", s->opt.state);
	int fd = file_open_dir(AT_FDCWD, dir, false, 0, err);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	while ((e = readdir(d))) {
		STR_AUTO path = xasprintf("pods/%s", e->d_name);

		if (is_id(e->d_name) && faccessat(s->rootfd, path, F_OK, 0) < 0)
			load_entry(s, e->d_name, true);
	}
	closedir(d);
	return 0;
}

/* --- the shims ------------------------------------------------------------------------- */

static void remove_ctr(struct pod *p, const char *id)
{
	JSON_MUT_AUTO d = shim_op("ctr.remove", id);

	chan_send(p->chan, CHAN_REQUEST, ++p->serial, d, NULL, 0, NULL, 0);
	list_each (n, &p->svc->orphans) {
		struct orphan *o = container_of(n, struct orphan, node);

		if (str_eq(o->name, id))
			orphan_free(o);
	}
}

void ctr_adopt(struct pod *p, yyjson_val *v)
{
	const char *id = str_or_empty(json_str(v, "id"));
	const char *name = json_str(json_obj(v, "meta"), "name");
	struct ctr *c;
	struct err err;

	if (!is_id(id) || !p->chan)
		return;
	if (json_bool(v, "creating", false)) {
		if (!name || map_get(&p->svc->ctr_names, name))
			return;
		c = ctr_new(p, id, name);
		c->making.running = c->making.resumed = true;
		return;
	}
	if (load_ctr(p->svc, id, &err) == 0) {
		c = map_get(&p->svc->ctr_ids, id);
		c->making.unseen = true;
		return;
	}
	log_warn(p->svc->log, "container %s is removed: %s", id, err.msg);
	remove_ctr(p, id);
}

void ctr_resumed(struct ctr *c, yyjson_val *v)
{
	STR_AUTO name = NULL;
	struct err err;

	if (!v || json_bool(v, "creating", false))
		return;
	if (read_request(c->pod, c->id, &c->request, &name, &err) < 0) {
		remove_ctr(c->pod, c->id);
		ctr_abandon(c, &err);
		return;
	}
	ctr_set_doc(c, v);
	c->making.running = c->making.resumed = false;
	creation_answer(&c->making, NULL, NULL);
}

static void dropped(struct pending *q, struct chan_msg *m, const struct err *err)
{
	(void)m;
	if (q->pod->gone)
		return;
	if (err) /* a shim that is gone has left that to the clean-up */
		log_error(q->svc->log, "pod %s: %s", q->pod->id, err->msg);
	else
		pod_gone(q->pod);
}

/* The record of a pod is lost: its shim has a copy; if not, the pod goes. */
static int restore_pod(struct pod *p, const struct chan_msg *m)
{
	struct buf bytes = {0};
	JSON_MUT_AUTO d = shim_op("pod.remove", p->id);
	struct err err;

	buf_add(&bytes, m->blob, m->blob_len);
	if (pod_set_request(p, &bytes, &err) == 0 && pod_keep(p, &err) == 0) {
		log_info(p->svc->log, "pods/%s: restored by its shim", p->id);
		return 0;
	}
	log_warn(p->svc->log, "pod %s is removed: %s", p->id, err.msg);
	shim_request(p, NULL, NULL, d, NULL, dropped);
	return -1;
}

/* The shim says what is: its answer replaces what the records said. */
static void take_sync(struct pod *p, const struct chan_msg *m)
{
	yyjson_val *v;

	if (!p->request.len && restore_pod(p, m) < 0)
		return;
	pod_heard(p, json_obj(m->json, "pod"));
	json_each (v, json_arr(m->json, "containers")) {
		const char *id = str_or_empty(json_str(v, "id"));
		struct ctr *c = map_get(&p->svc->ctr_ids, id);

		if (!c)
			ctr_adopt(p, v);
		else if (c->pod == p)
			ctr_set_doc(c, v);
	}
}

static void synced(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct pod *p = q->pod;

	p->syncing = false;
	if (!err)
		take_sync(p, m);
	sync_end(q->svc);
	p->cleaning++; /* a call that was held may remove it */
	held_release(p);
	p->cleaning--;
	if (p->gone && !p->cleaning)
		pod_free(p);
}

static void connect_pod(struct cri_service *s, struct pod *p)
{
	STR_AUTO path = xasprintf("%s/pods/%s/shim.sock", s->opt.state, p->id);
	yyjson_val *rec = p->doc ? yyjson_doc_get_root(p->doc) : NULL;
	JSON_MUT_AUTO d = shim_op("pod.sync", p->id);
	struct err err;
	int fd = -1;

	/* a socket of another boot is a file that nobody answers on */
	fd = sock_connect_unix(path, &err);
	if (fd >= 0 && shim_attach(p, fd, &err) == 0) {
		if (s->damaged)
			json_add_bool(d, yyjson_mut_doc_get_root(d), "restore", true);
		p->syncing = true;
		s->syncing++;
		shim_request(p, NULL, NULL, d, NULL, synced);
		return;
	}
	if (rec && !pod_ready(p) && json_bool(rec, "clean", false))
		return;
	shim_without(p, "it has no shim");
	if (p->making.running)
		pod_abandon(p, &err);
	shim_cleanup(p, NULL, NULL, p->making.running, pod_cleaned);
}

/* Waits for the shims, a while: lists are complete from the first call on. */
static int wait_synced(struct cri_service *s, struct err *err)
{
	int64_t end = time_mono() + SYNC_MS * NS_PER_MS, now;

	while (s->syncing && (now = time_mono()) < end)
		if (loop_step(s->loop, end - now, err) < 0)
			return -1;
	if (s->syncing)
		log_warn(s->log, "%u shims have not answered yet", s->syncing);
	return 0;
}

int cri_service_load(struct cri_service *s, struct err *err)
{
	if (load_dir(s, "pods", true, err) < 0 || load_sockets(s, err) < 0 ||
	    load_dir(s, "containers", false, err) < 0 || images_reload(s, err) < 0)
		return -1;
	s->syncing++; /* not all are asked yet */
	list_each (n, &s->pods)
		connect_pod(s, container_of(n, struct pod, node));
	sync_end(s);
	if (wait_synced(s, err) < 0)
		return -1;
	images_gc(s); /* what pulls and containers that were killed have left */
	return 0;
}
