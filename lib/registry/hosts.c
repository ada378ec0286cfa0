/* hosts.toml: containerd's configuration of mirrors and their TLS */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "registry/registry-int.h"
#include "wire/toml.h"

enum { MAX_PEM = 4 << 20 };

static const int64_t CONNECT_TIMEOUT = 30 * NS_PER_SEC;

static const char *const default_dirs[] = {"/etc/cribox/certs.d",
					   "/etc/containerd/certs.d"};

static const char *const ca_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine */
	"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
	"/etc/ssl/ca-bundle.pem",	      /* openSUSE */
	"/etc/ssl/cert.pem",
};

void host_done(struct host *h)
{
	url_done(&h->base);
	buf_done(&h->ca);
	buf_done(&h->cert);
	buf_done(&h->key);
	buf_done(&h->headers);
	net_tls_free(h->tls);
	auth_forget(&h->authorization);
}

bool host_is_loopback(const char *host)
{
	return str_eq(host, "localhost") || str_starts(host, "127.") ||
	       str_eq(host, "::1");
}

/* "mirror", "mirror:5000/x", "https://mirror/v2": the scheme is https, the path /v2 */
static int parse_base(const char *s, bool override_path, struct url *ret, struct err *err)
{
	STR_AUTO whole = strstr(s, "://") ? xstrdup(s) : xasprintf("https://%s", s);
	struct url u;
	size_t n;

	if (url_parse(whole, &u, err) < 0)
		return -1;
	n = strlen(u.target);
	while (n && u.target[n - 1] == '/')
		u.target[--n] = 0;
	if (strchr(u.target, '?')) {
		url_done(&u);
		return err_set(err, ERR_INVALID, "malformed URL: it has a query");
	}
	if (!override_path && !str_ends(u.target, "/v2")) {
		char *path = xasprintf("%s/v2", u.target);

		free(u.target);
		u.target = path;
	}
	*ret = u;
	return 0;
}

/* Where a registry is that no file says anything about. */
static int default_base(const char *domain, struct url *ret, struct err *err)
{
	bool hub = str_eq(domain, "docker.io");
	STR_AUTO whole = xasprintf("https://%s", hub ? "registry-1.docker.io" : domain);

	if (parse_base(whole, false, ret, err) < 0)
		return -1;
	/* as containerd: a port on this machine is a registry for tests, without TLS */
	if (host_is_loopback(ret->host) && ret->port != 443)
		ret->tls = false;
	return 0;
}

static int read_pem(int dir, const struct toml *t, struct buf *out, struct err *err)
{
	if (t->type != TOML_STRING)
		return toml_bad(t, err, "must be the name of a file");
	if (file_read(dir, t->str, MAX_PEM, out, err) < 0)
		return err_wrap(err, "line %u", t->line);
	buf_add_char(out, '\n');
	return 0;
}

/* ca = "file" or ["file", ...] */
static int read_ca(int dir, const struct toml *t, struct host *h, struct err *err)
{
	const struct toml *ca = toml_get(t, "ca");

	if (!ca || ca->type != TOML_ARRAY)
		return ca ? read_pem(dir, ca, &h->ca, err) : 0;
	for (ca = ca->first; ca; ca = ca->next)
		if (read_pem(dir, ca, &h->ca, err) < 0)
			return -1;
	return 0;
}

/* One certificate: "both in one file" or ["certificate", "key"]; the first pair counts. */
static int read_pair(int dir, const struct toml *t, struct host *h, struct err *err)
{
	const struct toml *key = t;

	if (h->cert.len)
		return 0;
	if (t->type == TOML_ARRAY) {
		if (!t->first)
			return toml_bad(t, err, "is empty");
		key = t->first->next ? t->first->next : t->first;
		t = t->first;
	}
	return read_pem(dir, t, &h->cert, err) < 0 || read_pem(dir, key, &h->key, err) < 0
		       ? -1
		       : 0;
}

static int read_client(int dir, const struct toml *t, struct host *h, struct err *err)
{
	const struct toml *client = toml_get(t, "client");

	if (!client || client->type != TOML_ARRAY)
		return client ? read_pair(dir, client, h, err) : 0;
	for (client = client->first; client; client = client->next)
		if (read_pair(dir, client, h, err) < 0)
			return -1;
	return 0;
}

