/*
 * worker: a pull for crid, which has started us with a chan on fd 3. One
 * request:
 *
 *	{"op": "pull", "image", "platform", "registry_dir", "preload_dir", "pinned",
 *	 "stall_ms",
 *	 "auth": {"username", "password", "auth", "server_address",
 *		  "identity_token", "registry_token"}}
 *	{"op": "remove", "image": a name or an id}
 *	{"op": "gc"}
 *
 * answered by {"image": {"id", "repo_tags", "repo_digests", "size"}} or {}, or
 * by an error. Before it, at most four times a second, come events
 * {"event": "progress", "layers": [{"digest", "state", "done", "total"}]}.
 * The end of fd 3 cancels.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "pull/pull.h"
#include "rpc/chan.h"

enum { CRID = 3 };

static const int64_t REPORT_EVERY = 250 * NS_PER_MS;

struct worker {
	struct loop *loop;
	struct store *store;
	struct chan *chan;
	struct chan_msg request; /* owns the strings of req */
	struct pull_request req;
	struct registry_auth auth;
	struct pull_job *job;
	struct loop_timer report;
	bool cancelled;
};

/* Frees space, whatever happened before; a failure here changes nothing for the caller. */
static void gc(struct worker *w)
{
	struct err ignored;

	store_gc(w->store, &ignored);
}

static void send_error(struct worker *w, const struct err *e)
{
	if (w->chan)
		chan_send_error(w->chan, w->request.serial, e);
}

static void send_reply(struct worker *w, const yyjson_mut_doc *d)
{
	if (w->chan)
		chan_send(w->chan, CHAN_REPLY, w->request.serial, d, NULL, 0, NULL, 0);
}

static void add_image(yyjson_mut_doc *d, const struct image *im)
{
	yyjson_mut_val *v = json_add_obj(d, yyjson_mut_doc_get_root(d), "image");
	yyjson_mut_val *tags, *digests;
	char id[DIGEST_TEXT];

	digest_format(id, &im->id);
	json_add_str(d, v, "id", id);
	tags = json_add_arr(d, v, "repo_tags");
	for (char **t = im->tags; t && *t; t++)
		yyjson_mut_arr_add_strcpy(d, tags, *t);
	digests = json_add_arr(d, v, "repo_digests");
	for (char **t = im->digests; t && *t; t++)
		yyjson_mut_arr_add_strcpy(d, digests, *t);
	json_add_u64(d, v, "size", im->size);
}

static void reply_image(struct worker *w)
{
	JSON_MUT_AUTO d = json_new();
	struct err err;
	struct image *im = image_load(w->store, pull_id(w->job), &err);

	if (!im) {
		send_error(w, &err);
		return;
	}
	add_image(d, im);
	send_reply(w, d);
	image_free(im);
}

static void on_end(void *arg, struct pull_job *j, const struct err *err)
{
	struct worker *w = arg;
	struct err e;

	(void)j;
	loop_timer_del(&w->report);
	if (err)
		e = *err;
	else
		reply_image(w);
	pull_free(w->job);
	w->job = NULL;
	/* what failed leaves nothing behind before anybody hears of it */
	gc(w);
	if (err)
		send_error(w, &e);
	loop_stop(w->loop, 0);
}

static void on_report(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, report);
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	yyjson_mut_val *layers;

	json_add_str(d, root, "event", "progress");
	layers = json_add_arr(d, root, "layers");
	for (size_t i = 0; i < pull_layers(w->job); i++) {
		struct pull_layer_view l = pull_layer(w->job, i);
		yyjson_mut_val *v = yyjson_mut_arr_add_obj(d, layers);

		json_add_str(d, v, "digest", l.digest);
		json_add_str(d, v, "state", pull_state_names[l.state]);
		json_add_u64(d, v, "done", l.done);
		json_add_u64(d, v, "total", l.total);
	}
	/* a reader that does not keep up gets fewer */
	if (chan_pending(w->chan) == 0)
		chan_send(w->chan, CHAN_EVENT, w->request.serial, d, NULL, 0, NULL, 0);
	loop_timer_set(w->loop, t, time_mono() + REPORT_EVERY);
}

static void on_layers(void *arg, struct pull_job *j)
{
	struct worker *w = arg;

	(void)j;
	loop_timer_set(w->loop, &w->report, time_mono() + REPORT_EVERY);
}

static const struct pull_ops pull_ops = {on_layers, on_end};

