/* proxies, from the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as curl and Go read them */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "registry/registry-int.h"
#include "wire/base64.h"
#include "wire/ip.h"

enum { MAX_CONNECT_HEAD = 16 << 10 };

/* The variable in lower case comes first: it is the older form. */
static const char *env(const char *lower, const char *upper)
{
	const char *v = getenv(lower);

	return str_empty(v) ? getenv(upper) : v;
}

static void unescape(char *s)
{
	char *to = s;
	uint8_t byte;

	for (; *s; s++) {
		char hex[3] = {0};

		if (*s == '%' && s[1] && s[2]) {
			hex[0] = (char)(s[1] | (s[1] > '9' ? 0x20 : 0));
			hex[1] = (char)(s[2] | (s[2] > '9' ? 0x20 : 0));
		}
		if (hex[0] && str_unhex(&byte, 1, hex) == 0) {
			*to++ = (char)byte;
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* "[http://][user:password@]host[:port]" */
static int parse_proxy(const char *text, struct proxy *ret, struct err *err)
{
	const char *rest = strncasecmp(text, "http://", 7) == 0 ? text + 7 : text;
	size_t authority = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', authority);
	STR_AUTO whole = NULL;

	if (rest == text && strstr(text, "://"))
		return err_set(err, ERR_INVALID,
			       "only proxies with http:// are supported");
	whole = xasprintf("http://%s", at ? at + 1 : rest);
	if (url_parse(whole, &ret->url, err) < 0)
		return -1;
	if (at) {
		char *user = xstrndup(rest, (size_t)(at - rest));
		BUF_AUTO coded = {0};

		unescape(user);
		base64_encode(&coded, user, strlen(user));
		ret->authorization = xasprintf("Basic %s", buf_str(&coded));
		auth_forget(&user);
	}
	ret->set = true;
	return 0;
}

int proxies_read(struct proxies *p, struct err *err)
{
	const char *plain = env("http_proxy", "HTTP_PROXY");
	const char *tls = env("https_proxy", "HTTPS_PROXY");

	p->none = env("no_proxy", "NO_PROXY");
	if (!str_empty(plain) && parse_proxy(plain, &p->plain, err) < 0)
		return err_wrap(err, "HTTP_PROXY");
	if (!str_empty(tls) && parse_proxy(tls, &p->tls, err) < 0)
		return err_wrap(err, "HTTPS_PROXY");
	return 0;
}

void proxies_done(struct proxies *p)
{
	url_done(&p->plain.url);
	url_done(&p->tls.url);
	auth_forget(&p->plain.authorization);
	auth_forget(&p->tls.authorization);
}

/* Does an entry of NO_PROXY (n bytes) name this host? */
static bool entry_matches(const char *s, size_t n, const struct url *u)
{
	STR_AUTO entry = xstrndup(s, n);
	char *colon = strrchr(entry, ':');
	struct ip_net net;
	struct ip ip;
	size_t host = strlen(u->host);
	uint64_t port;
	bool is_ip = ip_parse(u->host, &ip) == 0;

	if (str_eq(entry, "*"))
		return true;
	if (ip_net_parse(entry, &net) == 0)
		return is_ip && ip_in(&net, &ip);
	if (ip_parse(entry, &net.ip) == 0)
		return is_ip && ip_cmp(&net.ip, &ip) == 0;
	if (colon && num_u64(colon + 1, 1, 65535, &port) == 0) {
		if (port != u->port)
			return false;
		*colon = 0;
	}
	n = strlen(entry);
	if (!n || is_ip)
		return n && strcasecmp(entry, u->host) == 0;
	/* "example.org" is also for what is below it, ".example.org" only for that */
	if (*entry != '.' && strcasecmp(entry, u->host) == 0)
		return true;
	if (host <= n)
		return false;
	return strcasecmp(u->host + host - n, entry) == 0 &&
	       (*entry == '.' || u->host[host - n - 1] == '.');
}

const struct proxy *proxy_for(const struct proxies *p, const struct url *u)
{
	const struct proxy *proxy = u->tls ? &p->tls : &p->plain;

	if (!proxy->set || host_is_loopback(u->host))
		return NULL;
	for (const char *s = str_or_empty(p->none); *s;) {
		size_t n = strcspn(s, ", ");

		if (n && entry_matches(s, n, u))
			return NULL;
		s += n + strspn(s + n, ", ");
	}
	return proxy;
}

/* Reads the answer to CONNECT: nothing comes behind it before we speak. */
static int read_answer(struct net_stream *s, int64_t deadline, struct err *err)
{
	BUF_AUTO in = {0};
	struct http1_head head;
	size_t seen = 0, n;
	unsigned status;

	while (!(n = http1_head_length(in.data, in.len, &seen))) {
		ssize_t got;

		if (in.len > MAX_CONNECT_HEAD)
			return err_set(err, ERR_INVALID, "its answer is too long");
		got = net_read(s, buf_reserve(&in, 1024), 1024, deadline, err);
		if (got <= 0)
			return got < 0 ? -1
				       : err_set(err, ERR_UNAVAILABLE,
						 "it closed the connection");
		in.len += (size_t)got;
	}
	if (http1_head_response(&head, in.data, n, err) < 0)
		return -1;
	status = head.status;
	http1_head_done(&head);
	if (status == 407)
		return err_set(err, ERR_UNAUTHENTICATED, "it refuses the credentials");
	if (status != 200)
		return err_set(err, ERR_UNAVAILABLE, "HTTP status %u", status);
	return n == in.len ? 0
			   : err_set(err, ERR_INVALID, "it speaks before it is asked");
}

static int ask(struct net_stream *s, const struct proxy *p, const struct url *u,
	       int64_t deadline, struct err *err)
{
	bool v6 = strchr(u->host, ':');
	BUF_AUTO out = {0};
	int r;

	for (unsigned i = 0; i < 2; i++)
		buf_add_fmt(&out, "%s%s%s%s:%u%s", i ? "Host: " : "CONNECT ",
			    v6 ? "[" : "", u->host, v6 ? "]" : "", (unsigned)u->port,
			    i ? "\r\n" : " HTTP/1.1\r\n");
	if (p->authorization)
		buf_add_fmt(&out, "Proxy-Authorization: %s\r\n", p->authorization);
	buf_add_str(&out, "\r\n");
	r = net_write(s, out.data, out.len, deadline, err);
	explicit_bzero(out.data, out.len);
	return r < 0 ? -1 : read_answer(s, deadline, err);
}

struct net_stream *proxy_connect(const struct proxy *p, const struct url *u,
				 struct net_tls *tls, int64_t deadline, struct err *err)
{
	struct net_stream *s = net_connect(p->url.host, p->url.port, NULL, deadline, err);

	if (s && u->tls && ask(s, p, u, deadline, err) < 0) {
		net_close(s);
		s = NULL;
	}
	if (!s) {
		err_wrap(err, "proxy %s:%u", p->url.host, (unsigned)p->url.port);
		return NULL;
	}
	return u->tls ? net_start_tls(s, u->host, tls, deadline, err) : s;
}
