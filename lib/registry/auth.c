/* tokens and passwords: the answer to WWW-Authenticate */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "registry/registry-int.h"
#include "wire/base64.h"
#include "wire/challenge.h"
#include "wire/json.h"

enum { MAX_ANSWER = 64 << 10, MAX_TOKEN = 16 << 10, MAX_CHALLENGES = 8 };

static const int64_t TOKEN_TIMEOUT = 60 * NS_PER_SEC;

void auth_forget(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

static bool has(const char *text, const char *secret)
{
	return !str_empty(secret) && strlen(secret) > 3 && strstr(text, secret);
}

bool auth_leaks(const struct registry *r, const char *text)
{
	const struct registry_auth *a = r->o->auth;

	for (size_t i = 0; i < r->n_hosts; i++) {
		const char *value = r->hosts[i].authorization;
		const char *blank = value ? strchr(value, ' ') : NULL;

		if (blank && has(text, blank + 1))
			return true;
	}
	return a && (has(text, a->password) || has(text, a->auth) ||
		     has(text, a->identity_token) || has(text, a->registry_token));
}

/* Docker Hub has several names; credentials for one are for all. */
static const char *canonical(const char *host)
{
	static const char *const hub[] = {"index.docker.io", "registry-1.docker.io",
					  "registry.docker.io"};

	for (size_t i = 0; i < ARRAY_LEN(hub); i++)
		if (str_eq(host, hub[i]))
			return "docker.io";
	return host;
}

/* Are the credentials, which came with the pull, meant for this host? */
static bool applies(const struct registry *r, const struct host *h)
{
	const struct registry_auth *a = r->o->auth;
	BUF_AUTO name = {0};
	STR_AUTO whole = NULL;
	struct err ignored;
	URL_AUTO u = {0};
	bool same;

	if (!a)
		return false;
	/* a mirror that is not encrypted gets nobody's password */
	if (!h->upstream && !h->base.tls)
		return false;
	if (str_empty(a->server_address))
		return true;
	whole = strstr(a->server_address, "://")
			? xstrdup(a->server_address)
			: xasprintf("%s://%s", h->base.tls ? "https" : "http",
				    a->server_address);
	if (url_parse(whole, &u, &ignored) < 0)
		return false;
	url_add_host(&name, &u);
	if (h->upstream && str_eq(canonical(buf_str(&name)), r->o->ref->domain))
		return true;
	same = u.port == h->base.port &&
	       str_eq(canonical(u.host), canonical(h->base.host));
	return same;
}

/* "user:password" of the credentials. 1; 0 if there are none; -1 if they are malformed. */
static int user_password(const struct registry_auth *a, struct buf *out, struct err *err)
{
	size_t n;

	if (!str_empty(a->username) || !str_empty(a->password)) {
		buf_add_fmt(out, "%s:%s", str_or_empty(a->username),
			    str_or_empty(a->password));
		return 1;
	}
	if (str_empty(a->auth))
		return 0;
	if (base64_decode(out, a->auth, strlen(a->auth)) < 0)
		return err_set(err, ERR_INVALID, "auth is not base64");
	/* docker pads with NUL bytes */
	for (n = out->len; n && !out->data[n - 1]; n--)
		;
	out->len = n;
	if (!memchr(out->data, ':', n) || memchr(out->data, 0, n))
		return err_set(err, ERR_INVALID,
			       "auth is not a user name, ':' and a "
			       "password in base64");
	return 1;
}

static void set_authorization(struct host *h, const char *scheme, const char *value)
{
	auth_forget(&h->authorization);
	h->authorization = xasprintf("%s %s", scheme, value);
}

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}
#define SECRET_BUF __attribute__((cleanup(wipe))) struct buf

static int refused(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "the registry refuses the credentials");
}

static int needs_credentials(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED,
		       "authentication is required, and there are no credentials for it");
}

static int answer_basic(struct registry *r, struct host *h, struct err *err)
{
	SECRET_BUF plain = {0};
	SECRET_BUF coded = {0};
	int found;

	if (h->authorization)
		return refused(err);
	if (!applies(r, h))
		return needs_credentials(err);
	found = user_password(r->o->auth, &plain, err);
	if (found <= 0)
		return found < 0 ? -1 : needs_credentials(err);
	base64_encode(&coded, plain.data, plain.len);
	set_authorization(h, "Basic", buf_str(&coded));
	return 0;
}

/* The realm as a URL that a token may be asked from. */
static int parse_realm(const struct host *h, const char *realm, struct url *ret,
		       struct err *err)
{
	if (!realm || url_parse(realm, ret, err) < 0)
		return err_set(err, ERR_INVALID,
			       "the registry names no valid token server");
	if (!ret->tls && h->base.tls) {
		BUF_AUTO shown = {0};

		url_add_public(&shown, ret);
		url_done(ret);
		return err_set(err, ERR_DENIED,
			       "the registry names a token server without encryption, %s",
			       buf_str(&shown));
	}
	return 0;
}

static void add_param(struct buf *b, char first, const char *key, const char *value)
{
	buf_add_char(b, first);
	buf_add_fmt(b, "%s=", key);
	url_add_escaped(b, value);
}

