/*
 * cni: attaches a network namespace to the pod network by hand, and, under the names of the
 * CNI project's plugins, those plugins: links to this binary in /opt/cni/bin serve any
 * runtime.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "cni/cni.h"
#include "os/fd.h"

enum { STDIN_MAX = 4 << 20, PORTS_MAX = 64 };

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* --- as a plugin ------------------------------------------------------------------------ */

static int run_plugin(const char *type, struct err *err)
{
	const struct cni_env env = {.command = getenv("CNI_COMMAND"),
				    .container_id = getenv("CNI_CONTAINERID"),
				    .netns = getenv("CNI_NETNS"),
				    .ifname = getenv("CNI_IFNAME"),
				    .args = getenv("CNI_ARGS"),
				    .path = getenv("CNI_PATH")};
	BUF_AUTO conf = {0}, out = {0};
	int status;

	if (str_empty(env.command))
		return err_set(err, ERR_INVALID,
			       "%s is a CNI plugin: a container runtime calls it with "
			       "CNI_COMMAND set",
			       type);
	if (fd_read_all(STDIN_FILENO, STDIN_MAX, &conf, err) < 0)
		return err_wrap(err, "standard input");
	status = cni_plugin_run(type, &env, conf.data, conf.len, &out);
	if (out.len && fd_write_all(STDOUT_FILENO, out.data, out.len) < 0)
		return err_sys(err, errno, "write to standard output");
	return status;
}

/* --- as a runtime ----------------------------------------------------------------------- */

struct options {
	struct cni_dirs dirs;
	struct cni_request req;
	struct cni_port ports[PORTS_MAX];
	const char *command;
	char *texts[PORTS_MAX]; /* what the ports point into */
	size_t ntexts;
};

/* [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]; an IPv6 HOSTIP is in brackets. */
static int parse_port(struct options *o, const char *arg, struct err *err)
{
	struct cni_port *p = &o->ports[o->req.nports];
	char *s = xstrdup(arg), *proto, *colon, *host;
	uint64_t inside, outside;

	if (o->req.nports == PORTS_MAX) {
		free(s);
		return err_set(err, ERR_INVALID, "more than %d ports", PORTS_MAX);
	}
	o->texts[o->ntexts++] = s;
	proto = strchr(s, '/');
	if (proto)
		*proto++ = 0;
	colon = strrchr(s, ':');
	if (!colon || num_u64(colon + 1, 1, UINT16_MAX, &inside) < 0)
		goto bad;
	*colon = 0;
	host = strrchr(s, ':');
	if (num_u64(host ? host + 1 : s, 1, UINT16_MAX, &outside) < 0)
		goto bad;
	if (host) {
		*host = 0;
		if (*s == '[' && host[-1] == ']') {
			host[-1] = 0;
			s++;
		}
	}
	*p = (struct cni_port){.protocol = proto,
			       .host_ip = host ? s : NULL,
			       .host_port = (uint16_t)outside,
			       .container_port = (uint16_t)inside};
	o->req.nports++;
	return 0;
bad:
	return err_set(err, ERR_INVALID,
		       "--port %s: not [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]", arg);
}

static int parse_option(struct options *o, const char *name, const char *value,
			struct err *err)
{
	const struct {
		const char *name, **to;
	} texts[] = {
		{"--conf-dir", &o->dirs.conf_dir},
		{"--bin-dir", &o->dirs.bin_dirs},
		{"--cache-dir", &o->dirs.cache_dir},
		{"--subnet", &o->dirs.subnet},
		{"--id", &o->req.container_id},
		{"--ifname", &o->req.ifname},
		{"--namespace", &o->req.pod_namespace},
		{"--name", &o->req.pod_name},
		{"--uid", &o->req.pod_uid},
	};

	if (!value)
		return err_set(err, ERR_INVALID, "%s: which?", name);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (str_eq(name, texts[i].name)) {
			*texts[i].to = value;
			return 0;
		}
	}
	if (str_eq(name, "--port"))
		return parse_port(o, value, err);
	if (str_eq(name, "--timeout")) {
		if (num_duration(value, &o->dirs.timeout_ns) < 0)
			return err_set(err, ERR_INVALID, "--timeout %s: not a duration",
				       value);
		return 0;
	}
	return err_set(err, ERR_INVALID, "unrecognized option: %s (see --help)", name);
}

