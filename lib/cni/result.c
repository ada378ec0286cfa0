/* Versions of the specification, and what ADD answers in each of them. */
#include "cni/cni-int.h"

#include <string.h>

#include "base/num.h"
#include "base/str.h"

const char *const cni_version_names[CNI_VERSIONS] = {
	[CNI_0_1_0] = "0.1.0", [CNI_0_2_0] = "0.2.0", [CNI_0_3_0] = "0.3.0",
	[CNI_0_3_1] = "0.3.1", [CNI_0_4_0] = "0.4.0", [CNI_1_0_0] = "1.0.0",
	[CNI_1_1_0] = "1.1.0",
};

int cni_version_parse(const char *s, enum cni_version *ret, struct err *err)
{
	if (str_empty(s))
		s = cni_version_names[CNI_0_1_0];
	for (int i = 0; i < CNI_VERSIONS; i++) {
		if (str_eq(s, cni_version_names[i])) {
			*ret = (enum cni_version)i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID,
		       "cniVersion %.32s is not supported (0.1.0 to 1.1.0 are)", s);
}

/* --- building ------------------------------------------------------------------------ */

/* An array in the arena that is full at powers of two. */
static void *grow(struct arena *a, void *items, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1) || n == 0) {
		if (n)
			return items;
		return arena_array(a, 1, size);
	}
	more = arena_array(a, n * 2, size);
	memcpy(more, items, n * size);
	return more;
}

struct res_iface *res_add_iface(struct res *r, const char *name)
{
	r->ifaces = grow(r->arena, r->ifaces, r->nifaces, sizeof(*r->ifaces));
	r->ifaces[r->nifaces].name = arena_strdup(r->arena, name);
	return &r->ifaces[r->nifaces++];
}

struct res_ip *res_add_ip(struct res *r)
{
	r->ips = grow(r->arena, r->ips, r->nips, sizeof(*r->ips));
	r->ips[r->nips].iface = -1;
	return &r->ips[r->nips++];
}

struct res_route *res_add_route(struct res *r)
{
	r->routes = grow(r->arena, r->routes, r->nroutes, sizeof(*r->routes));
	return &r->routes[r->nroutes++];
}

/* --- reading --------------------------------------------------------------------------- */

static const char **strings(struct arena *a, yyjson_val *arr)
{
	const char **list;
	size_t n = 0;
	yyjson_val *v;

	list = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*list));
	json_each (v, arr)
		if (yyjson_is_str(v))
			list[n++] = arena_strdup(a, yyjson_get_str(v));
	return list;
}

static char *copy(struct arena *a, const char *s)
{
	return str_empty(s) ? NULL : arena_strdup(a, s);
}

/* An optional address under a key. 1 if it is there, 0 if not, -1. */
static int take_ip(yyjson_val *obj, const char *key, struct ip *ret, struct err *err)
{
	const char *s = json_str(obj, key);

	if (str_empty(s))
		return 0;
	if (ip_parse(s, ret) < 0)
		return err_set(err, ERR_INVALID, "result: %s \"%.64s\" is no IP address",
			       key, s);
	return 1;
}

static int take_net(yyjson_val *obj, const char *key, struct ip_net *ret, struct err *err)
{
	const char *s = str_or_empty(json_str(obj, key));

	if (ip_net_parse(s, ret) < 0)
		return err_set(
			err, ERR_INVALID,
			"result: %s \"%.64s\" is no IP address with a prefix length", key,
			s);
	return 0;
}

static int take_route(struct res *r, yyjson_val *v, struct err *err)
{
	struct res_route *route = res_add_route(r);
	int has;

	if (take_net(v, "dst", &route->dst, err) < 0 ||
	    (has = take_ip(v, "gw", &route->gw, err)) < 0)
		return -1;
	route->has_gw = has;
	route->mtu = json_u64(v, "mtu", 0);
	route->priority = json_u64(v, "priority", 0);
	route->table = json_u64(v, "table", 0);
	return 0;
}

static int take_routes(struct res *r, yyjson_val *arr, struct err *err)
{
	yyjson_val *v;

	json_each (v, arr)
		if (take_route(r, v, err) < 0)
			return -1;
	return 0;
}

static int take_addr(struct res *r, yyjson_val *v, const char *key, struct err *err)
{
	struct res_ip *ip = res_add_ip(r);
	int64_t iface = json_i64(v, "interface", -1);
	int has;

	if (take_net(v, key, &ip->addr, err) < 0 ||
	    (has = take_ip(v, "gateway", &ip->gw, err)) < 0)
		return -1;
	ip->has_gw = has;
	ip->iface = iface >= 0 && (uint64_t)iface < r->nifaces ? (int)iface : -1;
	return 0;
}

static void take_iface(struct res *r, yyjson_val *v)
{
	struct res_iface *i = res_add_iface(r, str_or_empty(json_str(v, "name")));

	i->mac = copy(r->arena, json_str(v, "mac"));
	i->sandbox = copy(r->arena, json_str(v, "sandbox"));
	i->mtu = json_u64(v, "mtu", 0);
}

