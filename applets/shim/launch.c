#include "shim/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cgroup/systemd.h"
#include "oci/oci.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"
#include "os/sock.h"
#include "shim/rootfs.h"
#include "wire/base64.h"

enum { PROFILE_MAX = 4 << 20, REMOVE_MS = 5000 };

/* --- spec ------------------------------------------------------------------------------------ */

static int set_seccomp(yyjson_val *req, struct oci_spec *spec, struct arena *a,
		       struct err *err)
{
	const char *profile = json_str(req, "seccomp");
	BUF_AUTO text = {0};

	if (!profile)
		return 0;
	if (str_eq(profile, "default")) {
		oci_spec_seccomp_default(spec, a);
		return 0;
	}
	if (file_read(AT_FDCWD, profile, PROFILE_MAX, &text, err) < 0 ||
	    oci_spec_seccomp_parse(spec, text.data, text.len, a, err) < 0)
		return err_wrap(err, "seccomp profile %s", profile);
	return 0;
}

/* The container's configuration with its seccomp profile. */
static int load_spec(yyjson_val *req, struct arena *a, struct oci_spec **ret,
		     struct err *err)
{
	BUF_AUTO text = {0};

	json_write_val(json_obj(req, "spec"), false, &text);
	if (oci_spec_parse(text.data, text.len, a, ret, err) < 0)
		return -1;
	return set_seccomp(req, *ret, a, err);
}

static int add_devices(yyjson_val *req, struct oci_spec *spec, struct arena *a,
		       struct err *err)
{
	yyjson_val *v;

	if (json_bool(req, "host_devices", false) &&
	    oci_spec_add_host_devices(spec, a, err) < 0)
		return -1;
	json_each (v, json_arr(req, "devices"))
		if (oci_spec_add_device(spec, a, json_str(v, "path"),
					json_str(v, "host_path"),
					json_str(v, "permissions"), err) < 0)
			return -1;
	return 0;
}

