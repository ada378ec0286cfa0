/*
 * load: the index from the records and the live shims, at start. There is no
 * other recovery: a crid that was killed is a crid that starts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cri/service-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"
#include "store/record.h"

static bool is_id(const char *name)
{
	return strlen(name) == ID_LEN && strspn(name, "0123456789abcdef") == ID_LEN;
}

static yyjson_doc *read_doc(int dirfd, const char *path, const char *kind,
			    struct err *err)
{
	BUF_AUTO text = {0};

	if (record_read(dirfd, path, kind, RECORD_MAX, &text, err) < 0)
		return NULL;
	return json_parse(text.data, text.len, err);
}

yyjson_doc *ctr_spec_load(struct cri_service *s, const struct ctr *c)
{
	STR_AUTO path = xasprintf("containers/%s/record", c->id);
	struct err err;

	return read_doc(s->rootfd, path, "container", &err);
}

/*
 * A pod without a record of what it is: nobody can name it. Its creation was
 * cut off with the node, or the record is damaged. What is left of it goes.
 */
static int load_rest(struct cri_service *s, const char *id, const struct err *err)
{
	struct pod *p;

	if (err->code != ERR_NOT_FOUND && err->code != ERR_CORRUPT)
		return -1;
	log_warn(s->log, "pods/%s: %s", id, err->msg);
	p = pod_new(s, id, "");
	p->creating = true;
	return 0;
}

static int load_pod(struct cri_service *s, const char *id, struct err *err)
{
	STR_AUTO config = xasprintf("pods/%s/config", id);
	STR_AUTO state = xasprintf("pods/%s/state", id);
	BUF_AUTO bytes = {0};
	ARENA_AUTO arena = {0};
	ProtobufCMessage *m;
	const Cri__RunPodSandboxRequest *req;
	STR_AUTO name = NULL;
	struct pod *p;

	if (record_read(s->rootfd, config, "config", RECORD_MAX, &bytes, err) < 0)
		return load_rest(s, id, err);
	if (pb_unpack(&cri__run_pod_sandbox_request__descriptor, bytes.data, bytes.len,
		      &arena, &m, err) < 0)
		return -1;
	req = (const void *)m;
	if (!req->config || !req->config->metadata)
		return err_set(err, ERR_CORRUPT, "the record has no metadata");
	name = pod_name_key(req->config->metadata);
	p = pod_new(s, id, name);
	p->request = bytes;
	bytes = (struct buf){0};
	p->doc = read_doc(s->rootfd, state, "pod-state", err);
	p->creating = p->resumed = !p->doc; /* its shim may still be at it */
	return 0;
}

static int load_ctr(struct cri_service *s, const char *id, struct err *err)
{
	STR_AUTO config = xasprintf("containers/%s/config", id);
	STR_AUTO state = xasprintf("containers/%s/state", id);
	BUF_AUTO bytes = {0};
	ARENA_AUTO arena = {0};
	JSON_AUTO doc = read_doc(s->rootfd, state, "container-state", err);
	ProtobufCMessage *m;
	const Cri__CreateContainerRequest *req;
	const Cri__RunPodSandboxRequest *run;
	STR_AUTO name = NULL;
	struct pod *p;
	struct ctr *c;

	if (!doc ||
	    record_read(s->rootfd, config, "config", RECORD_MAX, &bytes, err) < 0 ||
	    pb_unpack(&cri__create_container_request__descriptor, bytes.data, bytes.len,
		      &arena, &m, err) < 0)
		return -1;
	req = (const void *)m;
	p = map_get(&s->pod_ids, str_or_empty(json_str(yyjson_doc_get_root(doc), "pod")));
	if (!p)
		return err_set(err, ERR_NOT_FOUND, "its pod is not there");
	run = pod_request(p, &arena, err);
	if (!run)
		return -1;
	if (!req->config || !req->config->metadata)
		return err_set(err, ERR_CORRUPT, "the record has no metadata");
	name = ctr_name_key(req->config->metadata, run->config->metadata);
	if (map_get(&s->ctr_names, name))
		return err_set(err, ERR_EXISTS, "another container has its name");
	c = ctr_new(p, id, name);
	c->request = bytes;
	bytes = (struct buf){0};
	c->doc = doc;
	doc = NULL;
	return 0;
}