static int parse(struct options *o, int argc, char **argv, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		if (str_eq(argv[i], "--no-builtin")) {
			o->dirs.no_builtin = true;
		} else if (*argv[i] == '-') {
			if (parse_option(o, argv[i], argv[i + 1], err) < 0)
				return -1;
			i++;
		} else if (!o->command) {
			o->command = argv[i];
		} else if (!o->req.netns) {
			o->req.netns = argv[i];
		} else {
			return err_set(err, ERR_INVALID, "unexpected argument: %s",
				       argv[i]);
		}
	}
	o->req.ports = o->ports;
	return 0;
}

static int add(const struct options *o, struct err *err)
{
	struct cni_result result = {0};
	CNI_NET_AUTO net = NULL;
	int r = 0;

	if (cni_load(&o->dirs, &net, err) < 0 ||
	    cni_add(&o->dirs, net, &o->req, &result, err) < 0)
		return -1;
	if (printf("%s\n", result.json) < 0 || fflush(stdout) == EOF)
		r = err_sys(err, errno, "write to standard output");
	cni_result_done(&result);
	return r;
}

static int status(const struct options *o, struct err *err)
{
	CNI_NET_AUTO net = NULL;

	if (cni_ready(&o->dirs, err) < 0 || cni_load(&o->dirs, &net, err) < 0 ||
	    cni_status(&o->dirs, net, err) < 0)
		return -1;
	printf("network %s from %s is ready\n", cni_net_name(net),
	       cni_net_file(net) ? cni_net_file(net) : "(built in)");
	return 0;
}

static int run_command(struct options *o, struct err *err)
{
	bool is_add;

	if (!o->command)
		return err_set(err, ERR_INVALID, "which command? (see --help)");
	is_add = str_eq(o->command, "add");
	if (str_eq(o->command, "status"))
		return status(o, err);
	if (!is_add && !str_eq(o->command, "del") && !str_eq(o->command, "check"))
		return err_set(err, ERR_INVALID,
			       "%s: not add, check, del or status (see --help)",
			       o->command);
	if (!o->req.container_id)
		return err_set(err, ERR_INVALID, "--id: which container?");
	if (is_add && !o->req.netns)
		return err_set(err, ERR_INVALID, "which network namespace?");
	if (is_add)
		return add(o, err);
	return str_eq(o->command, "del") ? cni_del(&o->dirs, &o->req, err)
					 : cni_check(&o->dirs, &o->req, err);
}

static int run(int argc, char **argv, struct err *err)
{
	const char *name = base_name(argv[0]);
	struct options o = {0};
	int r;

	if (cni_plugin_known(name))
		return run_plugin(name, err);
	r = parse(&o, argc, argv, err);
	if (r == 0)
		r = run_command(&o, err);
	while (o.ntexts)
		free(o.texts[--o.ntexts]);
	return r;
}

static const char usage[] =
	"  add NETNS        attach a network namespace (a path); prints the CNI result\n"
	"  check [NETNS]    is it still attached as it was?\n"
	"  del [NETNS]      detach; success when there is nothing to do\n"
	"  status           can pods be attached?\n\n"
	"  --id ID          container id (not for status)\n"
	"  --ifname NAME    interface in the namespace (eth0)\n"
	"  --port [HOSTIP:]HOSTPORT:PORT[/PROTOCOL]   map a port; may be repeated\n"
	"  --namespace, --name, --uid TEXT            of the pod, for CNI_ARGS\n"
	"  --conf-dir DIR   configuration (/etc/cni/net.d)\n"
	"  --bin-dir DIRS   plugins, separated by ':' (/opt/cni/bin)\n"
	"  --cache-dir DIR  what is attached (/var/lib/cni)\n"
	"  --subnet NET     of the built-in network\n"
	"  --no-builtin     no built-in network\n"
	"  --timeout TIME   of each plugin (60s)\n\n"
	"Called as bridge, host-local, loopback or portmap it is that CNI plugin.\n";

const struct applet applet_cni = {
	.name = "cni",
	.alias = "bridge host-local loopback portmap",
	.purpose = "attach a network namespace to the pod network; CNI plugins",
	.synopsis = "[OPTION]... add|check|del|status [NETNS]",
	.usage = usage,
	.run = run,
};
