#include "pull/job-int.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/str.h"
#include "base/time.h"
#include "fetch/fetch.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"

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

void job_finish(struct pull_job *j)
{
	if (j->ended)
		return;
	j->ended = true;
	loop_later_add(j->loop, &j->end);
}

void job_fail(struct pull_job *j, const struct err *e)
{
	if (j->ended)
		return;
	j->err = *e;
	job_finish(j);
}

void job_fail_layer(struct pull_layer *l, const struct err *e)
{
	struct err err = *e;

	err_wrap(&err, "layer %s", l->desc->digest);
	job_fail(l->job, &err);
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
			job_fail_layer(l, &err);
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

int job_retry(struct pull_layer *l)
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
		job_fail_layer(l, &err);
	return 0;
}

static void unpack_failed(struct pull_layer *l, const struct err *err)
{
	loop_fd_del(&l->src);
	l->unpack_err = *err;
	/* perhaps only because the stream broke */
	if (!l->fetched)
		loop_timer_set(l->job->loop, &l->job->last_word, time_mono() + LAST_WORD);
	else if (job_retry(l) < 0)
		job_fail_layer(l, err);
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
		job_fail_layer(l, &err);
	job_advance(j);
}

void job_set_result(struct pull_job *j, const struct digest *id, const char *digest)
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
	job_set_result(j, &config->digest, top);
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

void job_advance(struct pull_job *j)
{
	struct err err;

	if (j->ended)
		return;
	while (j->ready < j->n && j->layers[j->ready].state >= PULL_UNPACKED)
		j->ready++;
	if (j->ready == j->n) {
		if (put_image(j, &err) < 0)
			job_fail(j, &err);
		else
			job_finish(j);
		return;
	}
	if (j->layers[j->ready].state == PULL_STAGED && place(j, j->ready, &err) < 0) {
		job_fail_layer(&j->layers[j->ready], &err);
		return;
	}
	begin_layers(j);
	/* layers that were found to be there may have made others possible */
	if (!j->ended && (j->ready == j->n || j->layers[j->ready].state == PULL_STAGED))
		loop_later_add(j->loop, &j->step);
}

static void on_step(struct loop_later *later)
{
	job_advance(container_of(later, struct pull_job, step));
}

static void on_busy(struct loop_timer *t)
{
	job_advance(container_of(t, struct pull_job, busy));
}

static void on_last_word(struct loop_timer *t)
{
	struct pull_job *j = container_of(t, struct pull_job, last_word);

	for (size_t i = 0; i < j->n; i++)
		if (j->layers[i].unpack_err.code)
			job_fail_layer(&j->layers[i], &j->layers[i].unpack_err);
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
	    known_load(&j->known, s, err) < 0 || job_start_fetcher(j, err) < 0) {
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
