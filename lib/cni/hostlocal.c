/*
 * The host-local plugin: addresses from ranges, leased by files below dataDir/NETWORK in the
 * format of the CNI project's own plugin, so that one can take over from the other: a file
 * per address that holds "CONTAINER\r\nINTERFACE", last_reserved_ip.N, and lock.
 */
#include "cni/cni-int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"

enum { LEASE_MAX = 1024, RESOLV_MAX = 65536 };

struct range {
	struct ip_net subnet;
	struct ip start, end, gateway;
};

/* One address is allotted from each set; a set is searched range by range. */
struct range_set {
	struct range *ranges;
	size_t n;
};

struct ipam {
	struct arena arena;
	struct range_set *sets;
	size_t nsets;
	const char *dir; /* of the leases */
};

/* --- configuration --------------------------------------------------------------------- */

static int want_ip(yyjson_val *v, const char *key, const struct ip_net *subnet,
		   struct ip *ret, struct err *err)
{
	const char *s = plugin_str(v, key);

	if (str_empty(s))
		return 0;
	if (ip_parse(s, ret) < 0 || !ip_in(subnet, ret))
		return err_set(err, ERR_INVALID,
			       "ipam: %s \"%.64s\" is not in the subnet", key, s);
	return 0;
}

static int parse_range(yyjson_val *v, struct range *ret, struct err *err)
{
	const char *subnet = str_or_empty(plugin_str(v, "subnet"));
	struct range r;
	struct ip first;

	if (ip_net_parse(subnet, &r.subnet) < 0)
		return err_set(err, ERR_INVALID, "ipam: subnet \"%.64s\" is not one",
			       subnet);
	first = ip_first(&r.subnet);
	if (ip_cmp(&first, &r.subnet.ip) != 0)
		return err_set(err, ERR_INVALID, "ipam: subnet %s has host bits set",
			       subnet);
	if (r.subnet.prefix > ip_bits(&first) - 2)
		return err_set(err, ERR_INVALID, "ipam: subnet %s is too small", subnet);
	r.start = r.gateway = first;
	ip_inc(&r.start);
	ip_inc(&r.gateway);
	r.end = ip_last(&r.subnet);
	if (!first.v6)
		ip_dec(&r.end);
	if (want_ip(v, "rangeStart", &r.subnet, &r.start, err) < 0 ||
	    want_ip(v, "rangeEnd", &r.subnet, &r.end, err) < 0 ||
	    want_ip(v, "gateway", &r.subnet, &r.gateway, err) < 0)
		return -1;
	if (ip_cmp(&r.start, &r.end) > 0)
		return err_set(err, ERR_INVALID, "ipam: %s: rangeStart is after rangeEnd",
			       subnet);
	*ret = r;
	return 0;
}

static int parse_set(struct ipam *ipam, yyjson_val *arr, struct err *err)
{
	struct range_set *set = &ipam->sets[ipam->nsets];
	yyjson_val *v;

	set->ranges =
		arena_array(&ipam->arena, yyjson_arr_size(arr), sizeof(*set->ranges));
	json_each (v, arr) {
		if (parse_range(v, &set->ranges[set->n], err) < 0)
			return -1;
		if (set->ranges[set->n].subnet.ip.v6 != set->ranges[0].subnet.ip.v6)
			return err_set(err, ERR_INVALID,
				       "ipam: a set of ranges mixes IPv4 and IPv6");
		set->n++;
	}
	if (!set->n)
		return err_set(err, ERR_INVALID, "ipam: a set without ranges");
	ipam->nsets++;
	return 0;
}

static int parse_sets(struct ipam *ipam, yyjson_val *list, struct err *err)
{
	yyjson_val *v;

	json_each (v, list)
		if (parse_set(ipam, v, err) < 0)
			return -1;
	return 0;
}

