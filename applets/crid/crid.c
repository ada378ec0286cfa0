/*
 * crid: the CRI daemon. A cache and a router: it answers from memory, hands
 * the work to the pods' shims and to pull workers, and may be killed at any
 * moment: what runs goes on, and it reads everything again when it starts.
 */
#include "crid/crid.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applet.h"
#include "base/str.h"
#include "base/time.h"
#include "cni/cni.h"
#include "os/caps.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"

enum { STOP_SECONDS = 5, LOCK_TRIES = 50, LOCK_US = 10000 };

static int network_ready(void *arg, struct err *err)
{
	const struct crid *d = arg;
	struct cni_dirs dirs = {.conf_dir = d->st.cni_conf_dir,
				.bin_dirs = d->st.cni_bin_dir,
				.cache_dir = d->st.cni_cache_dir,
				.subnet = d->st.cni_subnet,
				.no_builtin = str_eq(d->st.cni_builtin, "never")};

	return cni_ready(&dirs, err);
}

static const struct cri_host host = {
	.spawn_shim = child_spawn_shim,
	.spawn_cleanup = child_spawn_cleanup,
	.spawn_pull = child_spawn_pull,
	.stream_url = streams_url,
	.network_ready = network_ready,
};

static void on_idle(void *arg)
{
	struct crid *d = arg;

	loop_stop(d->loop, 0);
}

/* Calls that have not ended by now are retried by the client, against the next crid. */
static void on_patience(struct loop_timer *t)
{
	loop_stop(container_of(t, struct crid, patience)->loop, 0);
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	struct crid *d = arg;

	switch (si->ssi_signo) {
	case SIGCHLD:
		children_reap(d);
		break;
	case SIGTERM:
	case SIGINT:
		if (d->stopping || !d->grpc) { /* asked twice, or still starting: now */
			d->stopping = true;
			loop_stop(d->loop, 0);
			break;
		}
		d->stopping = true;
		log_info(&d->log, "stopping; pods go on");
		sock_notify("STOPPING=1");
		d->patience.fn = on_patience;
		loop_timer_set(d->loop, &d->patience,
			       time_mono() + STOP_SECONDS * NS_PER_SEC);
		grpc_server_shutdown(d->grpc, on_idle, d);
		break;
	default:
		break;
	}
}

/*
 * One daemon per root: the lock goes with the process, however it ends. A role that it was
 * about to start has the lock a moment longer, until it is executed.
 */
static int lock_root(struct crid *d, struct err *err)
{
	STR_AUTO path = xasprintf("%s/crid.lock", d->st.state);

	d->lock = file_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, err);
	if (d->lock < 0)
		return -1;
	for (unsigned i = 0; flock(d->lock, LOCK_EX | LOCK_NB) < 0; i++)
		if (i == LOCK_TRIES)
			return err_set(err, ERR_EXISTS, "another crid serves %s",
				       d->st.state);
		else
			usleep(LOCK_US);
	return 0;
}

static int make_dirs(struct crid *d, struct err *err)
{
	if (file_mkdirs(AT_FDCWD, d->st.root, 0700, err) < 0 ||
	    file_mkdirs(AT_FDCWD, d->st.state, 0711, err) < 0)
		return -1;
	return lock_root(d, err);
}

static int listen_all(struct crid *d, struct err *err)
{
	for (unsigned i = 0; i < d->st.nlisten; i++) {
		const char *path = d->st.listen[i] + strlen("unix://");
		const char *slash = strrchr(path, '/');
		STR_AUTO dir = xstrndup(path, (size_t)(slash - path));
		int fd;

		if (*dir && file_mkdirs(AT_FDCWD, dir, 0755, err) < 0)
			return -1;
		fd = sock_listen_unix(path, 0660, err);
		if (fd < 0 || grpc_server_listen(d->grpc, fd, err) < 0)
			return -1;
		log_info(&d->log, "listening on %s", d->st.listen[i]);
	}
	return 0;
}

/* What containers and their limits are clamped to, once, instead of with each of them. */
static void say_missing(const struct crid *d)
{
	uint64_t missing = caps_all() & ~caps_bounding(UINT64_MAX);
	BUF_AUTO names = {0};

	for (unsigned i = 0; caps_name(i); i++)
		if (missing >> i & 1)
			buf_add_fmt(&names, " %s", caps_name(i));
	if (names.len)
		log_warn(&d->log, "not permitted here, containers go without:%s",
			 buf_str(&names));
	if (missing & caps_bit("CAP_SYS_RESOURCE"))
		log_warn(&d->log,
			 "no CAP_SYS_RESOURCE: negative oom_score_adj and raised "
			 "rlimits are clamped to what is permitted");
}

