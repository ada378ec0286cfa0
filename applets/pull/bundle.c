/*
 * bundle: an image as an OCI bundle. The layers are merged by moving their
 * files: rename, not copy.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci.h"
#include "os/fd.h"
#include "os/file.h"
#include "pull/pull.h"
#include "wire/json.h"

enum { MAX_DEPTH = 1000, MAX_XATTRS = 65536 };

#define OVERLAY "trusted.overlay."

static int open_dir(int dir, const char *name, struct err *err)
{
	return file_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int fd)
{
	char v;

	return fgetxattr(fd, OVERLAY "opaque", &v, 1) == 1 && v == 'y';
}

/* Calls fn with the name of each entry of a directory. */
static int each_entry(int fd, int (*fn)(void *arg, const char *name, struct err *err),
		      void *arg, struct err *err)
{
	int copy = open_dir(fd, ".", err);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	int r = 0;

	if (!d) {
		if (copy < 0)
			return -1;
		close(copy);
		return err_sys(err, errno, "read directory");
	}
	while (r == 0 && (e = readdir(d)))
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			r = fn(arg, e->d_name, err);
	closedir(d);
	return r;
}

/* Calls fn with each extended attribute's name. */
static int each_xattr(int fd, int (*fn)(void *arg, const char *name, struct err *err),
		      void *arg, struct err *err)
{
	char *names = xmalloc(MAX_XATTRS);
	ssize_t n = flistxattr(fd, names, MAX_XATTRS);
	int r = 0;

	if (n < 0 && errno != ENOTSUP)
		r = err_sys(err, errno, "list attributes");
	for (ssize_t at = 0; at < n && r == 0; at += (ssize_t)strlen(names + at) + 1)
		r = fn(arg, names + at, err);
	free(names);
	return r;
}

struct pair {
	int up, low;
	unsigned depth;
};

static int remove_other(void *arg, const char *name, struct err *err)
{
	const struct pair *p = arg;

	if (fgetxattr(p->up, name, NULL, 0) < 0 && errno == ENODATA &&
	    fremovexattr(p->low, name) < 0)
		return err_sys(err, errno, "remove attribute %s", name);
	return 0;
}

static int copy_xattr(void *arg, const char *name, struct err *err)
{
	const struct pair *p = arg;
	char *value;
	ssize_t n;
	int r = 0;

	if (str_starts(name, OVERLAY))
		return 0;
	value = xmalloc(MAX_XATTRS);
	n = fgetxattr(p->up, name, value, MAX_XATTRS);
	if (n < 0 || fsetxattr(p->low, name, value, (size_t)n, 0) < 0)
		r = err_sys(err, errno, "copy attribute %s", name);
	free(value);
	return r;
}

/* The lower directory gets what the upper one (st, before it was touched) is. */
static int copy_dir(const struct pair *p, const struct stat *st, struct err *err)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (each_xattr(p->low, remove_other, (void *)(uintptr_t)p, err) < 0 ||
	    each_xattr(p->up, copy_xattr, (void *)(uintptr_t)p, err) < 0)
		return -1;
	if (fchown(p->low, st->st_uid, st->st_gid) < 0 ||
	    fchmod(p->low, st->st_mode & 07777) < 0 || futimens(p->low, times) < 0)
		return err_sys(err, errno, "set attributes of a directory");
	return 0;
}

struct strip {
	int fd;
	unsigned depth;
};

static int strip_dir(int fd, unsigned depth, struct err *err);

