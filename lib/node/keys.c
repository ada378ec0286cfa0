/*
 * keys: the schema. One table says for every key what it takes, how that is checked, and
 * where it goes.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/num.h"
#include "base/str.h"
#include "node/config-int.h"
#include "wire/ip.h"

enum kind {
	STRING,
	BOOL,
	FLAG,
	INT,
	SIZE,
	CHOICE,
	LIST,
	WORDS,
	ENV,
	SYSCTL,
	NAMES,
	CRID
};

/* In which struct the offset is. */
enum place { ROOT, LINK, SERVICE };

struct key {
	const char *pattern;
	enum kind kind;
	enum place place;
	size_t offset, size;	  /* of the member; INT: uint64_t or int64_t */
	int64_t min, max;	  /* INT */
	const char *const *names; /* CHOICE: ended by NULL */
	/* true if a string (of a list: each) is one that may be here; else `wants` */
	bool (*check)(const char *s);
	const char *wants;
	const char *standard; /* the default, for people */
};

static bool is_host_name(const char *s)
{
	size_t label = 0;

	for (; *s; s++) {
		if (*s == '.' ? label == 0 : !isalnum((unsigned char)*s) && *s != '-')
			return false;
		if (*s == '-' && (label == 0 || !s[1] || s[1] == '.'))
			return false;
		label = *s == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0;
}

static bool is_ip(const char *s)
{
	struct ip ip;

	return ip_parse(s, &ip) == 0;
}

static bool is_ip4(const char *s)
{
	struct ip ip;

	return ip_parse(s, &ip) == 0 && !ip.v6;
}

static bool is_ip6(const char *s)
{
	struct ip ip;

	return ip_parse(s, &ip) == 0 && ip.v6;
}

static bool is_net(const char *s)
{
	struct ip_net net;

	return ip_net_parse(s, &net) == 0;
}

static bool is_host(const char *s)
{
	return is_ip(s) || is_host_name(s);
}

static bool is_path(const char *s)
{
	return *s == '/';
}

static bool is_device(const char *s)
{
	static const char *const tags[] = {"LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="};

	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		if (str_starts(s, tags[i]))
			return s[strlen(tags[i])];
	return str_starts(s, "/dev/") && s[5];
}

static bool is_ready(const char *s)
{
	return str_eq(s, "none") || str_eq(s, "notify") || str_starts(s, "unix:/");
}

static bool is_module(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '-' && *s != '_')
			return false;
	return true;
}

static bool is_name(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_", *p))
			return false;
	return *s;
}

static bool is_crypt(const char *s)
{
	return *s == '$';
}

static bool is_listen(const char *s)
{
	return str_starts(s, "unix:///");
}

static bool is_builtin(const char *s)
{
	return str_eq(s, "auto") || str_eq(s, "never");
}

static bool is_driver(const char *s)
{
	return str_eq(s, "cgroupfs") || str_eq(s, "systemd");
}

static bool is_level(const char *s)
{
	enum log_level level;

	return log_level_parse(s, &level) == 0;
}

static const char *const console_names[] = {"status", "login", "open", "off", NULL};
static const char *const restart_names[] = {"always", "on-failure", "no", NULL};
static const char *const signal_names[] = {"TERM", "INT",  "QUIT", "HUP",
					   "USR1", "USR2", "KILL", NULL};

#define MEMBER(where, type, member)                              \
	.place = where, .offset = offsetof(struct type, member), \
	.size = sizeof(((struct type *)0)->member)
#define AT(member) MEMBER(ROOT, node_config, member)
#define LINK_AT(member) MEMBER(LINK, node_link, member)
#define SERVICE_AT(member) MEMBER(SERVICE, node_service, member)
#define PATH .check = is_path, .wants = "an absolute path"

