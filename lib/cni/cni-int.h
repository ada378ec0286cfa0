/* What the parts of lib/cni share. */
#ifndef CNI_CNI_INT_H
#define CNI_CNI_INT_H

#include "base/arena.h"
#include "base/buf.h"
#include "cni/cni.h"
#include "wire/ip.h"
#include "wire/json.h"
#include "wire/rtnl.h"

enum {
	CNI_CONF_MAX = 1 << 20,	  /* bytes of a configuration file */
	CNI_RESULT_MAX = 1 << 20, /* bytes that a plugin may answer */
	CNI_LIST_MAX = 256, /* plugins, addresses, routes, mappings of one attachment */
	CNI_TEXT_MAX = 200, /* characters of a network's name or a container's id */
};

/* --- result.c: versions and results ---------------------------------------------------- */

enum cni_version {
	CNI_0_1_0,
	CNI_0_2_0,
	CNI_0_3_0,
	CNI_0_3_1,
	CNI_0_4_0,
	CNI_1_0_0,
	CNI_1_1_0,
	CNI_VERSIONS
};
extern const char *const cni_version_names[CNI_VERSIONS];

/* NULL and "" are 0.1.0, as the specification of old has it. 0 or -1. */
int cni_version_parse(const char *s, enum cni_version *ret, struct err *err);

struct res_iface {
	const char *name, *mac, *sandbox; /* mac, sandbox: NULL if none */
	uint64_t mtu;			  /* 0: unknown */
};

struct res_ip {
	int iface; /* index of its interface; -1: not said */
	struct ip_net addr;
	bool has_gw;
	struct ip gw;
};

struct res_route {
	struct ip_net dst;
	bool has_gw;
	struct ip gw;
	uint64_t mtu, priority, table; /* 0: not said */
};

/* A result (CNI SPEC section 5) of whatever version. Everything lives in the arena. */
struct res {
	struct arena *arena;
	struct res_iface *ifaces;
	struct res_ip *ips;
	struct res_route *routes;
	size_t nifaces, nips, nroutes;
	const char *dns_domain;
	const char **dns_servers, **dns_searches, **dns_options; /* end in NULL */
};

/* Reads a result; NULL is an empty one. 0 or -1. */
int res_parse(struct arena *a, yyjson_val *v, struct res *ret, struct err *err);

/* Appends it as JSON in the form of a version. */
void res_write(const struct res *r, enum cni_version version, struct buf *out);

/* The result in `text` as a version has it: as it is when it is of that version. */
int res_convert(const char *text, size_t n, enum cni_version version, struct buf *out,
		struct err *err);

/* Adds room for one more; the arena keeps it. */
struct res_iface *res_add_iface(struct res *r, const char *name);
struct res_ip *res_add_ip(struct res *r);
struct res_route *res_add_route(struct res *r);

/* --- conf.c: configuration lists ------------------------------------------------------- */

struct cni_net {
	char *name;
	char *file;	   /* NULL: built in */
	bool builtin_only; /* its plugins are never looked for in the bin directories */
	bool disable_check;
	enum cni_version version;
	yyjson_doc *doc; /* the list; owned */
	yyjson_val *plugins;
	char *text; /* of the list, as it goes into the cache */
};

/* Reads a list from its text; file (may be NULL) is only remembered. 0 or -1. */
int conf_parse(const char *text, size_t n, const char *file, struct cni_net **ret,
	       struct err *err);

/*
 * What a plugin gets on standard input: its configuration with the list's name and version,
 * the capability arguments that it declares (caps may be NULL), and the result of the plugin
 * before (prev: NULL or empty: none). Appended to out. 0 or -1.
 */
int conf_for_plugin(const struct cni_net *net, yyjson_val *plugin, yyjson_val *caps,
		    const struct buf *prev, struct buf *out, struct err *err);

/* Is there each plugin of a list? 0, or -1 with what is missing. */
int conf_check_plugins(const struct cni_dirs *dirs, const struct cni_net *net,
		       struct err *err);

/* Network names and container ids: a letter or digit, then those and "_.-". */
bool conf_name_ok(const char *s);