static int parse_ipam(const struct cni_plugin_args *p, struct ipam *ret, struct err *err)
{
	yyjson_val *conf = json_obj(p->conf, "ipam"), *old = conf;
	yyjson_val *asked = json_arr(json_obj(p->conf, "runtimeConfig"), "ipRanges");
	yyjson_val *ranges = json_arr(conf, "ranges");
	const char *dir = json_str(conf, "dataDir");
	size_t n = yyjson_arr_size(asked) + yyjson_arr_size(ranges) + 1;

	if (!conf)
		return err_set(err, ERR_INVALID, "ipam: missing");
	if (n > CNI_LIST_MAX)
		return err_set(err, ERR_INVALID, "ipam: more than %d ranges",
			       CNI_LIST_MAX);
	ret->dir = arena_fmt(&ret->arena, "%s/%s",
			     str_empty(dir) ? "/var/lib/cni/networks" : dir, p->net);
	ret->sets = arena_array(&ret->arena, n, sizeof(*ret->sets));
	if (parse_sets(ret, asked, err) < 0)
		return -1;
	if (json_get(old, "subnet")) {
		struct range_set *set = &ret->sets[ret->nsets];

		set->ranges = arena_array(&ret->arena, 1, sizeof(*set->ranges));
		if (parse_range(old, set->ranges, err) < 0)
			return -1;
		set->n = 1;
		ret->nsets++;
	}
	if (parse_sets(ret, ranges, err) < 0)
		return -1;
	if (!ret->nsets)
		return err_set(err, ERR_INVALID, "ipam: no range to take addresses from");
	return 0;
}

/* --- leases ---------------------------------------------------------------------------- */

/* Opens the directory and locks it against other processes; the lock ends with *ret_lock. */
static int open_store(const char *dir, bool create, int *ret_dir, int *ret_lock,
		      struct err *err)
{
	FD_AUTO fd = -1;
	FD_AUTO lock = -1;

	if (create && file_mkdirs(AT_FDCWD, dir, 0755, err) < 0)
		return -1;
	fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	lock = file_open(fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0644, err);
	if (lock < 0)
		return err_wrap(err, "%s", dir);
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "lock %s/lock", dir);
	*ret_dir = fd_take(&fd);
	*ret_lock = fd_take(&lock);
	return 0;
}

/* Files that are no addresses (lock, last_reserved_ip.N, what others put there) are not ours. */
static bool is_lease(const char *name)
{
	struct ip ip;

	return ip_parse(name, &ip) == 0;
}

/* What a process that died was about to write; we have the lock, so it is dead. */
static bool is_temporary(const char *name)
{
	return name[0] == '.' && name[1] && !str_eq(name, "..");
}

/* True if a lease is the attachment's; those of old hold only the container's id. */
static bool lease_is(struct buf *lease, const char *id, const char *ifname)
{
	const char *s = buf_str(lease);
	size_t n = strlen(id), len = lease->len;

	while (len && strchr("\r\n ", s[len - 1]))
		len--;
	if (len < n || memcmp(s, id, n) != 0)
		return false;
	if (len == n)
		return true;
	return str_starts(s + n, "\r\n") && len - n - 2 == strlen(ifname) &&
	       memcmp(s + n + 2, ifname, len - n - 2) == 0;
}

/* Calls fn with each lease until it returns non-zero; returns that, 0 at the end, or -1. */
static int each_lease(int dir,
		      int (*fn)(void *arg, int dir, const char *name, struct buf *lease,
				struct err *err),
		      void *arg, struct err *err)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		err_sys(err, errno, "read the leases");
		fd_close(&copy);
		return -1;
	}
	while (r == 0 && (e = readdir(d))) {
		BUF_AUTO lease = {0};
		struct err unreadable;

		if (is_temporary(e->d_name)) {
			unlinkat(dir, e->d_name, 0);
			continue;
		}
		if (is_lease(e->d_name) &&
		    file_read(dir, e->d_name, LEASE_MAX, &lease, &unreadable) == 0)
			r = fn(arg, dir, e->d_name, &lease, err);
	}
	closedir(d);
	return r;
}

static int find_lease(void *arg, int dir, const char *name, struct buf *lease,
		      struct err *err)
{
	const struct cni_call *call = arg;

	(void)dir;
	(void)name;
	(void)err;
	return lease_is(lease, call->container_id, call->ifname);
}

static int drop_lease(void *arg, int dir, const char *name, struct buf *lease,
		      struct err *err)
{
	const struct cni_call *call = arg;

