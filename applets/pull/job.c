#include "pull/job.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "fetch/fetch.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"
#include "pull/known.h"
#include "rpc/chan.h"
#include "unpack/unpack.h"

const char *const pull_state_names[] = {
	[PULL_WAITING] = "waiting", [PULL_LOADING] = "downloading",
	[PULL_STAGED] = "staged",   [PULL_PLACING] = "placing",
	[PULL_UNPACKED] = "done",   [PULL_PRESENT] = "present",
};

/* How often a layer is asked for that another process is making. */
static const int64_t BUSY_EVERY = 100 * NS_PER_MS;

/*
 * An unpacker notices a broken stream as soon as the fetcher does: how long the
 * fetcher's word, which says more, is waited for.
 */
static const int64_t LAST_WORD = 3 * NS_PER_SEC;

struct pull_layer {
	struct pull_job *job;
	const struct image_desc *desc;
	struct digest digest, diff_id, chain;
	enum pull_state state;
	struct layer hold;
	struct unpack unpack;
	struct loop_fd src; /* unpack.sock */
	uint64_t done;
	bool fetched;	 /* the fetcher has said its last word about it */
	bool retried;	 /* with another host */
	bool more_hosts; /* others than the one that sent it can be asked */
	uint32_t skip_hosts;
	struct err unpack_err; /* code ERR_NONE: none */
};

struct pull_job {
	struct loop *loop;
	struct store *store;
	const struct pull_request *req;
	const struct pull_ops *ops;
	void *arg;

	struct ref ref;
	struct arena arena;
	struct image_platform platform;
	struct resolved docs;
	struct known known;
	struct digest id;
	char *digest_name; /* "name@digest" */

	pid_t fetcher; /* 0: none */
	int fetcher_pidfd;
	struct chan *chan;
	struct loop_fd jobs; /* fd -1: closed */

	struct pull_layer *layers;
	size_t n;
	size_t next;	/* the first that was not begun */
	size_t ready;	/* as many from the bottom are in the store */
	size_t loading; /* are being downloaded */
	struct loop_timer busy, last_word;
	struct loop_later step, end;
	struct err err; /* why it failed */
	bool ended;
};

static void advance(struct pull_job *j);

/* Ends the job from the loop, once: callers further up still look at it. */
static void finish(struct pull_job *j)
{
	if (j->ended)
		return;
	j->ended = true;
	loop_later_add(j->loop, &j->end);
}

static void fail(struct pull_job *j, const struct err *e)
{
	if (j->ended)
		return;
	j->err = *e;
	finish(j);
}

static void fail_layer(struct pull_layer *l, const struct err *e)
{
	struct err err = *e;

	err_wrap(&err, "layer %s", l->desc->digest);
	fail(l->job, &err);
}

static void on_end_later(struct loop_later *later)
{
	struct pull_job *j = container_of(later, struct pull_job, end);
	struct err *e = &j->err;
	BUF_AUTO name = {0};

	if (e->code) {
		ref_add(&name, &j->ref);
		if (e->code == ERR_NOT_FOUND)
			err_wrap(e, "image %s not found", buf_str(&name));
		else
			err_wrap(e, "pull %s", buf_str(&name));
	}
	j->ops->on_end(j->arg, j, e->code ? e : NULL);
}

/* --- a layer ------------------------------------------------------------------------------- */

/* The merged view of the layers below layer i (i >= 1). An owned fd or -1. */
static int view_below(struct pull_job *j, size_t i, struct err *err)
{
	const struct layer **holds = xcalloc(i, sizeof(*holds));
	int fd;

	for (size_t k = 0; k < i; k++)
		holds[k] = &j->layers[k].hold;
	fd = store_view(j->store, holds, i, err);
	free(holds);
	return fd;
}

static void on_unpack(struct loop_fd *src, unsigned events);