/* A directory on the host that a volume names and that is not there is made, as peers do. */
static int make_source(const char *source, struct err *err)
{
	struct stat st;

	if (stat(source, &st) == 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(err, errno, "volume %s", source);
	if (file_mkdirs(AT_FDCWD, source, 0755, err) < 0)
		return err_wrap(err, "volume");
	return 0;
}

static bool has_option(yyjson_val *mount, const char *name)
{
	yyjson_val *v;

	json_each (v, json_arr(mount, "options"))
		if (yyjson_equals_str(v, name))
			return true;
	return false;
}

/* Mounts can only propagate from or to a mount that takes part in it. */
static int check_propagation(yyjson_val *mount, const char *source, struct err *err)
{
	bool both = has_option(mount, "rshared"), in = has_option(mount, "rslave");
	unsigned have;

	if (!both && !in)
		return 0;
	if (mount_propagation(source, &have, err) < 0)
		return err_wrap(err, "volume");
	if (both && !(have & MOUNT_SHARED))
		return err_set(
			err, ERR_INVALID,
			"path \"%s\" is mounted on a mount that is not a shared mount",
			source);
	if (in && !have)
		return err_set(
			err, ERR_INVALID,
			"path \"%s\" is mounted on a mount that is not a shared or "
			"slave mount",
			source);
	return 0;
}

static int check_volumes(yyjson_val *mounts, struct err *err)
{
	yyjson_val *v;

	json_each (v, mounts) {
		const char *source = json_str(v, "source");

		if (!str_eq(str_or_empty(json_str(v, "type")), "bind") || !source ||
		    *source != '/')
			continue;
		if (make_source(source, err) < 0 || check_propagation(v, source, err) < 0)
			return -1;
	}
	return 0;
}

/* What a start would refuse is refused when the container is made. */
static int check_spec(yyjson_val *req, struct err *err)
{
	ARENA_AUTO arena = {0};
	struct oci_spec *spec;

	if (load_spec(req, &arena, &spec, err) < 0 ||
	    check_volumes(json_arr(json_obj(req, "spec"), "mounts"), err) < 0)
		return -1;
	if (add_devices(req, spec, &arena, err) < 0) {
		if (err->code == ERR_NOT_FOUND) /* named by the request: its fault */
			err->code = ERR_INVALID;
		return -1;
	}
	return 0;
}

/* --- root file system ------------------------------------------------------------------------ */

/* The container's own directories; upper looks like the image's root directory. */
static int make_upper(int dirfd, int view, uint32_t owner, struct err *err)
{
	struct stat st;

	if (fstat(view, &st) < 0)
		return err_sys(err, errno, "stat the image's root");
	if (mkdirat(dirfd, "upper", 0755) < 0 || mkdirat(dirfd, "work", 0700) < 0 ||
	    fchownat(dirfd, "upper", st.st_uid + owner, st.st_gid + owner,
		     AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dirfd, "upper", st.st_mode & 07777, 0) < 0)
		return err_sys(err, errno, "make the container's directories");
	return 0;
}

/* First host id of the pod's user namespace, 0 without one. */
static uint32_t userns_base(struct shim *s)
{
	yyjson_val *user = json_obj(json_obj(s->pod.spec, "ns"), "user");

	return (uint32_t)json_u64(yyjson_arr_get_first(json_arr(user, "uids")), "host",
				  0);
}

static void add_user(const struct oci_user *u, yyjson_mut_doc *d, yyjson_mut_val *out)
{
	yyjson_mut_val *groups;

	json_add_u64(d, out, "uid", u->uid);
	json_add_u64(d, out, "gid", u->gid);
	json_add_str(d, out, "home", u->home);
	groups = json_add_arr(d, out, "groups");
	for (size_t i = 0; i < u->ngroups; i++)
		yyjson_mut_arr_add_uint(d, groups, u->groups[i]);
}

static int resolve_user(int view, yyjson_val *u, yyjson_mut_doc *d, yyjson_mut_val *out,
			struct err *err)
{
	ARENA_AUTO arena = {0};
	yyjson_val *list = json_arr(u, "groups"), *v;
	gid_t *groups =
		arena_array(&arena, list ? yyjson_arr_size(list) : 0, sizeof(gid_t));
	struct oci_user_query q = {.user = json_str(u, "username"),
				   .groups = groups,
				   .has_gid = json_get(u, "gid") != NULL,
				   .gid = (gid_t)json_u64(u, "gid", 0),
				   .strict = json_bool(u, "strict", false)};
	struct oci_user user;

	json_each (v, list)
		groups[q.ngroups++] = (gid_t)yyjson_get_uint(v);
	if (json_get(u, "uid"))
		q.user = arena_fmt(&arena, "%llu",
				   (unsigned long long)json_u64(u, "uid", 0));
	else if (!q.user)
		q.user = json_str(u, "image_user");
	if (oci_user_resolve(view, &q, &arena, &user, err) < 0)
		return -1;
	add_user(&user, d, out);
	return 0;
}

/* The kubelet looks for this word. */
static int image_volume(struct shim *s, yyjson_val *v, struct err *err)
{
	int fd = rootfs_volume(s, v, err);

	if (fd < 0 && err->code == ERR_NOT_FOUND) /* named by the request: its fault */
		err->code = ERR_INVALID;
	return fd < 0 ? err_wrap(err, "ImageVolumeMountFailed") : fd;
}

static int check_image_volumes(struct shim *s, yyjson_val *req, struct err *err)
{
	yyjson_val *v;

	json_each (v, json_arr(req, "image_volumes")) {
		FD_AUTO fd = image_volume(s, v, err);

		if (fd < 0)
			return -1;
	}
	return 0;
}

int launch_prepare(struct shim *s, yyjson_val *req, int dirfd, yyjson_mut_doc *d,
		   yyjson_mut_val *out, struct err *err)
{
	FD_AUTO view = -1;

	if (check_spec(req, err) < 0 || check_image_volumes(s, req, err) < 0 ||
	    (view = rootfs_view(req, err)) < 0)
		return -1;
	if (resolve_user(view, json_obj(req, "user"), d, out, err) < 0) {
		if (err->code ==
		    ERR_NOT_FOUND) /* a name in the request that is nobody's */
			err->code = ERR_INVALID;
		return -1;
	}
	return make_upper(dirfd, view, userns_base(s), err);
}

/* --- start --------------------------------------------------------------------------------- */

/* What one start needs; closed and freed as a whole. */
struct launch {
	struct container *ct;
	struct shim *shim;
	yyjson_doc *doc;
	yyjson_val *req; /* root of doc: the container's request */
	struct arena arena;
	struct oci_spec *spec;
	struct oci_process *process;
	struct oci_mount_fd *mounts; /* in the arena; the fds are owned */
	size_t nmounts;
	int rootfs, target_pid_ns;
	int console[2]; /* socket pair: ours, the runtime's */
	int holder;	/* of systemd's scope: systemd_release() */
};

static void launch_init(struct launch *l, struct container *ct)
{
	*l = (struct launch){.ct = ct,
			     .shim = ct->shim,
			     .doc = container_request(ct),
			     .rootfs = -1,
			     .holder = -1,
			     .target_pid_ns = -1,
			     .console = {-1, -1}};
	l->req = yyjson_doc_get_root(l->doc);
}

static void launch_done(struct launch *l)
{
	json_free(&l->doc);
	while (l->nmounts)
		fd_close(&l->mounts[--l->nmounts].fd);
	fd_close(&l->rootfs);
	fd_close(&l->target_pid_ns);
	fd_close(&l->console[0]);
	fd_close(&l->console[1]);
	systemd_release(&l->holder);
	arena_done(&l->arena);
}

/* The part of the environment that is not UTF-8. */
static void set_raw_env(struct launch *l)
{
	yyjson_val *v;

	json_each (v, json_arr(l->req, "raw_env")) {
		const char *text = str_or_empty(json_str(v, "value"));
		BUF_AUTO value = {0};

		if (base64_decode(&value, text, strlen(text)) == 0)
			oci_process_setenv(l->process, &l->arena,
					   str_or_empty(json_str(v, "key")),
					   buf_str(&value));
	}
}

/* The identity that was resolved when the container was made, and its home. */
static void set_user(struct launch *l)
{
	struct oci_process *p = l->process;
	struct arena *a = &l->arena;
	yyjson_val *u = yyjson_doc_get_root(l->ct->user), *v;
	yyjson_val *list = json_arr(u, "groups");
	gid_t *groups = arena_array(a, list ? yyjson_arr_size(list) : 0, sizeof(gid_t));
	bool has_home = false, has_host = false;
	char host[256] = "";

	p->uid = (uid_t)json_u64(u, "uid", 0);
	p->gid = (gid_t)json_u64(u, "gid", 0);
	p->ngroups = 0;
	json_each (v, list)
		groups[p->ngroups++] = (gid_t)yyjson_get_uint(v);
	p->groups = groups;
	for (char *const *e = p->env; e && *e; e++) {
		has_home |= str_starts(*e, "HOME=");
		has_host |= str_starts(*e, "HOSTNAME=");
	}
	if (!has_home)
		oci_process_setenv(p, a, "HOME", str_or_empty(json_str(u, "home")));
	if (!has_host) {
		if (gethostname(host, sizeof(host) - 1) < 0)
			*host = 0;
		oci_process_setenv(p, a, "HOSTNAME", host);
	}
	set_raw_env(l);
}

static int mount_root(struct launch *l, struct err *err)
{
	STR_AUTO path = xasprintf("containers/%s", l->ct->id);
	FD_AUTO dir = file_open(l->shim->rootfd, path, O_RDONLY | O_DIRECTORY, 0, err);

	if (dir < 0)
		return -1;
	l->rootfs = rootfs_mount(l->shim, l->req, dir, err);
	return l->rootfs < 0 ? -1 : 0;
}

/* A clone of the pod's /dev/shm, which lives in the holder's mount namespace. */
static int clone_shm(struct launch *l, struct err *err)
{
	int holder = l->shim->pod.ns[POD_NS_MNT];
	FD_AUTO own = -1;
	FD_AUTO shm = -1;

	if (holder < 0)
		return 0;
	own = file_open(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY, 0, err);
	if (own < 0)
		return -1;
	if (setns(holder, CLONE_NEWNS) < 0)
		return err_sys(err, errno, "enter the pod's mount namespace");
	shm = mount_clone(AT_FDCWD, "/dev/shm", false, err);
	if (setns(own, CLONE_NEWNS) < 0)
		return err_sys(err, errno, "leave the pod's mount namespace");
	if (shm < 0)
		return -1;
	l->mounts[l->nmounts++] = (struct oci_mount_fd){"/dev/shm", fd_take(&shm)};
	return 0;
}

/* What takes the place of the spec's mounts. */
static int make_mounts(struct launch *l, struct err *err)
{
	yyjson_val *images = json_arr(l->req, "image_volumes"), *v;

	l->mounts = arena_array(&l->arena, (images ? yyjson_arr_size(images) : 0) + 1,
				sizeof(*l->mounts));
	json_each (v, images) {
		int fd = image_volume(l->shim, v, err);

		if (fd < 0)
			return -1;
		l->mounts[l->nmounts++] = (struct oci_mount_fd){
			str_or_empty(json_str(v, "destination")), fd};
	}
	return clone_shm(l, err);
}

static const char *pid_mode(struct container *ct)
{
	return str_or_empty(json_str(json_obj(ct->shim->pod.spec, "ns"), "pid"));
}

/* The PID namespace of another container of the pod (an ephemeral container's target). */
static int open_target(struct launch *l, const char *id, struct err *err)
{
	struct container *target = ctr_by_id(l->shim, id, err);
	char path[64];

	if (!target)
		return err_wrap(err, "pid target");
	if (target->state != CTR_RUNNING)
		return err_set(err, ERR_STATE, "pid target %s is not running", id);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)target->pid);
	l->target_pid_ns = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
	return l->target_pid_ns < 0 ? -1 : 0;
}