static const struct key keys[] = {
	{"hostname", STRING, AT(hostname), .check = is_host_name, .wants = "a host name"},
	{"console", CHOICE, AT(console), .names = console_names,
	 .standard = "\"status\""},
	{"password", STRING, AT(password), .check = is_crypt, .wants = "a crypt(3) hash"},
	{"security.pods-load-modules", BOOL, AT(pods_load_modules), .standard = "false"},

	{"net.dns", LIST, AT(dns), .check = is_ip, .wants = "an IP address"},
	{"net.search", LIST, AT(search), .check = is_host_name, .wants = "a domain"},
	{"net.ntp", LIST, AT(ntp), .check = is_host, .wants = "a host or an IP address"},
	{"net.hostname-from-dhcp", BOOL, AT(hostname_from_dhcp), .standard = "true"},
	{"net.**.address", LIST, LINK_AT(address), .check = is_net,
	 .wants = "an address with a prefix length, as 10.0.0.5/24"},
	{"net.**.gateway", STRING, LINK_AT(gateway), .check = is_ip4,
	 .wants = "an IPv4 address"},
	{"net.**.gateway6", STRING, LINK_AT(gateway6), .check = is_ip6,
	 .wants = "an IPv6 address"},
	{"net.**.dns", LIST, LINK_AT(dns), .check = is_ip, .wants = "an IP address"},
	{"net.**.mtu", INT, LINK_AT(mtu), .min = 68, .max = 65535},
	{"net.**.dhcp", FLAG, LINK_AT(dhcp)},
	{"net.**.ra", FLAG, LINK_AT(ra)},

	{"storage.state", STRING, AT(state), .check = is_device,
	 .wants = "LABEL=, UUID=, PARTLABEL=, PARTUUID= or /dev/..."},
	{"storage.required", BOOL, AT(state_required), .standard = "false"},
	{"sysctl.**", SYSCTL, AT(sysctls)},
	{"modules.load", NAMES, AT(load), .check = is_module, .wants = "a module's name"},
	{"modules.deny", NAMES, AT(deny), .check = is_module, .wants = "a module's name"},
	{"watchdog.device", STRING, AT(watchdog), PATH},
	{"watchdog.timeout", INT, AT(watchdog_timeout), .min = 5, .max = 3600,
	 .standard = "60"},
	{"time.ntp", BOOL, AT(time_ntp), .standard = "true"},

	{"service.*.exec", WORDS, SERVICE_AT(argv)},
	{"service.*.env.**", ENV, SERVICE_AT(env)},
	{"service.*.after", LIST, SERVICE_AT(after), .check = is_name,
	 .wants = "a service's name"},
	{"service.*.restart", CHOICE, SERVICE_AT(restart), .names = restart_names,
	 .standard = "\"always\""},
	{"service.*.ready", STRING, SERVICE_AT(ready), .check = is_ready,
	 .wants = "none, notify or unix:/path", .standard = "\"none\""},
	{"service.*.memory-max", SIZE, SERVICE_AT(memory_max)},
	{"service.*.oom-score-adj", INT, SERVICE_AT(oom_score_adj), .min = -1000,
	 .max = 1000, .standard = "0"},
	{"service.*.stop-signal", STRING, SERVICE_AT(stop_signal), .names = signal_names,
	 .standard = "\"TERM\""},
	{"service.*.stop-timeout", INT, SERVICE_AT(stop_timeout), .min = 0, .max = 300,
	 .standard = "10"},

	{"root", CRID, AT(crid), PATH, .standard = "\"/var/lib/cribox\""},
	{"state", CRID, AT(crid), PATH, .standard = "\"/run/cribox\""},
	{"registry-dir", CRID, AT(crid), PATH},
	{"preload-dir", CRID, AT(crid), PATH},
	{"cni-conf-dir", CRID, AT(crid), PATH},
	{"cni-bin-dir", CRID, AT(crid), PATH},
	{"cni-cache-dir", CRID, AT(crid), PATH},
	{"cni-subnet", CRID, AT(crid), .check = is_net, .wants = "a network"},
	{"cni-builtin", CRID, AT(crid), .check = is_builtin, .wants = "auto or never",
	 .standard = "\"auto\""},
	{"cgroup-driver", CRID, AT(crid), .check = is_driver,
	 .wants = "cgroupfs or systemd", .standard = "\"cgroupfs\""},
	{"log-level", CRID, AT(crid), .check = is_level,
	 .wants = "error, warn, info or debug", .standard = "\"info\""},
	{"listen", CRID, AT(crid), .check = is_listen, .wants = "unix:///PATH"},
};

