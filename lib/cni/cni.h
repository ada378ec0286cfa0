/*
 * cni: pod networks by the Container Network Interface, versions 0.1.0 to
 * 1.1.0 (CNI SPEC.md), on the runtime's side.
 *
 * A network is a list of plugins. A plugin that is found in the bin
 * directories is executed; bridge, host-local, loopback and portmap are also
 * built in and run within the calling process when there is no such file.
 * Without any configuration the network is the built-in one: bridge cribox0
 * with masquerading, host-local addresses and port mappings.
 *
 * Everything here blocks (plugins, netlink, a lock): call it in a process
 * that may wait, single-threaded, in the network namespace of the host. Calls
 * enter the pod's namespace for short and come back; if coming back fails the
 * error says so and the caller should end.
 */
#ifndef CNI_CNI_H
#define CNI_CNI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* Where things are. NULL members mean the defaults; strings are borrowed. */
struct cni_dirs {
	const char *conf_dir;  /* "/etc/cni/net.d" */
	const char *bin_dirs;  /* separated by ':'; "/opt/cni/bin" */
	const char *cache_dir; /* "/var/lib/cni": results/, and the built-in networks/ */
	/*
	 * Of the built-in network: "10.1.0.0/16", or with ",fd00:1::/64". NULL: the first of
	 * 10.244.0.0/16 and a few others that no route of this host overlaps.
	 */
	const char *subnet;
	/* True: no built-in network; without a configuration the network is not ready. */
	bool no_builtin;
	int64_t timeout_ns; /* of one plugin's run; 0: 60 seconds */
};

/* A loaded and validated network configuration. */
struct cni_net;

/*
 * Loads the network: the first valid .conflist, .conf or .json file of
 * conf_dir in the order of their names; if there is no such file at all, the
 * built-in network. When no file is valid the error names the first one and
 * what is wrong in it. The caller frees *ret with cni_net_free. 0 or -1.
 */
int cni_load(const struct cni_dirs *dirs, struct cni_net **ret, struct err *err);
void cni_net_free(struct cni_net **net);
#define CNI_NET_AUTO __attribute__((cleanup(cni_net_free))) struct cni_net *

const char *cni_net_name(const struct cni_net *net);

/* Path of the file that it was loaded from, or NULL for the built-in network. */
const char *cni_net_file(const struct cni_net *net);

/*
 * For NetworkReady of a runtime's Status: loads the network and looks whether
 * each of its plugins exists. Runs nothing and waits for nothing. 0, or -1
 * with a message that names the file or the plugin.
 */
int cni_ready(const struct cni_dirs *dirs, struct err *err);

struct cni_port {
	const char *protocol; /* "tcp", "udp" or "sctp", any case; NULL: tcp */
	const char *host_ip;  /* NULL or "": every address of the host */
	uint16_t host_port;   /* 0: the mapping is left out */
	uint16_t container_port;
};

struct cni_pair {
	const char *key, *value;
};

/* One attachment: a container (pod) and an interface. Strings are borrowed. */
struct cni_request {
	const char *container_id;
	const char *netns;  /* path; for cni_del it may be NULL, "" or gone */
	const char *ifname; /* NULL: "eth0" */

	/* CNI_ARGS: K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID; NULL: left out */
	const char *pod_namespace, *pod_name, *pod_uid;

	/* Capability arguments, given to the plugins that declare the capability. */
	const struct cni_port *ports; /* portMappings */
	size_t nports;
	uint64_t ingress_rate, egress_rate; /* bandwidth, bits per second; 0: none */
	const char *const *dns_servers;	    /* dns; arrays end in NULL, or are NULL */
	const char *const *dns_searches;
	const char *const *dns_options;
	const struct cni_pair *annotations; /* io.kubernetes.cri.pod-annotations */
	size_t nannotations;
	const char *cgroup_path; /* cgroupPath */
};

struct cni_ip {
	const char *address; /* "10.244.0.7", without the prefix length */
	unsigned prefix;
	bool v6;
	const char *gateway; /* NULL: none */
};

struct cni_route {
	const char *dst; /* "0.0.0.0/0" */
	const char *gw;	 /* NULL: none */
};

/* What the last plugin answered; everything lives in the arena. */
struct cni_result {
	struct arena arena;
	const char *json; /* the whole result, as its cniVersion has it */
	struct cni_ip *ips;
	size_t nips;
	struct cni_route *routes;
	size_t nroutes;
	const char *mac;	  /* of the pod's interface; NULL: unknown */
	const char **dns_servers; /* end in NULL, never NULL themselves */
	const char **dns_searches;
	const char **dns_options;
};
void cni_result_done(struct cni_result *r);

/*
 * Reads a result of any version of the specification, e.g. cni_result.json
 * that a worker process sent through a pipe. ifname (NULL: "eth0") is the one
 * whose MAC address is wanted. 0 or -1.
 */
int cni_result_parse(const char *json, size_t n, const char *ifname,
		     struct cni_result *ret, struct err *err);

/*
 * Attaches a pod: brings its loopback up, runs ADD of every plugin in order
 * (CNI SPEC section 3). The cache file is there before the first plugin runs;
 * on failure everything is undone, and if that fails too the cache file
 * stays, so that cni_del can do it later. 0 or -1.
 */
int cni_add(const struct cni_dirs *dirs, const struct cni_net *net,
	    const struct cni_request *req, struct cni_result *ret, struct err *err);

/*
 * Detaches a pod (req->container_id and, if set, ifname and netns): runs DEL
 * with the configuration and arguments of each cache file that the pod has,
 * last plugin first, and removes the file. Without a cache file there is
 * nothing to do: calling it again, or after an add that never began, is
 * success. 0, or -1 if something could not be undone (try again later).
 */
int cni_del(const struct cni_dirs *dirs, const struct cni_request *req, struct err *err);

/* Runs CHECK of every plugin with the cached configuration and result. 0 or -1. */
int cni_check(const struct cni_dirs *dirs, const struct cni_request *req,
	      struct err *err);

/* Runs STATUS of every plugin whose configuration is 1.1.0 or newer. 0 or -1. */
int cni_status(const struct cni_dirs *dirs, const struct cni_net *net, struct err *err);

/*
 * The plugins' side: runs a built-in plugin for somebody else's runtime.
 * env and conf are what the process was given (CNI SPEC section 2). Appends
 * the answer for standard output to out: a result, or an error object.
 * Returns the exit status.
 */
struct buf;
struct cni_env {
	const char *command, *container_id, *netns, *ifname, *args, *path;
};
int cni_plugin_run(const char *type, const struct cni_env *env, const void *conf,
		   size_t n, struct buf *out);

/* True if there is a built-in plugin of this name. */
bool cni_plugin_known(const char *type);

#endif
