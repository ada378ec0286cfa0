/* containers: the verbs on containers. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "cri/json.h"
#include "cri/service-int.h"
#include "cri/specparts.h"
#include "store/record.h"

char *ctr_name_key(const Cri__ContainerMetadata *m, const Cri__PodSandboxMetadata *pod)
{
	return xasprintf("%s_%s_%s_%s_%u", m->name, pod->name, pod->namespace_, pod->uid,
			 m->attempt);
}

static yyjson_val *rec(const struct ctr *c)
{
	return c->doc ? yyjson_doc_get_root(c->doc) : NULL;
}

struct ctr *ctr_new(struct pod *p, const char *id, const char *name)
{
	struct ctr *c = xcalloc(1, sizeof(*c));

	c->pod = p;
	str_copy(c->id, sizeof(c->id), id);
	c->name = xstrdup(name);
	creation_init(&c->making, &cri__create_container_response__descriptor, c->id);
	list_add(&p->ctrs, &c->node);
	map_put(&p->svc->ctr_ids, c->id, c);
	map_put(&p->svc->ctr_names, c->name, c);
	return c;
}

void ctr_free(struct ctr *c)
{
	struct cri_service *s = c->pod->svc;
	const char *image = json_str(json_obj(rec(c), "meta"), "image_id");
	struct err err;

	if (!s->closing && !list_empty(&c->making.waiters)) {
		err_set(&err, ERR_UNAVAILABLE, "container %s is gone", c->id);
		creation_answer(&c->making, NULL, &err);
	}
	if (image && !s->closing)
		images_unused(s, image);
	map_del(&s->ctr_ids, c->id);
	if (map_get(&s->ctr_names, c->name) == c)
		map_del(&s->ctr_names, c->name);
	list_del(&c->node);
	json_free(&c->doc);
	buf_done(&c->request);
	free(c->name);
	free(c);
}

void ctr_set_doc(struct ctr *c, yyjson_val *v)
{
	yyjson_doc *doc = v ? json_copy(v) : NULL;

	if (!doc)
		return;
	json_free(&c->doc);
	c->doc = doc;
}

Cri__ContainerState ctr_state(const struct ctr *c)
{
	const char *s = str_or_empty(json_str(rec(c), "state"));

	return str_eq(s, "created")   ? CRI__CONTAINER_STATE__CONTAINER_CREATED
	       : str_eq(s, "running") ? CRI__CONTAINER_STATE__CONTAINER_RUNNING
	       : str_eq(s, "exited")  ? CRI__CONTAINER_STATE__CONTAINER_EXITED
				      : CRI__CONTAINER_STATE__CONTAINER_UNKNOWN;
}

const Cri__CreateContainerRequest *ctr_request(const struct ctr *c, struct arena *a,
					       struct err *err)
{
	ProtobufCMessage *m;

	if (pb_unpack(&cri__create_container_request__descriptor, c->request.data,
		      c->request.len, a, &m, err) < 0) {
		err_wrap(err, "record of container %s", c->id);
		return NULL;
	}
	return (const void *)m;
}

static void create_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct ctr *c = map_get(&q->svc->ctr_ids, q->id);
	struct err e;

	if (!err && !json_obj(m->json, "container")) {
		err_set(&e, ERR_INTERNAL, "malformed answer of the shim");
		err = &e;
	}
	if (!err)
		ctr_set_doc(c, json_obj(m->json, "container"));
	c->making.running = false;
	creation_answer(&c->making, q->call, err);
	if (err)
		ctr_free(c);
}

void ctr_abandon(struct ctr *c, const struct err *err)
{
	creation_answer(&c->making, NULL, err);
	ctr_free(c);
}

/* The layers of an image: adds the chain ids to ids, and obj gets the paths, lowest first. */
static void add_layers(struct cri_service *s, const struct image *im, yyjson_mut_doc *d,
		       yyjson_mut_val *ids, yyjson_mut_val *obj)
{
	yyjson_mut_val *paths = json_add_arr(d, obj, "layer_paths");

	for (size_t i = 0; i < im->nlayers; i++) {
		char id[DIGEST_TEXT], hex[DIGEST_HEX];
		STR_AUTO path = NULL;

		digest_format(id, &im->layers[i]);
		digest_hex(hex, &im->layers[i]);
		path = xasprintf("%s/layers/%s/fs", s->opt.def.root, hex);
		yyjson_mut_arr_add_strcpy(d, ids, id);
		yyjson_mut_arr_add_strcpy(d, paths, path);
	}
}

