/* manifests and blobs: which host, how often, how far */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/proc.h"
#include "registry/registry-int.h"
#include "wire/digest.h"

enum {
	MAX_MANIFEST = 4 << 20,
	TRIES = 4,
	MIRROR_TRIES = 2,	/* somebody else can be asked */
	WINDOW = 64 << 10,	/* bytes that must come within the stall time */
	FORGIVEN = 1 << 20,	/* progress after which failures are forgotten */
	REPORT_STEP = 128 << 10 /* bytes between reports of progress */
};

static const int64_t BODY_TIMEOUT = 120 * NS_PER_SEC;
static const int64_t FIRST_PAUSE = 200 * NS_PER_MS;

struct registry *registry_open(const struct registry_options *o, struct err *err)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	r->o = o;
	r->pool.user_agent = o->user_agent;
	if (proxies_read(&r->pool.proxies, err) == 0 && hosts_load(r, err) == 0)
		return r;
	registry_free(r);
	return NULL;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	http_pool_done(&r->pool);
	proxies_done(&r->pool.proxies);
	for (size_t i = 0; i < r->n_hosts; i++)
		host_done(&r->hosts[i]);
	buf_done(&r->system_ca);
	free(r);
}

void registry_drop_connections(struct registry *r)
{
	http_pool_done(&r->pool);
}

static void pause_for(int64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_SEC),
			      .tv_nsec = (long)(ns % NS_PER_SEC)};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* The pause before try number n (from 1), with jitter; or what the server asked for. */
static int64_t back_off(unsigned n, int64_t asked)
{
	int64_t pause = FIRST_PAUSE << MIN(n, 6u);
	uint32_t random;

	proc_random(&random, sizeof(random));
	pause = pause / 2 + (int64_t)(random % (uint64_t)(pause / 2));
	return MAX(pause, asked);
}

static bool serves(const struct host *h, bool by_digest)
{
	return by_digest ? h->pull : h->resolve;
}

static bool more_hosts(const struct registry *r, size_t i, bool by_digest)
{
	while (++i < r->n_hosts)
		if (serves(&r->hosts[i], by_digest))
			return true;
	return false;
}

/* Each try may have taken its time, or been in vain from the start: one more is enough. */
static bool nobody_there(const struct err *err)
{
	return err->sys == ECONNREFUSED || err->sys == EHOSTUNREACH ||
	       err->sys == ENETUNREACH || err->sys == ETIMEDOUT;
}

/*
 * Asks a host until it answers, or it makes no sense any more. `failures` is
 * counted over the whole transfer.
 */
static int fetch_retry(struct registry *r, size_t host, const struct fetch *f,
		       bool by_digest, unsigned *failures, struct http_response *ret,
		       struct err *err)
{
	unsigned tries = more_hosts(r, host, by_digest) ? MIRROR_TRIES : TRIES;
	int64_t wait;

	while (fetch_once(r, &r->hosts[host], f, ret, &wait, err) < 0) {
		if (wait < 0 || ++*failures >= tries ||
		    (nobody_there(err) && *failures >= MIRROR_TRIES))
			return -1;
		pause_for(back_off(*failures, wait));
	}
	return 0;
}

static char *content_type(const struct http1_head *h)
{
	const char *v = http1_head_get(h, "Content-Type");

	return v ? xstrndup(v, strcspn(v, "; \t")) : xstrdup("");
}

/* Is the body what was asked for, and what the registry itself says that it is? */
static int check_manifest(const char *name, bool by_digest, const struct http1_head *h,
			  const struct buf *body, struct err *err)
{
	const char *said = http1_head_get(h, "Docker-Content-Digest");
	struct digest want;

	if (by_digest) {
		if (digest_parse(name, &want, err) < 0)
			return -1;
		return digest_check("manifest", body->data, body->len, &want, err);
	}
	if (said && digest_parse(said, &want, err) == 0)
		return digest_check("manifest", body->data, body->len, &want, err);
	return 0;
}

static int manifest_from(struct registry *r, size_t host, const char *name,
			 bool by_digest, struct buf *body, char **ret_type,
			 struct err *err)
{
	struct fetch f = {.kind = "manifests", .name = name, .manifest = true};
	struct http_response resp;
	unsigned failures = 0;
	size_t before = body->len;
	char *type = NULL;
	int failed;

