/* criu: checkpoint and restore. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/cli.h"
#include "oci/criu.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sock.h"
#include "wire/json.h"

enum { MAX_CONFIG = 16 << 20, LOG_LEVEL = 4 };

/* What the flags of both say. */
struct image {
	const char *program; /* criu */
	const char *dir, *work, *parent, *page_server;
	const char *lsm_profile, *lsm_context, *config;
	bool pre_dump, leave_running, empty_net;
	int status_fd;
	struct buf opts;
	int dir_fd, work_fd;
};

enum {
	FLAG_IMAGE = 512,
	FLAG_WORK,
	FLAG_PARENT,
	FLAG_PRE_DUMP,
	FLAG_LEAVE,
	FLAG_SERVER,
	FLAG_STATUS,
	FLAG_MODE,
	FLAG_EMPTY,
	FLAG_LOCK,
	FLAG_LSM,
	FLAG_CONTEXT,
	FLAG_SWITCH /* and the field of criu_opts */
};

#define SWITCH(name, field)                        \
	{                                          \
		name, 2, NULL, FLAG_SWITCH + field \
	}

#define COMMON_FLAGS                                                                     \
	{"image-path", 1, NULL, FLAG_IMAGE}, {"work-path", 1, NULL, FLAG_WORK},          \
		{"manage-cgroups-mode", 1, NULL, FLAG_MODE},                             \
		{"empty-ns", 1, NULL, FLAG_EMPTY}, {"network-lock", 1, NULL, FLAG_LOCK}, \
		SWITCH("tcp-established", CRIU_TCP_ESTABLISHED),                         \
		SWITCH("ext-unix-sk", CRIU_EXT_UNIX_SK),                                 \
		SWITCH("shell-job", CRIU_SHELL_JOB),                                     \
		SWITCH("file-locks", CRIU_FILE_LOCKS),                                   \
		SWITCH("auto-dedup", CRIU_AUTO_DEDUP),                                   \
		SWITCH("lazy-pages", CRIU_LAZY_PAGES)

/* The place of a word in a list; -1: none. */
static int word(const char *const *list, const char *text)
{
	for (int i = 0; list[i]; i++)
		if (str_eq(list[i], text))
			return i;
	return -1;
}

static int set_mode(struct image *m, const char *text, struct err *err)
{
	static const char *const modes[] = {"ignore", "none",	"props", "soft",
					    "full",   "strict", NULL};
	int n = word(modes, text);

	if (n < 0)
		return err_set(err, ERR_INVALID, "Invalid manage cgroups mode value: %s",
			       text);
	criu_add_int(&m->opts, CRIU_MANAGE_CGROUPS_MODE, (uint64_t)n);
	return 0;
}

static int set_server(struct image *m, const char *text, struct err *err)
{
	const char *colon = strrchr(text, ':');
	STR_AUTO address = colon ? xstrndup(text, (size_t)(colon - text)) : NULL;
	uint64_t port;

	if (!colon || num_u64(colon + 1, 1, 65535, &port) < 0)
		return err_set(err, ERR_INVALID,
			       "Use --page-server ADDRESS:PORT to "
			       "specify page server");
	criu_add_pair(&m->opts, CRIU_PAGE_SERVER, address, NULL, port);
	return 0;
}

static int flag(struct image *m, int f, const char *arg, struct err *err)
{
	static const char *const locks[] = {"", "iptables", "nftables", "skip", NULL};
	uint64_t n;

	switch (f) {
	case FLAG_IMAGE:
		m->dir = arg;
		return 0;
	case FLAG_WORK:
		m->work = arg;
		return 0;
	case FLAG_PARENT:
		m->parent = arg;
		return 0;
	case FLAG_PRE_DUMP:
		m->pre_dump = cli_switch(arg);
		return 0;
	case FLAG_LEAVE:
		m->leave_running = cli_switch(arg);
		return 0;
	case FLAG_SERVER:
		return set_server(m, arg, err);
	case FLAG_STATUS:
		if (num_u64(arg, 0, INT_MAX, &n) < 0)
			return err_set(err, ERR_INVALID, "--status-fd %s", arg);
		criu_add_int(&m->opts, CRIU_STATUS_FD, n);
		return 0;
	case FLAG_MODE:
		return set_mode(m, arg, err);
	case FLAG_EMPTY:
		if (!str_eq(arg, "network"))
			return err_set(err, ERR_INVALID, "namespace %s is not supported",
				       arg);
		m->empty_net = true;
		return 0;
	case FLAG_LOCK:
		if (word(locks, arg) < 1)
			return err_set(err, ERR_INVALID, "--network-lock %s", arg);
		criu_add_int(&m->opts, CRIU_NETWORK_LOCK, (uint64_t)word(locks, arg));
		return 0;
	case FLAG_LSM:
		criu_add_str(&m->opts, CRIU_LSM_PROFILE, arg);
		return 0;
	case FLAG_CONTEXT:
		criu_add_str(&m->opts, CRIU_LSM_MOUNT_CONTEXT, arg);
		return 0;
	default:
		if (f < FLAG_SWITCH)
			return -1;
		criu_add_int(&m->opts, (unsigned)(f - FLAG_SWITCH), cli_switch(arg));
		return 0;
	}
}