static void add_meta(const struct ctr *c, const struct image *im, yyjson_mut_doc *d,
		     yyjson_mut_val *obj)
{
	yyjson_mut_val *meta = json_add_obj(d, obj, "meta");
	char id[DIGEST_TEXT];

	json_add_str(d, meta, "name", c->name); /* before there is a record of it */
	digest_format(id, &im->id);
	json_add_str(d, meta, "image_id", id);
	json_add_str(d, meta, "image_ref", im->digests[0] ? im->digests[0] : id);
}

/* Images as volumes: their layers are the container's, too, as long as it is there. */
static int add_image_volumes(struct rpc *r, const Cri__ContainerConfig *c,
			     yyjson_mut_doc *d, yyjson_mut_val *ids, yyjson_mut_val *root,
			     struct err *err)
{
	yyjson_mut_val *arr = NULL, *v;

	for (size_t i = 0; i < c->n_mounts; i++) {
		const Cri__Mount *m = c->mounts[i];
		const struct image *im;

		if (!spec_is_image_volume(m))
			continue;
		im = image_find(r->svc, m->image->image, err);
		if (!im)
			return err_wrap(err, "ImageVolumeMountFailed");
		m->image->image_ref = image_id_text(im, &r->arena);
		if (!arr)
			arr = json_add_arr(d, root, "image_volumes");
		v = yyjson_mut_arr_add_obj(d, arr);
		json_add_str(d, v, "destination", m->container_path);
		if (*m->image_sub_path)
			json_add_str(d, v, "sub_path", m->image_sub_path);
		add_layers(r->svc, im, d, ids, v);
	}
	return 0;
}

/* Everything that "ctr.create" needs; the id is in c. */
static int build_create(struct rpc *r, struct ctr *c,
			const Cri__CreateContainerRequest *req, yyjson_mut_doc *d,
			struct err *err)
{
	const Cri__RunPodSandboxRequest *pod = pod_request(c->pod, &r->arena, err);
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	struct image_config config = {0};
	struct cri_ctr_source src = {.id = c->id,
				     .pod_id = c->pod->id,
				     .config = req->config,
				     .image = &config,
				     .def = &r->svc->opt.def};
	yyjson_mut_val *ids = json_add_arr(d, root, "layers");
	const struct image *im;

	if (!pod)
		return -1;
	if (!req->config->image || !*req->config->image->image)
		return err_set(err, ERR_INVALID, "config.image is missing");
	im = image_find(r->svc, req->config->image->image, err);
	if (!im || image_config_of(r->svc, im, &r->arena, &config, err) < 0)
		return -1;
	src.pod = pod->config;
	json_add_str(d, root, "op", "ctr.create");
	json_add_str(d, root, "id", c->id);
	json_add_str(d, root, "pod", c->pod->id);
	json_add_i64(d, root, "created_at", time_real());
	add_layers(r->svc, im, d, ids, root);
	add_meta(c, im, d, root);
	if (add_image_volumes(r, req->config, d, ids, root, err) < 0)
		return -1;
	return cri_ctr_spec(&src, d, root, err);
}

/* The request as it is kept: without the copy of the pod's config. */
static int keep_request(struct ctr *c, const Cri__CreateContainerRequest *req,
			struct err *err)
{
	Cri__CreateContainerRequest kept = *req;

	kept.sandbox_config = NULL;
	return pb_pack(&kept.base, &c->request, err);
}