static int send_job(struct pull_job *j, size_t i, struct err *err)
{
	struct pull_layer *l = &j->layers[i];
	struct fetch_job job = {
		.index = (uint32_t)i, .skip_hosts = l->skip_hosts, .size = l->desc->size};

	str_copy(job.digest, sizeof(job.digest), l->desc->digest);
	/* the fetcher waits in write and splice */
	fd_set_nonblock(l->unpack.in, false);
	if (sock_send_fds(j->jobs.fd, &job, sizeof(job), &l->unpack.in, 1) < 0)
		return err_sys(err, errno, "the fetcher");
	fd_close(&l->unpack.in);
	return 0;
}

/* Starts the unpacker of a layer that is ours to make, and its download. */
static int load(struct pull_job *j, size_t i, struct err *err)
{
	struct pull_layer *l = &j->layers[i];
	struct unpack_options o = {
		.digest = l->digest, .diff_id = l->diff_id, .lowest = i == 0, .view = -1};
	FD_AUTO view = -1;

	if (i > 0 && j->ready == i) {
		view = view_below(j, i, err);
		if (view < 0)
			return -1;
		o.view = view;
	}
	if (unpack_spawn(&l->unpack, l->hold.fd, &o, err) < 0)
		return -1;
	l->state = PULL_LOADING;
	j->loading++;
	l->src = (struct loop_fd){.fn = on_unpack, .fd = l->unpack.sock};
	if (loop_fd_add(j->loop, &l->src, LOOP_IN, err) < 0)
		return -1;
	return send_job(j, i, err);
}

/* Begins the layers that may run now, from the bottom up. */
static void begin_layers(struct pull_job *j)
{
	while (!j->ended && j->next < j->n && j->loading < FETCH_LANES) {
		struct pull_layer *l = &j->layers[j->next];
		struct err err;
		int state = layer_begin(j->store, &l->chain, &l->hold, &err);

		if (state == LAYER_BUSY) {
			loop_timer_set(j->loop, &j->busy, time_mono() + BUSY_EVERY);
			return;
		}
		if (state == LAYER_THERE) {
			l->state = PULL_PRESENT;
			l->done = l->desc->size;
		} else if (state < 0 || load(j, j->next, &err) < 0) {
			fail_layer(l, &err);
			return;
		}
		j->next++;
		/* what is ready decides how the next one is unpacked */
		while (j->ready < j->n && j->layers[j->ready].state >= PULL_UNPACKED)
			j->ready++;
	}
}

static int commit(struct pull_layer *l, const struct unpack_report *r, struct err *err)
{
	struct layer_info info = {.chain_id = l->chain,
				  .diff_id = r->diff_id,
				  .digest = r->digest,
				  .compressed = r->compressed,
				  .bytes = r->bytes,
				  .inodes = r->inodes,
				  .devices = r->devices};

	loop_fd_del(&l->src);
	unpack_end(&l->unpack);
	if (layer_commit(l->job->store, &l->hold, &info, err) < 0)
		return -1;
	l->state = PULL_UNPACKED;
	l->done = l->desc->size;
	return 0;
}

/* Gives a staged layer the view that it waits for. */
static int place(struct pull_job *j, size_t i, struct err *err)
{
	FD_AUTO view = view_below(j, i, err);

	if (view < 0 || unpack_resolve(&j->layers[i].unpack, view, err) < 0)
		return -1;
	j->layers[i].state = PULL_PLACING;
	return 0;
}

/*
 * The blob came whole, and was not what it should be: a mirror may be wrong.
 * The hosts behind it are asked, once. 0, or -1 if that makes no sense.
 */
static int retry(struct pull_layer *l)
{
	struct pull_job *j = l->job;
	struct err err;

	if (l->unpack_err.code != ERR_CORRUPT || !l->more_hosts || l->retried)
		return -1;
	l->retried = true;
	unpack_end(&l->unpack);
	layer_end(j->store, &l->hold);
	if (l->state == PULL_LOADING)
		j->loading--;
	if (layer_begin(j->store, &l->chain, &l->hold, &err) != LAYER_MINE)
		return -1;
	l->fetched = false;
	l->unpack_err = (struct err){0};
	l->done = 0;
	if (load(j, (size_t)(l - j->layers), &err) < 0)
		fail_layer(l, &err);
	return 0;
}