/* --- what is the same both ways ----------------------------------------------------- */

static int open_dirs(struct image *m, bool create, struct err *err)
{
	if (create && file_mkdirs(AT_FDCWD, m->dir, 0700, err) < 0)
		return -1;
	m->dir_fd = file_open(AT_FDCWD, m->dir, O_RDONLY | O_DIRECTORY, 0, err);
	if (m->dir_fd < 0)
		return -1;
	if (!m->work)
		m->work = m->dir;
	if (file_mkdirs(AT_FDCWD, m->work, 0700, err) < 0)
		return -1;
	m->work_fd = file_open(AT_FDCWD, m->work, O_RDONLY | O_DIRECTORY, 0, err);
	if (m->work_fd < 0)
		return -1;
	criu_add_int(&m->opts, CRIU_IMAGES_DIR_FD, (uint64_t)m->dir_fd);
	criu_add_int(&m->opts, CRIU_WORK_DIR_FD, (uint64_t)m->work_fd);
	criu_add_int(&m->opts, CRIU_LOG_LEVEL, LOG_LEVEL);
	criu_add_int(&m->opts, CRIU_NOTIFY_SCRIPTS, true);
	criu_add_int(&m->opts, CRIU_ORPHAN_PTS_MASTER, true);
	criu_add_int(&m->opts, CRIU_MANAGE_CGROUPS, true);
	if (m->empty_net)
		criu_add_int(&m->opts, CRIU_EMPTY_NS, CLONE_NEWNET);
	return 0;
}

static bool is_bind(yyjson_val *mount)
{
	yyjson_val *o;

	if (str_eq(str_or_empty(json_str(mount, "type")), "bind"))
		return true;
	json_each (o, json_arr(mount, "options"))
		if (yyjson_equals_str(o, "bind") || yyjson_equals_str(o, "rbind"))
			return true;
	return false;
}

/* What comes from outside: bind mounts, and the host's /dev/null over masked files. */
static void add_mounts(struct image *m, const struct ctr *c, yyjson_val *root,
		       bool restore)
{
	yyjson_val *v;

	json_each (v, json_arr(root, "mounts")) {
		const char *to = json_str(v, "destination"),
			   *from = json_str(v, "source");

		if (to && from && is_bind(v))
			criu_add_pair(&m->opts, CRIU_EXT_MNT, to, restore ? from : to, 0);
	}
	if (restore)
		criu_add_pair(&m->opts, CRIU_EXT_MNT, "/dev/null", "/dev/null", 0);
	json_each (v, json_arr(json_obj(root, "linux"), "maskedPaths")) {
		const char *path = str_or_empty(yyjson_get_str(v));
		STR_AUTO real =
			xasprintf("%s%s",
				  str_starts(path, "/proc/") || str_starts(path, "/sys/")
					  ? ""
					  : c->rootfs,
				  path);
		struct stat st;

		if (!restore && stat(real, &st) == 0 && !S_ISDIR(st.st_mode))
			criu_add_pair(&m->opts, CRIU_EXT_MNT, path, "/dev/null", 0);
	}
}

/* Namespaces that the container has joined stay outside. fds: where they are kept open. */
static int add_namespaces(struct image *m, yyjson_val *root, bool restore, int fds[2],
			  struct err *err)
{
	static const char *const types[] = {"network", "pid"};
	static const char *const names[] = {"net", "pid"};
	static const char *const keys[] = {"extRootNetNS", "extRootPidNS"};
	yyjson_val *v;