void do_CreateContainer(struct rpc *r)
{
	const Cri__CreateContainerRequest *req = (const void *)r->req;
	const Cri__RunPodSandboxRequest *pod;
	JSON_MUT_AUTO d = json_new();
	STR_AUTO name = NULL;
	char id[ID_LEN + 1];
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);
	struct ctr *c;

	if (!p || !(pod = pod_request(p, &r->arena, &err)))
		return rpc_fail(r, &err);
	if (!req->config || !req->config->metadata || !*req->config->metadata->name) {
		err_set(&err, ERR_INVALID, "config.metadata.name is missing");
		return rpc_fail(r, &err);
	}
	name = ctr_name_key(req->config->metadata, pod->config->metadata);
	c = map_get(&r->svc->ctr_names, name);
	if (!c && p->syncing) /* the shim may be at it */
		return rpc_hold(r, p);
	if (c)
		return creation_again(&c->making, r->call,
				      ctr_state(c) ==
					      CRI__CONTAINER_STATE__CONTAINER_CREATED,
				      "container", name);
	if (!pod_ready(p)) {
		err_set(&err, ERR_STATE, "pod %s is not ready", p->id);
		return rpc_fail(r, &err);
	}
	new_id(id);
	c = ctr_new(p, id, name);
	c->making.running = true;
	if (build_create(r, c, req, d, &err) < 0 || keep_request(c, req, &err) < 0) {
		ctr_free(c);
		return rpc_fail(r, &err);
	}
	shim_request(p, r->call, c->id, d, &c->request, create_done);
}

/* A reply that carries the container's new state. */
static int take_container(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct ctr *c = map_get(&q->svc->ctr_ids, q->id);

	if (err) {
		grpc_fail(q->call, err);
		return -1;
	}
	if (c && m)
		ctr_set_doc(c, json_obj(m->json, "container"));
	return 0;
}

static void start_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__StartContainerResponse resp = CRI__START_CONTAINER_RESPONSE__INIT;

	if (take_container(q, m, err) == 0)
		call_reply(q->call, &resp.base);
}

void do_StartContainer(struct rpc *r)
{
	const Cri__StartContainerRequest *req = (const void *)r->req;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);
	JSON_MUT_AUTO d = NULL;

	if (!c)
		return rpc_fail(r, &err);
	d = shim_op("ctr.start", c->id);
	shim_request(c->pod, r->call, c->id, d, NULL, start_done);
}

static void stop_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__StopContainerResponse resp = CRI__STOP_CONTAINER_RESPONSE__INIT;

	if (take_container(q, m, q->pod->gone ? NULL : err) == 0)
		call_reply(q->call, &resp.base);
}

void do_StopContainer(struct rpc *r)
{
	const Cri__StopContainerRequest *req = (const void *)r->req;
	Cri__StopContainerResponse resp = CRI__STOP_CONTAINER_RESPONSE__INIT;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);
	JSON_MUT_AUTO d = NULL;

	if (!c)
		return rpc_absent(r, req->container_id, &resp.base, &err);
	if (!c->pod->chan || ctr_state(c) != CRI__CONTAINER_STATE__CONTAINER_RUNNING)
		return rpc_reply(r, &resp.base);
	d = shim_op("ctr.stop", c->id);
	json_add_i64(d, yyjson_mut_doc_get_root(d), "timeout",
		     req->timeout < 0 ? 0 : req->timeout);
	shim_request(c->pod, r->call, c->id, d, NULL, stop_done);
}

static void remove_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__RemoveContainerResponse resp = CRI__REMOVE_CONTAINER_RESPONSE__INIT;
	struct ctr *c = map_get(&q->svc->ctr_ids, q->id);

	(void)m;
	if (err && err->code != ERR_NOT_FOUND && !q->pod->gone) {
		grpc_fail(q->call, err);
		return;
	}
	if (c)
		ctr_free(c);
	call_reply(q->call, &resp.base);
}