bool key_default(unsigned n, const char **ret_pattern, const char **ret_text)
{
	if (n >= ARRAY_LEN(keys))
		return false;
	*ret_pattern = keys[n].pattern;
	*ret_text = keys[n].standard;
	return true;
}

bool node_config_names(const char *top)
{
	size_t n = strlen(top);

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].kind != CRID && strncmp(keys[i].pattern, top, n) == 0 &&
		    (!keys[i].pattern[n] || keys[i].pattern[n] == '.'))
			return true;
	return false;
}

/* --- names -------------------------------------------------------------------------------- */

static bool match(const char *pat, const char *s, char star[2][NODE_ELEM], unsigned nstar)
{
	size_t n = strcspn(pat, "*"), len;
	bool dots;

	if (strncmp(pat, s, n) != 0)
		return false;
	pat += n;
	s += n;
	if (!*pat)
		return !*s;
	dots = pat[1] == '*';
	pat += dots ? 2 : 1;
	for (len = 1; len < NODE_ELEM && s[len - 1]; len++) {
		if (!dots && s[len - 1] == '.')
			return false;
		if (nstar < 2 && match(pat, s + len, star, nstar + 1)) {
			memcpy(star[nstar], s, len);
			star[nstar][len] = 0;
			return true;
		}
	}
	return false;
}

int key_find(const char *dotted, struct key_match *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		memset(ret, 0, sizeof(*ret));
		if (match(keys[i].pattern, dotted, ret->star, 0)) {
			ret->key = &keys[i];
			return 0;
		}
	}
	return -1;
}

static unsigned count_words(const char *s)
{
	unsigned n = 1;

	for (; *s; s++)
		n += *s == '.';
	return n;
}

/* The pattern with what the name has in the places of its stars; NULL if it does not fit. */
static const char *fill_in(const char *pat, const char *name, struct arena *a)
{
	unsigned want = count_words(pat), have = count_words(name);
	BUF_AUTO out = {0};

	if (have < want || (have > want && !strstr(pat, "**")))
		return NULL;
	while (*pat) {
		size_t n = strcspn(pat, "."), len = strcspn(name, ".");

		if (pat[0] == '*' && n == 2) /* takes the words that are too many */
			for (unsigned extra = have - want; extra; extra--)
				len += 1 + strcspn(name + len + 1, ".");
		if (out.len)
			buf_add_char(&out, '.');
		buf_add(&out, pat[0] == '*' ? name : pat, pat[0] == '*' ? len : n);
		pat += n + (pat[n] == '.');
		name += len + (name[len] == '.');
	}
	return arena_strdup(a, buf_str(&out));
}

const char *key_suggest(const char *dotted, struct arena *a)
{
	const char *best = NULL;
	unsigned least = 4;

	if (strlen(dotted) > 200)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *name = fill_in(keys[i].pattern, dotted, a);
		unsigned d = name ? str_distance(name, dotted) : least;

		if (d < least && d < strlen(dotted)) {
			least = d;
			best = name;
		}
	}
	return best;
}

/* --- values ------------------------------------------------------------------------------- */

static struct toml *new_value(enum toml_type type, const char *str, struct arena *a)
{
	struct toml *t = arena_alloc(a, sizeof(*t));

	*t = (struct toml){.type = type, .key = "", .str = str};
	return t;
}

/* Words between any of the separators, as an array of strings. */
static struct toml *split(const char *text, const char *separators, struct arena *a)
{
	struct toml *list = new_value(TOML_ARRAY, NULL, a);

	for (text += strspn(text, separators); *text;) {
		size_t n = strcspn(text, separators);
		struct toml *t = new_value(TOML_STRING, arena_strndup(a, text, n), a);

		if (list->last)
			list->last->next = t;
		else
			list->first = t;
		list->last = t;
		text += n;
		text += strspn(text, separators);
	}
	return list;
}

