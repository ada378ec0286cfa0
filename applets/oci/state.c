/*
 * state: a container's directory: state.json, a copy of config.json, and exec.fifo from its
 * creation to its start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/cli.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "wire/json.h"

enum { MAX_ID = 1024, MAX_STATE = 1 << 20, MAX_CONFIG = 16 << 20, FORMAT = 1 };

const char *const ctr_status_names[] = {
	[CTR_CREATING] = "creating", [CTR_CREATED] = "created", [CTR_RUNNING] = "running",
	[CTR_PAUSED] = "paused",     [CTR_STOPPED] = "stopped",
};

int ctr_check_id(const char *id, struct err *err)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "0123456789_+.-");

	if (!*id)
		return err_set(err, ERR_INVALID, "container id cannot be empty");
	if (id[n] || n > MAX_ID || *id == '.')
		return err_set(err, ERR_INVALID, "invalid container ID format: %.80s",
			       id);
	return 0;
}

void ctr_done(struct ctr *c)
{
	fd_close(&c->dir);
	arena_done(&c->arena);
}

static int open_root(const struct oci_cli *cli, bool create, struct err *err)
{
	if (create && file_mkdirs(AT_FDCWD, cli->root, 0700, err) < 0)
		return -1;
	return file_open(AT_FDCWD, cli->root, O_RDONLY | O_DIRECTORY, 0, err);
}

int ctr_make(const struct oci_cli *cli, struct ctr *c, const char *id, struct err *err)
{
	FD_AUTO root = open_root(cli, true, err);

	*c = (struct ctr){.dir = -1, .cgroup = ""};
	if (root < 0)
		return -1;
	if (mkdirat(root, id, 0711) < 0) {
		if (errno == EEXIST)
			return err_set(err, ERR_EXISTS,
				       "container with given ID already exists: %s", id);
		return err_sys(err, errno, "make directory %s/%s", cli->root, id);
	}
	c->dir = file_open(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
	c->id = arena_strdup(&c->arena, id);
	return c->dir < 0 ? -1 : 0;
}

int ctr_save(struct ctr *c, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	yyjson_mut_val *stdio = json_add_arr(d, root, "stdio");
	BUF_AUTO text = {0};

	json_add_i64(d, root, "format", FORMAT);
	json_add_str(d, root, "id", c->id);
	json_add_str(d, root, "version", c->version);
	json_add_str(d, root, "bundle", c->bundle);
	json_add_str(d, root, "rootfs", c->rootfs);
	json_add_str(d, root, "cgroup", c->cgroup);
	if (c->scope) {
		json_add_str(d, root, "scope", c->scope);
		json_add_bool(d, root, "user_systemd", c->user_systemd);
	}
	json_add_i64(d, root, "created", c->created);
	json_add_i64(d, root, "pid", c->pid);
	json_add_u64(d, root, "start_time", c->start_time);
	json_add_bool(d, root, "own_pids", c->own_pids);
	json_add_bool(d, root, "rdt_made", c->rdt_made);
	for (int i = 0; i < 3; i++)
		yyjson_mut_arr_add_strcpy(d, stdio, str_or_empty(c->stdio[i]));
	json_write(d, true, &text);
	return file_replace(c->dir, "state.json", text.data, text.len, 0600, false, err);
}

static int not_there(const char *id, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "container does not exist: %s", id);
}

int ctr_load(const struct oci_cli *cli, struct ctr *c, const char *id, struct err *err)
{
	FD_AUTO root = open_root(cli, false, err);
	JSON_AUTO doc = NULL;
	BUF_AUTO text = {0};
	yyjson_val *v, *one;
	struct stat st;
	int n = 0;

	*c = (struct ctr){.dir = -1, .cgroup = ""};
	if (root < 0)
		return err->sys == ENOENT ? not_there(id, err) : -1;
	c->dir = file_open(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
	if (c->dir < 0)
		return err->sys == ENOENT ? not_there(id, err) : -1;
	if (file_read(c->dir, "state.json", MAX_STATE, &text, err) < 0)
		return err->sys == ENOENT ? not_there(id, err) : -1;
	doc = json_parse(text.data, text.len, err);
	if (!doc)
		return err_wrap(err, "state of container %s", id);
	v = yyjson_doc_get_root(doc);
	if (json_i64(v, "format", 0) != FORMAT)
		return err_set(err, ERR_CORRUPT, "state of container %s: unknown format",
			       id);
	c->id = arena_strdup(&c->arena, id);
	c->version = arena_strdup(&c->arena, str_or_empty(json_str(v, "version")));
	c->bundle = arena_strdup(&c->arena, str_or_empty(json_str(v, "bundle")));
	c->rootfs = arena_strdup(&c->arena, str_or_empty(json_str(v, "rootfs")));
	c->cgroup = arena_strdup(&c->arena, str_or_empty(json_str(v, "cgroup")));
	if (json_str(v, "scope"))
		c->scope = arena_strdup(&c->arena, json_str(v, "scope"));
	c->user_systemd = json_bool(v, "user_systemd", false);
	c->created = json_i64(v, "created", 0);
	c->pid = (pid_t)json_i64(v, "pid", 0);
	c->start_time = json_u64(v, "start_time", 0);
	c->own_pids = json_bool(v, "own_pids", false);
	c->rdt_made = json_bool(v, "rdt_made", false);
	json_each (one, json_arr(v, "stdio"))
		if (n < 3 && yyjson_is_str(one))
			c->stdio[n++] = arena_strdup(&c->arena, yyjson_get_str(one));
	if (fstat(c->dir, &st) == 0)
		c->owner = st.st_uid;
	return 0;
}

int ctr_load_spec(struct ctr *c, struct err *err)
{
	BUF_AUTO text = {0};

	if (c->spec)
		return 0;
	if (file_read(c->dir, "config.json", MAX_CONFIG, &text, err) < 0)
		return -1;
	return oci_spec_parse(text.data, text.len, &c->arena, &c->spec, err);
}

int ctr_forget(const struct oci_cli *cli, const char *id, struct err *err)
{
	FD_AUTO root = open_root(cli, false, err);

	if (root < 0)
		return err->sys == ENOENT ? 0 : -1;
	return file_remove_tree(root, id, err);
}

bool ctr_alive(const struct ctr *c)
{
	char state = 0;

	return c->pid > 0 && proc_stat(c->pid, &state) == c->start_time && state != 'Z' &&
	       state != 'X';
}

enum ctr_status ctr_status(const struct ctr *c, const struct cgroups *g)
{
	struct stat st;

	if (c->pid <= 0)
		return CTR_CREATING;
	if (!ctr_alive(c))
		return CTR_STOPPED;
	if (fstatat(c->dir, CTR_GO_EARLY, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return CTR_CREATING;
	if (g && *c->cgroup && cgroup_frozen(g, c->cgroup))
		return CTR_PAUSED;
	return fstatat(c->dir, CTR_GO, &st, AT_SYMLINK_NOFOLLOW) == 0 ? CTR_CREATED
								      : CTR_RUNNING;
}

int ctr_pidfd(const struct ctr *c, struct err *err)
{
	FD_AUTO fd = -1;

	if (c->pid > 0)
		fd = proc_pidfd(c->pid, err);
	/* the fd is open: if the start time is still the same, it is the process */
	if (fd < 0 || !ctr_alive(c))
		return err_set(err, ERR_STATE, "container not running");
	return fd_take(&fd);
}

int ctr_open(const struct oci_cli *cli, int argc, char **argv, struct ctr *c,
	     struct cgroups **ret_g, struct err *err)
{
	const char *id = cli_id(argc, argv, err);
	struct err ignored;

	if (!id || ctr_load(cli, c, id, err) < 0)
		return -1;
	*ret_g = cgroups_open(&ignored);
	return 0;
}

void ctr_close(struct ctr *c, struct cgroups *g)
{
	cgroups_free(g);
	ctr_done(c);
}

int ctr_run_hooks(const struct ctr *c, enum oci_hook_kind kind, pid_t pid,
		  struct buf *warnings, struct err *err)
{
	const struct oci_hook_state st = {
		.id = c->id, .bundle = c->bundle, .pid = pid, .dir = -1};

	return oci_hooks_run(c->spec, kind, &st, warnings, err);
}