void do_RemoveContainer(struct rpc *r)
{
	const Cri__RemoveContainerRequest *req = (const void *)r->req;
	Cri__RemoveContainerResponse resp = CRI__REMOVE_CONTAINER_RESPONSE__INIT;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);
	JSON_MUT_AUTO d = NULL;

	if (!c)
		return rpc_absent(r, req->container_id, &resp.base, &err);
	if (!c->pod->chan) {
		shim_cleanup(c->pod, r->call, c->id, true, remove_done);
		return;
	}
	d = shim_op("ctr.remove", c->id);
	shim_request(c->pod, r->call, c->id, d, NULL, remove_done);
}

static void reopen_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__ReopenContainerLogResponse resp = CRI__REOPEN_CONTAINER_LOG_RESPONSE__INIT;

	if (take_container(q, m, err) == 0)
		call_reply(q->call, &resp.base);
}

void do_ReopenContainerLog(struct rpc *r)
{
	const Cri__ReopenContainerLogRequest *req = (const void *)r->req;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);
	JSON_MUT_AUTO d = NULL;

	if (c && ctr_state(c) != CRI__CONTAINER_STATE__CONTAINER_RUNNING) {
		err_set(&err, ERR_STATE, "container %s is not running", c->id);
		c = NULL;
	}
	if (!c)
		return rpc_fail(r, &err);
	d = shim_op("ctr.reopen_log", c->id);
	shim_request(c->pod, r->call, c->id, d, NULL, reopen_done);
}

/* What an update mentions takes the place of what was there. */
static void merge_resources(Cri__LinuxContainerResources *to,
			    const Cri__LinuxContainerResources *from)
{
	if (from->cpu_period)
		to->cpu_period = from->cpu_period;
	if (from->cpu_quota)
		to->cpu_quota = from->cpu_quota;
	if (from->cpu_shares)
		to->cpu_shares = from->cpu_shares;
	if (from->memory_limit_in_bytes)
		to->memory_limit_in_bytes = from->memory_limit_in_bytes;
	if (from->memory_swap_limit_in_bytes)
		to->memory_swap_limit_in_bytes = from->memory_swap_limit_in_bytes;
	if (from->oom_score_adj)
		to->oom_score_adj = from->oom_score_adj;
	if (*from->cpuset_cpus)
		to->cpuset_cpus = from->cpuset_cpus;
	if (*from->cpuset_mems)
		to->cpuset_mems = from->cpuset_mems;
	if (from->n_hugepage_limits) {
		to->n_hugepage_limits = from->n_hugepage_limits;
		to->hugepage_limits = from->hugepage_limits;
	}
	if (from->n_unified) {
		to->n_unified = from->n_unified;
		to->unified = from->unified;
	}
}

/* The record of a container whose limits have changed: its status shows them. */
static int keep_resources(struct ctr *c, const Cri__LinuxContainerResources *new,
			  struct arena *a, struct err *err)
{
	STR_AUTO path = xasprintf("containers/%s/config", c->id);
	Cri__CreateContainerRequest *req = (void *)(uintptr_t)ctr_request(c, a, err);
	Cri__LinuxContainerConfig *lin;

	if (!req)
		return -1;
	if (!req->config->linux)
		req->config->linux = pb_new(&cri__linux_container_config__descriptor, a);
	lin = req->config->linux;
	if (!lin->resources)
		lin->resources = pb_new(&cri__linux_container_resources__descriptor, a);
	merge_resources(lin->resources, new);
	buf_reset(&c->request);
	if (pb_pack(&req->base, &c->request, err) < 0)
		return -1;
	return record_write(c->pod->svc->rootfd, path, "config", c->request.data,
			    c->request.len, false, err);
}

static void update_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__UpdateContainerResourcesResponse resp =
		CRI__UPDATE_CONTAINER_RESOURCES_RESPONSE__INIT;
	struct ctr *c = map_get(&q->svc->ctr_ids, q->id);
	const Cri__UpdateContainerResourcesRequest *req;
	ARENA_AUTO arena = {0};
	ProtobufCMessage *msg;
	struct err e;

	(void)m;
	if (!err && c &&
	    (pb_unpack(&cri__update_container_resources_request__descriptor, q->msg.data,
		       q->msg.len, &arena, &msg, &e) < 0 ||
	     (req = (const void *)msg, keep_resources(c, req->linux, &arena, &e)) < 0))
		err = &e;
	if (err)
		grpc_fail(q->call, err);
	else
		call_reply(q->call, &resp.base);
}