static int strip_entry(void *arg, const char *name, struct err *err)
{
	const struct strip *s = arg;
	FD_AUTO fd = -1;
	struct stat st;

	if (fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s", name);
	if (is_whiteout(&st))
		return unlinkat(s->fd, name, 0) < 0 ? err_sys(err, errno, "%s", name) : 0;
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = open_dir(s->fd, name, err);
	return fd < 0 ? -1 : strip_dir(fd, s->depth + 1, err);
}

/* Takes out what means something to overlay only, of a directory that hides nothing any more. */
static int strip_dir(int fd, unsigned depth, struct err *err)
{
	struct strip s = {fd, depth};
	struct timespec times[2];
	struct stat st;

	if (depth > MAX_DEPTH)
		return err_set(err, ERR_INVALID, "directories are nested too deep");
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat");
	if (fremovexattr(fd, OVERLAY "opaque") < 0 && errno != ENODATA &&
	    errno != ENOTSUP)
		return err_sys(err, errno, "remove the opaque mark");
	if (each_entry(fd, strip_entry, &s, err) < 0)
		return -1;
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	return futimens(fd, times) < 0 ? err_sys(err, errno, "set times") : 0;
}

static int merge_dir(int up, int low, unsigned depth, struct err *err);

/* Moves an entry to the lower directory, in the place of what is there. */
static int replace(const struct pair *p, const char *name, bool dir, struct err *err)
{
	FD_AUTO fd = -1;

	if (file_remove_tree(p->low, name, err) < 0)
		return -1;
	if (renameat(p->up, name, p->low, name) < 0)
		return err_sys(err, errno, "move %s", name);
	if (!dir)
		return 0;
	fd = open_dir(p->low, name, err);
	return fd < 0 ? -1 : strip_dir(fd, p->depth + 1, err);
}

static int merge_entry(void *arg, const char *name, struct err *err)
{
	const struct pair *p = arg;
	FD_AUTO up = -1;
	FD_AUTO low = -1;
	struct stat st, below;

	if (fstatat(p->up, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s", name);
	if (is_whiteout(&st))
		return file_remove_tree(p->low, name, err);
	if (!S_ISDIR(st.st_mode))
		return replace(p, name, false, err);
	up = open_dir(p->up, name, err);
	if (up < 0)
		return -1;
	if (is_opaque(up) || fstatat(p->low, name, &below, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(below.st_mode))
		return replace(p, name, true, err);
	low = open_dir(p->low, name, err);
	return low < 0 ? -1 : merge_dir(up, low, p->depth + 1, err);
}

static int merge_dir(int up, int low, unsigned depth, struct err *err)
{
	struct pair p = {up, low, depth};
	struct stat st;

	if (depth > MAX_DEPTH)
		return err_set(err, ERR_INVALID, "directories are nested too deep");
	if (fstat(up, &st) < 0)
		return err_sys(err, errno, "stat");
	if (each_entry(up, merge_entry, &p, err) < 0)
		return -1;
	return copy_dir(&p, &st, err);
}

static int merge_layers(const struct pull_job *j, int dir, struct err *err)
{
	FD_AUTO rootfs = -1;

	if (renameat(pull_hold(j, 0)->fd, "fs", dir, "rootfs") < 0)
		return err_sys(err, errno, "move the lowest layer to rootfs");
	rootfs = open_dir(dir, "rootfs", err);
	if (rootfs < 0)
		return -1;
	for (size_t i = 1; i < pull_layers(j); i++) {
		FD_AUTO up = open_dir(pull_hold(j, i)->fd, "fs", err);

		if (up < 0 || merge_dir(up, rootfs, 0, err) < 0)
			return err_wrap(err, "merge layer %s", pull_layer(j, i).digest);
	}
	return 0;
}

/* --- config.json --------------------------------------------------------------------------- */

static void put(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		yyjson_mut_val *value)
{
	yyjson_mut_obj_put(obj, yyjson_mut_strcpy(d, key), value);
}

static void add_strs(yyjson_mut_doc *d, yyjson_mut_val *arr, const struct image_strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		yyjson_mut_arr_add_strcpy(d, arr, s->v[i]);
}

static yyjson_mut_val *args_of(yyjson_mut_doc *d, const struct image_config *c)
{
	yyjson_mut_val *args = yyjson_mut_arr(d);

	add_strs(d, args, &c->entrypoint);
	add_strs(d, args, &c->cmd);
	if (!yyjson_mut_arr_size(args))
		yyjson_mut_arr_add_strcpy(d, args, "/bin/sh");
	return args;
}

static yyjson_mut_val *env_of(yyjson_mut_doc *d, const struct image_config *c,
			      const struct oci_user *user)
{
	yyjson_mut_val *env = yyjson_mut_arr(d);
	STR_AUTO home = xasprintf("HOME=%s", user->home);
	bool has_path = false, has_home = false;

	for (size_t i = 0; i < c->env.n; i++) {
		has_path = has_path || str_starts(c->env.v[i], "PATH=");
		has_home = has_home || str_starts(c->env.v[i], "HOME=");
	}
	if (!has_path)
		yyjson_mut_arr_add_strcpy(d, env,
					  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
					  "/usr/bin:/sbin:/bin");
	add_strs(d, env, &c->env);
	if (!has_home)
		yyjson_mut_arr_add_strcpy(d, env, home);
	return env;
}

static yyjson_mut_val *user_of(yyjson_mut_doc *d, const struct oci_user *user)
{
	yyjson_mut_val *v = yyjson_mut_obj(d), *groups;

	json_add_u64(d, v, "uid", user->uid);
	json_add_u64(d, v, "gid", user->gid);
	groups = json_add_arr(d, v, "additionalGids");
	for (size_t i = 0; i < user->ngroups; i++)
		yyjson_mut_arr_add_uint(d, groups, user->groups[i]);
	return v;
}

int bundle_config(const struct image_config *c, int rootfs, struct buf *out,
		  struct err *err)
{
	struct oci_user_query query = {.user = c->user};
	ARENA_AUTO arena = {0};
	struct oci_user user;
	BUF_AUTO example = {0};
	JSON_AUTO doc = NULL;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root, *process;

	if (oci_user_resolve(rootfs, &query, &arena, &user, err) < 0)
		return err_wrap(err, "user of the image");
	oci_spec_example(false, false, 0, 0, &example);
	doc = json_parse(example.data, example.len, err);
	if (!doc)
		return -1;
	root = yyjson_val_mut_copy(d, yyjson_doc_get_root(doc));
	yyjson_mut_doc_set_root(d, root);
	process = yyjson_mut_obj_get(root, "process");
	put(d, process, "terminal", yyjson_mut_bool(d, false));
	put(d, process, "user", user_of(d, &user));
	put(d, process, "args", args_of(d, c));
	put(d, process, "env", env_of(d, c, &user));
	put(d, process, "cwd",
	    yyjson_mut_strcpy(d, *c->working_dir ? c->working_dir : "/"));
	put(d, yyjson_mut_obj_get(root, "root"), "readonly", yyjson_mut_bool(d, false));
	json_write(d, true, out);
	buf_add_char(out, '\n');
	return 0;
}

int bundle_make(const struct pull_job *j, int dir, struct err *err)
{
	BUF_AUTO config = {0};
	FD_AUTO rootfs = -1;

	if (merge_layers(j, dir, err) < 0)
		return -1;
	rootfs = open_dir(dir, "rootfs", err);
	if (rootfs < 0 ||
	    bundle_config(&pull_resolved(j)->config, rootfs, &config, err) < 0)
		return -1;
	return file_replace(dir, "config.json", config.data, config.len, 0644, false,
			    err);
}