static int start_pull(struct worker *w, struct err *err)
{
	yyjson_val *json = w->request.json, *auth = json_obj(json, "auth");

	w->req = (struct pull_request){.image = json_str(json, "image"),
				       .platform = json_str(json, "platform"),
				       .registry_dir = json_str(json, "registry_dir"),
				       .preload_dir = json_str(json, "preload_dir"),
				       .pinned = json_bool(json, "pinned", false),
				       .stall_ms = json_i64(json, "stall_ms", 0)};
	w->auth = (struct registry_auth){
		.username = json_str(auth, "username"),
		.password = json_str(auth, "password"),
		.auth = json_str(auth, "auth"),
		.server_address = json_str(auth, "server_address"),
		.identity_token = json_str(auth, "identity_token"),
		.registry_token = json_str(auth, "registry_token"),
	};
	if (auth)
		w->req.auth = &w->auth;
	if (!w->req.image)
		return err_set(err, ERR_INVALID, "image is missing");
	w->job = pull_start(w->loop, w->store, &w->req, &pull_ops, w, err);
	return w->job ? 0 : -1;
}

static int remove_image(struct worker *w, const char *name, struct err *err)
{
	struct images all = {0};
	const struct image *im;
	BUF_AUTO full = {0};
	struct ref ref;
	int r = -1;

	if (str_empty(name))
		return err_set(err, ERR_INVALID, "image is missing");
	if (!ref_is_id(name)) {
		if (ref_parse(name, &ref, err) < 0)
			return -1;
		ref_add(&full, &ref);
		name = buf_str(&full);
	}
	if (images_load(w->store, &all, err) < 0)
		return -1;
	im = image_resolve(&all, name, err);
	if (im)
		r = image_remove(w->store, &im->id, err);
	images_done(&all);
	return r;
}

/* Starts what was asked for. 1: it goes on; 0: it is done; -1. */
static int start(struct worker *w, struct err *err)
{
	const char *op = json_str(w->request.json, "op");

	if (!op)
		return err_set(err, ERR_INVALID, "malformed request");
	if (str_eq(op, "pull"))
		return start_pull(w, err) < 0 ? -1 : 1;
	if (str_eq(op, "remove")) {
		if (remove_image(w, json_str(w->request.json, "image"), err) < 0)
			return -1;
		gc(w);
		return 0;
	}
	if (str_eq(op, "gc"))
		return store_gc(w->store, err);
	return err_set(err, ERR_UNIMPLEMENTED, "unknown operation %.40s", op);
}

static void on_msg(void *arg, struct chan *c, struct chan_msg *m)
{
	struct worker *w = arg;
	struct err err;
	int r;

	(void)c;
	if (w->request.type || m->type != CHAN_REQUEST)
		return;
	w->request = *m;
	/* taken */
	*m = (struct chan_msg){0};
	r = start(w, &err);
	if (r > 0)
		return;
	if (r < 0) {
		send_error(w, &err);
	} else {
		JSON_MUT_AUTO d = json_new();

		send_reply(w, d);
	}
	loop_stop(w->loop, 0);
}

static void cancel(struct worker *w)
{
	w->cancelled = true;
	loop_stop(w->loop, 0);
}

static void on_chan_end(void *arg, struct chan *c, const struct err *err)
{
	struct worker *w = arg;

	(void)err;
	chan_free(c);
	w->chan = NULL;
	cancel(w);
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	(void)si;
	cancel(arg);
}

static const struct chan_ops chan_ops = {on_msg, on_chan_end};

static int serve(struct worker *w, struct err *err)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};
	int r;

	w->chan = chan_new(w->loop, CRID, &chan_ops, w, err);
	if (!w->chan ||
	    loop_signals(w->loop, sigs, ARRAY_LEN(sigs), on_signal, w, err) < 0)
		return -1;
	r = loop_run(w->loop, err);
	loop_timer_del(&w->report);
	if (w->job) {
		struct err e;

		pull_free(w->job);
		gc(w);
		err_set(&e, ERR_CANCELLED, "the pull was cancelled");
		send_error(w, &e);
	}
	/* the answer may be larger than the socket takes at once */
	while (r >= 0 && w->chan && !w->cancelled && chan_pending(w->chan))
		r = loop_step(w->loop, -1, err);
	return r;
}

int pull_worker(const char *root, struct err *err)
{
	struct worker w = {.report = {.fn = on_report}};
	int r = -1;

	w.loop = loop_new(err);
	if (!w.loop)
		return -1;
	w.store = store_open(root, err);
	if (w.store)
		r = serve(&w, err);
	else
		chan_write_error(CRID, 1, err, &(struct err){0});
	if (w.chan)
		chan_free(w.chan);
	chan_msg_done(&w.request);
	store_free(w.store);
	loop_free(w.loop);
	return r;
}