static void unpack_failed(struct pull_layer *l, const struct err *err)
{
	loop_fd_del(&l->src);
	l->unpack_err = *err;
	/* perhaps only because the stream broke */
	if (!l->fetched)
		loop_timer_set(l->job->loop, &l->job->last_word, time_mono() + LAST_WORD);
	else if (retry(l) < 0)
		fail_layer(l, err);
}

static void on_unpack(struct loop_fd *src, unsigned events)
{
	struct pull_layer *l = container_of(src, struct pull_layer, src);
	struct pull_job *j = l->job;
	struct unpack_report report;
	struct err err;

	(void)events;
	if (j->ended) {
		loop_fd_del(src);
		return;
	}
	if (unpack_read(&l->unpack, &report, &err) < 0) {
		unpack_failed(l, &err);
		return;
	}
	if (report.event == UNPACK_NOTHING)
		return;
	if (l->state == PULL_LOADING)
		j->loading--;
	l->state = PULL_STAGED;
	if (report.event == UNPACK_DONE && commit(l, &report, &err) < 0)
		fail_layer(l, &err);
	advance(j);
}

static void set_result(struct pull_job *j, const struct digest *id, const char *digest)
{
	BUF_AUTO name = {0};

	j->id = *id;
	ref_add_name(&name, &j->ref);
	buf_add_fmt(&name, "@%s", digest);
	free(j->digest_name);
	j->digest_name = buf_detach(&name);
}

static int put_image(struct pull_job *j, struct err *err)
{
	const struct resolve_doc *config = &j->docs.docs[j->docs.n - 1];
	const struct resolve_doc *manifest = &j->docs.docs[j->docs.n - 2];
	struct digest *chain = xcalloc(j->n, sizeof(*chain));
	char top[DIGEST_TEXT];
	BUF_AUTO tag = {0};
	struct image_new n = {.manifest = manifest->data,
			      .manifest_len = manifest->len,
			      .config = config->data,
			      .config_len = config->len,
			      .id = config->digest,
			      .manifest_digest = manifest->digest,
			      .layers = chain,
			      .nlayers = j->n,
			      .size = config->len,
			      .pinned = j->req->pinned};
	int r;

	for (size_t i = 0; i < j->n; i++) {
		chain[i] = j->layers[i].chain;
		n.size += j->layers[i].desc->size;
	}
	digest_format(top, &j->docs.docs[0].digest);
	set_result(j, &config->digest, top);
	n.digest = j->digest_name;
	/* pulled by digest: nobody has said that the tag means this image */
	if (!j->ref.digest[0]) {
		ref_add(&tag, &j->ref);
		n.tag = buf_str(&tag);
	}
	r = image_put(j->store, &n, err);
	free(chain);
	return r;
}

/* Does what has become possible. */
static void advance(struct pull_job *j)
{
	struct err err;

	if (j->ended)
		return;
	while (j->ready < j->n && j->layers[j->ready].state >= PULL_UNPACKED)
		j->ready++;
	if (j->ready == j->n) {
		if (put_image(j, &err) < 0)
			fail(j, &err);
		else
			finish(j);
		return;
	}
	if (j->layers[j->ready].state == PULL_STAGED && place(j, j->ready, &err) < 0) {
		fail_layer(&j->layers[j->ready], &err);
		return;
	}
	begin_layers(j);
	/* layers that were found to be there may have made others possible */
	if (!j->ended && (j->ready == j->n || j->layers[j->ready].state == PULL_STAGED))
		loop_later_add(j->loop, &j->step);
}

static void on_step(struct loop_later *later)
{
	advance(container_of(later, struct pull_job, step));
}

static void on_busy(struct loop_timer *t)
{
	advance(container_of(t, struct pull_job, busy));
}

static void on_last_word(struct loop_timer *t)
{
	struct pull_job *j = container_of(t, struct pull_job, last_word);

	for (size_t i = 0; i < j->n; i++)
		if (j->layers[i].unpack_err.code)
			fail_layer(&j->layers[i], &j->layers[i].unpack_err);
}