/* ip4 and ip6 of 0.1.0 and 0.2.0. */
static int take_old(struct res *r, yyjson_val *v, struct err *err)
{
	if (!v)
		return 0;
	if (take_addr(r, v, "ip", err) < 0)
		return -1;
	return take_routes(r, json_arr(v, "routes"), err);
}

static int check_size(yyjson_val *v, const char *key, struct err *err)
{
	if (yyjson_arr_size(json_arr(v, key)) > CNI_LIST_MAX)
		return err_set(err, ERR_EXHAUSTED, "result: more than %d %s",
			       CNI_LIST_MAX, key);
	return 0;
}

int res_parse(struct arena *a, yyjson_val *v, struct res *ret, struct err *err)
{
	yyjson_val *dns = json_obj(v, "dns"), *e;
	struct res r = {.arena = a};

	if (v && !yyjson_is_obj(v))
		return err_set(err, ERR_INVALID, "result: not an object");
	if (check_size(v, "interfaces", err) < 0 || check_size(v, "ips", err) < 0 ||
	    check_size(v, "routes", err) < 0)
		return -1;
	json_each (e, json_arr(v, "interfaces"))
		take_iface(&r, e);
	json_each (e, json_arr(v, "ips"))
		if (take_addr(&r, e, "address", err) < 0)
			return -1;
	if (take_routes(&r, json_arr(v, "routes"), err) < 0 ||
	    take_old(&r, json_obj(v, "ip4"), err) < 0 ||
	    take_old(&r, json_obj(v, "ip6"), err) < 0)
		return -1;
	r.dns_servers = strings(a, json_arr(dns, "nameservers"));
	r.dns_searches = strings(a, json_arr(dns, "search"));
	r.dns_options = strings(a, json_arr(dns, "options"));
	r.dns_domain = copy(a, json_str(dns, "domain"));
	*ret = r;
	return 0;
}

/* --- writing --------------------------------------------------------------------------- */

static void add_ip(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		   const struct ip *ip)
{
	char text[IP_TEXT];

	json_add_str(d, obj, key, ip_format(text, ip));
}

static void add_net(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		    const struct ip_net *net)
{
	char text[IP_NET_TEXT];

	json_add_str(d, obj, key, ip_net_format(text, net));
}

static void add_route(yyjson_mut_doc *d, yyjson_mut_val *arr, const struct res_route *r,
		      enum cni_version version)
{
	yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, arr);

	add_net(d, o, "dst", &r->dst);
	if (r->has_gw)
		add_ip(d, o, "gw", &r->gw);
	if (version < CNI_1_1_0)
		return;
	if (r->mtu)
		json_add_u64(d, o, "mtu", r->mtu);
	if (r->priority)
		json_add_u64(d, o, "priority", r->priority);
	if (r->table)
		json_add_u64(d, o, "table", r->table);
}

static void add_strings(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
			const char **list)
{
	yyjson_mut_val *arr;

	if (!list || !*list)
		return;
	arr = json_add_arr(d, obj, key);
	for (; *list; list++)
		yyjson_mut_arr_add_strcpy(d, arr, *list);
}

/* The first address of a family with its routes, as 0.1.0 and 0.2.0 have it. */
static void write_old(const struct res *r, yyjson_mut_doc *d, yyjson_mut_val *root,
		      bool v6)
{
	yyjson_mut_val *o, *routes = NULL;
	size_t i = 0;

	while (i < r->nips && r->ips[i].addr.ip.v6 != v6)
		i++;
	if (i == r->nips)
		return;
	o = json_add_obj(d, root, v6 ? "ip6" : "ip4");
	add_net(d, o, "ip", &r->ips[i].addr);
	if (r->ips[i].has_gw)
		add_ip(d, o, "gateway", &r->ips[i].gw);
	for (i = 0; i < r->nroutes; i++) {
		if (r->routes[i].dst.ip.v6 != v6)
			continue;
		if (!routes)
			routes = json_add_arr(d, o, "routes");
		add_route(d, routes, &r->routes[i], CNI_0_2_0);
	}
}

static void write_ifaces(const struct res *r, yyjson_mut_doc *d, yyjson_mut_val *root,
			 enum cni_version version)
{
	yyjson_mut_val *arr;

	if (!r->nifaces)
		return;
	arr = json_add_arr(d, root, "interfaces");
	for (size_t i = 0; i < r->nifaces; i++) {
		yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, arr);

		json_add_str(d, o, "name", r->ifaces[i].name);
		json_add_str(d, o, "mac", r->ifaces[i].mac);
		if (version >= CNI_1_1_0 && r->ifaces[i].mtu)
			json_add_u64(d, o, "mtu", r->ifaces[i].mtu);
		json_add_str(d, o, "sandbox", r->ifaces[i].sandbox);
	}
}

static void write_ips(const struct res *r, yyjson_mut_doc *d, yyjson_mut_val *root,
		      enum cni_version version)
{
	yyjson_mut_val *arr;