	json_each (v, json_arr(json_obj(root, "linux"), "namespaces"))
		for (int i = 0; i < 2; i++) {
			const char *path = json_str(v, "path");
			struct stat st;

			if (!str_eq(str_or_empty(json_str(v, "type")), types[i]) ||
			    str_empty(path))
				continue;
			if (restore) {
				fds[i] = open(path, O_RDONLY); /* criu inherits it */
				if (fds[i] < 0)
					return err_sys(err, errno, "open %s", path);
				criu_add_pair(&m->opts, CRIU_INHERIT_FD, keys[i], NULL,
					      (uint64_t)fds[i]);
			} else if (stat(path, &st) == 0) {
				STR_AUTO text =
					xasprintf("%s[%llu]:%s", names[i],
						  (unsigned long long)st.st_ino, keys[i]);

				criu_add_str(&m->opts, CRIU_EXTERNAL, text);
			}
		}
	return 0;
}

static yyjson_doc *read_config(const struct ctr *c, struct err *err)
{
	BUF_AUTO text = {0};

	if (file_read(c->dir, "config.json", MAX_CONFIG, &text, err) < 0)
		return NULL;
	return json_parse(text.data, text.len, err);
}

static int explain(const struct image *m, const char *log, int r, struct err *err)
{
	char link[FD_PATH], path[PATH_MAX];
	ssize_t n = readlink(fd_path(link, m->work_fd), path, sizeof(path) - 1);
	struct err why;

	if (r == 0 || n < 0)
		return r;
	path[n] = 0;
	why = *err;
	return err_set(err, why.code, "%s (log file: %s/%s)", why.msg, path, log);
}

static void image_done(struct image *m)
{
	fd_close(&m->dir_fd);
	fd_close(&m->work_fd);
	buf_done(&m->opts);
}

/* --- checkpoint --------------------------------------------------------------------- */

static int ignore(void *arg, const struct criu_notify *n, struct err *err)
{
	(void)arg;
	(void)n;
	(void)err;
	return 0;
}

/* Where the container's processes can be frozen. */
static void add_freezer(struct image *m, const struct ctr *c, const struct cgroups *g)
{
	bool v1 = g && cgroups_has(g, "freezer") && !cgroups_is_v2(g, "freezer");
	char link[FD_PATH], path[PATH_MAX];
	struct err ignored;
	FD_AUTO dir = -1;
	ssize_t n;

	if (!g || !*c->cgroup)
		return;
	dir = cgroup_dir(g, v1 ? "freezer" : "", c->cgroup, &ignored);
	n = dir < 0 ? -1 : readlink(fd_path(link, dir), path, sizeof(path) - 1);
	if (n < 0)
		return;
	path[n] = 0;
	criu_add_str(&m->opts, CRIU_FREEZE_CGROUP, path);
}

/* The names of its streams: a restore puts new ones in their place. */
static int save_descriptors(const struct image *m, const struct ctr *c, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *arr = yyjson_mut_arr(d);
	BUF_AUTO text = {0};

	for (int i = 0; i < 3; i++)
		yyjson_mut_arr_add_strcpy(d, arr, str_or_empty(c->stdio[i]));
	yyjson_mut_doc_set_root(d, arr);
	json_write(d, false, &text);
	return file_replace(m->dir_fd, "descriptors.json", text.data, text.len, 0600,
			    false, err);
}

static int dump(struct image *m, const struct ctr *c, const struct cgroups *g,
		struct err *err)
{
	struct criu_call call = {.program = m->program,
				 .type = m->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP,
				 .opts = &m->opts,
				 .notify = ignore};
	JSON_AUTO config = read_config(c, err);

	if (!config || open_dirs(m, true, err) < 0 ||
	    add_namespaces(m, yyjson_doc_get_root(config), false, NULL, err) < 0)
		return -1;
	criu_add_str(&m->opts, CRIU_LOG_FILE, "dump.log");
	criu_add_str(&m->opts, CRIU_ROOT, c->rootfs);
	criu_add_int(&m->opts, CRIU_PID, (uint64_t)c->pid);
	criu_add_int(&m->opts, CRIU_LEAVE_RUNNING, m->leave_running);
	if (m->parent)
		criu_add_str(&m->opts, CRIU_PARENT_IMG, m->parent);
	if (m->parent || m->pre_dump)
		criu_add_int(&m->opts, CRIU_TRACK_MEM, true);
	add_freezer(m, c, g);
	add_mounts(m, c, yyjson_doc_get_root(config), false);
	if (!m->pre_dump && save_descriptors(m, c, err) < 0)
		return -1;
	return explain(m, "dump.log", criu_run(&call, err), err);
}

