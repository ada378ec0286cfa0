#include "os/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/path.h"

enum {
	MAX_TREES = 32,
	MAX_FILE = 1 << 20,
	MAX_DEPTH = 64,
	FREEZE_MS = 5000,
};

struct tree {
	char *controllers; /* ",cpu,cpuacct,"; version 2: what it offers */
	char *name;	   /* of the mount point's directory */
	char *options;	   /* of mount(2), version 1 */
	int fd;
	bool v2;
};

struct cgroups {
	struct tree trees[MAX_TREES];
	unsigned n;
	enum cgroups_mode mode;
};

void cgroups_free(struct cgroups *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < g->n; i++) {
		fd_close(&g->trees[i].fd);
		free(g->trees[i].controllers);
		free(g->trees[i].options);
		free(g->trees[i].name);
	}
	free(g);
}

/* "cpu cpuset\n" or "rw,cpu,cpuset" to ",cpu,cpuset,". */
static char *to_list(const char *text)
{
	BUF_AUTO out = {0};

	while (*text) {
		size_t n = strcspn(text, " ,\n");

		if (n)
			buf_add_fmt(&out, ",%.*s", (int)n, text);
		text += n + (text[n] != 0);
	}
	buf_add_char(&out, ',');
	return buf_detach(&out);
}

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; *at == ','; at += strcspn(at + 1, ",") + 1)
		if (strncmp(at + 1, word, n) == 0 && at[1 + n] == ',')
			return true;
	return false;
}

/* Undoes mountinfo's octal escapes in place. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		uint64_t v;
		char oct[4] = {0};

		if (s[0] == '\\' && s[1] && s[2] && s[3] &&
		    num_octal(memcpy(oct, s + 1, 3), 255, &v) == 0) {
			*out++ = (char)v;
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = 0;
}

/* The controllers, or the name, out of mountinfo's "rw,xattr,name=systemd". */
static char *mount_options(const char *text)
{
	BUF_AUTO out = {0};

	while (*text) {
		size_t n = strcspn(text, ",\n");
		STR_AUTO word = xstrndup(text, n);

		if (str_starts(word, "name="))
			buf_add_fmt(&out, "%snone,%s", out.len ? "," : "", word);
		else if (n && !str_eq(word, "rw") && !str_eq(word, "ro") &&
			 !str_eq(word, "xattr") && !str_eq(word, "clone_children") &&
			 !str_starts(word, "release_agent"))
			buf_add_fmt(&out, "%s%s", out.len ? "," : "", word);
		text += n + (text[n] != 0);
	}
	return buf_detach(&out);
}

static void add_tree(struct cgroups *g, char *where, bool v2, const char *options)
{
	struct tree *t = &g->trees[g->n];
	BUF_AUTO text = {0};
	struct err err;

	if (g->n == MAX_TREES)
		return;
	unescape(where);
	t->fd = openat(AT_FDCWD, where, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->fd < 0)
		return;
	t->v2 = v2;
	if (v2 && file_read(t->fd, "cgroup.controllers", MAX_FILE, &text, &err) < 0)
		buf_reset(&text);
	t->controllers = to_list(v2 ? buf_str(&text) : options);
	t->name = xstrdup(strrchr(where, '/') ? strrchr(where, '/') + 1 : where);
	t->options = mount_options(options);
	for (unsigned i = 0; i < g->n; i++)
		if (str_eq(g->trees[i].controllers, t->controllers) &&
		    g->trees[i].v2 == v2) { /* mounted twice */
			fd_close(&t->fd);
			free(t->controllers);
			free(t->options);
			free(t->name);
			return;
		}
	g->n++;
}

/* proc_pid_mountinfo(5): ... (5) mount point ... - (9) type (10) source (11) options */
static void read_line(struct cgroups *g, char *line)
{
	char *at = line, *field[5], *tail = strstr(line, " - ");
	char *type, *options;
	bool v2;

	if (!tail)
		return;
	*tail = 0;
	tail += 3;
	for (unsigned i = 0; i < 5; i++)
		field[i] = strsep(&at, " ");
	type = strsep(&tail, " ");
	if (strsep(&tail, " ") == NULL)
		return;
	options = strsep(&tail, " ");
	v2 = str_eq(type, "cgroup2");
	if ((v2 || str_eq(type, "cgroup")) && field[4] && options)
		add_tree(g, field[4], v2, options);
}

