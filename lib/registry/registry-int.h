/* registry-int: HTTP, hosts and tokens, between the files of this module. */
#ifndef REGISTRY_REGISTRY_INT_H
#define REGISTRY_REGISTRY_INT_H

#include "base/arena.h"
#include "net/net.h"
#include "registry/registry.h"
#include "wire/http1_body.h"
#include "wire/http1_head.h"
#include "wire/url.h"

/* --- proxy.c --- */

struct proxy {
	bool set;
	struct url url;
	char *authorization; /* the field's value, or NULL; secret */
};

struct proxies {
	struct proxy plain, tls; /* for http and for https */
	const char *none;	 /* NO_PROXY */
};

/* Reads the environment. 0 or -1. */
int proxies_read(struct proxies *p, struct err *err);
void proxies_done(struct proxies *p);

/* The proxy for a URL; NULL: none. This machine is never reached through one. */
const struct proxy *proxy_for(const struct proxies *p, const struct url *u);

/* A connection through a proxy: for https a tunnel with TLS, else to the proxy itself. */
struct net_stream *proxy_connect(const struct proxy *p, const struct url *u,
				 struct net_tls *tls, int64_t deadline, struct err *err);

/* --- http.c: one request, one response; connections are kept alive --- */

enum { HTTP_IDLE = 4 };

struct http_conn;

struct http_pool {
	struct http_conn *idle[HTTP_IDLE];
	const char *user_agent;
	struct proxies proxies;
};

struct http_request {
	const char *method;
	const struct url *url;
	struct net_tls *tls; /* for https */
	int64_t connect_timeout, answer_timeout;
	const char *headers; /* complete lines, each with CRLF; or NULL */
	const char *body;    /* a form, or NULL */
};

struct http_response {
	struct http1_head head;
	struct http1_body body;
	struct http_conn *conn;
};

void http_pool_done(struct http_pool *p);

/* Sends a request and reads the head of its response. http_done ends it. */
int http_send(struct http_pool *p, const struct http_request *req,
	      struct http_response *ret, struct err *err);

/* Appends the whole body; more than max bytes is ERR_INVALID. */
int http_read_all(struct http_response *r, size_t max, int64_t timeout, struct buf *out,
		  struct err *err);

/*
 * Moves the next piece of the body, at most max bytes, into a pipe (-1: to
 * nowhere). Adds the time that the server made us wait to *waited; beyond
 * `stall` it is ERR_TIMEOUT. The bytes moved, 0 at the body's end, or -1.
 */
ssize_t http_to_pipe(struct http_response *r, int pipe, uint64_t max, int64_t stall,
		     int64_t *waited, struct err *err);

/* Ends a response: the connection is kept if it is fit for another request. */
void http_done(struct http_pool *p, struct http_response *r);

/* --- hosts.c: where to ask, from hosts.toml --- */

enum { MAX_HOSTS = 16 };

struct host {
	struct url base; /* target: what comes before "/<repository>/...", e.g. "/v2" */
	bool pull, resolve;
	bool upstream; /* the registry itself, not a mirror */
	bool skip_verify;
	struct buf ca, cert, key; /* PEM; empty: none */
	struct buf headers;	  /* complete lines */
	int64_t connect_timeout;
	struct net_tls *tls;
	char *authorization; /* the field's value, once it is known; secret */
};

struct registry {
	const struct registry_options *o;
	struct host hosts[MAX_HOSTS]; /* in the order to be asked */
	size_t n_hosts;
	struct buf system_ca;
	struct http_pool pool;
};

/* Fills r->hosts. */
int hosts_load(struct registry *r, struct err *err);
void host_done(struct host *h);

/* "localhost", 127.0.0.0/8, ::1 */
bool host_is_loopback(const char *host);

/* --- auth.c: WWW-Authenticate --- */

/*
 * Answers the challenge of a 401: sets h->authorization. ERR_UNAUTHENTICATED
 * if there is nothing (more) to answer with.
 */
int auth_answer(struct registry *r, struct host *h, const struct http1_head *head,
		struct err *err);

/* True if text has one of the secrets in it. */
bool auth_leaks(const struct registry *r, const char *text);

void auth_forget(char **secret);

/* --- request.c: a request to a host, with redirects and authentication --- */

struct fetch {
	const char *kind; /* "manifests" or "blobs" */
	const char *name; /* tag or digest */
	bool manifest;	  /* send the Accept list */
	bool head;	  /* only ask, with HEAD */
	uint64_t from;	  /* first byte that is wanted */
};

/*
 * Asks one host. 0: *ret is a 200 or 206; -1 otherwise. *ret_wait is the
 * server's Retry-After in ns, or -1 if trying again makes no sense.
 */
int fetch_once(struct registry *r, struct host *h, const struct fetch *f,
	       struct http_response *ret, int64_t *ret_wait, struct err *err);

#endif
