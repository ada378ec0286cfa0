/*
 * netd: the node's network daemon. This process, which stays root, prepares directories,
 * starts the two that do the work (netd.h), and sets the host name.
 */
#include "netd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/ns.h"
#include "os/sock.h"

enum {
	STOP_WAIT_MS = 3000,	/* for leases to be given back */
	RESTART_MIN = 1,	/* seconds, doubled until RESTART_MAX */
	RESTART_MAX = 60,	/* of the time process */
	HOSTS_MAX = 1 << 20,	/* bytes */
	CMDLINE_MAX = 64 * 1024 /* bytes; the kernel's own limit is 4 KiB or less */
};

struct master {
	struct netd_setup s;
	int sigfd;
	const char *hosts;  /* "": none */
	int worker_sock;    /* our end of s.parent */
	pid_t worker, time; /* 0: does not run */
	int64_t time_at;    /* when it is to be started again; 0: not */
	unsigned time_failures;
};

static const char usage[] =
	"  --config FILE       instead of /etc/cribox/config.toml and the other sources\n"
	"  --cmdline FILE      where ip= and nameserver= are read (/proc/cmdline; with\n"
	"                      --config: nowhere)\n"
	"  --state DIR         /run/cribox: net/status, net/resolv.conf\n"
	"  --root DIR          /var/lib/cribox: net/NAME.lease\n"
	"  --resolv-conf FILE  /etc/resolv.conf: made a link to ours if nothing is "
	"there\n"
	"  --hosts FILE        /etc/hosts: the host's name is a line of it\n"
	"  --log-level LEVEL   error, warn, info, debug\n";

struct options {
	const char *config, *cmdline, *state, *root, *resolv, *hosts, *level;
};