/*
 * In a host without version 1 that is all there is: mountinfo of many pods is long. One without
 * controllers has them elsewhere.
 */
static bool find_unified(struct cgroups *g)
{
	char where[] = "/sys/fs/cgroup";
	struct statfs st;

	if (statfs(where, &st) < 0 || st.f_type != CGROUP2_SUPER_MAGIC)
		return false;
	add_tree(g, where, true, "");
	return g->n == 1 && strlen(g->trees[0].controllers) > 1;
}

static int find_mounts(struct cgroups *g, struct err *err)
{
	BUF_AUTO text = {0};
	char *at, *line;

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &text, err) < 0)
		return -1;
	buf_str(&text);
	for (at = (char *)text.data; (line = strsep(&at, "\n"));)
		read_line(g, line);
	return 0;
}

struct cgroups *cgroups_open(struct err *err)
{
	struct cgroups *g = xcalloc(1, sizeof(*g));
	bool v1 = false, v2 = false, v2_full = false;

	if (!find_unified(g) && find_mounts(g, err) < 0) {
		cgroups_free(g);
		return NULL;
	}
	for (unsigned i = 0; i < g->n; i++) {
		const struct tree *t = &g->trees[i];

		if (t->v2) {
			v2 = true;
			v2_full = strlen(t->controllers) > 1;
		} else if (!strstr(t->controllers, ",name=")) {
			v1 = true;
		}
	}
	if (!v1 && !v2_full) {
		cgroups_free(g);
		err_set(err, ERR_NOT_FOUND,
			"no cgroup hierarchy with controllers is mounted below "
			"/sys/fs/cgroup");
		return NULL;
	}
	g->mode = !v1 ? CGROUPS_V2 : v2 ? CGROUPS_HYBRID : CGROUPS_V1;
	return g;
}

enum cgroups_mode cgroups_mode(const struct cgroups *g)
{
	return g->mode;
}

unsigned cgroups_count(const struct cgroups *g)
{
	return g->n;
}

bool cgroups_tree_is_v2(const struct cgroups *g, unsigned i)
{
	return g->trees[i].v2;
}

const char *cgroups_tree_name(const struct cgroups *g, unsigned i)
{
	return g->trees[i].name;
}

const char *cgroups_tree_options(const struct cgroups *g, unsigned i)
{
	return g->trees[i].options;
}

/* The tree of a controller; "" is the unified one, "cgroup" where processes are listed. */
static const struct tree *find(const struct cgroups *g, const char *controller)
{
	const struct tree *v2 = NULL;

	for (unsigned i = 0; i < g->n; i++) {
		if (g->trees[i].v2)
			v2 = &g->trees[i];
		if (*controller && in_list(g->trees[i].controllers, controller))
			return &g->trees[i];
	}
	if (!*controller)
		return v2;
	if (str_eq(controller, "cgroup"))
		return v2 ? v2 : &g->trees[0];
	return NULL;
}

bool cgroups_has(const struct cgroups *g, const char *controller)
{
	return find(g, controller) != NULL;
}

bool cgroups_is_v2(const struct cgroups *g, const char *controller)
{
	const struct tree *t = find(g, controller);

	return t && t->v2;
}

/* The path below a hierarchy's root: "." for the root. NULL: not a path of ours. */
static const char *relative(const char *path, struct err *err)
{
	const char *p = path + strspn(path, "/");

	for (const char *s = p; *s; s += strcspn(s, "/"), s += strspn(s, "/"))
		if (s[0] == '.' && s[1] == '.' && (!s[2] || s[2] == '/')) {
			err_set(err, ERR_INVALID, "cgroup path %s holds \"..\"", path);
			return NULL;
		}
	return *p ? p : ".";
}