/* The token in a token server's answer, checked to be fit for a header field. */
static int read_token(struct host *h, const struct buf *body, struct err *err)
{
	JSON_AUTO doc = json_parse(body->data, body->len, err);
	yyjson_val *root;
	const char *token;

	if (!doc)
		return err_set(err, ERR_UNAVAILABLE, "its answer is not JSON");
	root = yyjson_doc_get_root(doc);
	token = json_str(root, "token");
	if (str_empty(token))
		token = json_str(root, "access_token");
	if (str_empty(token) || strlen(token) > MAX_TOKEN)
		return err_set(err, ERR_UNAVAILABLE, "its answer has no token");
	for (const char *p = token; *p; p++)
		if (*p <= 0x20 || *p >= 0x7f)
			return err_set(err, ERR_UNAVAILABLE,
				       "its token has characters that cannot be");
	set_authorization(h, "Bearer", token);
	return 0;
}

static int ask(struct registry *r, struct host *h, const struct http_request *req,
	       struct err *err)
{
	struct http_response resp = {0};
	SECRET_BUF body = {0};
	unsigned status;
	int failed;

	if (http_send(&r->pool, req, &resp, err) < 0)
		return -1;
	status = resp.head.status;
	failed = http_read_all(&resp, MAX_ANSWER, TOKEN_TIMEOUT, &body, err);
	http_done(&r->pool, &resp);
	if (failed)
		return -1;
	if (status == 200)
		return read_token(h, &body, err);
	if (status == 400 || status == 401 || status == 403)
		return err_set(err, ERR_UNAUTHENTICATED,
			       "the credentials are refused (HTTP status %u)", status);
	return err_set(err, ERR_UNAVAILABLE, "HTTP status %u", status);
}

struct token_request {
	const char *service, *scope;
	struct url url; /* the realm */
};

/* POST with an identity token (OAuth 2.0, RFC 6749 6). */
static int post_identity(struct registry *r, struct host *h,
			 const struct token_request *t, struct http_request *req,
			 struct err *err)
{
	SECRET_BUF form = {0};

	buf_add_str(&form, "grant_type=refresh_token&client_id=cribox");
	add_param(&form, '&', "service", t->service);
	add_param(&form, '&', "scope", t->scope);
	add_param(&form, '&', "refresh_token", r->o->auth->identity_token);
	req->method = "POST";
	req->body = buf_str(&form);
	return ask(r, h, req, err);
}

static int get_token(struct registry *r, struct host *h, struct token_request *t,
		     bool with_credentials, struct http_request *req, struct err *err)
{
	SECRET_BUF plain = {0};
	SECRET_BUF headers = {0};
	BUF_AUTO target = {0};
	int found = 0;

	if (with_credentials)
		found = user_password(r->o->auth, &plain, err);
	if (found < 0)
		return -1;
	if (found) {
		buf_add_str(&headers, "Authorization: Basic ");
		base64_encode(&headers, plain.data, plain.len);
		buf_add_str(&headers, "\r\n");
		req->headers = buf_str(&headers);
	}
	buf_add_str(&target, str_or_empty(t->url.target));
	add_param(&target, strchr(str_or_empty(t->url.target), '?') ? '&' : '?', "scope",
		  t->scope);
	if (*t->service)
		add_param(&target, '&', "service", t->service);
	free(t->url.target);
	t->url.target = buf_detach(&target);
	return ask(r, h, req, err);
}

static int answer_bearer(struct registry *r, struct host *h, const struct challenge *c,
			 struct err *err)
{
	const struct registry_auth *a = applies(r, h) ? r->o->auth : NULL;
	struct token_request t = {.service = str_or_empty(c->service)};
	STR_AUTO scope = xasprintf("repository:%s:pull", r->o->ref->path);
	struct http_request req = {.method = "GET",
				   .url = &t.url,
				   .tls = h->tls,
				   .connect_timeout = h->connect_timeout,
				   .answer_timeout = TOKEN_TIMEOUT};
	int failed;

	if (a && !str_empty(a->registry_token)) {
		if (h->authorization)
			return refused(err);
		set_authorization(h, "Bearer", a->registry_token);
		return 0;
	}
	t.scope = str_empty(c->scope) ? scope : c->scope;
	if (parse_realm(h, c->realm, &t.url, err) < 0)
		return -1;
	if (a && !str_empty(a->identity_token))
		failed = post_identity(r, h, &t, &req, err);
	else
		failed = get_token(r, h, &t, a, &req, err);
	if (failed) {
		BUF_AUTO shown = {0};

		url_add_public(&shown, &t.url);
		err_wrap(err, "token server %s", buf_str(&shown));
	}
	url_done(&t.url);
	return failed;
}

int auth_answer(struct registry *r, struct host *h, const struct http1_head *head,
		struct err *err)
{
	ARENA_AUTO arena = {0};
	struct challenge list[MAX_CHALLENGES];
	const struct challenge *basic = NULL;

	for (unsigned i = 0; i < head->nfields; i++) {
		int n;

		if (strcasecmp(head->fields[i].name, "WWW-Authenticate") != 0)
			continue;
		n = challenge_parse(head->fields[i].value, &arena, list, MAX_CHALLENGES,
				    err);
		if (n < 0)
			return -1;
		for (int k = 0; k < n; k++) {
			if (strcasecmp(list[k].scheme, "Bearer") == 0)
				return answer_bearer(r, h, &list[k], err);
			if (strcasecmp(list[k].scheme, "Basic") == 0)
				basic = &list[k];
		}
	}
	if (basic)
		return answer_basic(r, h, err);
	return err_set(err, ERR_UNAUTHENTICATED,
		       "authentication is required, in a way that is not supported");
}