const char *conf_dir(const struct cni_dirs *dirs);
const char *conf_bin_dirs(const struct cni_dirs *dirs);
const char *conf_cache_dir(const struct cni_dirs *dirs);

/* --- cache.c: what is attached --------------------------------------------------------- */

struct cache_entry {
	char *path;
	struct cni_net *net;
	char *container_id, *ifname, *netns, *args;
	yyjson_doc *doc;   /* owned */
	yyjson_val *caps;  /* in doc, or NULL */
	struct buf result; /* empty: ADD has not ended */
};

/* Writes or replaces an attachment's file (libcni's cniCacheV1). 0 or -1. */
struct cache_write {
	const struct cni_net *net;
	const char *container_id, *ifname, *netns, *args;
	yyjson_val *caps;
	const struct buf *result; /* NULL or empty: only the intent */
};
int cache_write(const struct cni_dirs *dirs, const struct cache_write *w,
		struct err *err);

/*
 * Calls fn for the file of each attachment of a container (ifname NULL: of all interfaces),
 * with the interface as the file's name has it. Goes on after a failure. 0, or -1 with the
 * first error.
 */
int cache_each(const struct cni_dirs *dirs, const char *container_id, const char *ifname,
	       int (*fn)(void *arg, const char *path, const char *ifname,
			 struct err *err),
	       void *arg, struct err *err);

int cache_read(const char *path, struct cache_entry *ret, struct err *err);
void cache_entry_done(struct cache_entry *e);

/* --- exec.c, plugin.c: running a plugin ------------------------------------------------ */

enum cni_command {
	CNI_ADD,
	CNI_DEL,
	CNI_CHECK,
	CNI_STATUS,
	CNI_GC,
	CNI_VERSION,
	CNI_COMMANDS
};
extern const char *const cni_command_names[CNI_COMMANDS];

/* One call of a plugin: the environment of the specification's section 2. */
struct cni_call {
	enum cni_command command;
	const char *container_id, *netns, *ifname, *args; /* "" for none */
	const char *path;				  /* bin directories */
	bool builtin_only;
	int64_t timeout_ns;
};

/* Runs an executable plugin; what it prints is appended to out. 0 or -1. */
int exec_plugin(const struct cni_call *call, const char *program, const void *conf,
		size_t n, struct buf *out, struct err *err);

/* Looks for a plugin in the bin directories: a malloc'ed path or NULL. */
char *exec_find(const char *type, const char *bin_dirs);

/* A plugin's name that may be a file name in a bin directory (CVE-2021-20206). */
bool exec_type_ok(const char *type);

/*
 * Runs the plugin of that type with a configuration: the executable one if there is one,
 * else ours. The result is appended to out (ADD only). 0 or -1.
 */
int cni_invoke(const struct cni_call *call, const char *type, const void *conf, size_t n,
	       struct buf *out, struct err *err);

/*
 * A built-in plugin. conf has been parsed, its version is known, the call has what its
 * command needs. For ADD the result goes to ret (arena set, otherwise empty).
 */
struct cni_plugin_args {
	const struct cni_call *call;
	yyjson_val *conf;
	const char *net; /* conf's name; "" for STATUS of an unnamed one */
	enum cni_version version;
	const char *text; /* of conf, for delegates */
	size_t text_len;
};
typedef int cni_plugin_fn(const struct cni_plugin_args *p, struct res *ret,
			  struct err *err);
/* cni.dev/valid-attachments of a GC call, as owners of a kind; the array is the arena's. */
struct rules_owner;
size_t plugin_valid(const struct cni_plugin_args *p, struct arena *a, const char *kind,
		    struct rules_owner **ret);

cni_plugin_fn plugin_bridge, plugin_host_local, plugin_loopback, plugin_portmap;

/*
 * Members of capability arguments by key, whatever its case: containerd writes "HostPort" and
 * "Subnet", which plugins in Go take for hostPort and subnet. NULL and 0 for none.
 */