static int read_options(int argc, char **argv, struct options *o, struct err *err)
{
	static const struct option names[] = {
		{"config", required_argument, NULL, 'c'},
		{"cmdline", required_argument, NULL, 'l'},
		{"state", required_argument, NULL, 's'},
		{"root", required_argument, NULL, 'r'},
		{"resolv-conf", required_argument, NULL, 'd'},
		{"hosts", required_argument, NULL, 'h'},
		{"log-level", required_argument, NULL, 'v'},
		{0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		const char **to = c == 'c'   ? &o->config
				  : c == 'l' ? &o->cmdline
				  : c == 's' ? &o->state
				  : c == 'r' ? &o->root
				  : c == 'd' ? &o->resolv
				  : c == 'h' ? &o->hosts
				  : c == 'v' ? &o->level
					     : NULL;

		if (!to)
			return err_set(err, ERR_INVALID,
				       "netd: %s: unrecognized, or its value is missing",
				       argv[optind - 1]);
		*to = optarg;
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, "netd: unexpected argument: %s",
			       argv[optind]);
	return 0;
}

/* --- preparation ---------------------------------------------------------------------------- */

static void on_bad_word(void *arg, const char *word, const char *why)
{
	log_warn(arg, "kernel command line: %s: %s", word, why);
}

static void read_cmdline(struct netd_setup *s, const char *path)
{
	BUF_AUTO b = {0};
	struct err err;

	if (!path)
		return;
	if (file_read(AT_FDCWD, path, CMDLINE_MAX, &b, &err) < 0) {
		log_warn(&s->log, "%s", err.msg);
		return;
	}
	ipcmdline_parse(buf_str(&b), b.len, &s->cmdline, on_bad_word, &s->log);
}

/* DIR/net, which belongs to the worker. An owned fd or -1. */
static int open_own(const char *dir, mode_t mode, struct err *err)
{
	STR_AUTO path = xasprintf("%s/net", dir);
	FD_AUTO fd = -1;

	if (file_mkdirs(AT_FDCWD, dir, 0755, err) < 0)
		return -1;
	fd = file_open_dir(AT_FDCWD, path, true, mode, err);
	if (fd < 0)
		return -1;
	if (fchown(fd, NETD_USER, NETD_USER) < 0 || fchmod(fd, mode) < 0)
		return err_sys(err, errno, "%s", path);
	return fd_take(&fd);
}

/* STATE/resolv.conf leads to the worker's file, /etc/resolv.conf to that. */
static void link_resolv(const struct master *m, const struct options *o)
{
	STR_AUTO ours = xasprintf("%s/resolv.conf", o->state);
	char to[4096];
	struct stat st;
	ssize_t n;

	if (symlink("net/resolv.conf", ours) < 0 && errno != EEXIST)
		log_warn(&m->s.log, "%s: %s", ours, strerror(errno));
	if (!*o->resolv)
		return;
	n = readlink(o->resolv, to, sizeof(to) - 1);
	to[MAX(n, 0)] = 0;
	if (n > 0 && str_eq(to, ours))
		return;
	if (n < 0 && stat(o->resolv, &st) == 0 && S_ISREG(st.st_mode) && !st.st_size)
		unlink(o->resolv);
	if (symlink(ours, o->resolv) == 0)
		return;
	if (errno == EEXIST)
		log_warn(&m->s.log, "%s is somebody else's: name servers are in %s only",
			 o->resolv, ours);
	else
		log_warn(&m->s.log, "%s: %s", o->resolv, strerror(errno));
}

/*
 * The host's name is known on the host, whatever name servers say or do not say: a kubelet
 * looks its node up each time it looks at a pod, and waits for the answer.
 */
static void put_name(const struct master *m)
{
	static const char address[] = "127.0.1.1\t"; /* 127.0.0.1 is localhost's */
	char name[HOST_NAME_MAX + 1] = "";
	BUF_AUTO old = {0};
	BUF_AUTO text = {0};
	struct err err;

	if (!*m->hosts || gethostname(name, sizeof(name) - 1) < 0 || !*name)
		return;
	if (file_read(AT_FDCWD, m->hosts, HOSTS_MAX, &old, &err) < 0 &&
	    err.code != ERR_NOT_FOUND) {
		log_warn(&m->s.log, "%s", err.msg);
		return;
	}
	for (const char *p = buf_str(&old); *p;) {
		size_t n = strcspn(p, "\n");

		if (!str_starts(p, address))
			buf_add_fmt(&text, "%.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
	buf_add_fmt(&text, "%s%s\n", address, name);
	if (!str_eq(buf_str(&text), buf_str(&old)) &&
	    file_replace(AT_FDCWD, m->hosts, text.data, text.len, 0644, false, &err) < 0)
		log_warn(&m->s.log, "%s", err.msg);
}

static int prepare(struct master *m, const struct options *o, struct err *err)
{
	const struct node_sources only = {.file = o->config};
	int parent[2], clock[2];

	if (o->level && log_level_parse(o->level, &m->s.log.level) < 0)
		return err_set(err, ERR_INVALID, "netd: --log-level %s: not a level",
			       o->level);
	node_config_load(o->config ? &only : &node_sources, o->config != NULL,
			 &m->s.conf);
	for (unsigned i = 0; o->config && i < m->s.conf.ncomplaints; i++)
		if (i < NODE_COMPLAINTS)
			log_warn(&m->s.log, "%s: %s", m->s.conf.complaints[i].where,
				 m->s.conf.complaints[i].text);
	read_cmdline(&m->s, o->cmdline ? o->cmdline : o->config ? NULL : NODE_CMDLINE);
	m->s.run_dir = open_own(o->state, 0755, err);
	if (m->s.run_dir < 0)
		return err_wrap(err, "netd");
	m->s.lease_dir = open_own(o->root, 0700, err);
	if (m->s.lease_dir < 0)
		log_warn(&m->s.log, "leases are not kept: %s", err->msg);
	link_resolv(m, o);
	m->hosts = o->hosts;
	put_name(m);
	m->s.notify = sock_notify_open();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, parent) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, clock) < 0)
		return err_sys(err, errno, "netd: socketpair");
	m->worker_sock = parent[0];
	m->s.parent = parent[1];
	m->s.time_worker = clock[0];
	m->s.time_self = clock[1];
	return 0;
}

/* --- processes ------------------------------------------------------------------------------ */