const struct toml *key_value(const struct key_match *m, const char *text, struct arena *a)
{
	struct toml *t = new_value(TOML_STRING, arena_strdup(a, text), a);
	int64_t num;

	switch (m->key->kind) {
	case BOOL:
	case FLAG:
		if (str_eq(text, "true") || str_eq(text, "false") || str_eq(text, "1") ||
		    str_eq(text, "0")) {
			t->type = TOML_BOOL;
			t->flag = *text == 't' || *text == '1';
		}
		return t;
	case INT:
	case SIZE:
		if (num_i64(text, INT64_MIN, INT64_MAX, &num) == 0) {
			t->type = TOML_INT;
			t->num = num;
		}
		return t;
	case LIST:
	case NAMES:
		return split(text, ",", a);
	case CRID:
		return str_eq(m->key->pattern, "listen") ? split(text, ",", a) : t;
	case STRING:
	case CHOICE:
	case WORDS:
	case ENV:
	case SYSCTL:
		return t;
	}
	return t;
}

static int bad(struct err *err, const char *must)
{
	return err_set(err, ERR_INVALID, "must be %s", must);
}

static int checked(const struct key *k, const struct toml *v, size_t size,
		   struct err *err)
{
	if (v->type != TOML_STRING)
		return bad(err, k->kind == LIST || k->kind == NAMES ? "a list of strings"
								    : "a string");
	if (k->check && !k->check(v->str))
		return err_set(err, ERR_INVALID, "\"%.80s\" is not %s", v->str, k->wants);
	if (strlen(v->str) >= size)
		return err_set(err, ERR_INVALID, "is longer than %zu bytes", size - 1);
	return 0;
}

static int set_string(const struct key *k, const struct toml *v, char *dst,
		      struct err *err)
{
	if (checked(k, v, k->size, err) < 0)
		return -1;
	for (const char *const *n = k->names; n; n++) {
		if (!*n)
			return err_set(err, ERR_INVALID,
				       "\"%.40s\" is no signal to stop with", v->str);
		if (str_eq(*n, v->str))
			break;
	}
	return str_copy(dst, k->size, v->str);
}

static int set_choice(const struct key *k, const struct toml *v, void *dst,
		      struct err *err)
{
	BUF_AUTO all = {0};

	for (int i = 0; k->names[i]; i++) {
		if (v->type == TOML_STRING && str_eq(v->str, k->names[i])) {
			memcpy(dst, &i, sizeof(i)); /* an enum */
			return 0;
		}
		buf_add_fmt(&all, "%s%s", i ? ", " : "", k->names[i]);
	}
	return err_set(err, ERR_INVALID, "must be one of %s", buf_str(&all));
}

static int set_bool(const struct key *k, const struct toml *v, void *dst, struct err *err)
{
	int flag = v->flag ? NODE_YES : NODE_NO;

	if (v->type != TOML_BOOL)
		return bad(err, "true or false");
	if (k->kind == BOOL)
		*(bool *)dst = v->flag;
	else
		memcpy(dst, &flag, sizeof(flag));
	return 0;
}

static int set_int(const struct key *k, const struct toml *v, void *dst, struct err *err)
{
	if (v->type != TOML_INT || v->num < k->min || v->num > k->max)
		return err_set(err, ERR_INVALID, "must be a number from %lld to %lld",
			       (long long)k->min, (long long)k->max);
	memcpy(dst, &v->num, sizeof(v->num));
	return 0;
}

static int set_size(const struct toml *v, void *dst, struct err *err)
{
	uint64_t size = (uint64_t)v->num;

	if (v->type == TOML_STRING ? num_size(v->str, &size) < 0
				   : v->type != TOML_INT || v->num < 0)
		return bad(err, "a size, as \"64M\"");
	memcpy(dst, &size, sizeof(size));
	return 0;
}

/* A list of strings in rows of `size` bytes; one string is a list of one. */
static int set_rows(const struct key *k, const struct toml *v, char *rows, size_t size,
		    unsigned max, unsigned *ret_n, struct err *err)
{
	const struct toml *first = v->type == TOML_ARRAY ? v->first : v;
	unsigned n = 0;

	for (const struct toml *e = first; e; e = e->next) {
		if (checked(k, e, size, err) < 0)
			return -1;
		if (++n > max)
			return err_set(err, ERR_INVALID, "has more than %u elements",
				       max);
		if (v->type != TOML_ARRAY)
			break;
	}
	n = 0;
	for (const struct toml *e = first; e; e = v->type == TOML_ARRAY ? e->next : NULL)
		str_copy(rows + size * n++, size, e->str);
	*ret_n = n;
	return 0;
}

