/* group: a container's control group, made by us or by systemd. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cgroup/systemd.h"
#include "oci/cli.h"
#include "os/file.h"

#define PROPERTY "org.systemd.property."

enum { REMOVE_MS = 5000, MAX_PROPERTIES = 64 };

static int count_pid(void *arg, pid_t pid)
{
	(void)pid;
	++*(unsigned *)arg;
	return 0;
}

/* True if it is the user's systemd that we belong to: not the host's root. */
static bool is_user(void)
{
	BUF_AUTO map = {0};
	unsigned long inside, outside, count;
	struct err ignored;
	char *end;

	if (geteuid() != 0)
		return true;
	if (file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &map, &ignored) < 0)
		return false;
	inside = strtoul(buf_str(&map), &end, 10);
	outside = strtoul(end, &end, 10);
	count = strtoul(end, &end, 10);
	return inside != 0 || outside != 0 || count != UINT32_MAX;
}

/* --- our own ------------------------------------------------------------------------ */

/* Where it is to be: a relative path is below our own group. */
static int find_path(struct ctr *c, const struct cgroups *g, struct err *err)
{
	const char *path = oci_spec_cgroups_path(c->spec);
	STR_AUTO own = NULL;
	unsigned n = 0;

	if (*path == '/') {
		c->cgroup = path;
	} else {
		own = cgroups_own(g, err);
		if (!own)
			return -1;
		c->cgroup = arena_fmt(&c->arena, "%s/%s", str_eq(own, "/") ? "" : own,
				      *path ? path : c->id);
	}
	if (!cgroup_exists(g, c->cgroup))
		return 0;
	if (cgroup_pids(g, c->cgroup, count_pid, &n, err) < 0)
		return -1;
	if (n) {
		c->cgroup = "";
		return err_set(err, ERR_STATE,
			       "container's cgroup is not empty: %u process(es) found",
			       n);
	}
	return 0;
}

/* --- systemd's ---------------------------------------------------------------------- */

/* Annotations that set a unit's properties. */
static int find_properties(const struct ctr *c, struct systemd_property *list,
			   size_t *ret_n, struct err *err)
{
	const char *key, *value;
	size_t n = 0;

	for (size_t i = 0; oci_spec_annotation(c->spec, i, &key, &value); i++) {
		if (!str_starts(key, PROPERTY))
			continue;
		if (n == MAX_PROPERTIES)
			return err_set(err, ERR_INVALID,
				       "more than %d annotations " PROPERTY "*",
				       MAX_PROPERTIES);
		list[n++] = (struct systemd_property){key + strlen(PROPERTY), value};
	}
	*ret_n = n;
	return 0;
}

static int start_scope(struct ctr *c, const struct cgroups *g, int *ret_holder,
		       struct err *err)
{
	struct systemd_property properties[MAX_PROPERTIES];
	struct systemd_start how = {
		.description = arena_fmt(&c->arena, "container %s", c->id),
		.resources = oci_spec_resources(c->spec),
		.v2 = cgroups_mode(g) == CGROUPS_V2,
		.properties = properties,
	};
	struct systemd *s;
	char *path = NULL;
	int r = -1;

	if (!systemd_booted())
		return err_set(err, ERR_UNIMPLEMENTED,
			       "systemd cgroup flag passed, but systemd support for "
			       "managing cgroups is not available");
	c->user_systemd = is_user();
	if (find_properties(c, properties, &how.nproperties, err) < 0 ||
	    systemd_unit_parse(oci_spec_cgroups_path(c->spec), c->id, c->user_systemd,
			       &c->arena, &how.unit, err) < 0)
		return -1;
	s = systemd_open(c->user_systemd, err);
	if (s)
		r = systemd_start(s, &how, &path, ret_holder, err);
	systemd_free(s);
	if (r < 0)
		return -1;
	c->scope = how.unit.name;
	c->cgroup = arena_strdup(&c->arena, path);
	free(path);
	return 0;
}

/* Stops the unit. Where nobody answers, there is none. */
static int stop_scope(const struct ctr *c, struct err *err)
{
	struct systemd *s = systemd_open(c->user_systemd, err);
	int r;

	if (!s)
		return err->code == ERR_UNAVAILABLE ? 0 : -1;
	r = systemd_stop(s, c->scope, err);
	systemd_free(s);
	return r;
}

/* --- both --------------------------------------------------------------------------- */

int group_make(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
	       int *ret_holder, struct err *err)
{
	int r = cli->systemd ? start_scope(c, g, ret_holder, err) : find_path(c, g, err);

	if (r < 0)
		return -1;
	c->made_cgroup = true;
	if (cgroup_make(g, c->cgroup, err) < 0)
		return -1;
	return resources_apply(g, c->cgroup, oci_spec_resources(c->spec), err);
}

int group_update(const struct ctr *c, const struct cgroups *g, const struct resources *r,
		 struct err *err)
{
	if (c->scope) {
		struct systemd *s = systemd_open(c->user_systemd, err);
		int rc = s ? systemd_update(s, c->scope, r, cgroups_mode(g) == CGROUPS_V2,
					    err)
			   : -1;

		systemd_free(s);
		if (rc < 0)
			return -1;
	}
	return resources_update(g, c->cgroup, r, err);
}

int group_remove(const struct ctr *c, const struct cgroups *g, struct err *err)
{
	if (!*c->cgroup)
		return 0;
	if (cgroup_kill(g, c->cgroup, SIGKILL, err) < 0 ||
	    (c->scope && stop_scope(c, err) < 0))
		return -1;
	return cgroup_remove(g, c->cgroup, REMOVE_MS, err);
}