void do_UpdateContainerResources(struct rpc *r)
{
	const Cri__UpdateContainerResourcesRequest *req = (const void *)r->req;
	Cri__UpdateContainerResourcesResponse resp =
		CRI__UPDATE_CONTAINER_RESOURCES_RESPONSE__INIT;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);
	JSON_MUT_AUTO d = NULL;
	yyjson_mut_val *resources;
	struct pending *q;

	if (!c)
		return rpc_fail(r, &err);
	if (ctr_state(c) == CRI__CONTAINER_STATE__CONTAINER_EXITED) {
		err_set(&err, ERR_STATE, "container %s has ended", c->id);
		return rpc_fail(r, &err);
	}
	if (!req->linux)
		return rpc_reply(r, &resp.base);
	d = shim_op("ctr.update", c->id);
	resources = json_add_obj(d, yyjson_mut_doc_get_root(d), "resources");
	if (spec_add_resources(req->linux, d, resources, &err) < 0)
		return rpc_fail(r, &err);
	q = shim_request(c->pod, r->call, c->id, d, NULL, update_done);
	if (q)
		buf_add(&q->msg, r->msg, r->len);
}

static const char *meta(const struct ctr *c, const char *key)
{
	return str_or_empty(json_str(json_obj(rec(c), "meta"), key));
}

static bool wanted(const struct ctr *c, const Cri__ContainerFilter *f,
		   const Cri__ContainerConfig *config)
{
	if (!f)
		return true;
	if ((*f->id && !str_starts(c->id, f->id)) ||
	    (*f->pod_sandbox_id && !str_starts(c->pod->id, f->pod_sandbox_id)) ||
	    (f->state && f->state->state != ctr_state(c)))
		return false;
	return pb_map_holds(config->labels, config->n_labels, f->label_selector,
			    f->n_label_selector);
}

static void list_pod(struct rpc *r, struct pod *p, const Cri__ContainerFilter *f,
		     Cri__ListContainersResponse *resp)
{
	struct err err;

	list_each (n, &p->ctrs) {
		struct ctr *c = container_of(n, struct ctr, node);
		const Cri__CreateContainerRequest *req;
		Cri__Container *item;

		if (!c->doc)
			continue;
		req = ctr_request(c, &r->arena, &err);
		if (!req || !wanted(c, f, req->config))
			continue;
		item = pb_new(&cri__container__descriptor, &r->arena);
		item->id = c->id;
		item->pod_sandbox_id = p->id;
		item->metadata = req->config->metadata;
		item->image = req->config->image;
		item->image_ref = meta(c, "image_ref");
		item->image_id = meta(c, "image_id");
		item->state = ctr_state(c);
		item->created_at = json_i64(rec(c), "created_at", 1);
		item->n_labels = req->config->n_labels;
		item->labels = (void *)req->config->labels;
		item->n_annotations = req->config->n_annotations;
		item->annotations = (void *)req->config->annotations;
		resp->containers[resp->n_containers++] = item;
	}
}

void do_ListContainers(struct rpc *r)
{
	const Cri__ListContainersRequest *req = (const void *)r->req;
	Cri__ListContainersResponse resp = CRI__LIST_CONTAINERS_RESPONSE__INIT;

	resp.containers =
		arena_array(&r->arena, r->svc->ctr_ids.len, sizeof(*resp.containers));
	list_each (n, &r->svc->pods)
		list_pod(r, container_of(n, struct pod, node), req->filter, &resp);
	rpc_reply(r, &resp.base);
}

