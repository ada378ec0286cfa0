/* images: the verbs on images. The store's records are the truth, workers change it. */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cri/service-int.h"
#include "wire/ref.h"

/* A worker that pulls or removes. */
struct pull {
	struct list node;
	struct cri_service *svc;
	struct grpc_call *call;
	struct chan *chan;
	bool remove;
};

/* Reads the store again: after a start, and after each change by a worker. */
int images_reload(struct cri_service *s, struct err *err)
{
	struct images fresh = {0};

	if (images_load(s->store, &fresh, err) < 0)
		return -1;
	if (fresh.damaged.len)
		log_warn(s->log, "images: %s", buf_str(&fresh.damaged));
	images_done(&s->images);
	s->images = fresh;
	return 0;
}

int image_config_of(struct cri_service *s, const struct image *im, struct arena *a,
		    struct image_config *ret, struct err *err)
{
	BUF_AUTO bytes = {0};

	if (image_read_config(s->store, im, &bytes, err) < 0 ||
	    image_config_parse(bytes.data, bytes.len, a, ret, err) < 0)
		return err_wrap(err, "config of an image");
	return 0;
}

const struct image *image_find(struct cri_service *s, const char *ref, struct err *err)
{
	const struct image *im = image_resolve(&s->images, ref, err);
	BUF_AUTO name = {0};
	struct ref r;

	if (im || err->code != ERR_NOT_FOUND || ref_is_id(ref))
		return im;
	if (ref_parse(ref, &r, err) < 0)
		return NULL;
	ref_add(&name, &r);
	return image_resolve(&s->images, buf_str(&name), err);
}

/* USER "1002:5" is uid 1002; "www-data:5" is a name. */
static void fill_user(Cri__Image *out, const char *user, struct arena *a)
{
	char *name = arena_strndup(a, user, strcspn(user, ":"));
	uint64_t uid;

	if (num_u64(name, 0, UINT32_MAX, &uid) < 0) {
		out->username = name;
		return;
	}
	out->uid = pb_new(&cri__int64_value__descriptor, a);
	out->uid->value = (int64_t)uid;
}

char *image_id_text(const struct image *im, struct arena *a)
{
	char text[DIGEST_TEXT];

	digest_format(text, &im->id);
	return arena_strdup(a, text);
}