static int serve(struct crid *d, struct err *err)
{
	static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
	static const struct grpc_server_ops ops = {.on_call = cri_service_call,
						   .on_cancel = cri_service_cancel};
	struct cri_options opt = {
		.def = {.root = d->st.root,
			.systemd = str_eq(d->st.cgroup_driver, "systemd"),
			.cni_conf_dir = d->st.cni_conf_dir,
			.cni_bin_dirs = d->st.cni_bin_dir,
			.cni_cache_dir = d->st.cni_cache_dir,
			.cni_subnet = d->st.cni_subnet,
			.cni_builtin = d->st.cni_builtin},
		.state = d->st.state,
		.registry_dir = d->st.registry_dir,
		.preload_dir = d->st.preload_dir,
		.version = CRIBOX_VERSION,
		.config_json = settings_json(&d->st),
	};

	signal(SIGPIPE, SIG_IGN);
	umask(077);
	d->loop = loop_new(err);
	if (!d->loop ||
	    loop_signals(d->loop, sigs, ARRAY_LEN(sigs), on_signal, d, err) < 0 ||
	    make_dirs(d, err) < 0)
		return -1;
	d->svc = cri_service_new(d->loop, &opt, &host, d, &d->log, err);
	if (!d->svc || cri_service_load(d->svc, err) < 0)
		return -1;
	if (d->stopping)
		return 0;
	d->streams = streams_new(d);
	d->grpc = grpc_server_new(d->loop, &ops, d->svc, err);
	if (!d->grpc || listen_all(d, err) < 0)
		return -1;
	say_missing(d);
	log_info(&d->log, "ready: %u pods", cri_service_pods(d->svc));
	sock_notify("READY=1");
	return loop_run(d->loop, err);
}

/* After an orderly stop nothing of ours is left in memory's file systems that holds nothing. */
static void tidy(const struct crid *d)
{
	STR_AUTO pods = xasprintf("%s/pods", d->st.state);
	STR_AUTO lock = xasprintf("%s/crid.lock", d->st.state);

	for (unsigned i = 0; i < d->st.nlisten; i++)
		unlink(d->st.listen[i] + strlen("unix://"));
	/* these fail while pods run */
	rmdir("/run/netns");
	if (rmdir(pods) == 0 || errno == ENOENT)
		unlink(lock);
	rmdir(d->st.state);
}

static int run(int argc, char **argv, struct err *err)
{
	struct crid d = {.log = {2, LOG_LEVEL_INFO, "crid", 1}, .lock = -1};
	unsigned dropped = 0;
	int r;

	list_init(&d.children);
	if (settings_read(&d.st, argc, argv, err) < 0)
		return err_wrap(err, "crid");
	d.log.level = d.st.level;
	if (d.st.print_unit)
		return print_unit(err);
	if (d.st.check) {
		puts("crid: the configuration is good");
		return 0;
	}
	d.log.fd = fd_log();
	d.log.dropped = &dropped;
	r = serve(&d, err);
	if (d.stopping)
		tidy(&d);
	grpc_server_free(d.grpc);
	streams_free(d.streams);
	cri_service_free(d.svc);
	loop_free(d.loop);
	fd_close(&d.lock);
	arena_done(&d.st.arena);
	return r < 0 ? err_wrap(err, "crid") : r;
}

const struct applet applet_crid = {
	.name = "crid",
	.purpose = "Serves the Kubernetes container runtime interface (CRI).",
	.synopsis = "[OPTIONS]",
	.usage = "  --config FILE        settings in TOML (/etc/cribox/config.toml)\n"
		 "  --root DIR           images, layers, records (/var/lib/cribox)\n"
		 "  --state DIR          sockets, gone with a reboot (/run/cribox)\n"
		 "  --listen unix://PATH the CRI socket; may be repeated\n"
		 "                       (unix:///run/cribox/crid.sock)\n"
		 "  --registry-dir DIR   HOST/hosts.toml below it (/etc/cribox/certs.d)\n"
		 "  --preload-dir DIR    OCI layouts below it come before registries\n"
		 "  --cni-conf-dir DIR   pod networks (/etc/cni/net.d)\n"
		 "  --cni-bin-dir DIR    CNI plugins (/opt/cni/bin), else the built-in "
		 "ones\n"
		 "  --cni-builtin WHEN   auto: a network of our own without "
		 "configuration\n"
		 "                       there; never: not ready until there is one\n"
		 "  --cgroup-driver NAME cgroupfs, or systemd as the kubelet's is\n"
		 "  --set KEY=VALUE      any key of the config file\n"
		 "  --log-level LEVEL    error, warn, info, debug (info)\n"
		 "  --check-config       read the settings, say what is wrong, end\n"
		 "  --print-unit         print a systemd unit\n",
	.run = run,
};