yyjson_val *plugin_get(yyjson_val *obj, const char *key);
const char *plugin_str(yyjson_val *obj, const char *key);
uint64_t plugin_u64(yyjson_val *obj, const char *key);

/* The value of a key in CNI_ARGS ("K=V;K=V"), malloc'ed, or NULL. */
char *plugin_arg(const struct cni_call *call, const char *key);

/* --- link.c: links --------------------------------------------------------------------- */

/* A pod's namespace, seen from ours. {-1, -1} is none. */
struct pod_ns {
	int fd; /* the namespace */
	int rt; /* an rtnetlink socket in it */
};
int pod_open(const char *path, struct pod_ns *ret, struct err *err);
void pod_close(struct pod_ns *p);
#define POD_AUTO __attribute__((cleanup(pod_close))) struct pod_ns

/* Sends the request in b (which is emptied) on an rtnetlink socket. 0 or -1. */
int link_call(int rt, struct buf *b, struct err *err);

/* 1 with *ret, 0 if there is no such link, -1. */
int link_get(int rt, const char *name, struct rtnl_link *ret, struct err *err);

/* Removes a link; one that is not there is success. */
int link_del(int rt, uint32_t index, struct err *err);

/* Keeps a link, which must not be up yet, without an IPv6 address of its own. */
int link_no_ipv6(int rt, uint32_t index, struct err *err);

/* The number of ports of a bridge, or -1. */
int link_ports(int rt, uint32_t bridge, struct err *err);

/* The link's global addresses, at most max of them: their number, or -1. */
int link_addrs(int rt, uint32_t index, struct ip_net *ret, int max, struct err *err);

/* The link that packets to an address leave by. 1 with *ret_index, 0 for none, -1. */
int link_route_to(int rt, const struct ip *ip, uint32_t *ret_index, struct err *err);

/* Sets loopback up; rt is a socket in the pod. */
int link_loopback_up(int rt, struct err *err);

/*
 * Writes a sysctl of the current namespace unless it has the value. A missing one is success
 * (IPv6 may be off).
 */
int link_sysctl(const char *name, const char *value, struct err *err);

/* --- rules.c: nf_tables ---------------------------------------------------------------- */

/* Whose rules: all are tagged with it. */
struct rules_owner {
	const char *kind; /* "masq", "port" or "guard" */
	const char *net, *container_id, *ifname;
};

/* Masquerades what leaves the address's network from the address. */
int rules_add_masq(const struct rules_owner *o, const struct res_ip *ips, size_t nips,
		   struct err *err);

/*
 * Drops what comes from a bridge's port under another sender's MAC or IP address than the
 * pod's, or as a router's advertisement (CVE-2020-10749, ARP spoofing).
 */
int rules_add_guard(const struct rules_owner *o, const char *veth,
		    const uint8_t mac[RTNL_MAC], const struct res_ip *ips, size_t nips,
		    struct err *err);

struct rules_port {
	uint8_t proto; /* IPPROTO_* */
	uint16_t host_port, pod_port;
	bool has_host_ip; /* else every address of every family */
	bool any_host_ip; /* 0.0.0.0 or :: - every address of this family */
	struct ip host_ip;
};

/* Translates host ports to pod; snat: so that it works from the pod's network and 127.0.0.1. */
int rules_add_ports(const struct rules_owner *o, const struct ip_net *pod,
		    const struct rules_port *ports, size_t nports, bool snat,
		    bool masq_all, struct err *err);

/*
 * Removes an owner's rules, and those of the same owner of another kind (NULL: none); with the
 * last rule of all owners the tables go. *ret_last_port (may be NULL) tells whether rules have
 * gone and none of any owner's for ports is left.
 */
int rules_del(const struct rules_owner *o, const char *and_kind, bool *ret_last_port,
	      struct err *err);

/* Removes the rules of a kind and network that belong to none of the n owners. */
int rules_gc(const char *kind, const char *net, const struct rules_owner *valid, size_t n,
	     struct err *err);

/* The number of rules that an owner has, or -1. */
int64_t rules_count(const struct rules_owner *o, struct err *err);

#endif