/* --- words that NUL ends, with an empty one behind the last --------------------------------- */

static size_t words_len(const char *blob)
{
	const char *p = blob;

	while (*p)
		p += strlen(p) + 1;
	return (size_t)(p - blob);
}

static int words_add(char *blob, size_t size, const char *prefix, const char *text,
		     struct err *err)
{
	size_t at = words_len(blob), n = strlen(prefix) + strlen(text) + 1;

	if (at + n + 1 > size)
		return err_set(err, ERR_INVALID, "is too long, with what is there");
	snprintf(blob + at, size - at, "%s%s", prefix, text);
	blob[at + n] = 0;
	return 0;
}

static void words_drop(char *blob, const char *prefix)
{
	for (char *p = blob; *p;) {
		size_t n = strlen(p) + 1;

		if (str_starts(p, prefix))
			memmove(p, p + n, words_len(p + n) + 1);
		else
			p += n;
	}
}

static int set_words(const struct key *k, const struct toml *v, char *dst,
		     struct err *err)
{
	char words[1024] = {0};
	ARENA_AUTO a = {0};
	const struct toml *list = v->type == TOML_STRING ? split(v->str, " \t\n", &a) : v;

	if (list->type != TOML_ARRAY || !list->first)
		return bad(err, "a command: a string of words, or a list of strings");
	for (const struct toml *e = list->first; e; e = e->next)
		if (e->type != TOML_STRING || !*e->str)
			return bad(err, "a list of strings that are not empty");
		else if (words_add(words, MIN(sizeof(words), k->size), "", e->str, err) <
			 0)
			return -1;
	if (words[0] != '/')
		return bad(err, "a command with an absolute path");
	memcpy(dst, words, sizeof(words));
	return 0;
}

/* "NAME=value" or crid's "KEY=value", in the place of what is there. */
static int set_named(const struct key *k, const char *name, const struct toml *v,
		     char *dst, struct err *err)
{
	const struct toml *first = v->type == TOML_ARRAY ? v->first : v;
	bool list = str_eq(k->pattern, "listen");
	char prefix[NODE_ELEM + 1];

	snprintf(prefix, sizeof(prefix), "%s=", name);
	for (const struct toml *e = first; e; e = v->type == TOML_ARRAY ? e->next : NULL)
		if (checked(k, e, 256, err) < 0)
			return -1;
	if (v->type == TOML_ARRAY && !list)
		return bad(err, "a string");
	words_drop(dst, prefix);
	for (const struct toml *e = first; e; e = v->type == TOML_ARRAY ? e->next : NULL)
		if (words_add(dst, k->size, prefix, e->str, err) < 0)
			return -1;
	return 0;
}

static int set_sysctl(const char *name, const struct toml *v, struct node_config *c,
		      struct err *err)
{
	struct node_sysctl s = {0};
	unsigned i = 0;

	if (v->type == TOML_INT)
		snprintf(s.value, sizeof(s.value), "%lld", (long long)v->num);
	else if (v->type != TOML_STRING || strpbrk(v->str, "\n") ||
		 str_copy(s.value, sizeof(s.value), v->str) < 0)
		return bad(err, "a number or a string of less than 80 bytes");
	if (strstr(name, "..") || name[0] == '.' || name[0] == '/')
		return err_set(err, ERR_INVALID, "is not the name of a sysctl");
	str_copy(s.key, sizeof(s.key), name);
	while (i < c->nsysctls && !str_eq(c->sysctls[i].key, name))
		i++;
	if (i == NODE_SYSCTLS)
		return err_set(err, ERR_INVALID, "is one sysctl too many (%d)",
			       NODE_SYSCTLS);
	c->sysctls[i] = s;
	c->nsysctls = MAX(c->nsysctls, i + 1);
	return 0;
}

/* --- places ------------------------------------------------------------------------------- */