/* file: of a process, in /proc */
static char *group_in(const struct cgroups *g, const char *file, struct err *err)
{
	const struct tree *want = find(g, g->mode == CGROUPS_V2 ? "" : "memory");
	BUF_AUTO text = {0};
	char *at, *line;

	if (!want)
		want = &g->trees[0];
	if (file_read(AT_FDCWD, file, MAX_FILE, &text, err) < 0)
		return NULL;
	buf_str(&text);
	/* "4:memory:/path", "0::/path" */
	for (at = (char *)text.data; (line = strsep(&at, "\n"));) {
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;
		STR_AUTO list = NULL;

		if (!path)
			continue;
		*path++ = 0;
		list = to_list(names + 1);
		if (want->v2 ? !names[1]
			     : str_eq(list, want->controllers) || in_list(list, "memory"))
			return xstrdup(path);
	}
	err_set(err, ERR_NOT_FOUND, "no cgroup in %s", file);
	return NULL;
}

char *cgroups_own(const struct cgroups *g, struct err *err)
{
	return group_in(g, "/proc/self/cgroup", err);
}

char *cgroups_of(const struct cgroups *g, pid_t pid, struct err *err)
{
	char file[32];

	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	return group_in(g, file, err);
}

/* --- making ------------------------------------------------------------------------- */

/*
 * Version 1: a new cpuset has no processors and no memory nodes, and takes no process.
 * False: the parent has none either.
 */
static bool fill_cpuset(int parent, int dir)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		BUF_AUTO have = {0};
		BUF_AUTO want = {0};

		if (file_read(dir, files[i], MAX_FILE, &have, &err) < 0 || have.len > 1)
			continue;
		if (file_read(parent, files[i], MAX_FILE, &want, &err) < 0 ||
		    want.len <= 1)
			return false;
		file_write(dir, files[i], buf_str(&want), &err);
	}
	return true;
}

/* Version 2: children of dir get all of its controllers, but those that cannot be. */
static void delegate(int dir)
{
	BUF_AUTO have = {0};
	BUF_AUTO given = {0};
	STR_AUTO list = NULL;
	char *at, *name;
	struct err err;

	if (file_read(dir, "cgroup.controllers", MAX_FILE, &have, &err) < 0 ||
	    file_read(dir, "cgroup.subtree_control", MAX_FILE, &given, &err) < 0)
		return;
	list = to_list(buf_str(&given));
	buf_str(&have);
	for (at = (char *)have.data; (name = strsep(&at, " \n"));) {
		STR_AUTO text = xasprintf("+%s", name);

		if (*name && !in_list(list, name))
			file_write(dir, "cgroup.subtree_control", text, &err);
	}
}

/* True if the group gives its children all that the root of version 2 has. */
static bool delegates(const struct tree *t, const char *path)
{
	STR_AUTO file = xasprintf("%s/cgroup.subtree_control", path);
	STR_AUTO list = NULL;
	BUF_AUTO text = {0};
	struct err err;

	if (file_read(t->fd, file, MAX_FILE, &text, &err) < 0)
		return false;
	list = to_list(buf_str(&text));
	return str_eq(list, t->controllers);
}