static bool header_text(const char *s, bool is_name)
{
	if (!*s)
		return !is_name;
	for (; *s; s++)
		if ((uint8_t)*s < 0x20 || (uint8_t)*s >= 0x7f ||
		    (is_name && strchr(" :()<>@,;\\\"/[]?={}", *s)))
			return false;
	return true;
}

static int add_header(struct host *h, const struct toml *name, const struct toml *value,
		      struct err *err)
{
	if (value->type != TOML_STRING)
		return toml_bad(name, err, "must be a string or an array of strings");
	if (!header_text(name->key, true) || !header_text(value->str, false))
		return toml_bad(name, err, "is not a header field");
	if (h->headers.len > 16384)
		return toml_bad(name, err, "is one too many");
	buf_add_fmt(&h->headers, "%s: %s\r\n", name->key, value->str);
	return 0;
}

static int read_headers(const struct toml *t, struct host *h, struct err *err)
{
	const struct toml *table = NULL, *v;

	if (toml_get_table(t, "header", &table, err) < 0)
		return -1;
	for (const struct toml *name = table ? table->first : NULL; name;
	     name = name->next) {
		if (name->type != TOML_ARRAY) {
			if (add_header(h, name, name, err) < 0)
				return -1;
			continue;
		}
		for (v = name->first; v; v = v->next)
			if (add_header(h, name, v, err) < 0)
				return -1;
	}
	return 0;
}

static int read_capabilities(const struct toml *t, struct host *h, struct err *err)
{
	const struct toml *list = NULL;
	int r = toml_get_array(t, "capabilities", &list, err);

	h->pull = h->resolve = r == 0;
	if (r <= 0)
		return r;
	for (const struct toml *c = list->first; c; c = c->next) {
		if (c->type != TOML_STRING)
			return toml_bad(list, err, "must be an array of strings");
		if (str_eq(c->str, "pull"))
			h->pull = true;
		else if (str_eq(c->str, "resolve"))
			h->resolve = true;
		else if (!str_eq(c->str, "push") && !str_eq(c->str, "referrers"))
			return toml_bad(list, err, "has an unknown one: %.40s", c->str);
	}
	return 0;
}

/* What the root and each [host."URL"] table have in common. */
static int read_host(int dir, const struct toml *t, struct host *h, struct err *err)
{
	const char *timeout = NULL;
	int r = toml_get_str(t, "dial_timeout", &timeout, err);

	h->connect_timeout = CONNECT_TIMEOUT;
	if (r < 0)
		return -1;
	if (r > 0 &&
	    (num_duration(timeout, &h->connect_timeout) < 0 || h->connect_timeout <= 0))
		return toml_bad(toml_get(t, "dial_timeout"), err,
				"must be a time like \"3s\"");
	if (toml_get_bool(t, "skip_verify", &h->skip_verify, err) < 0 ||
	    read_capabilities(t, h, err) < 0 || read_ca(dir, t, h, err) < 0 ||
	    read_client(dir, t, h, err) < 0 || read_headers(t, h, err) < 0)
		return -1;
	return 0;
}

static struct host *add_host(struct registry *r, const struct toml *at, struct err *err)
{
	if (r->n_hosts == MAX_HOSTS) {
		toml_bad(at, err, "is one host too many, %d are taken", MAX_HOSTS);
		return NULL;
	}
	return &r->hosts[r->n_hosts++];
}

static int read_mirror(struct registry *r, int dir, const struct toml *t, struct err *err)
{
	struct host *h;
	bool override_path = false;

	if (t->type != TOML_TABLE)
		return toml_bad(t, err, "must be a table");
	h = add_host(r, t, err);
	if (!h || toml_get_bool(t, "override_path", &override_path, err) < 0)
		return -1;
	if (parse_base(t->key, override_path, &h->base, err) < 0)
		return err_wrap(err, "line %u: host", t->line);
	return read_host(dir, t, h, err);
}