	if (!r->nips)
		return;
	arr = json_add_arr(d, root, "ips");
	for (size_t i = 0; i < r->nips; i++) {
		yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, arr);

		if (version < CNI_1_0_0)
			json_add_str(d, o, "version", r->ips[i].addr.ip.v6 ? "6" : "4");
		if (r->ips[i].iface >= 0)
			json_add_i64(d, o, "interface", r->ips[i].iface);
		add_net(d, o, "address", &r->ips[i].addr);
		if (r->ips[i].has_gw)
			add_ip(d, o, "gateway", &r->ips[i].gw);
	}
}

static void write_dns(const struct res *r, yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *dns = json_add_obj(d, root, "dns");

	add_strings(d, dns, "nameservers", r->dns_servers);
	json_add_str(d, dns, "domain", r->dns_domain);
	add_strings(d, dns, "search", r->dns_searches);
	add_strings(d, dns, "options", r->dns_options);
}

void res_write(const struct res *r, enum cni_version version, struct buf *out)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *routes;

	json_add_str(d, root, "cniVersion", cni_version_names[version]);
	if (version < CNI_0_3_0) {
		write_old(r, d, root, false);
		write_old(r, d, root, true);
	} else {
		write_ifaces(r, d, root, version);
		write_ips(r, d, root, version);
		routes = r->nroutes ? json_add_arr(d, root, "routes") : NULL;
		for (size_t i = 0; i < r->nroutes; i++)
			add_route(d, routes, &r->routes[i], version);
	}
	write_dns(r, d, root);
	json_write(d, false, out);
}

int res_convert(const char *text, size_t n, enum cni_version version, struct buf *out,
		struct err *err)
{
	JSON_AUTO doc = json_parse(text, n, err);
	yyjson_val *root = yyjson_doc_get_root(doc);
	ARENA_AUTO a = {0};
	enum cni_version have;
	struct res r;

	if (!doc)
		return -1;
	if (!yyjson_is_obj(root))
		return err_set(err, ERR_INVALID, "result: not an object");
	if (cni_version_parse(json_str(root, "cniVersion"), &have, err) < 0 ||
	    res_parse(&a, root, &r, err) < 0)
		return -1;
	/* as it is, so that nothing is lost that we do not know */
	if (have == version)
		buf_add(out, text, n);
	else
		res_write(&r, version, out);
	return 0;
}

/* --- the public form ------------------------------------------------------------------- */

void cni_result_done(struct cni_result *r)
{
	arena_done(&r->arena);
	*r = (struct cni_result){0};
}

static char *ip_text(struct arena *a, const struct ip *ip)
{
	char text[IP_TEXT];

	return arena_strdup(a, ip_format(text, ip));
}

static void publish(const struct res *r, const char *ifname, struct cni_result *ret)
{
	struct arena *a = &ret->arena;
	char text[IP_NET_TEXT];

	ret->ips = arena_array(a, r->nips, sizeof(*ret->ips));
	for (size_t i = 0; i < r->nips; i++) {
		const struct res_ip *ip = &r->ips[i];

		/* addresses of the host's side, which some plugins report, are not the pod's */
		if (ip->iface >= 0 && !r->ifaces[ip->iface].sandbox)
			continue;
		ret->ips[ret->nips++] = (struct cni_ip){
			.address = ip_text(a, &ip->addr.ip),
			.prefix = ip->addr.prefix,
			.v6 = ip->addr.ip.v6,
			.gateway = ip->has_gw ? ip_text(a, &ip->gw) : NULL};
	}
	ret->routes = arena_array(a, r->nroutes, sizeof(*ret->routes));
	for (; ret->nroutes < r->nroutes; ret->nroutes++) {
		const struct res_route *route = &r->routes[ret->nroutes];

		ret->routes[ret->nroutes] = (struct cni_route){
			.dst = arena_strdup(a, ip_net_format(text, &route->dst)),
			.gw = route->has_gw ? ip_text(a, &route->gw) : NULL};
	}
	for (size_t i = 0; i < r->nifaces; i++)
		if (r->ifaces[i].sandbox && str_eq(r->ifaces[i].name, ifname))
			ret->mac = r->ifaces[i].mac;
	ret->dns_servers = r->dns_servers;
	ret->dns_searches = r->dns_searches;
	ret->dns_options = r->dns_options;
}

int cni_result_parse(const char *json, size_t n, const char *ifname,
		     struct cni_result *ret, struct err *err)
{
	JSON_AUTO doc = json_parse(json, n, err);
	struct cni_result result = {0};
	struct res r;

	if (!doc)
		return -1;
	if (res_parse(&result.arena, yyjson_doc_get_root(doc), &r, err) < 0) {
		arena_done(&result.arena);
		return -1;
	}
	result.json = arena_strndup(&result.arena, json, n);
	publish(&r, ifname ? ifname : "eth0", &result);
	*ret = result;
	return 0;
}