	if (fetch_retry(r, host, &f, by_digest, &failures, &resp, err) < 0)
		return -1;
	failed = http_read_all(&resp, MAX_MANIFEST, BODY_TIMEOUT, body, err);
	if (!failed) {
		struct buf got = {.data = body->data + before, .len = body->len - before};

		failed = check_manifest(name, by_digest, &resp.head, &got, err);
		type = content_type(&resp.head);
	}
	http_done(&r->pool, &resp);
	if (!failed) {
		*ret_type = type;
		return 0;
	}
	free(type);
	body->len = before;
	err_wrap(err, "manifest from %s", r->hosts[host].base.host);
	return -1;
}

static int no_host(struct err *err)
{
	return err_set(err, ERR_STATE,
		       "hosts.toml names no host with the capability for it");
}

int registry_manifest(struct registry *r, const char *name, struct buf *body,
		      char **ret_type, struct err *err)
{
	bool by_digest = ref_is_digest(name);

	no_host(err);
	/* the last failure is reported: the registry's own, mirrors come first */
	for (size_t i = 0; i < r->n_hosts; i++)
		if (serves(&r->hosts[i], by_digest) &&
		    manifest_from(r, i, name, by_digest, body, ret_type, err) == 0)
			return 0;
	return -1;
}

void registry_digest(struct registry *r, const char *name, char ret[REF_DIGEST])
{
	struct fetch f = {
		.kind = "manifests", .name = name, .manifest = true, .head = true};
	bool by_digest = ref_is_digest(name);
	struct http_response resp;
	const char *said;
	struct err ignored;
	int64_t wait;

	ret[0] = 0;
	for (size_t i = 0; i < r->n_hosts && !ret[0]; i++) {
		if (!serves(&r->hosts[i], by_digest))
			continue;
		if (fetch_once(r, &r->hosts[i], &f, &resp, &wait, &ignored) < 0) {
			/* the getting will wait for it once more: that is enough */
			if (ignored.code == ERR_TIMEOUT || ignored.sys == ETIMEDOUT)
				return;
			continue;
		}
		said = http1_head_get(&resp.head, "Docker-Content-Digest");
		if (said && ref_is_digest(said))
			str_copy(ret, REF_DIGEST, said);
		http_done(&r->pool, &resp);
	}
}

static int blob_from(struct registry *r, size_t host, const char *digest, uint64_t size,
		     struct buf *body, struct err *err)
{
	struct fetch f = {.kind = "blobs", .name = digest};
	struct http_response resp;
	unsigned failures = 0;
	size_t before = body->len;
	struct digest want;
	int failed;

	if (digest_parse(digest, &want, err) < 0 ||
	    fetch_retry(r, host, &f, true, &failures, &resp, err) < 0)
		return -1;
	failed = http_read_all(&resp, (size_t)size, BODY_TIMEOUT, body, err);
	http_done(&r->pool, &resp);
	if (!failed)
		failed = digest_check("blob", body->data + before, body->len - before,
				      &want, err);
	if (failed)
		body->len = before;
	return failed;
}

int registry_blob(struct registry *r, const char *digest, uint64_t size, struct buf *body,
		  struct err *err)
{
	if (size > MAX_MANIFEST)
		return err_set(err, ERR_INVALID, "larger than %d bytes", MAX_MANIFEST);
	no_host(err);
	for (size_t i = 0; i < r->n_hosts; i++)
		if (r->hosts[i].pull && blob_from(r, i, digest, size, body, err) == 0)
			return 0;
	return -1;
}

/* --- streaming, with resuming -------------------------------------------------------------- */

struct stream {
	struct registry_transfer *t;
	uint64_t done;	   /* bytes in the pipe */
	uint64_t reported; /* of which the caller knows */
	bool no_range;	   /* this registry cannot do ranges */
	unsigned failures;
	uint64_t failed_at; /* done at the last failure */
};

static void report(struct stream *s)
{
	if (s->t->progress)
		s->t->progress(s->t->arg, s->done);
	s->reported = s->done;
}

/*
 * Where the body begins: 0 for the whole blob, else where the range does.
 * Checks what it says about its length.
 */
