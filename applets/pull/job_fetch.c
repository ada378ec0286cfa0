/* job_fetch: the job's side of the fetcher: what it is asked, what it sends, what becomes of it */
#include "pull/job-int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "fetch/fetch.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"

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
		if (l->unpack_err.code && job_retry(l) < 0)
			job_fail_layer(l, &l->unpack_err);
	} else if (e->err.sys != EPIPE) {
		struct err err = e->err;

		/* comes from a process that may be no longer ours */
		err.msg[sizeof(err.msg) - 1] = 0;
		if (err.code <= ERR_NONE || err.code >= ERR_CODE_COUNT)
			err.code = ERR_UNKNOWN;
		job_fail_layer(l, &err);
	} else if (l->unpack_err.code) {
		job_fail_layer(l, &l->unpack_err);
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
	job_set_result(j, &s.found->id, digest);
	ref_add(&tag, &j->ref);
	if (!j->ref.digest[0] &&
	    image_tag(j->store, &s.found->id, buf_str(&tag), err) < 0)
		return -1;
	job_finish(j);
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
	job_advance(j);
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
		job_fail(j, &err);
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
	job_fail(j, &err);
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
	json_add_str(d, root, "preload_dir", j->req->preload_dir);
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

int job_start_fetcher(struct pull_job *j, struct err *err)
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
