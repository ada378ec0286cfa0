#include "cgroup/rdt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json_opt.h"

static const char top[] = "/sys/fs/resctrl";

/* A name of a directory in resctrl; the kernel's own are not to be taken. */
static bool name_ok(const char *s)
{
	return *s && !strchr(s, '/') && !strchr(s, '\n') && !str_eq(s, ".") &&
	       !str_eq(s, "..") && !str_eq(s, "info") && !str_eq(s, "mon_groups") &&
	       !str_eq(s, "mon_data") && strlen(s) < 128;
}

int rdt_parse(yyjson_val *obj, const char *where, struct arena *a, struct rdt **ret,
	      struct err *err)
{
	struct rdt *r = arena_alloc(a, sizeof(*r));
	bool ignored =
		false; /* enableCMT, enableMBM: of older versions, without effect */

	if (json_opt_str(obj, where, "closID", a, &r->clos_id, err) < 0 ||
	    json_opt_str(obj, where, "l3CacheSchema", a, &r->l3, err) < 0 ||
	    json_opt_str(obj, where, "memBwSchema", a, &r->mb, err) < 0 ||
	    json_opt_strs(obj, where, "schemata", a, &r->schemata, &r->nschemata, err) <
		    0 ||
	    json_opt_bool(obj, where, "enableMonitoring", &r->monitoring, err) < 0 ||
	    json_opt_bool(obj, where, "enableCMT", &ignored, err) < 0 ||
	    json_opt_bool(obj, where, "enableMBM", &ignored, err) < 0)
		return -1;
	if (str_empty(r->clos_id))
		r->clos_id = NULL;
	if (r->clos_id && !name_ok(r->clos_id))
		return err_set(err, ERR_INVALID,
			       "%s.closID: \"%.80s\" is no name of a group", where,
			       r->clos_id);
	for (size_t i = 0; i < r->nschemata; i++)
		if (strchr(r->schemata[i], '\n'))
			return err_set(err, ERR_INVALID,
				       "%s.schemata[%zu]: more than one line", where, i);
	*ret = r;
	return 0;
}

bool rdt_available(void)
{
	return access("/sys/fs/resctrl/schemata", F_OK) == 0;
}

static int open_group(const struct rdt *r, const char *id, struct err *err)
{
	STR_AUTO path = xasprintf("%s/%s", top, r->clos_id ? r->clos_id : id);

	return file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, err);
}

static int write_schemata(const struct rdt *r, int dir, struct err *err)
{
	BUF_AUTO text = {0};

	/* the kernel takes them in one write; those of memory bandwidth come in l3's too */
	if (!str_empty(r->l3))
		buf_add_fmt(&text, "%s\n", r->l3);
	if (!str_empty(r->mb))
		buf_add_fmt(&text, "%s\n", r->mb);
	for (size_t i = 0; i < r->nschemata; i++)
		buf_add_fmt(&text, "%s\n", r->schemata[i]);
	if (!text.len)
		return 0;
	return file_write(dir, "schemata", buf_str(&text), err);
}

static int add_task(int dir, pid_t pid, struct err *err)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return file_write(dir, "tasks", text, err);
}

static int add_monitor(int dir, const char *id, pid_t pid, struct err *err)
{
	STR_AUTO path = xasprintf("mon_groups/%s", id);
	FD_AUTO mon = file_open_dir(dir, path, true, 0755, err);

	return mon < 0 ? -1 : add_task(mon, pid, err);
}

int rdt_join(const struct rdt *r, const char *id, pid_t pid, bool *ret_made,
	     struct err *err)
{
	STR_AUTO path = xasprintf("%s/%s", top, r->clos_id ? r->clos_id : id);
	bool made;
	FD_AUTO dir = -1;

	if (!rdt_available())
		return err_set(err, ERR_UNIMPLEMENTED,
			       "linux.intelRdt: this host has no %s", top);
	made = mkdir(path, 0755) == 0;
	if (!made && errno != EEXIST)
		return err_sys(err, errno, "linux.intelRdt: make %s", path);
	*ret_made = made;
	dir = open_group(r, id, err);
	if (dir < 0 || write_schemata(r, dir, err) < 0 || add_task(dir, pid, err) < 0 ||
	    (r->monitoring && add_monitor(dir, id, pid, err) < 0)) {
		if (made)
			rmdir(path);
		return err_wrap(err, "linux.intelRdt");
	}
	return 0;
}

int rdt_update(const struct rdt *r, const char *id, struct err *err)
{
	FD_AUTO dir = open_group(r, id, err);

	if (dir < 0 || write_schemata(r, dir, err) < 0)
		return err_wrap(err, "linux.intelRdt");
	return 0;
}

int rdt_remove(const struct rdt *r, const char *id, bool made, struct err *err)
{
	STR_AUTO group = xasprintf("%s/%s", top, r->clos_id ? r->clos_id : id);
	STR_AUTO monitor = xasprintf("%s/mon_groups/%s", group, id);

	if (r->monitoring && rmdir(monitor) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", monitor);
	if (made && rmdir(group) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", group);
	return 0;
}

void rdt_print(const struct rdt *r, struct buf *out)
{
	buf_add_fmt(out, "rdt %s%s", r->clos_id ? r->clos_id : "(id)",
		    r->monitoring ? " monitored" : "");
	if (!str_empty(r->l3))
		buf_add_fmt(out, " %s", r->l3);
	if (!str_empty(r->mb))
		buf_add_fmt(out, " %s", r->mb);
	for (size_t i = 0; i < r->nschemata; i++)
		buf_add_fmt(out, " %s", r->schemata[i]);
	buf_add_char(out, '\n');
}