/* Calls load for each object of a directory; what is damaged is reported and left. */
static int load_dir(struct cri_service *s, const char *dir,
		    int (*load)(struct cri_service *s, const char *id, struct err *err),
		    struct err *err)
{
	int fd = file_open_dir(s->rootfd, dir, true, 0700, err);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct err why;

	if (!d) {
		fd_close(&fd);
		return -1;
	}
	while ((e = readdir(d)))
		if (is_id(e->d_name) && load(s, e->d_name, &why) < 0)
			log_warn(s->log, "%s/%s is left out: %s", dir, e->d_name,
				 why.msg);
	closedir(d);
	return 0;
}

void ctr_adopt(struct pod *p, const char *id)
{
	JSON_MUT_AUTO d = NULL;
	struct ctr *c;
	struct err err;

	if (!is_id(id) || !p->chan)
		return;
	if (load_ctr(p->svc, id, &err) == 0) {
		c = map_get(&p->svc->ctr_ids, id);
		c->unacked = true;
		return;
	}
	if (err.code != ERR_EXISTS) /* not made yet: its shim will say so */
		return;
	d = json_new();
	json_add_str(d, yyjson_mut_doc_get_root(d), "op", "ctr.remove");
	json_add_str(d, yyjson_mut_doc_get_root(d), "id", id);
	chan_send(p->chan, CHAN_REQUEST, ++p->serial, d, NULL, 0, NULL, 0);
}

/* The shim says what is: its answer replaces what the records said. */
static void synced(struct pending *q, struct chan_msg *m, const struct err *err)
{
	yyjson_val *v;

	if (err)
		return;
	pod_heard(q->pod, json_obj(m->json, "pod"));
	json_each (v, json_arr(m->json, "containers")) {
		const char *id = str_or_empty(json_str(v, "id"));
		struct ctr *c = map_get(&q->svc->ctr_ids, id);

		if (!c)
			ctr_adopt(q->pod, id);
		if (c && c->pod == q->pod)
			ctr_set_doc(c, v);
	}
}

static void connect_pod(struct cri_service *s, struct pod *p)
{
	STR_AUTO path = xasprintf("%s/pods/%s/shim.sock", s->opt.state, p->id);
	yyjson_val *rec = p->doc ? yyjson_doc_get_root(p->doc) : NULL;
	JSON_MUT_AUTO d = json_new();
	struct err err;
	int fd = -1;

	/* a socket of another boot is a file that nobody answers on */
	fd = sock_connect_unix(path, &err);
	if (fd >= 0 && !p->request.len) { /* its shim lives, and keeps it */
		fd_close(&fd);
		pod_gone(p);
		return;
	}
	if (fd >= 0 && shim_attach(p, fd, &err) == 0) {
		json_add_str(d, yyjson_mut_doc_get_root(d), "op", "pod.sync");
		shim_request(p, NULL, NULL, d, NULL, synced);
		return;
	}
	if (rec && !pod_ready(p) && json_bool(rec, "clean", false))
		return;
	shim_without(p, "it has no shim");
	if (p->creating)
		pod_abandon(p, &err);
	shim_cleanup(p, NULL, NULL, p->creating, pod_cleaned);
}

int cri_service_load(struct cri_service *s, struct err *err)
{
	if (load_dir(s, "pods", load_pod, err) < 0 ||
	    load_dir(s, "containers", load_ctr, err) < 0 || images_reload(s, err) < 0)
		return -1;
	list_each (n, &s->pods)
		connect_pod(s, container_of(n, struct pod, node));
	images_gc(s); /* what pulls and containers that were killed have left */
	return 0;
}