/* --- the fetcher --------------------------------------------------------------------------- */

static void on_fetch_event(struct pull_job *j, const struct fetch_event *e)
{
	struct pull_layer *l;

	if (e->index >= j->n)
		return;
	l = &j->layers[e->index];
	if (e->what == FETCH_PROGRESS) {
		if (l->state == PULL_LOADING && e->done <= l->desc->size)
			l->done = e->done;
		return;
	}
	l->fetched = true;
	if (e->what == FETCH_DONE) {
		l->done = l->desc->size;
		l->more_hosts = e->more_hosts;
		l->skip_hosts = e->host + 1;
		if (l->unpack_err.code && retry(l) < 0)
			fail_layer(l, &l->unpack_err);
	} else if (e->err.sys != EPIPE) {
		struct err err = e->err;

		/* comes from a process that may be no longer ours */
		err.msg[sizeof(err.msg) - 1] = 0;
		if (err.code <= ERR_NONE || err.code >= ERR_CODE_COUNT)
			err.code = ERR_UNKNOWN;
		fail_layer(l, &err);
	} else if (l->unpack_err.code) {
		fail_layer(l, &l->unpack_err);
	}
}

static void on_jobs(struct loop_fd *src, unsigned events)
{
	struct pull_job *j = container_of(src, struct pull_job, jobs);
	struct fetch_event e;
	ssize_t n = 0;

	(void)events;
	while (!j->ended) {
		n = recv(src->fd, &e, sizeof(e), MSG_DONTWAIT);
		if (n != (ssize_t)sizeof(e))
			break;
		on_fetch_event(j, &e);
	}
	/* the fetcher has gone: its chan says why */
	if (n == 0)
		loop_fd_del(src);
}

/* Documents that the fetcher has sent, as a source for resolve_image. */
struct sent {
	const uint8_t *data;
	size_t left;
	yyjson_val *docs;
	size_t at;
};

static int sent_next(struct sent *s, struct buf *out, char **ret_type, struct err *err)
{
	yyjson_val *doc = yyjson_arr_get(s->docs, s->at++);
	uint64_t len = json_u64(doc, "len", UINT64_MAX);

	if (!doc || len > s->left)
		return err_set(err, ERR_INTERNAL, "malformed answer of the fetcher");
	buf_add(out, s->data, (size_t)len);
	s->data += len;
	s->left -= (size_t)len;
	if (ret_type)
		*ret_type = xstrdup(str_or_empty(json_str(doc, "type")));
	return 0;
}

static int sent_manifest(void *arg, const char *name, struct buf *out, char **ret_type,
			 struct err *err)
{
	(void)name; /* resolve_image checks the digest */
	return sent_next(arg, out, ret_type, err);
}

static int sent_config(void *arg, const struct image_desc *d, struct buf *out,
		       struct err *err)
{
	(void)d;
	return sent_next(arg, out, NULL, err);
}

/* --- what is in the store already ---------------------------------------------------------- */

struct have {
	yyjson_mut_doc *doc;
	yyjson_mut_val *list;
};

static void add_have(void *arg, const struct image *im, const char *digest)
{
	struct have *h = arg;

	(void)im;
	yyjson_mut_arr_add_strcpy(h->doc, h->list, digest);
}

struct search {
	const char *digest;
	const struct image *found;
};

static void search_known(void *arg, const struct image *im, const char *digest)
{
	struct search *s = arg;

	if (str_eq(digest, s->digest))
		s->found = im;
}

/* The registry says that the reference still means an image that we have. */
static int on_same(struct pull_job *j, const char *digest, struct err *err)
{
	struct search s = {.digest = digest};
	BUF_AUTO tag = {0};

	known_each(&j->known, &j->ref, &j->platform, search_known, &s);
	if (!s.found || (j->ref.digest[0] && !str_eq(digest, j->ref.digest)))
		return err_set(err, ERR_INTERNAL, "malformed answer of the fetcher");
	set_result(j, &s.found->id, digest);
	ref_add(&tag, &j->ref);
	if (!j->ref.digest[0] &&
	    image_tag(j->store, &s.found->id, buf_str(&tag), err) < 0)
		return -1;
	finish(j);
	return 0;
}

