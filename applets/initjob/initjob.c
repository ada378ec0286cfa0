/* initjob: which jobs there are; the configuration and the kernel's modules. */
#include "initjob/initjob.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/buf.h"
#include "base/str.h"
#include "node/config.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/module.h"
#include "os/proc.h"

/* For modprobe, which the kernel calls: a name a line. */
#define DENY_FILE "/run/cribox/modules.deny"
#define PRELOAD "/payload/images"

static struct node_config config;

void job_say(int level, const char *phase, const char *fmt, ...)
{
	BUF_AUTO raw = {0}, text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_add_vfmt(&raw, fmt, ap);
	va_end(ap);
	buf_add_fmt(&text, "<%d>cribox: %s: ", level, phase);
	str_escape(&text, (const char *)raw.data, raw.len);
	if (text.len > 700)
		text.len = 700;
	buf_add_char(&text, '\n');
	if (write(STDERR_FILENO, text.data, text.len) < 0)
		return;
}

/* A service of the payload, if path is there, unless the configuration says how. */
static struct node_service *add_service(struct node_config *c, const char *name,
					const char *path)
{
	struct node_service *s = &c->services[c->nservices];

	for (unsigned i = 0; i < c->nservices; i++)
		if (str_eq(c->services[i].name, name))
			return NULL;
	if (c->nservices == NODE_SERVICES || access(path, X_OK) < 0)
		return NULL;
	*s = (struct node_service){.ready = "none",
				   .stop_signal = "TERM",
				   .stop_timeout = 10,
				   .after = {.n = 1, .v = {"crid"}}};
	snprintf(s->name, sizeof(s->name), "%s", name);
	c->nservices++;
	return s;
}

/* The payload's images: the daemon looks there first, and is asked for each of them once. */
static void add_preload(struct node_config *c)
{
	static const char words[] = "/bin/cribox\0preload\0" PRELOAD;
	static const char setting[] = "preload-dir=" PRELOAD;
	struct node_service *s = add_service(c, "preload", PRELOAD);
	size_t n = 0;

	if (!s)
		return;
	s->restart = NODE_ON_FAILURE;
	memcpy(s->argv, words, sizeof(words));
	for (; c->crid[n]; n += strlen(c->crid + n) + 1)
		if (str_starts(c->crid + n, "preload-dir="))
			return;
	if (n + sizeof(setting) < sizeof(c->crid))
		memcpy(c->crid + n, setting, sizeof(setting));
}

static void add_option(struct node_service *s, const char *option, const char *value)
{
	size_t n = 0;

	while (s->argv[n])
		n += strlen(s->argv + n) + 1;
	snprintf(s->argv + n, sizeof(s->argv) - n - 1, "%s=%s", option, value);
}

static void add_kubelet(struct node_config *c)
{
	static const char path[] = "/payload/bin/kubelet";
	static const char config_file[] = "/var/lib/kubelet/config.yaml",
			  bootstrap[] = "/etc/kubernetes/bootstrap-kubelet.conf",
			  kubeconfig[] = "/etc/kubernetes/kubelet.conf";
	struct node_service *s = add_service(c, "kubelet", path);
	bool joins;

	if (!s)
		return;
	snprintf(s->ready, sizeof(s->ready), "notify");
	s->stop_timeout = 30;
	s->oom_score_adj = -999;
	str_copy(s->argv, sizeof(s->argv), path);
	add_option(s, "--container-runtime-endpoint", "unix:///run/cribox/crid.sock");
	add_option(s, "--root-dir", "/var/lib/kubelet");
	add_option(s, "--cgroup-driver", "cgroupfs");
	add_option(s, "--kubelet-cgroups", "/cribox/kubelet");
	add_option(s, "--runtime-cgroups", "/cribox/crid");
	if (access(config_file, R_OK) == 0)
		add_option(s, "--config", config_file);
	else
		add_option(s, "--pod-manifest-path", "/etc/kubernetes/manifests");
	joins = access(bootstrap, R_OK) == 0;
	if (joins)
		add_option(s, "--bootstrap-kubeconfig", bootstrap);
	/* which writes this one: a kubelet that is not told of it talks to no server */
	if (joins || access(kubeconfig, R_OK) == 0)
		add_option(s, "--kubeconfig", kubeconfig);
}