static int set_namespaces(struct launch *l, struct oci_start *how, struct err *err)
{
	static const struct {
		enum oci_ns oci;
		enum pod_ns pod;
	} shared[] = {{OCI_NS_USER, POD_NS_USER},
		      {OCI_NS_NET, POD_NS_NET},
		      {OCI_NS_IPC, POD_NS_IPC},
		      {OCI_NS_UTS, POD_NS_UTS}};
	const char *mode = str_or_empty(json_str(l->req, "pid"));
	const char *target = json_str(l->req, "pid_target");

	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		how->ns_fds[shared[i].oci] = l->shim->pod.ns[shared[i].pod];
	if (target) {
		if (open_target(l, target, err) < 0)
			return -1;
		how->ns_fds[OCI_NS_PID] = l->target_pid_ns;
	} else if (str_eq(mode, "pod")) {
		how->ns_fds[OCI_NS_PID] = l->shim->pod.ns[POD_NS_PID];
		if (how->ns_fds[OCI_NS_PID] < 0)
			return err_set(
				err, ERR_STATE,
				"the pod has no PID namespace to share (its mode is %s)",
				pid_mode(l->ct));
	}
	return 0;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A name that launch_cgroup() gives where systemd makes the groups. */
static bool is_scope(const char *cgroup)
{
	return str_starts(last_part(cgroup), "cribox-") && str_ends(cgroup, ".scope");
}

/* A scope of systemd's in the pod's slice. */
static int make_scope(struct launch *l, struct err *err)
{
	const struct container *ct = l->ct;
	struct systemd_start how = {
		.unit = {last_part(ct->cgroup), last_part(l->shim->pod.cgroup)},
		.description = arena_fmt(&l->arena, "container %s", ct->id),
		.resources = oci_spec_resources(l->spec),
		.v2 = cgroups_mode(l->shim->cgroups) == CGROUPS_V2,
	};
	struct systemd *bus = systemd_open(false, err);
	STR_AUTO group = NULL;
	int r = bus ? systemd_start(bus, &how, &group, &l->holder, err) : -1;

	systemd_free(bus);
	if (r == 0 && !str_eq(group, ct->cgroup))
		return err_set(err, ERR_INTERNAL, "systemd: unit %s is at %s, not at %s",
			       how.unit.name, group, ct->cgroup);
	return r;
}

static int make_cgroup(struct launch *l, struct err *err)
{
	if (is_scope(l->ct->cgroup) && make_scope(l, err) < 0)
		return -1;
	if (cgroup_make(l->shim->cgroups, l->ct->cgroup, err) < 0)
		return -1;
	return resources_apply(l->shim->cgroups, l->ct->cgroup,
			       oci_spec_resources(l->spec), err);
}

static int prepare(struct launch *l, struct oci_start *how, struct err *err)
{
	if (load_spec(l->req, &l->arena, &l->spec, err) < 0)
		return -1;
	l->process = oci_spec_process(l->spec);
	set_user(l);
	if (add_devices(l->req, l->spec, &l->arena, err) < 0 ||
	    check_volumes(json_arr(json_obj(l->req, "spec"), "mounts"), err) < 0 ||
	    mount_root(l, err) < 0 || make_mounts(l, err) < 0 ||
	    set_namespaces(l, how, err) < 0)
		return -1;
	if (l->process->terminal && sock_pair(l->console, err) < 0)
		return -1;
	return make_cgroup(l, err);
}

/* What was clamped or left out is the same for every container: crid says it, once. */
static void say_warnings(struct shim *s, struct buf *warnings)
{
	const char *text = buf_str(warnings);

	for (const char *nl; (nl = strchr(text, '\n')); text = nl + 1)
		log_debug(&s->log, "%.*s", (int)(nl - text), text);
}

/* The terminal's master, which the runtime has put into the socket. */
int launch_console(int sock, struct err *err)
{
	char name[256];
	size_t n = 1;
	int fd = -1;

	if (sock_recv_fds(sock, name, sizeof(name), &fd, &n) <= 0 || n != 1)
		return err_set(err, ERR_INTERNAL, "the container sent no terminal");
	return fd;
}

/* The filters of all pods' containers, compiled once. */
static const char *seccomp_cache(struct launch *l)
{
	return arena_fmt(&l->arena, "%s/seccomp", l->shim->state);
}

pid_t launch_start(struct container *ct, const int stdio[3], int *ret_console,
		   struct err *err)
{
	__attribute__((cleanup(launch_done))) struct launch l;
	struct oci_start how;
	struct oci_started started;
	BUF_AUTO warnings = {0};
	struct err ignored;
	int r;

	launch_init(&l, ct);
	oci_start_init(&how);
	r = prepare(&l, &how, err);
	if (r == 0) {
		how.id = ct->id;
		how.spec = l.spec;
		how.rootfs_fd = l.rootfs;
		how.mounts = l.mounts;
		how.nmounts = l.nmounts;
		memcpy(how.stdio, stdio, sizeof(how.stdio));
		how.console_socket = l.console[1];
		how.cgroups = ct->shim->cgroups;
		how.cgroup = ct->cgroup;
		how.for_parent = true;
		how.pdeathsig = SIGKILL;
		how.seccomp_cache = seccomp_cache(&l);
		r = oci_start(&how, &started, &warnings, err);
		say_warnings(ct->shim, &warnings);
	}
	if (r == 0 && l.process->terminal) {
		*ret_console = launch_console(l.console[0], err);
		r = *ret_console < 0 ? -1 : 0;
	}
	if (r == 0)
		return started.pid;
	systemd_release(&l.holder);
	launch_cgroup_remove(ct->shim, ct->cgroup, &ignored);
	return -1;
}

/* --- exec ---------------------------------------------------------------------------------- */

static int not_started(struct err *err)
{
	return err_wrap(err, "OCI runtime exec failed: exec failed: unable to start "
			     "container process");
}

int launch_outcome(int errfd, struct err *err)
{
	if (oci_started(errfd, err) == 0)
		return 0;
	return err->sys == EAGAIN ? 1 : not_started(err);
}

pid_t launch_exec(struct container *ct, const struct launch_exec *x, int *ret_errfd,
		  int *ret_console, struct err *err)
{
	__attribute__((cleanup(launch_done))) struct launch l;
	struct oci_exec how;
	struct oci_process process;
	struct oci_started started;
	BUF_AUTO warnings = {0};

	launch_init(&l, ct);
	if (load_spec(l.req, &l.arena, &l.spec, err) < 0 ||
	    (x->tty && sock_pair(l.console, err) < 0))
		return -1;
	l.process = oci_spec_process(l.spec);
	set_user(&l);
	if (x->tty)
		oci_process_setenv(l.process, &l.arena, "TERM", "xterm");
	process = *l.process;
	process.args = x->argv;
	process.terminal = x->tty;
	oci_exec_init(&how);
	how.pid = ct->pid;
	how.pidfd = ct->pidfd;
	how.spec = l.spec;
	how.process = &process;
	memcpy(how.stdio, x->stdio, sizeof(how.stdio));
	how.console_socket = l.console[1];
	how.cgroups = ct->shim->cgroups;
	how.cgroup = ct->cgroup;
	how.pdeathsig = SIGKILL;
	how.seccomp_cache = seccomp_cache(&l);
	how.async = true;
	if (oci_exec(&how, &started, &warnings, err) < 0)
		return not_started(err);
	fd_close(&started.pidfd);
	fd_set_nonblock(started.errfd, true);
	*ret_errfd = started.errfd;
	*ret_console = x->tty ? fd_take(&l.console[0]) : -1;
	return started.pid;
}

/* --- the end ------------------------------------------------------------------------------- */

void launch_kill_all(struct container *ct)
{
	struct err err;

	if (cgroup_kill(ct->shim->cgroups, ct->cgroup, SIGKILL, &err) < 0)
		log_warn(&ct->shim->log, "container %s: %s", ct->id, err.msg);
}

uint64_t launch_oom_kills(struct container *ct)
{
	return cgroup_oom_kills(ct->shim->cgroups, ct->cgroup);
}

int launch_update(const struct container *ct, const struct resources *r, struct err *err)
{
	const struct cgroups *g = ct->shim->cgroups;

	/* systemd writes its properties anew when it likes */
	if (is_scope(ct->cgroup)) {
		struct systemd *bus = systemd_open(false, err);
		int rc = bus ? systemd_update(bus, last_part(ct->cgroup), g, ct->cgroup,
					      r, err)
			     : -1;

		systemd_free(bus);
		if (rc < 0)
			return -1;
	}
	return resources_update(g, ct->cgroup, r, err);
}

int launch_cgroup_remove(struct shim *s, const char *path, struct err *err)
{
	if (cgroup_kill(s->cgroups, path, SIGKILL, err) < 0)
		return -1;
	if (is_scope(path)) {
		struct systemd *bus = systemd_open(false, err);
		int r = bus ? systemd_stop(bus, last_part(path), err) : -1;

		systemd_free(bus);
		/* where no manager answers, there is no unit */
		if (r < 0 && (bus || err->code != ERR_UNAVAILABLE))
			return -1;
	}
	return cgroup_remove(s->cgroups, path, REMOVE_MS, err);
}

char *launch_cgroup(const struct shim *s, const char *id)
{
	return s->pod.systemd ? xasprintf("%s/cribox-%s.scope", s->pod.cgroup, id)
			      : xasprintf("%s/%s", s->pod.cgroup, id);
}