	if (!lease_is(lease, call->container_id, call->ifname))
		return 0;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove lease %s", name);
	return 0;
}

/* 1 if the address is the call's now, 0 if it is taken, -1. The store is locked. */
static int reserve(int dir, const struct cni_call *call, const struct ip *ip,
		   struct err *err)
{
	char name[IP_TEXT], text[2 * CNI_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s\r\n%s", call->container_id,
			 call->ifname);

	ip_format(name, ip);
	if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	/* as a whole: an empty file, of a crash, would be an address that nobody gives back */
	if (file_replace(dir, name, text, (size_t)n, 0600, false, err) < 0)
		return -1;
	return 1;
}

/* --- allotting ------------------------------------------------------------------------- */

static const struct range *range_of(const struct range_set *set, const struct ip *ip)
{
	for (size_t i = 0; i < set->n; i++)
		if (ip_in(&set->ranges[i].subnet, ip) &&
		    ip_cmp(ip, &set->ranges[i].start) >= 0 &&
		    ip_cmp(ip, &set->ranges[i].end) <= 0)
			return &set->ranges[i];
	return NULL;
}

/* The next address of a set in turn; after the last range comes the first. */
static void step(const struct range_set *set, size_t *range, struct ip *ip)
{
	if (ip_cmp(ip, &set->ranges[*range].end) < 0 && ip_inc(ip))
		return;
	*range = (*range + 1) % set->n;
	*ip = set->ranges[*range].start;
}

/* Where to go on: behind the address that was given out last, so that none is reused soon. */
static void resume(int dir, const struct range_set *set, size_t id, size_t *range,
		   struct ip *ip)
{
	char name[40];
	BUF_AUTO last = {0};
	const struct range *r;
	struct err ignored;

	*range = 0;
	*ip = set->ranges[0].start;
	snprintf(name, sizeof(name), "last_reserved_ip.%zu", id);
	if (file_read(dir, name, 128, &last, &ignored) < 0)
		return;
	while (last.len && strchr("\r\n ", last.data[last.len - 1]))
		last.len--;
	if (ip_parse(buf_str(&last), ip) == 0 && (r = range_of(set, ip))) {
		*range = (size_t)(r - set->ranges);
		step(set, range, ip);
	} else {
		*ip = set->ranges[0].start;
	}
}

static int remember(int dir, size_t id, const struct ip *ip, struct err *err)
{
	char name[40], text[IP_TEXT];

	snprintf(name, sizeof(name), "last_reserved_ip.%zu", id);
	ip_format(text, ip);
	return file_replace(dir, name, text, strlen(text), 0644, false, err);
}

static void add_address(struct res *ret, const struct range *r, const struct ip *ip)
{
	struct res_ip *a = res_add_ip(ret);

	a->addr = (struct ip_net){*ip, r->subnet.prefix};
	a->has_gw = true;
	a->gw = r->gateway;
}

static int allot(int dir, const struct cni_call *call, const struct range_set *set,
		 size_t id, struct res *ret, struct err *err)
{
	struct ip ip, first;
	size_t range;
	int r;

	resume(dir, set, id, &range, &ip);
	first = ip;
	do {
		if (ip_cmp(&ip, &set->ranges[range].gateway) != 0) {
			r = reserve(dir, call, &ip, err);
			if (r < 0)
				return -1;
			if (r > 0) {
				add_address(ret, &set->ranges[range], &ip);
				return remember(dir, id, &ip, err);
			}
		}
		step(set, &range, &ip);
	} while (ip_cmp(&ip, &first) != 0);
	return err_set(err, ERR_EXHAUSTED, "no free address in range set %zu", id);
}

static int allot_asked(int dir, const struct cni_call *call, const struct range_set *set,
		       const struct ip *ip, struct res *ret, struct err *err)
{
	const struct range *range = range_of(set, ip);
	char text[IP_TEXT];
	int r;

	ip_format(text, ip);
	if (ip_cmp(ip, &range->gateway) == 0)
		return err_set(err, ERR_INVALID, "requested address %s is the gateway's",
			       text);
	r = reserve(dir, call, ip, err);
	if (r == 0)
		return err_set(err, ERR_EXHAUSTED, "requested address %s is taken", text);
	if (r > 0)
		add_address(ret, range, ip);
	return r < 0 ? -1 : 0;
}