/* "config [FILE]": all sources, or the one; the struct goes to fd 3. */
static int job_config(char **args, struct err *err)
{
	struct node_sources only = {.file = args[0]};
	BUF_AUTO deny = {0};
	struct err ignored;

	node_config_load(only.file ? &only : &node_sources, only.file != NULL, &config);
	add_preload(&config);
	add_kubelet(&config);
	for (unsigned i = 0; i < config.ndeny; i++)
		buf_add_fmt(&deny, "%s\n", config.deny[i]);
	if (!only.file)
		file_replace(AT_FDCWD, DENY_FILE, buf_str(&deny), deny.len, 0644, false,
			     &ignored);
	if (fd_write_all(3, &config, sizeof(config)) < 0)
		return err_sys(err, errno, "config: fd 3");
	return 0;
}

struct modules {
	struct module_index mi;
	struct buf cmdline;
	const char *deny[NODE_MODULES + 1];
};

/* 1: open; 0: there are no modules for this kernel. */
static int open_modules(struct modules *m)
{
	struct err err;

	*m = (struct modules){.mi = {.dirfd = -1}};
	node_config_load(&node_sources, false, &config);
	if (module_index_open(&m->mi, NULL, &err) < 0) {
		complain("modules", "%s: only what is in the kernel itself works",
			 err.msg);
		return 0;
	}
	if (file_read(AT_FDCWD, "/proc/cmdline", 1 << 16, &m->cmdline, &err) == 0)
		m->mi.cmdline = buf_str(&m->cmdline);
	for (unsigned i = 0; i < config.ndeny; i++)
		m->deny[i] = config.deny[i];
	m->mi.deny = m->deny;
	return 1;
}

static void close_modules(struct modules *m)
{
	module_index_close(&m->mi);
	buf_done(&m->cmdline);
}

static void load(struct modules *m, const char *name)
{
	struct err err;

	if (module_load(&m->mi, name, NULL, &err) < 0)
		complain("modules", "%s: %s", name, err.msg);
}

/* The modules of all devices that are there. */
static int job_coldplug(char **args, struct err *err)
{
	struct modules m;
	unsigned failed = 0;
	int n;

	(void)args;
	if (!open_modules(&m))
		return 0;
	n = module_coldplug(&m.mi, &failed, err);
	if (n > 0)
		tell("modules", "%d loaded for devices", n);
	if (failed)
		complain("modules", "%u cannot be loaded, the last: %s", failed,
			 err->msg);
	close_modules(&m);
	return n < 0 ? -1 : 0;
}

/* "module NAME", or what no device asks for: the image's list, and that of the configuration. */
static int job_load(char **args, struct err *err)
{
	struct modules m;

	(void)err;
	if (!open_modules(&m))
		return 0;
	for (unsigned i = 0; !args[0] && i < config.nload; i++)
		load(&m, config.load[i]);
	load(&m, args[0] ? args[0] : "@late");
	close_modules(&m);
	return 0;
}

static int job_devlinks(char **args, struct err *err)
{
	(void)args;
	execl("/proc/self/exe", "devlinks", (char *)NULL);
	return err_sys(err, errno, "devlinks");
}

static const struct {
	const char *verb;
	int min, max; /* arguments */
	int (*run)(char **args, struct err *err);
} verbs[] = {
	{"config", 0, 1, job_config},	  {"coldplug", 0, 0, job_coldplug},
	{"late", 0, 0, job_load},	  {"module", 1, 1, job_load},
	{"devlinks", 0, 0, job_devlinks}, {"state", 1, 1, job_state},
	{"payload", 0, 0, job_payload},	  {"ident", 0, 0, job_ident},
	{"log", 0, 0, job_log},		  {"stop-pods", 0, 0, job_stop_pods},
	{"goodbye", 2, 2, job_goodbye},	  {"unmount", 0, 0, job_unmount},
	{"sync", 0, 0, job_sync},
};

static int run_initjob(int argc, char **argv, struct err *err)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(verbs); i++)
		if (str_eq(argv[1], verbs[i].verb) && argc - 2 >= verbs[i].min &&
		    argc - 2 <= verbs[i].max) {
			int r = verbs[i].run(argv + 2, err);

			if (r < 0)
				complain(argv[1], "%s", err->msg);
			return r < 0 ? 1 : r;
		}
	return err_set(err, ERR_INVALID, "initjob is for init's own use");
}

const struct applet applet_initjob = {.name = "initjob", .run = run_initjob};