static void *link_of(struct node_config *c, const char *name, struct err *err)
{
	unsigned i = 0;

	if (strlen(name) > 15) {
		err_set(err, ERR_INVALID, "is for a name that no interface can have");
		return NULL;
	}
	while (i < c->nlinks && !str_eq(c->links[i].name, name))
		i++;
	if (i == NODE_LINKS) {
		err_set(err, ERR_INVALID, "is for one interface too many (%d)",
			NODE_LINKS);
		return NULL;
	}
	if (i == c->nlinks)
		str_copy(c->links[c->nlinks++].name, NODE_NAME, name);
	return &c->links[i];
}

static void *service_of(struct node_config *c, const char *name, struct err *err)
{
	unsigned i = 0;

	if (!is_name(name) || strlen(name) >= NODE_NAME) {
		err_set(err, ERR_INVALID,
			"is for a service whose name is not 1 to %d letters, digits, "
			"'-' or '_'",
			NODE_NAME - 1);
		return NULL;
	}
	while (i < c->nservices && !str_eq(c->services[i].name, name))
		i++;
	if (i == NODE_SERVICES) {
		err_set(err, ERR_INVALID, "is for one service too many (%d)",
			NODE_SERVICES);
		return NULL;
	}
	if (i == c->nservices) {
		struct node_service *s = &c->services[c->nservices++];

		str_copy(s->name, NODE_NAME, name);
		str_copy(s->ready, sizeof(s->ready), "none");
		str_copy(s->stop_signal, sizeof(s->stop_signal), "TERM");
		s->stop_timeout = 10;
	}
	return &c->services[i];
}

int key_set(const struct key_match *m, const struct toml *v, struct node_config *c,
	    struct err *err)
{
	const struct key *k = m->key;
	char *base = (char *)c;

	if (k->place == LINK)
		base = link_of(c, m->star[0], err);
	else if (k->place == SERVICE)
		base = service_of(c, m->star[0], err);
	if (!base)
		return -1;
	base += k->offset;
	switch (k->kind) {
	case STRING:
		return set_string(k, v, base, err);
	case CHOICE:
		return set_choice(k, v, base, err);
	case BOOL:
	case FLAG:
		return set_bool(k, v, base, err);
	case INT:
		return set_int(k, v, base, err);
	case SIZE:
		return set_size(v, base, err);
	case LIST: {
		struct node_strs *list = (void *)base;

		return set_rows(k, v, list->v[0], NODE_ELEM, NODE_LIST, &list->n, err);
	}
	case NAMES:
		return set_rows(
			k, v, base, 64, NODE_MODULES,
			str_eq(k->pattern, "modules.load") ? &c->nload : &c->ndeny, err);
	case WORDS:
		return set_words(k, v, base, err);
	case ENV:
		return set_named(k, m->star[1], v, base, err);
	case CRID:
		return set_named(k, k->pattern, v, base, err);
	case SYSCTL:
		return set_sysctl(m->star[0], v, c, err);
	}
	return 0;
}

/* --- what is there before any source is read ------------------------------------------------ */

static const struct {
	const char *name, *exec[4], *ready, *after;
	int64_t oom_score_adj;
	uint64_t stop_timeout;
} built_in[] = {
	{"network", {"/bin/cribox", "netd"}, "notify", NULL, -990, 5},
	{"crid", {"/bin/cribox", "crid"}, "notify", NULL, -999, 10},
	{"console", {"/bin/cribox", "console"}, "none", NULL, -900, 2},
};

void config_defaults(struct node_config *c)
{
	struct err ignored;

	memset(c, 0, sizeof(*c));
	c->hostname_from_dhcp = true;
	c->time_ntp = true;
	c->watchdog_timeout = 60;
	for (size_t i = 0; i < ARRAY_LEN(built_in); i++) {
		struct node_service *s = service_of(c, built_in[i].name, &ignored);

		if (!s)
			continue;
		for (size_t w = 0; built_in[i].exec[w]; w++)
			words_add(s->argv, sizeof(s->argv), "", built_in[i].exec[w],
				  &ignored);
		str_copy(s->ready, sizeof(s->ready), built_in[i].ready);
		s->oom_score_adj = built_in[i].oom_score_adj;
		s->stop_timeout = built_in[i].stop_timeout;
	}
}