/* A fork of ours that runs fn and ends. */
static pid_t start(struct master *m, int (*fn)(struct netd_setup *s))
{
	struct err err;
	sigset_t none;
	pid_t pid = ns_clone(0, NULL, &err);

	if (pid < 0)
		log_error(&m->s.log, "%s", err.msg);
	if (pid != 0)
		return MAX(pid, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(m->sigfd);
	close(m->worker_sock);
	_exit(fn(&m->s));
}

static void start_time(struct master *m)
{
	m->time_at = 0;
	m->time = start(m, time_run);
}

/* Says how a child ended. */
static const char *how(int status, char *text, size_t n)
{
	if (WIFSIGNALED(status))
		snprintf(text, n, "signal %d", WTERMSIG(status));
	else
		snprintf(text, n, "status %d", WEXITSTATUS(status));
	return text;
}

/* Reaps. True if the worker has ended. */
static bool reap(struct master *m, int *ret_status)
{
	bool ended = false;
	char text[32];
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == m->worker) {
			m->worker = 0;
			*ret_status = status;
			ended = true;
		} else if (pid == m->time) {
			int64_t wait = MIN(RESTART_MIN << MIN(m->time_failures, 6u),
					   RESTART_MAX);

			m->time = 0;
			m->time_failures++;
			m->time_at = time_mono() + wait * NS_PER_SEC;
			log_warn(&m->s.log, "the time process has ended with %s",
				 how(status, text, sizeof(text)));
		}
	}
	return ended;
}

/* The worker's only wish: a host name of letters, digits and '-'. */
static void on_hostname(struct master *m)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	char name[NETD_HOSTNAME + 1] = "";
	ssize_t got = recv(m->worker_sock, name, NETD_HOSTNAME, MSG_DONTWAIT);
	size_t n = strlen(name);

	if (got <= 0 || *m->s.conf.hostname || !n || strspn(name, alphabet) != n)
		return;
	if (sethostname(name, n) < 0) {
		log_warn(&m->s.log, "set the host name: %s", strerror(errno));
		return;
	}
	log_info(&m->s.log, "host name: %s", name);
	put_name(m);
}

static int wait_for(struct master *m, int64_t deadline)
{
	struct pollfd p[] = {{.fd = m->sigfd, .events = POLLIN},
			     {.fd = m->worker_sock, .events = POLLIN}};
	int64_t ms = deadline ? MAX(deadline - time_mono(), 0) / NS_PER_MS + 1 : -1;

	if (poll(p, ARRAY_LEN(p), (int)ms) <= 0)
		return 0;
	if (p[1].revents & POLLIN)
		on_hostname(m);
	else if (p[1].revents)
		m->worker_sock = -1; /* poll passes over it */
	return p[0].revents & POLLIN;
}

static void stop(struct master *m)
{
	int64_t deadline = time_mono() + STOP_WAIT_MS * NS_PER_MS;
	struct signalfd_siginfo si;
	int status;

	if (m->worker)
		kill(m->worker, SIGTERM);
	while (m->worker && time_mono() < deadline) {
		if (wait_for(m, deadline))
			(void)!read(m->sigfd, &si, sizeof(si));
		reap(m, &status);
	}
	if (m->worker)
		kill(m->worker, SIGKILL);
	if (m->time)
		kill(m->time, SIGKILL);
}

static int serve(struct master *m, struct err *err)
{
	struct signalfd_siginfo si;
	sigset_t set;
	char text[32];
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->sigfd < 0)
		return err_sys(err, errno, "netd: signalfd");
	m->worker = start(m, worker_run);
	if (!m->worker)
		return err_set(err, ERR_EXHAUSTED, "netd: the worker cannot be started");
	if (m->s.conf.time_ntp)
		start_time(m);
	for (;;) {
		bool sig = wait_for(m, m->time_at);

		if (m->time_at && time_mono() >= m->time_at)
			start_time(m);
		if (!sig || read(m->sigfd, &si, sizeof(si)) != (ssize_t)sizeof(si))
			continue;
		if (si.ssi_signo != SIGCHLD) {
			stop(m);
			return 0;
		}
		if (reap(m, &status)) {
			stop(m);
			return err_set(err, ERR_INTERNAL,
				       "netd: the worker has ended with %s",
				       how(status, text, sizeof(text)));
		}
	}
}

static int run(int argc, char **argv, struct err *err)
{
	static struct master m; /* large: an initializer would put it into the file */
	struct options o = {.state = "/run/cribox",
			    .root = "/var/lib/cribox",
			    .resolv = "/etc/resolv.conf",
			    .hosts = "/etc/hosts"};

	m.s.log = (struct log){
		.fd = STDERR_FILENO, .level = LOG_LEVEL_INFO, .name = "netd"};
	if (read_options(argc, argv, &o, err) < 0 || prepare(&m, &o, err) < 0)
		return -1;
	return serve(&m, err);
}

const struct applet applet_netd = {
	.name = "netd",
	.purpose =
		"the node's network: DHCP, static addresses, router advertisements, time",
	.synopsis = "[OPTION]...",
	.usage = usage,
	.run = run,
};