/* The usual case, in one step: the parent is as it has to be, the group is new. */
static bool make_leaf(const struct tree *t, const char *path, size_t *ret_old)
{
	const char *slash = strrchr(path, '/');
	STR_AUTO parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	FD_AUTO from = -1;
	FD_AUTO to = -1;

	if (t->v2 && !delegates(t, parent))
		return false;
	*ret_old = slash ? (size_t)(slash - path) : 0;
	if (mkdirat(t->fd, path, 0755) < 0)
		return false;
	if (t->v2 || !in_list(t->controllers, "cpuset"))
		return true;
	from = openat(t->fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	to = openat(t->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from >= 0 && to >= 0 && fill_cpuset(from, to))
		return true;
	unlinkat(t->fd, path, AT_REMOVEDIR);
	return false;
}

/* mkdir -p in one tree. *ret_old: how many leading bytes of path were there before. */
static int make_in(const struct tree *t, const char *path, size_t *ret_old,
		   struct err *err)
{
	FD_AUTO dir = -1;
	bool old = true;

	if (make_leaf(t, path, ret_old))
		return 0;
	dir = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
	*ret_old = 0;
	for (const char *s = path; *s && !str_eq(path, ".");) {
		size_t n = strcspn(s, "/");
		STR_AUTO name = xstrndup(s, n);
		int next;

		if (t->v2)
			delegate(dir);
		if (mkdirat(dir, name, 0755) == 0)
			old = false;
		else if (errno != EEXIST)
			return err_sys(err, errno, "make cgroup %s", path);
		if (old)
			*ret_old = (size_t)(s - path) + n;
		next = file_open(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, err);
		if (next < 0)
			return err_wrap(err, "make cgroup %s", path);
		if (!t->v2 && in_list(t->controllers, "cpuset"))
			fill_cpuset(dir, next);
		fd_close(&dir);
		dir = next;
		s += n + strspn(s + n, "/");
	}
	return 0;
}

/* Removes what make_in made, from the leaf up. */
static void unmake_in(const struct tree *t, const char *path, size_t old)
{
	STR_AUTO copy = xstrdup(path);

	for (size_t n = strlen(copy); n > old;) {
		copy[n] = 0;
		if (unlinkat(t->fd, copy, AT_REMOVEDIR) < 0)
			return;
		while (n > old && copy[n] != '/')
			n--;
	}
}

int cgroup_make(const struct cgroups *g, const char *path, struct err *err)
{
	const char *p = relative(path, err);
	size_t old[MAX_TREES];

	if (!p)
		return -1;
	for (unsigned i = 0; i < g->n; i++)
		if (make_in(&g->trees[i], p, &old[i], err) < 0) {
			for (unsigned j = 0; j <= i; j++)
				unmake_in(&g->trees[j], p, old[j]);
			return -1;
		}
	return 0;
}

/* --- files -------------------------------------------------------------------------- */

int cgroup_dir(const struct cgroups *g, const char *controller, const char *path,
	       struct err *err)
{
	const struct tree *t = find(g, controller);
	const char *p = relative(path, err);
	int fd;

	if (!p)
		return -1;
	if (!t)
		return err_set(err, ERR_NOT_FOUND, "no cgroup controller \"%s\"",
			       controller);
	fd = path_open_beneath(t->fd, p, O_PATH | O_DIRECTORY, 0, err);
	if (fd < 0)
		return err_wrap(err, "cgroup");
	return fd;
}

int cgroups_tree_open(const struct cgroups *g, unsigned i, const char *path,
		      const char *file, int flags, struct err *err)
{
	const char *p = relative(path, err);
	char name[PATH_MAX];
	int fd;

	if (!p)
		return -1;
	if ((size_t)snprintf(name, sizeof(name), "%s/%s", p, file) >= sizeof(name))
		return err_sys(err, ENAMETOOLONG, "cgroup %s", path);
	fd = path_open_beneath(g->trees[i].fd, name, flags, 0, err);
	return fd < 0 ? err_sys(err, err->sys, "cgroup %s: open %s", path, file) : fd;
}

int cgroup_open(const struct cgroups *g, const char *controller, const char *path,
		const char *file, int flags, struct err *err)
{
	const struct tree *t = find(g, controller);

	if (!t)
		return err_set(err, ERR_NOT_FOUND, "no cgroup controller \"%s\"",
			       controller);
	return cgroups_tree_open(g, (unsigned)(t - g->trees), path, file, flags, err);
}

int cgroup_write(const struct cgroups *g, const char *controller, const char *path,
		 const char *file, const char *value, struct err *err)
{
	FD_AUTO fd = cgroup_open(g, controller, path, file, O_WRONLY, err);
	size_t n = strlen(value);

	if (fd < 0)
		return -1;
	if (write(fd, value, n) != (ssize_t)n)
		return err_sys(err, errno, "cgroup %s: write \"%.80s\" to %s", path,
			       value, file);
	return 0;
}

int cgroup_read(const struct cgroups *g, const char *controller, const char *path,
		const char *file, struct buf *ret, struct err *err)
{
	FD_AUTO fd = cgroup_open(g, controller, path, file, O_RDONLY, err);

	if (fd < 0)
		return -1;
	if (fd_read_all(fd, MAX_FILE, ret, err) < 0)
		return err_wrap(err, "cgroup %s: read %s", path, file);
	return 0;
}

uint64_t cgroup_stat(const struct cgroups *g, const char *controller, const char *path,
		     const char *file, const char *key, uint64_t def)
{
	BUF_AUTO text = {0};
	struct err err;
	char *at, *line;
	uint64_t v;

	if (cgroup_read(g, controller, path, file, &text, &err) < 0)
		return def;
	buf_str(&text);
	for (at = (char *)text.data; (line = strsep(&at, "\n"));) {
		char *space = strchr(line, ' ');

		if (!space)
			continue;
		*space = 0;
		if (str_eq(line, key) && num_u64(space + 1, 0, UINT64_MAX, &v) == 0)
			return v;
	}
	return def;
}

bool cgroup_exists(const struct cgroups *g, const char *path)
{
	struct err err;
	FD_AUTO fd = cgroup_dir(g, "cgroup", path, &err);

	return fd >= 0;
}

uint64_t cgroup_oom_kills(const struct cgroups *g, const char *path)
{
	return cgroup_stat(g, "memory", path,
			   g->mode == CGROUPS_V2 ? "memory.events" : "memory.oom_control",
			   "oom_kill", 0);
}

int cgroup_join(const struct cgroups *g, const char *path, pid_t pid, struct err *err)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	for (unsigned i = 0; i < g->n; i++) {
		FD_AUTO fd = cgroups_tree_open(g, i, path, "cgroup.procs", O_WRONLY, err);

		if (fd < 0)
			return err_wrap(err, "join");
		if (fd_write_all(fd, text, strlen(text)) < 0)
			return err_sys(err, errno, "join cgroup %s", path);
	}
	return 0;
}