static int make_layers(struct pull_job *j, struct err *err)
{
	const struct image_manifest *m = &j->docs.manifest;
	const struct image_config *c = &j->docs.config;
	const struct digest *parent = NULL;

	j->layers = arena_array(&j->arena, m->n_layers, sizeof(*j->layers));
	for (size_t i = 0; i < m->n_layers; i++)
		j->layers[i].hold.fd = -1;
	j->n = m->n_layers;
	for (size_t i = 0; i < j->n; i++) {
		struct pull_layer *l = &j->layers[i];

		l->job = j;
		l->desc = &m->layers[i];
		if (digest_parse(l->desc->digest, &l->digest, err) < 0 ||
		    digest_parse(c->diff_ids.v[i], &l->diff_id, err) < 0)
			return -1;
		digest_chain(parent, &l->diff_id, &l->chain);
		parent = &l->chain;
	}
	return 0;
}

static int on_docs(struct pull_job *j, struct chan_msg *m, struct err *err)
{
	struct sent sent = {
		.data = m->blob, .left = m->blob_len, .docs = json_arr(m->json, "docs")};
	struct resolve_source source = {sent_manifest, sent_config, &sent};

	if (j->n)
		return err_set(err, ERR_INTERNAL, "the fetcher answers twice");
	if (resolve_image(&source, &j->ref, &j->platform, &j->arena, &j->docs, err) < 0)
		return -1;
	if (make_layers(j, err) < 0)
		return -1;
	if (j->ops->on_layers)
		j->ops->on_layers(j->arg, j);
	advance(j);
	return 0;
}

static void on_chan(void *arg, struct chan *c, struct chan_msg *m)
{
	struct pull_job *j = arg;
	struct err err = {0};

	(void)c;
	if (m->type == CHAN_ERROR)
		chan_msg_error(m, &err);
	else if (m->type == CHAN_REPLY && json_str(m->json, "same"))
		on_same(j, json_str(m->json, "same"), &err);
	else if (m->type == CHAN_REPLY)
		on_docs(j, m, &err);
	if (err.code)
		fail(j, &err);
}

static void on_chan_end(void *arg, struct chan *c, const struct err *why)
{
	struct pull_job *j = arg;
	struct err err;
	bool needed = j->n == 0 && !j->ended;

	(void)c;
	(void)why;
	chan_free(j->chan);
	j->chan = NULL;
	for (size_t i = 0; i < j->n; i++)
		needed = needed ||
			 (j->layers[i].state <= PULL_LOADING && !j->layers[i].fetched);
	if (!needed)
		return;
	err_set(&err, ERR_INTERNAL, "the process that talks to the registry died");
	fail(j, &err);
}

static const struct chan_ops chan_ops = {on_chan, on_chan_end};

static void send_request(struct pull_job *j, int jobs)
{
	const struct registry_auth *a = j->req->auth;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	struct have have = {.doc = d, .list = json_add_arr(d, root, "have")};

	/* a pin is written with the image */
	if (!j->req->pinned)
		known_each(&j->known, &j->ref, &j->platform, add_have, &have);
	json_add_str(d, root, "op", "fetch");
	json_add_str(d, root, "image", j->req->image);
	json_add_str(d, root, "platform", j->req->platform);
	json_add_str(d, root, "registry_dir", j->req->registry_dir);
	if (j->req->stall_ms)
		json_add_i64(d, root, "stall_ms", j->req->stall_ms);
	if (a) {
		yyjson_mut_val *v = json_add_obj(d, root, "auth");

		json_add_str(d, v, "username", a->username);
		json_add_str(d, v, "password", a->password);
		json_add_str(d, v, "auth", a->auth);
		json_add_str(d, v, "server_address", a->server_address);
		json_add_str(d, v, "identity_token", a->identity_token);
		json_add_str(d, v, "registry_token", a->registry_token);
	}
	chan_send(j->chan, CHAN_REQUEST, 1, d, NULL, 0, &jobs, 1);
}