static int read_hosts(struct registry *r, int dir, const struct toml *t, struct err *err)
{
	const struct toml *mirrors = NULL;
	const char *server = NULL;
	bool override_path = false;
	struct host *h;

	if (toml_get_table(t, "host", &mirrors, err) < 0 ||
	    toml_get_str(t, "server", &server, err) < 0 ||
	    toml_get_bool(t, "override_path", &override_path, err) < 0)
		return -1;
	for (const struct toml *m = mirrors ? mirrors->first : NULL; m; m = m->next)
		if (read_mirror(r, dir, m, err) < 0)
			return -1;
	h = add_host(r, t, err);
	if (!h)
		return -1;
	h->upstream = true;
	if (str_empty(server)) {
		if (default_base(r->o->ref->domain, &h->base, err) < 0)
			return -1;
	} else if (parse_base(server, override_path, &h->base, err) < 0) {
		return err_wrap(err, "line %u: server", toml_get(t, "server")->line);
	}
	return read_host(dir, t, h, err);
}

static int load_file(struct registry *r, int dir, const char *where, struct err *err)
{
	BUF_AUTO text = {0};
	ARENA_AUTO arena = {0};
	struct toml *t;

	if (file_read(dir, "hosts.toml", TOML_MAX, &text, err) < 0)
		return err_wrap(err, "%s", where);
	t = toml_parse(text.data, text.len, &arena, err);
	if (!t || read_hosts(r, dir, t, err) < 0)
		return err_wrap(err, "%s/hosts.toml", where);
	return 0;
}

/* DIR/<name>/hosts.toml. 1 if it is there, 0 if not, -1. */
static int try_name(struct registry *r, int top, const char *top_name, const char *name,
		    struct err *err)
{
	FD_AUTO dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	STR_AUTO where = xasprintf("%s/%s", top_name, name);

	if (dir < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_sys(err, errno, "%s", where);
	if (dir < 0 || (faccessat(dir, "hosts.toml", F_OK, 0) < 0 && errno == ENOENT))
		return 0;
	return load_file(r, dir, where, err) < 0 ? -1 : 1;
}

/* "host_5000_": for file systems and tools that do not like a colon */
static char *underscored(const char *domain)
{
	const char *colon = strrchr(domain, ':');

	if (!colon || strchr(colon, ']'))
		return xstrdup(domain);
	return xasprintf("%.*s_%s_", (int)(colon - domain), domain, colon + 1);
}

static int load_dir(struct registry *r, int top, const char *name, struct err *err)
{
	STR_AUTO other = underscored(r->o->ref->domain);
	const char *const names[] = {other, r->o->ref->domain, "_default"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		int found = try_name(r, top, name, names[i], err);

		if (found)
			return found;
	}
	return 0;
}

static int load_dirs(struct registry *r, struct err *err)
{
	const char *name = r->o->dir;
	FD_AUTO top = -1;

	if (name) {
		top = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (top < 0)
			return err_sys(err, errno, "registry directory %s", name);
		return load_dir(r, top, name, err);
	}
	for (unsigned i = 0; i < ARRAY_LEN(default_dirs) && top < 0; i++) {
		name = default_dirs[i];
		top = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (top < 0 && errno != ENOENT)
			return err_sys(err, errno, "%s", name);
	}
	return top < 0 ? 0 : load_dir(r, top, name, err);
}

static void load_system_ca(struct registry *r)
{
	struct err ignored;

	for (unsigned i = 0; i < ARRAY_LEN(ca_bundles); i++)
		if (file_read(AT_FDCWD, ca_bundles[i], MAX_PEM, &r->system_ca,
			      &ignored) == 0)
			return;
	buf_reset(&r->system_ca);
}

int hosts_load(struct registry *r, struct err *err)
{
	int found = load_dirs(r, err);

	if (found < 0)
		return -1;
	if (!found) {
		struct host *h = &r->hosts[r->n_hosts++];

		if (default_base(r->o->ref->domain, &h->base, err) < 0)
			return -1;
		h->pull = h->resolve = h->upstream = true;
		h->connect_timeout = CONNECT_TIMEOUT;
	}
	load_system_ca(r);
	for (size_t i = 0; i < r->n_hosts; i++) {
		struct host *h = &r->hosts[i];

		h->tls = net_tls_new(
			&(struct net_tls_config){.ca = {&r->system_ca, &h->ca},
						 .skip_verify = h->skip_verify,
						 .cert = h->cert.len ? &h->cert : NULL,
						 .key = h->key.len ? &h->key : NULL});
	}
	return 0;
}