static Cri__ContainerUser *user(const struct ctr *c, struct arena *a)
{
	yyjson_val *u = json_obj(rec(c), "user"), *groups = json_arr(u, "groups"), *v;
	Cri__ContainerUser *out = pb_new(&cri__container_user__descriptor, a);
	Cri__LinuxContainerUser *l = pb_new(&cri__linux_container_user__descriptor, a);

	l->uid = json_i64(u, "uid", 0);
	l->gid = json_i64(u, "gid", 0);
	l->supplemental_groups = arena_array(a, groups ? yyjson_arr_size(groups) : 0,
					     sizeof(*l->supplemental_groups));
	json_each (v, groups)
		l->supplemental_groups[l->n_supplemental_groups++] = yyjson_get_sint(v);
	out->linux = l;
	return out;
}

static int verbose_info(struct cri_service *s, struct ctr *c,
			const Cri__CreateContainerRequest *req, struct arena *a,
			Cri__ContainerStatusResponse *resp, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *config;
	Cri__ContainerStatusResponse__InfoEntry *e =
		pb_new(&cri__container_status_response__info_entry__descriptor, a);
	JSON_AUTO spec = ctr_spec_load(s, c);
	BUF_AUTO text = {0};

	json_add_str(d, root, "sandboxID", c->pod->id);
	json_add_i64(d, root, "pid", json_i64(rec(c), "pid", 0));
	json_add_bool(d, root, "removing", false);
	if (cri_json_write(&req->config->base, CRI_JSON_GO, d, &config, err) < 0)
		return -1;
	yyjson_mut_obj_add_val(d, root, "config", config);
	if (spec && json_obj(yyjson_doc_get_root(spec), "spec"))
		yyjson_mut_obj_add_val(
			d, root, "runtimeSpec",
			yyjson_val_mut_copy(d,
					    json_obj(yyjson_doc_get_root(spec), "spec")));
	json_write(d, false, &text);
	e->key = "info";
	e->value = arena_strdup(a, buf_str(&text));
	resp->n_info = 1;
	resp->info = arena_memdup(a, &e, sizeof(e));
	return 0;
}

static void fill_status(struct ctr *c, const Cri__ContainerConfig *config,
			Cri__ContainerStatus *st, struct arena *a)
{
	Cri__ContainerResources *res = pb_new(&cri__container_resources__descriptor, a);

	st->id = c->id;
	st->metadata = config->metadata;
	st->state = ctr_state(c);
	st->created_at = json_i64(rec(c), "created_at", 1);
	st->started_at = json_i64(rec(c), "started_at", 0);
	st->finished_at = json_i64(rec(c), "finished_at", 0);
	st->exit_code = (int32_t)json_i64(rec(c), "exit_code", 0);
	st->image = config->image;
	st->image_ref = meta(c, "image_ref");
	st->image_id = meta(c, "image_id");
	st->reason = str_or_empty(json_str(rec(c), "reason"));
	st->message = str_or_empty(json_str(rec(c), "message"));
	st->n_labels = config->n_labels;
	st->labels = (void *)config->labels;
	st->n_annotations = config->n_annotations;
	st->annotations = (void *)config->annotations;
	st->n_mounts = config->n_mounts;
	st->mounts = config->mounts;
	st->log_path = str_or_empty(json_str(rec(c), "log_path"));
	st->user = user(c, a);
	st->stop_signal = config->stop_signal;
	if (config->linux && config->linux->resources)
		res->linux = config->linux->resources;
	st->resources = res;
}

void do_ContainerStatus(struct rpc *r)
{
	const Cri__ContainerStatusRequest *req = (const void *)r->req;
	Cri__ContainerStatusResponse resp = CRI__CONTAINER_STATUS_RESPONSE__INIT;
	Cri__ContainerStatus st = CRI__CONTAINER_STATUS__INIT;
	const Cri__CreateContainerRequest *made;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);

	if (!c || !(made = ctr_request(c, &r->arena, &err)))
		return rpc_fail(r, &err);
	fill_status(c, made->config, &st, &r->arena);
	resp.status = &st;
	if (req->verbose && verbose_info(r->svc, c, made, &r->arena, &resp, &err) < 0)
		return rpc_fail(r, &err);
	rpc_reply(r, &resp.base);
}