/* Addresses that the caller wants: IP= of CNI_ARGS, ips of the conventions. */
struct asked {
	struct ip ips[16];
	bool used[16];
	size_t n;
};

static int ask(struct asked *a, const char *s, struct err *err)
{
	struct ip_net net;

	if (a->n == ARRAY_LEN(a->ips))
		return err_set(err, ERR_INVALID, "more than %zu addresses requested",
			       ARRAY_LEN(a->ips));
	/* with or without a prefix length, which does not matter here */
	if (ip_parse(s, &a->ips[a->n]) < 0) {
		if (ip_net_parse(s, &net) < 0)
			return err_set(err, ERR_INVALID,
				       "requested address \"%.64s\" is none", s);
		a->ips[a->n] = net.ip;
	}
	a->n++;
	return 0;
}

static int collect_asked(const struct cni_plugin_args *p, struct asked *a,
			 struct err *err)
{
	yyjson_val *lists[] = {
		json_arr(json_obj(p->conf, "runtimeConfig"), "ips"),
		json_arr(json_obj(json_obj(p->conf, "args"), "cni"), "ips"),
	};
	STR_AUTO arg = plugin_arg(p->call, "IP");
	yyjson_val *v;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		json_each (v, lists[i])
			if (ask(a, str_or_empty(yyjson_get_str(v)), err) < 0)
				return -1;
	return str_empty(arg) ? 0 : ask(a, arg, err);
}

static int allot_all(int dir, const struct cni_plugin_args *p, const struct ipam *ipam,
		     struct asked *a, struct res *ret, struct err *err)
{
	for (size_t id = 0; id < ipam->nsets; id++) {
		size_t i = 0;
		int r;

		while (i < a->n && (a->used[i] || !range_of(&ipam->sets[id], &a->ips[i])))
			i++;
		if (i < a->n) {
			a->used[i] = true;
			r = allot_asked(dir, p->call, &ipam->sets[id], &a->ips[i], ret,
					err);
		} else {
			r = allot(dir, p->call, &ipam->sets[id], id, ret, err);
		}
		if (r < 0)
			return -1;
	}
	for (size_t i = 0; i < a->n; i++)
		if (!a->used[i])
			return err_set(err, ERR_INVALID,
				       "a requested address is in none of the ranges");
	return 0;
}

/* --- what else the configuration says about the answer --------------------------------- */

static int add_routes(yyjson_val *list, struct res *ret, struct err *err)
{
	yyjson_val *v;

	if (yyjson_arr_size(list) > CNI_LIST_MAX)
		return err_set(err, ERR_INVALID, "ipam: more than %d routes",
			       CNI_LIST_MAX);
	json_each (v, list) {
		struct res_route *r = res_add_route(ret);
		const char *gw = json_str(v, "gw");

		if (ip_net_parse(str_or_empty(json_str(v, "dst")), &r->dst) < 0 ||
		    (gw && ip_parse(gw, &r->gw) < 0))
			return err_set(err, ERR_INVALID,
				       "ipam: route to \"%.64s\" is not valid",
				       str_or_empty(json_str(v, "dst")));
		r->has_gw = gw;
		r->mtu = json_u64(v, "mtu", 0);
		r->priority = json_u64(v, "priority", 0);
		r->table = json_u64(v, "table", 0);
	}
	return 0;
}

static void add_word(struct arena *a, const char ***list, const char *word)
{
	size_t n = 0;
	const char **more;

	while (*list && (*list)[n])
		n++;
	more = arena_array(a, n + 2, sizeof(*more));
	for (size_t i = 0; i < n; i++)
		more[i] = (*list)[i];
	more[n] = arena_strdup(a, word);
	*list = more;
}

