/* one request to one host: authentication, redirects, what a status means */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "registry/registry-int.h"
#include "wire/json.h"

enum { MAX_REDIRECTS = 5, MAX_REQUESTS = 10, MAX_ERROR_BODY = 16 << 10 };

static const int64_t ANSWER_TIMEOUT = 60 * NS_PER_SEC;
static const int64_t MAX_RETRY_AFTER = 60 * NS_PER_SEC;

/* Seconds, or a date (RFC 9110 10.2.3); nothing or nonsense is 0. */
static int64_t retry_after(const struct http1_head *h)
{
	const char *v = http1_head_get(h, "Retry-After");
	struct tm tm = {0};
	uint64_t seconds;
	int64_t wait;

	if (!v)
		return 0;
	if (num_u64(v, 0, UINT32_MAX, &seconds) == 0)
		wait = (int64_t)seconds * NS_PER_SEC;
	else if (strptime(v, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		wait = (int64_t)timegm(&tm) * NS_PER_SEC - time_real();
	else
		return 0;
	return MIN(MAX(wait, 0), MAX_RETRY_AFTER);
}

/* The registry's own words (distribution-spec, "Error Codes"), if they are fit to be shown. */
static void add_words(const struct registry *r, struct buf *out, const struct buf *body)
{
	struct err ignored;
	JSON_AUTO doc = json_parse(body->data, body->len, &ignored);
	yyjson_val *list = doc ? json_arr(yyjson_doc_get_root(doc), "errors") : NULL;
	yyjson_val *first = list ? yyjson_arr_get_first(list) : NULL;
	const char *words = json_str(first, "message");

	if (str_empty(words))
		words = json_str(first, "code");
	if (str_empty(words) || auth_leaks(r, words))
		return;
	buf_add_str(out, ": \"");
	str_escape(out, words, strnlen(words, 200));
	buf_add_str(out, "\"");
}

/* What a status other than success means. Reads the rest of the response. Returns -1. */
static int status_error(struct registry *r, const struct fetch *f,
			struct http_response *resp, int64_t *ret_wait, struct err *err)
{
	unsigned status = resp->head.status;
	BUF_AUTO text = {0};
	BUF_AUTO body = {0};
	struct err ignored;
	enum err_code code = ERR_UNAVAILABLE;

	*ret_wait = -1;
	if (http_read_all(resp, MAX_ERROR_BODY, 5 * NS_PER_SEC, &body, &ignored) == 0)
		add_words(r, &text, &body);
	if (status == 404) {
		/* a manifest that is there names the blob: then it was lost */
		return err_set(err, f->manifest ? ERR_NOT_FOUND : ERR_CORRUPT,
			       f->manifest ? "not found%s"
					   : "the registry does not have it%s",
			       buf_str(&text));
	} else if (status == 401) {
		return err_set(err, ERR_UNAUTHENTICATED,
			       r->o->auth
				       ? "the registry refuses the credentials%s"
				       : "the registry does not show it to everybody%s",
			       buf_str(&text));
	} else if (status == 403) {
		code = ERR_DENIED;
	} else if (status == 408 || status == 429 || status >= 500) {
		*ret_wait = retry_after(&resp->head);
	} else if (status == 416) {
		code = ERR_STATE; /* no such range */
	}
	return err_set(err, code, "the registry answers with HTTP status %u%s%s%s",
		       status,
		       *resp->head.reason && strlen(resp->head.reason) < 40 ? " " : "",
		       strlen(resp->head.reason) < 40 ? resp->head.reason : "",
		       buf_str(&text));
}

static void add_headers(const struct registry *r, const struct host *h,
			const struct fetch *f, bool trusted, struct buf *out)
{
	if (f->manifest)
		buf_add_fmt(out, "Accept: %s\r\n", r->o->accept);
	if (f->from)
		buf_add_fmt(out, "Range: bytes=%llu-\r\n", (unsigned long long)f->from);
	if (!trusted)
		return;
	if (h->authorization)
		buf_add_fmt(out, "Authorization: %s\r\n", h->authorization);
	buf_add(out, h->headers.data, h->headers.len);
}

/* The address of what is wanted, at this host. */
static void first_url(const struct registry *r, const struct host *h,
		      const struct fetch *f, struct url *ret)
{
	const struct ref *ref = r->o->ref;
	BUF_AUTO target = {0};
	BUF_AUTO name = {0};

	url_add_host(&name, &h->base);
	buf_add_fmt(&target, "%s/%s/%s/%s", h->base.target, ref->path, f->kind, f->name);
	/* a proxy for several registries wants to know which one is meant */
	if (!h->upstream && !str_eq(buf_str(&name), ref->domain) &&
	    !(str_eq(ref->domain, "docker.io") &&
	      str_eq(buf_str(&name), "registry-1.docker.io"))) {
		buf_add_str(&target, "?ns=");
		url_add_escaped(&target, ref->domain);
	}
	*ret = h->base;
	ret->target = buf_detach(&target);
}

/* Replaces *u by where the response points to. */
static int redirect(struct url *u, const struct http1_head *head, struct err *err)
{
	const char *location = http1_head_get(head, "Location");
	struct url next;

	if (str_empty(location))
		return err_set(err, ERR_UNAVAILABLE, "a redirect without a Location");
	if (url_resolve(u, location, &next, err) < 0)
		return err_wrap(err, "redirect");
	if (u->tls && !next.tls) {
		BUF_AUTO shown = {0};

		url_add_public(&shown, &next);
		url_done(&next);
		return err_set(err, ERR_DENIED,
			       "a redirect from https to http is refused: %s",
			       buf_str(&shown));
	}
	url_done(u);
	*u = next;
	return 0;
}

static bool is_redirect(unsigned status)
{
	return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

/* The walk of one fetch through challenges and redirects. */
struct walk {
	struct url url;
	bool trusted;  /* still at the host, by way of its own redirects only */
	bool answered; /* a challenge, with fresh credentials */
	unsigned redirects;
};

/* Looks at a response. 1: it is the one; 0: ask again; -1. */
static int judge(struct registry *r, struct host *h, const struct fetch *f,
		 struct walk *w, struct http_response *resp, int64_t *ret_wait,
		 struct err *err)
{
	unsigned status = resp->head.status;

	if (status == 200 || status == 206)
		return 1;
	*ret_wait = -1;
	if (is_redirect(status)) {
		if (++w->redirects > MAX_REDIRECTS)
			return err_set(err, ERR_UNAVAILABLE, "too many redirects");
		if (redirect(&w->url, &resp->head, err) < 0)
			return -1;
		w->trusted = w->trusted && url_same_origin(&w->url, &h->base);
		return 0;
	}
	if (status == 401 && w->trusted && !w->answered) {
		w->answered = true;
		return auth_answer(r, h, &resp->head, err);
	}
	return status_error(r, f, resp, ret_wait, err);
}

static int walk(struct registry *r, struct host *h, const struct fetch *f, struct walk *w,
		struct http_response *ret, int64_t *ret_wait, struct err *err)
{
	for (unsigned n = 0; n < MAX_REQUESTS; n++) {
		BUF_AUTO headers = {0};
		struct http_request req = {.method = f->head ? "HEAD" : "GET",
					   .url = &w->url,
					   .tls = h->tls,
					   .connect_timeout = h->connect_timeout,
					   .answer_timeout = ANSWER_TIMEOUT};
		int done;

		add_headers(r, h, f, w->trusted, &headers);
		req.headers = buf_str(&headers);
		done = http_send(&r->pool, &req, ret, err);
		explicit_bzero(headers.data, headers.len);
		/* a peer that cannot prove who it is will not be able to later */
		*ret_wait = err->code == ERR_DENIED || err->code == ERR_INVALID ? -1 : 0;
		if (done < 0)
			return -1;
		done = judge(r, h, f, w, ret, ret_wait, err);
		if (done > 0)
			return 0;
		http_done(&r->pool, ret);
		if (done < 0)
			return -1;
	}
	*ret_wait = -1;
	return err_set(err, ERR_UNAVAILABLE, "too many challenges and redirects");
}

int fetch_once(struct registry *r, struct host *h, const struct fetch *f,
	       struct http_response *ret, int64_t *ret_wait, struct err *err)
{
	struct walk w = {.trusted = true};
	int failed;

	*ret = (struct http_response){0};
	err->code = ERR_NONE;
	first_url(r, h, f, &w.url);
	failed = walk(r, h, f, &w, ret, ret_wait, err);
	if (failed) {
		BUF_AUTO shown = {0};

		url_add_public(&shown, &w.url);
		err_wrap(err, "%s", buf_str(&shown));
	}
	url_done(&w.url);
	return failed;
}