static size_t count(char **list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static Cri__Image *message(struct cri_service *s, const struct image *im, struct arena *a)
{
	Cri__Image *out = pb_new(&cri__image__descriptor, a);
	struct image_config config = {.user = ""};
	struct err err;

	out->id = image_id_text(im, a);
	out->n_repo_tags = count(im->tags);
	out->repo_tags = (const char **)im->tags;
	out->n_repo_digests = count(im->digests);
	out->repo_digests = (const char **)im->digests;
	out->size = MAX(im->size, UINT64_C(1));
	out->spec = pb_new(&cri__image_spec__descriptor, a);
	out->pinned = im->pinned;
	/* a config that cannot be read costs the user's name, not the list */
	if (image_config_of(s, im, a, &config, &err) == 0 && *config.user)
		fill_user(out, config.user, a);
	return out;
}

void do_ListImages(struct rpc *r)
{
	const Cri__ListImagesRequest *req = (const void *)r->req;
	Cri__ListImagesResponse resp = CRI__LIST_IMAGES_RESPONSE__INIT;
	struct cri_service *s = r->svc;
	const struct image *im;
	struct err err;

	resp.images = arena_array(&r->arena, s->images.n + 1, sizeof(*resp.images));
	if (req->filter && req->filter->image && *req->filter->image->image) {
		im = image_find(s, req->filter->image->image, &err);
		if (im)
			resp.images[resp.n_images++] = message(s, im, &r->arena);
	} else {
		for (size_t i = 0; i < s->images.n; i++)
			resp.images[resp.n_images++] =
				message(s, s->images.v[i], &r->arena);
	}
	rpc_reply(r, &resp.base);
}

static void verbose_info(struct rpc *r, const struct image *im,
			 Cri__ImageStatusResponse *resp)
{
	Cri__ImageStatusResponse__InfoEntry *e =
		pb_new(&cri__image_status_response__info_entry__descriptor, &r->arena);
	JSON_MUT_AUTO d = json_new();
	JSON_AUTO doc = NULL;
	BUF_AUTO bytes = {0};
	BUF_AUTO text = {0};
	char chain[DIGEST_TEXT] = "";
	struct err err;

	if (image_read_config(r->svc->store, im, &bytes, &err) < 0 ||
	    !(doc = json_parse(bytes.data, bytes.len, &err)))
		return;
	if (im->nlayers)
		digest_format(chain, &im->layers[im->nlayers - 1]);
	json_add_str(d, yyjson_mut_doc_get_root(d), "chainID", chain);
	yyjson_mut_obj_add_val(d, yyjson_mut_doc_get_root(d), "imageSpec",
			       yyjson_val_mut_copy(d, yyjson_doc_get_root(doc)));
	json_write(d, false, &text);
	e->key = "info";
	e->value = arena_strdup(&r->arena, buf_str(&text));
	resp->n_info = 1;
	resp->info = arena_memdup(&r->arena, &e, sizeof(e));
}

void do_ImageStatus(struct rpc *r)
{
	const Cri__ImageStatusRequest *req = (const void *)r->req;
	Cri__ImageStatusResponse resp = CRI__IMAGE_STATUS_RESPONSE__INIT;
	const struct image *im;
	struct err err;

	if (!req->image || !*req->image->image) {
		err_set(&err, ERR_INVALID, "image is missing");
		return rpc_fail(r, &err);
	}
	im = image_find(r->svc, req->image->image, &err);
	if (!im && err.code != ERR_NOT_FOUND)
		return rpc_fail(r, &err);
	if (im) /* an image that is not there is not an error */
		resp.image = message(r->svc, im, &r->arena);
	if (im && req->verbose)
		verbose_info(r, im, &resp);
	rpc_reply(r, &resp.base);
}

static void pull_free(struct pull *p)
{
	list_del(&p->node);
	chan_free(p->chan);
	free(p);
}

static void on_answer(struct pull *p, struct chan_msg *m)
{
	Cri__PullImageResponse pulled = CRI__PULL_IMAGE_RESPONSE__INIT;
	Cri__RemoveImageResponse removed = CRI__REMOVE_IMAGE_RESPONSE__INIT;
	struct err err = {0};

	if (m->type == CHAN_ERROR)
		chan_msg_error(m, &err);
	if (p->remove && err.code == ERR_NOT_FOUND)
		err.code = ERR_NONE;
	pulled.image_ref = str_or_empty(json_str(json_obj(m->json, "image"), "id"));
	if (!err.code && !p->remove && !*pulled.image_ref)
		err_set(&err, ERR_INTERNAL, "malformed answer of the pull worker");
	if (!err.code && images_reload(p->svc, &err) < 0)
		err_wrap(&err, "images");
	if (err.code)
		grpc_fail(p->call, &err);
	else
		call_reply(p->call, p->remove ? &removed.base : &pulled.base);
	pull_free(p);
}

static void on_msg(void *arg, struct chan *c, struct chan_msg *m)
{
	(void)c;
	if (m->type == CHAN_REPLY || m->type == CHAN_ERROR)
		on_answer(arg, m);
}

static void on_end(void *arg, struct chan *c, const struct err *e)
{
	struct pull *p = arg;
	struct err err;

	(void)c;
	err_set(&err, ERR_INTERNAL, "the pull worker died%s%s", e->code ? ": " : "",
		e->code ? e->msg : "");
	grpc_fail(p->call, &err);
	pull_free(p);
}

static const struct chan_ops ops = {on_msg, on_end};

void pull_cancel(struct cri_service *s, struct grpc_call *call)
{
	struct err err;

	list_each (n, &s->pulls) {
		struct pull *p = container_of(n, struct pull, node);

		if (p->call != call || p->remove)
			continue;
		err_set(&err, ERR_CANCELLED, "cancelled by the client");
		grpc_fail(call, &err);
		pull_free(p);
		return;
	}
}

/* Starts a worker with a request. */
static void work(struct rpc *r, yyjson_mut_doc *d, bool remove)
{
	struct pull *p;
	struct err err;
	int fd = r->svc->host->spawn_pull(r->svc->host_arg, &err);

	if (fd < 0)
		return rpc_fail(r, &err);
	p = xcalloc(1, sizeof(*p));
	p->svc = r->svc;
	p->call = r->call;
	p->remove = remove;
	list_init(&p->node);
	p->chan = chan_new(r->svc->loop, fd, &ops, p, &err);
	if (!p->chan) {
		pull_free(p);
		return rpc_fail(r, &err);
	}
	list_add(&r->svc->pulls, &p->node);
	chan_send(p->chan, CHAN_REQUEST, 1, d, NULL, 0, NULL, 0);
}

/* --- garbage ------------------------------------------------------------------------------ */

static void gc_done(struct pull *p)
{
	struct cri_service *s = p->svc;

	pull_free(p);
	s->gc_running = false;
	if (s->gc_again)
		images_gc(s);
}

static void on_gc_msg(void *arg, struct chan *c, struct chan_msg *m)
{
	struct pull *p = arg;
	struct err err;

	(void)c;
	if (m->type == CHAN_ERROR) {
		chan_msg_error(m, &err);
		log_warn(p->svc->log, "free space: %s", err.msg);
	}
	if (m->type == CHAN_REPLY || m->type == CHAN_ERROR)
		gc_done(p);
}

static void on_gc_end(void *arg, struct chan *c, const struct err *err)
{
	(void)c;
	(void)err;
	gc_done(arg);
}

static const struct chan_ops gc_ops = {on_gc_msg, on_gc_end};

void images_gc(struct cri_service *s)
{
	JSON_MUT_AUTO d = json_new();
	struct pull *p;
	struct err err;
	int fd;

	s->gc_again = s->gc_running;
	if (s->gc_running)
		return;
	fd = s->host->spawn_pull(s->host_arg, &err);
	if (fd < 0) {
		log_warn(s->log, "free space: %s", err.msg);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->svc = s;
	list_add(&s->pulls, &p->node);
	p->chan = chan_new(s->loop, fd, &gc_ops, p, &err);
	if (!p->chan) {
		pull_free(p);
		return;
	}
	s->gc_running = true;
	json_add_str(d, yyjson_mut_doc_get_root(d), "op", "gc");
	chan_send(p->chan, CHAN_REQUEST, 1, d, NULL, 0, NULL, 0);
}

void images_unused(struct cri_service *s, const char *image_id)
{
	struct err err;

	if (!image_resolve(&s->images, image_id, &err))
		images_gc(s);
}

static void add_auth(const Cri__AuthConfig *a, yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *v;

	if (!a)
		return;
	v = json_add_obj(d, root, "auth");
	json_add_str(d, v, "username", a->username);
	json_add_str(d, v, "password", a->password);
	json_add_str(d, v, "auth", a->auth);
	json_add_str(d, v, "server_address", a->server_address);
	json_add_str(d, v, "identity_token", a->identity_token);
	json_add_str(d, v, "registry_token", a->registry_token);
}

void do_PullImage(struct rpc *r)
{
	const Cri__PullImageRequest *req = (const void *)r->req;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	struct err err;
	struct ref ref;

	if (!req->image || !*req->image->image) {
		err_set(&err, ERR_INVALID, "image is missing");
		return rpc_fail(r, &err);
	}
	if (ref_parse(req->image->image, &ref, &err) < 0)
		return rpc_fail(r, &err);
	json_add_str(d, root, "op", "pull");
	json_add_str(d, root, "image", req->image->image);
	json_add_str(d, root, "registry_dir", r->svc->opt.registry_dir);
	json_add_str(d, root, "preload_dir", r->svc->opt.preload_dir);
	add_auth(req->auth, d, root);
	work(r, d, false);
}

void do_RemoveImage(struct rpc *r)
{
	const Cri__RemoveImageRequest *req = (const void *)r->req;
	Cri__RemoveImageResponse resp = CRI__REMOVE_IMAGE_RESPONSE__INIT;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	const struct image *im;
	struct err err;

	if (!req->image || !*req->image->image) {
		err_set(&err, ERR_INVALID, "image is missing");
		return rpc_fail(r, &err);
	}
	im = image_find(r->svc, req->image->image, &err);
	if (!im && err.code == ERR_NOT_FOUND)
		return rpc_reply(r, &resp.base);
	if (!im)
		return rpc_fail(r, &err);
	json_add_str(d, root, "op", "remove");
	json_add_str(d, root, "image", image_id_text(im, &r->arena));
	work(r, d, true);
}

void do_ImageFsInfo(struct rpc *r)
{
	Cri__ImageFsInfoResponse resp = CRI__IMAGE_FS_INFO_RESPONSE__INIT;
	Cri__FilesystemUsage usage = CRI__FILESYSTEM_USAGE__INIT;
	Cri__FilesystemUsage *list[1] = {&usage};
	Cri__FilesystemIdentifier id = CRI__FILESYSTEM_IDENTIFIER__INIT;
	Cri__UInt64Value bytes = CRI__UINT64_VALUE__INIT,
			 inodes = CRI__UINT64_VALUE__INIT;

	struct err err;

	if (store_usage(r->svc->store, &bytes.value, &inodes.value, &err) < 0)
		return rpc_fail(r, &err);
	id.mountpoint = r->svc->opt.def.root;
	usage.timestamp = time_real();
	usage.fs_id = &id;
	usage.used_bytes = &bytes;
	usage.inodes_used = &inodes;
	resp.n_image_filesystems = 1;
	resp.image_filesystems = list;
	resp.n_container_filesystems = 1;
	resp.container_filesystems = list;
	rpc_reply(r, &resp.base);
}