int cmd_checkpoint(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {COMMON_FLAGS,
					      {"parent-path", 1, NULL, FLAG_PARENT},
					      {"pre-dump", 2, NULL, FLAG_PRE_DUMP},
					      {"leave-running", 2, NULL, FLAG_LEAVE},
					      {"page-server", 1, NULL, FLAG_SERVER},
					      {"status-fd", 1, NULL, FLAG_STATUS},
					      SWITCH("tcp-skip-in-flight",
						     CRIU_TCP_SKIP_IN_FLIGHT),
					      SWITCH("link-remap", CRIU_LINK_REMAP),
					      {NULL, 0, NULL, 0}};
	struct image m = {
		.program = cli->criu, .dir = "checkpoint", .dir_fd = -1, .work_fd = -1};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	BUF_AUTO warnings = {0};
	enum ctr_status status;
	int f, r = 0;

	while (r == 0 && (f = cli_flag(argc, argv, "", flags, err)) != -1)
		r = f == -2 ? -1 : flag(&m, f, optarg, err);
	if (r == 0)
		r = ctr_open(cli, argc, argv, &c, &g, err);
	if (r == 0) {
		status = ctr_status(&c, g);
		if (status != CTR_RUNNING && status != CTR_PAUSED)
			r = err_set(err, ERR_STATE,
				    "Container cannot be checkpointed in %s state",
				    ctr_status_names[status]);
		else
			r = dump(&m, &c, g, err);
	}
	if (r == 0 && !m.leave_running && !m.pre_dump) {
		r = ctr_destroy(cli, &c, g, &warnings, err);
		cli_warn(&warnings);
	}
	ctr_close(&c, g);
	image_done(&m);
	return r;
}

/* --- restore ------------------------------------------------------------------------ */

struct restore {
	struct create c;
	struct image m;
	int console; /* socket that gets the terminal; -1 */
	pid_t pid;
};

static int on_restore(void *arg, const struct criu_notify *n, struct err *err)
{
	struct restore *r = arg;
	struct create *c = &r->c;

	if (str_eq(n->script, "setup-namespaces") &&
	    (ctr_run_hooks(&c->ctr, OCI_HOOK_PRESTART, n->pid, &c->warnings, err) < 0 ||
	     ctr_run_hooks(&c->ctr, OCI_HOOK_CREATE_RUNTIME, n->pid, &c->warnings, err) <
		     0))
		return -1;
	if (str_eq(n->script, "post-restore")) {
		r->pid = n->pid;
		return create_started(c, n->pid, err);
	}
	if (str_eq(n->script, "orphan-pts-master") && n->fd >= 0 && r->console >= 0 &&
	    sock_send_fds(r->console, "/dev/pts/0", 10, &n->fd, 1) < 0)
		return err_sys(err, errno, "send the terminal to the console socket");
	return 0;
}