/* --- processes ---------------------------------------------------------------------- */

typedef int pid_fn(void *arg, pid_t pid);

static int pids_in(int dir, pid_fn *fn, void *arg, unsigned depth, struct err *err)
{
	BUF_AUTO text = {0};
	char *at, *line;
	struct dirent *e;
	DIR *d;
	int list, r = 0;

	if (file_read(dir, "cgroup.procs", MAX_FILE, &text, err) < 0)
		return err->sys == ENOENT || err->sys == ENODEV ? 0 : -1;
	buf_str(&text);
	for (at = (char *)text.data; r == 0 && (line = strsep(&at, "\n"));) {
		uint64_t pid;

		/* 0: a process outside of our pid namespace */
		if (num_u64(line, 1, INT32_MAX, &pid) == 0)
			r = fn(arg, (pid_t)pid);
	}
	list = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = list < 0 ? NULL : fdopendir(list);
	if (!d)
		return r;
	while (r == 0 && depth < MAX_DEPTH && (e = readdir(d))) {
		FD_AUTO sub = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = openat(dir, e->d_name,
			     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			r = pids_in(sub, fn, arg, depth + 1, err);
	}
	closedir(d);
	return r;
}

int cgroup_pids(const struct cgroups *g, const char *path,
		int (*fn)(void *arg, pid_t pid), void *arg, struct err *err)
{
	FD_AUTO dir = cgroup_dir(g, "cgroup", path, err);

	if (dir < 0)
		return err->sys == ENOENT ? 0 : -1;
	return pids_in(dir, fn, arg, 0, err);
}

static int signal_one(void *arg, pid_t pid)
{
	kill(pid, *(int *)arg);
	return 0;
}

int cgroup_kill(const struct cgroups *g, const char *path, int sig, struct err *err)
{
	bool froze = false;
	struct err ignored;
	int r;

	if (!cgroup_exists(g, path))
		return 0;
	if (sig == SIGKILL && cgroups_has(g, "") &&
	    cgroup_write(g, "", path, "cgroup.kill", "1", &ignored) == 0) {
		/* version 1 holds a frozen process even against SIGKILL */
		if (g->mode == CGROUPS_HYBRID && cgroup_frozen(g, path))
			cgroup_freeze(g, path, false, &ignored);
		return 0;
	}
	/* frozen, they cannot fork while we walk */
	if (sig == SIGKILL)
		froze = cgroup_freeze(g, path, true, &ignored) == 0;
	r = cgroup_pids(g, path, signal_one, &sig, err);
	if (froze || sig == SIGKILL)
		cgroup_freeze(g, path, false, &ignored);
	return r;
}

static bool freezer_is_v1(const struct cgroups *g)
{
	const struct tree *t = find(g, "freezer");

	return t && !t->v2;
}

bool cgroup_frozen(const struct cgroups *g, const char *path)
{
	BUF_AUTO text = {0};
	struct err err;

	if (!freezer_is_v1(g))
		return cgroup_stat(g, "", path, "cgroup.events", "frozen", 0) == 1;
	return cgroup_read(g, "freezer", path, "freezer.state", &text, &err) == 0 &&
	       str_starts(buf_str(&text), "FROZEN");
}

int cgroup_freeze(const struct cgroups *g, const char *path, bool freeze, struct err *err)
{
	bool v1 = freezer_is_v1(g);
	const char *file = v1 ? "freezer.state" : "cgroup.freeze";
	const char *want = v1 ? (freeze ? "FROZEN" : "THAWED") : (freeze ? "1" : "0");

	for (int ms = 0; ms < FREEZE_MS; ms++) {
		struct timespec pause = {.tv_nsec = NS_PER_MS};

		/* version 1 may stick in FREEZING: it is told again each time */
		if ((v1 || ms == 0) &&
		    cgroup_write(g, v1 ? "freezer" : "", path, file, want, err) < 0)
			return -1;
		if (cgroup_frozen(g, path) == freeze)
			return 0;
		nanosleep(&pause, NULL);
	}
	if (freeze)
		cgroup_freeze(g, path, false, err);
	return err_set(err, ERR_TIMEOUT, "cgroup %s: not %s after %d ms", path,
		       freeze ? "frozen" : "thawed", FREEZE_MS);
}

/* --- removal ------------------------------------------------------------------------ */

static int remove_tree(int parent, const char *name, unsigned depth)
{
	FD_AUTO dir = -1;
	struct dirent *e;
	DIR *d;
	int list;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -1;
	dir = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	list = dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = list < 0 ? NULL : fdopendir(list);
	if (!d)
		return errno == ENOENT ? 0 : -1;
	while (depth < MAX_DEPTH && (e = readdir(d)))
		if (e->d_type == DT_DIR && !str_eq(e->d_name, ".") &&
		    !str_eq(e->d_name, ".."))
			remove_tree(dir, e->d_name, depth + 1);
	closedir(d);
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return -1;
}

int cgroup_remove(const struct cgroups *g, const char *path, int timeout_ms,
		  struct err *err)
{
	const char *p = relative(path, err);
	int64_t end = time_mono() + timeout_ms * NS_PER_MS, pause_ns = NS_PER_MS;

	if (!p)
		return -1;
	if (str_eq(p, "."))
		return err_set(err, ERR_INVALID, "cgroup \"%s\": cannot be removed",
			       path);
	for (unsigned i = 0; i < g->n;) {
		struct timespec pause = {.tv_nsec = pause_ns};

		if (remove_tree(g->trees[i].fd, p, 0) == 0) {
			i++;
			continue;
		}
		if (errno != EBUSY || time_mono() >= end)
			return err_sys(err, errno, "remove cgroup %s", path);
		nanosleep(&pause, NULL);
		pause_ns = MIN(pause_ns * 2, 100 * NS_PER_MS);
	}
	return 0;
}

int cgroup_prune(const struct cgroups *g, const char *path, struct err *err)
{
	const char *p = relative(path, err);

	if (!p)
		return -1;
	for (unsigned i = 0; i < g->n; i++)
		if (unlinkat(g->trees[i].fd, p, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return err_sys(err, errno, "remove cgroup %s", path);
	return 0;
}