/* resolvConf: a file in the format of resolv.conf(5) whose contents become the dns part. */
static int add_dns(const char *path, struct res *ret, struct err *err)
{
	BUF_AUTO text = {0};
	char *rest, *line;

	if (str_empty(path))
		return 0;
	if (file_read(AT_FDCWD, path, RESOLV_MAX, &text, err) < 0)
		return err_wrap(err, "ipam: resolvConf");
	buf_str(&text);
	rest = (char *)text.data;
	for (int n = 0; n < CNI_LIST_MAX && (line = strsep(&rest, "\n")); n++) {
		char *key = strsep(&line, " \t"), *word;

		while ((word = strsep(&line, " \t"))) {
			if (!*word)
				continue;
			if (str_eq(key, "nameserver"))
				add_word(ret->arena, &ret->dns_servers, word);
			else if (str_eq(key, "search"))
				add_word(ret->arena, &ret->dns_searches, word);
			else if (str_eq(key, "options"))
				add_word(ret->arena, &ret->dns_options, word);
			else if (str_eq(key, "domain"))
				ret->dns_domain = arena_strdup(ret->arena, word);
		}
	}
	return 0;
}

/* --- commands -------------------------------------------------------------------------- */

static int add(const struct cni_plugin_args *p, const struct ipam *ipam, struct res *ret,
	       struct err *err)
{
	struct cni_call call = *p->call;
	yyjson_val *conf = json_obj(p->conf, "ipam");
	FD_AUTO lock = -1;
	FD_AUTO dir = -1;
	struct asked asked = {0};
	struct err ignored;
	int r;

	if (collect_asked(p, &asked, err) < 0 ||
	    add_routes(json_arr(conf, "routes"), ret, err) < 0 ||
	    add_dns(json_str(conf, "resolvConf"), ret, err) < 0 ||
	    open_store(ipam->dir, true, &dir, &lock, err) < 0)
		return -1;
	r = each_lease(dir, find_lease, &call, err);
	if (r > 0)
		return err_set(err, ERR_EXISTS, "%s has an address for %s already",
			       call.container_id, call.ifname);
	if (r < 0)
		return -1;
	if (allot_all(dir, p, ipam, &asked, ret, err) < 0) {
		each_lease(dir, drop_lease, &call, &ignored);
		return -1;
	}
	return 0;
}

/* Leases of attachments that are no longer valid. */
struct gc {
	const struct rules_owner *valid;
	size_t n;
};

static int drop_invalid(void *arg, int dir, const char *name, struct buf *lease,
			struct err *err)
{
	const struct gc *gc = arg;

	for (size_t i = 0; i < gc->n; i++)
		if (lease_is(lease, gc->valid[i].container_id, gc->valid[i].ifname))
			return 0;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove lease %s", name);
	return 0;
}

static int gc(const struct cni_plugin_args *p, int dir, struct err *err)
{
	ARENA_AUTO a = {0};
	struct rules_owner *valid;
	struct gc g = {.n = plugin_valid(p, &a, "", &valid)};

	g.valid = valid;
	return each_lease(dir, drop_invalid, &g, err);
}

static int run(const struct cni_plugin_args *p, const struct ipam *ipam, struct res *ret,
	       struct err *err)
{
	struct cni_call call = *p->call;
	FD_AUTO lock = -1;
	FD_AUTO dir = -1;
	int r;

	if (call.command == CNI_ADD)
		return add(p, ipam, ret, err);
	if (call.command == CNI_STATUS)
		return 0;
	if (open_store(ipam->dir, false, &dir, &lock, err) < 0)
		return err->sys == ENOENT && call.command != CNI_CHECK ? 0 : -1;
	if (call.command == CNI_DEL)
		return each_lease(dir, drop_lease, &call, err);
	if (call.command == CNI_GC)
		return gc(p, dir, err);
	r = each_lease(dir, find_lease, &call, err);
	if (r == 0)
		return err_set(err, ERR_STATE, "%s has no address for %s",
			       call.container_id, call.ifname);
	return r < 0 ? -1 : 0;
}

int plugin_host_local(const struct cni_plugin_args *p, struct res *ret, struct err *err)
{
	struct ipam ipam = {0};
	int r = parse_ipam(p, &ipam, err);

	if (r == 0)
		r = run(p, &ipam, ret, err);
	arena_done(&ipam.arena);
	return r;
}