/* criu wants a mount for a root: in a mount namespace of ours, that nobody sees. */
static int mount_root(struct restore *r, struct err *err)
{
	STR_AUTO path = xasprintf("%s/%s/criu-root", r->c.cli->root, r->c.id);

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(err, errno, "mount namespace");
	if (mkdirat(r->c.ctr.dir, "criu-root", 0755) < 0)
		return err_sys(err, errno, "make %s", path);
	if (mount(r->c.ctr.rootfs, path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(err, errno, "bind %s", r->c.ctr.rootfs);
	criu_add_str(&r->m.opts, CRIU_ROOT, path);
	return 0;
}

/* Streams that were pipes become ours. */
static int add_stdio(struct image *m, struct err *err)
{
	JSON_AUTO doc = NULL;
	BUF_AUTO text = {0};
	yyjson_val *v;
	uint64_t i = 0;

	if (file_read(m->dir_fd, "descriptors.json", 1 << 16, &text, err) < 0 ||
	    !(doc = json_parse(text.data, text.len, err)))
		return err_wrap(err, "checkpoint image");
	json_each (v, yyjson_doc_get_root(doc)) {
		const char *s = str_or_empty(yyjson_get_str(v));

		if (i < 3 && str_starts(s, "pipe:"))
			criu_add_pair(&m->opts, CRIU_INHERIT_FD, s, NULL, i);
		i++;
	}
	return 0;
}

static void add_groups(struct restore *r)
{
	const struct cgroups *g = r->c.group.cgroups;
	const char *path = r->c.ctr.cgroup;

	if (!g || !*path)
		return;
	for (unsigned i = 0; i < cgroups_count(g); i++)
		criu_add_pair(&r->m.opts, CRIU_CG_ROOT,
			      cgroups_tree_is_v2(g, i) ? NULL : cgroups_tree_name(g, i),
			      path, 0);
}

static int restore(struct restore *r, struct err *err)
{
	struct criu_call call = {.program = r->m.program,
				 .type = CRIU_RESTORE,
				 .opts = &r->m.opts,
				 .notify = on_restore,
				 .arg = r};
	JSON_AUTO config = NULL;
	int ns[2] = {-1, -1}, rc = -1;

	if (create_prepare(&r->c, err) < 0 || !(config = read_config(&r->c.ctr, err)) ||
	    mount_root(r, err) < 0 || open_dirs(&r->m, false, err) < 0 ||
	    add_stdio(&r->m, err) < 0)
		return -1;
	criu_add_str(&r->m.opts, CRIU_LOG_FILE, "restore.log");
	criu_add_int(&r->m.opts, CRIU_EVASIVE_DEVICES, true);
	criu_add_int(&r->m.opts, CRIU_RST_SIBLING, true);
	add_groups(r);
	add_mounts(&r->m, &r->c.ctr, yyjson_doc_get_root(config), true);
	if (add_namespaces(&r->m, yyjson_doc_get_root(config), true, ns, err) == 0)
		rc = explain(&r->m, "restore.log", criu_run(&call, err), err);
	fd_close(&ns[0]);
	fd_close(&ns[1]);
	if (rc == 0 && r->pid <= 0)
		return err_set(err, ERR_INTERNAL, "criu told no process");
	if (rc == 0 && cli_write_pid(r->c.pid_file, r->pid, err) < 0)
		return -1;
	return rc;
}

static int restore_parse(struct restore *r, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {COMMON_FLAGS,
					      {"lsm-profile", 1, NULL, FLAG_LSM},
					      {"lsm-mount-context", 1, NULL,
					       FLAG_CONTEXT},
					      SWITCH("tcp-close", CRIU_TCP_CLOSE),
					      CREATE_OPTIONS,
					      {NULL, 0, NULL, 0}};
	int f;

	r->c.bundle = ".";
	r->c.config = "config.json";
	while ((f = cli_flag(argc, argv, "b:f:d", flags, err)) != -1)
		if (f == -2 || (f >= FLAG_IMAGE ? flag(&r->m, f, optarg, err)
						: create_flag(&r->c, f, optarg, err)) < 0)
			return -1;
	r->c.id = cli_id(argc, argv, err);
	return r->c.id ? 0 : -1;
}

int cmd_restore(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	struct restore r = {.c = {.cli = cli,
				  .run = true,
				  .ctr = {.dir = -1},
				  .group = {.holder = -1}},
			    .m = {.program = cli->criu,
				  .dir = "checkpoint",
				  .dir_fd = -1,
				  .work_fd = -1},
			    .console = -1};
	FD_AUTO socket = -1;
	FD_AUTO pidfd = -1;
	int rc = restore_parse(&r, argc, argv, err);

	if (rc == 0 && r.c.console_socket) {
		r.console = socket = sock_connect_unix(r.c.console_socket, err);
		rc = socket < 0 ? -1 : 0;
	}
	if (rc == 0 && (rc = restore(&r, err)) < 0) {
		err_wrap(err, "%s restore failed", cli->name);
		create_undo(&r.c);
	}
	if (rc == 0 && !r.c.detach) {
		pidfd = proc_pidfd(r.pid, err);
		rc = pidfd < 0 ? -1 : wait_child(r.pid, pidfd, -1, err);
		if (rc >= 0 && !r.c.keep)
			ctr_destroy(cli, &r.c.ctr, r.c.group.cgroups, &r.c.warnings, err);
	}
	create_done(&r.c);
	image_done(&r.m);
	return rc;
}