static int body_start(const struct stream *s, const struct fetch *f,
		      const struct http_response *resp, uint64_t *ret, struct err *err)
{
	const char *range = http1_head_get(&resp->head, "Content-Range");
	uint64_t from = 0;

	if (resp->head.status == 206) {
		STR_AUTO start = NULL;

		if (!range || strncasecmp(range, "bytes ", 6) != 0)
			return err_set(err, ERR_UNAVAILABLE, "a malformed Content-Range");
		start = xstrndup(range + 6, strspn(range + 6, "0123456789"));
		if (num_u64(start, 0, INT64_MAX, &from) < 0 || from != f->from)
			return err_set(err, ERR_UNAVAILABLE,
				       "a range that was not asked for");
	}
	if (resp->body.framing == HTTP1_LENGTH && from + resp->body.left != s->t->size)
		return err_set(
			err, ERR_CORRUPT,
			"the registry has %llu bytes of it, the manifest says %llu",
			(unsigned long long)(from + resp->body.left),
			(unsigned long long)s->t->size);
	*ret = from;
	return 0;
}

/* Moves the body of one response. 0 at its end, -1 if it broke. */
static int move_body(struct registry *r, struct stream *s, struct http_response *resp,
		     uint64_t at, struct err *err)
{
	int64_t waited = 0;
	uint64_t window = 0;
	ssize_t n = 1;

	for (; at < s->t->size; at += (uint64_t)n) {
		bool known = at < s->done; /* the server began before what we want */
		uint64_t max = known ? s->done - at : s->t->size - at;

		n = http_to_pipe(resp, known ? -1 : s->t->pipe, max, r->o->stall, &waited,
				 err);
		if (n < 0)
			return -1;
		if (n == 0)
			return err_set(err, ERR_UNAVAILABLE,
				       "the answer ended after %llu of %llu bytes",
				       (unsigned long long)at,
				       (unsigned long long)s->t->size);
		window += (uint64_t)n;
		if (window >= WINDOW)
			window = 0, waited = 0;
		if (!known)
			s->done += (uint64_t)n;
		if (s->done - s->reported >= REPORT_STEP)
			report(s);
	}
	/* the end of a chunked body is framing that is still to be read */
	if (!resp->body.done) {
		n = http_to_pipe(resp, -1, 1, r->o->stall, &waited, err);
		if (n > 0)
			return err_set(err, ERR_CORRUPT,
				       "the registry sends more than the %llu bytes that "
				       "the manifest says",
				       (unsigned long long)s->t->size);
	}
	return 0;
}

static int stream_once(struct registry *r, size_t host, struct stream *s, struct err *err)
{
	struct fetch f = {
		.kind = "blobs", .name = s->t->digest, .from = s->no_range ? 0 : s->done};
	struct http_response resp;
	uint64_t at = 0;
	int failed;

	if (fetch_retry(r, host, &f, true, &s->failures, &resp, err) < 0) {
		if (err->code != ERR_STATE || !f.from)
			return -1;
		s->no_range = true;
		f.from = 0;
		if (fetch_retry(r, host, &f, true, &s->failures, &resp, err) < 0)
			return -1;
	}
	failed = body_start(s, &f, &resp, &at, err);
	if (!failed)
		failed = move_body(r, s, &resp, at, err);
	http_done(&r->pool, &resp);
	return failed;
}

static bool worth_resuming(const struct err *err)
{
	return (err->code == ERR_UNAVAILABLE && err->sys != EPIPE) ||
	       err->code == ERR_TIMEOUT;
}

static int stream_from(struct registry *r, size_t host, struct stream *s, struct err *err)
{
	unsigned limit = more_hosts(r, host, true) ? MIRROR_TRIES : TRIES;

	s->failures = 0;
	s->failed_at = s->done;
	while (stream_once(r, host, s, err) < 0) {
		if (!worth_resuming(err))
			return -1;
		if (s->done - s->failed_at >= FORGIVEN)
			s->failures = 0;
		s->failed_at = s->done;
		if (++s->failures >= limit)
			return -1;
		pause_for(back_off(s->failures, 0));
	}
	return 0;
}

int registry_blob_stream(struct registry *r, struct registry_transfer *t, struct err *err)
{
	struct stream s = {.t = t};

	if (!ref_is_digest(t->digest))
		return err_set(err, ERR_INVALID, "malformed digest");
	no_host(err);
	for (size_t i = t->skip_hosts; i < r->n_hosts; i++) {
		if (!r->hosts[i].pull)
			continue;
		t->host = i;
		t->more_hosts = more_hosts(r, i, true);
		if (stream_from(r, i, &s, err) == 0) {
			report(&s);
			return 0;
		}
		if (err->sys == EPIPE)
			return -1;
	}
	return -1;
}