static int start_fetcher(struct pull_job *j, struct err *err)
{
	const char *const argv[] = {"fetch", NULL};
	struct proc_spawn how = {.argv = argv, .fds = {-1, -1, 2}};
	int control[2], jobs[2];

	if (sock_pair(control, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, jobs) < 0) {
		close(control[0]);
		close(control[1]);
		return err_sys(err, errno, "socketpair");
	}
	how.fd3 = control[1];
	j->fetcher = proc_spawn(&how, &j->fetcher_pidfd, err);
	close(control[1]);
	if (j->fetcher < 0)
		close(control[0]);
	else
		j->chan = chan_new(j->loop, control[0], &chan_ops, j, err);
	if (!j->chan) {
		close(jobs[0]);
		close(jobs[1]);
		return -1;
	}
	j->jobs.fd = jobs[0];
	j->jobs.fn = on_jobs;
	send_request(j, jobs[1]);
	return loop_fd_add(j->loop, &j->jobs, LOOP_IN, err);
}

struct pull_job *pull_start(struct loop *l, struct store *s, const struct pull_request *r,
			    const struct pull_ops *ops, void *arg, struct err *err)
{
	struct pull_job *j = xcalloc(1, sizeof(*j));

	*j = (struct pull_job){.loop = l,
			       .store = s,
			       .req = r,
			       .ops = ops,
			       .arg = arg,
			       .fetcher_pidfd = -1,
			       .jobs = {.fd = -1},
			       .busy = {.fn = on_busy},
			       .last_word = {.fn = on_last_word},
			       .step = {.fn = on_step},
			       .end = {.fn = on_end_later}};
	image_platform_host(&j->platform);
	if (ref_parse(r->image, &j->ref, err) < 0 ||
	    (r->platform &&
	     image_platform_parse(r->platform, &j->arena, &j->platform, err) < 0) ||
	    known_load(&j->known, s, err) < 0 || start_fetcher(j, err) < 0) {
		pull_free(j);
		return NULL;
	}
	return j;
}

void pull_free(struct pull_job *j)
{
	if (!j)
		return;
	loop_timer_del(&j->busy);
	loop_timer_del(&j->last_word);
	loop_later_del(&j->step);
	loop_later_del(&j->end);
	loop_fd_del(&j->jobs);
	fd_close(&j->jobs.fd);
	chan_free(j->chan);
	if (j->fetcher > 0) {
		/* its lanes go with it */
		proc_kill(j->fetcher_pidfd, SIGKILL);
		while (waitpid(j->fetcher, NULL, 0) < 0 && errno == EINTR)
			;
		fd_close(&j->fetcher_pidfd);
	}
	for (size_t i = 0; i < j->n; i++) {
		loop_fd_del(&j->layers[i].src);
		unpack_end(&j->layers[i].unpack);
		layer_end(j->store, &j->layers[i].hold);
	}
	known_done(&j->known);
	arena_done(&j->arena);
	free(j->digest_name);
	free(j);
}

size_t pull_layers(const struct pull_job *j)
{
	return j->n;
}

struct pull_layer_view pull_layer(const struct pull_job *j, size_t i)
{
	const struct pull_layer *l = &j->layers[i];

	return (struct pull_layer_view){l->desc->digest, l->state, l->done,
					l->desc->size};
}

const struct digest *pull_id(const struct pull_job *j)
{
	return &j->id;
}

const char *pull_digest_name(const struct pull_job *j)
{
	return j->digest_name;
}

const struct resolved *pull_resolved(const struct pull_job *j)
{
	return &j->docs;
}

const struct ref *pull_ref(const struct pull_job *j)
{
	return &j->ref;
}

const struct layer *pull_hold(const struct pull_job *j, size_t i)
{
	return &j->layers[i].hold;
}
