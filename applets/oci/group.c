/* group: a container's control group: made directly, by systemd, or not at all. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/systemd.h"
#include "oci/cli.h"

enum { REMOVE_MS = 10000, MAX_PROPERTIES = 64 };

static int count_pid(void *arg, pid_t pid)
{
	(void)pid;
	++*(unsigned *)arg;
	return 0;
}

/* Whoever enters it would never come to an end. */
static bool is_frozen(const struct cgroups *g, const char *path)
{
	STR_AUTO parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	return cgroup_frozen(g, path) || (*parent && cgroup_frozen(g, parent));
}

/*
 * A relative cgroupsPath is below our own group; on version 2 below its parent, for a group with
 * processes in it has no controllers to give (runc's rule).
 */
static int choose_path(struct group *gr, struct ctr *c, struct err *err)
{
	const char *path = oci_spec_cgroups_path(c->spec);
	STR_AUTO own = cgroups_own(gr->cgroups, err);
	unsigned n = 0;

	if (!own)
		return -1;
	if (cgroups_mode(gr->cgroups) == CGROUPS_V2)
		*strrchr(own, '/') = 0;
	if (*path == '/')
		c->cgroup = path;
	else
		c->cgroup = arena_fmt(&c->arena, "%s/%s", str_eq(own, "/") ? "" : own,
				      *path ? path : c->id);
	if (is_frozen(gr->cgroups, c->cgroup))
		return err_set(err, ERR_STATE,
			       "container's cgroup unexpectedly frozen: %s", c->cgroup);
	if (cgroup_exists(gr->cgroups, c->cgroup)) {
		if (cgroup_pids(gr->cgroups, c->cgroup, count_pid, &n, err) < 0)
			return -1;
		if (n)
			return err_set(err, ERR_STATE,
				       "container's cgroup is not empty: %u process(es) "
				       "found",
				       n);
	}
	return 0;
}

static int choose_unit(const struct oci_cli *cli, struct ctr *c, struct err *err)
{
	struct systemd_unit unit;

	if (!systemd_booted())
		return err_set(err, ERR_UNIMPLEMENTED,
			       "systemd cgroup flag passed, but systemd support for "
			       "managing cgroups is not available");
	c->user_systemd = cli->rootless;
	if (systemd_unit_parse(oci_spec_cgroups_path(c->spec), c->id, cli->rootless,
			       &c->arena, &unit, err) < 0)
		return -1;
	c->scope = unit.name;
	return 0;
}

int group_choose(const struct oci_cli *cli, struct group *gr, struct ctr *c,
		 struct err *err)
{
	gr->holder = -1;
	gr->cgroups = cgroups_open(err);
	if (!gr->cgroups)
		return cli->driver == DRIVER_NONE ||
				       (cli->rootless &&
					!resources_any(oci_spec_resources(c->spec)))
			       ? 0
			       : -1;
	if (cli->driver == DRIVER_SYSTEMD)
		return choose_unit(cli, c, err);
	return cli->driver == DRIVER_NONE ? 0 : choose_path(gr, c, err);
}

/* --- systemd ------------------------------------------------------------------------ */

static size_t properties(const struct oci_spec *s, struct systemd_property *list)
{
	static const char prefix[] = "org.systemd.property.";
	const char *key, *value;
	size_t n = 0;

	for (size_t i = 0; oci_spec_annotation(s, i, &key, &value); i++)
		if (str_starts(key, prefix) && n < MAX_PROPERTIES)
			list[n++] =
				(struct systemd_property){key + strlen(prefix), value};
	return n;
}

static int make_unit(const struct oci_cli *cli, struct group *gr, struct ctr *c,
		     struct err *err)
{
	struct systemd *bus = systemd_open(cli->rootless, err);
	struct systemd_property list[MAX_PROPERTIES];
	struct systemd_start how = {
		.description = arena_fmt(&c->arena, "cribox container %s", c->id),
		.resources = oci_spec_resources(c->spec),
		.v2 = cgroups_mode(gr->cgroups) == CGROUPS_V2,
		.properties = list,
		.nproperties = properties(c->spec, list),
	};
	STR_AUTO path = NULL;
	int r = -1;

	if (!bus)
		return -1;
	if (systemd_unit_parse(oci_spec_cgroups_path(c->spec), c->id, cli->rootless,
			       &c->arena, &how.unit, err) == 0)
		r = systemd_start(bus, &how, &path, &gr->holder, err);
	systemd_free(bus);
	if (r < 0)
		return -1;
	c->cgroup = arena_strdup(&c->arena, path);
	return ctr_save(c, err);
}

/* --- both --------------------------------------------------------------------------- */

static bool is_denied(const struct err *err)
{
	return err->sys == EACCES || err->sys == EPERM || err->sys == EROFS;
}

/* Without rights to cgroups a container does without, if it has no limits (runc's rule). */
static int do_without(const struct oci_cli *cli, struct group *gr, struct ctr *c,
		      struct err *err)
{
	struct err ignored;

	if (!cli->rootless || !is_denied(err))
		return -1;
	if (resources_any(oci_spec_resources(c->spec)))
		return err_wrap(err, "rootless needs no limits when no permission is "
				     "granted for cgroups");
	cgroup_remove(gr->cgroups, c->cgroup, 0, &ignored);
	gr->made = false;
	c->cgroup = "";
	return 0;
}

int group_make(const struct oci_cli *cli, struct group *gr, struct ctr *c,
	       struct err *err)
{
	if (!gr->cgroups || cli->driver == DRIVER_NONE)
		return 0;
	/* a unit that could not be started may be another container's */
	if (cli->driver == DRIVER_SYSTEMD && make_unit(cli, gr, c, err) < 0)
		return -1;
	gr->made = true;
	if (cgroup_make(gr->cgroups, c->cgroup, err) < 0 ||
	    resources_apply(gr->cgroups, c->cgroup, oci_spec_resources(c->spec), err) < 0)
		return do_without(cli, gr, c, err);
	return 0;
}

void group_filled(struct group *gr)
{
	if (gr->holder >= 0)
		systemd_release(&gr->holder);
}

void group_done(struct group *gr)
{
	group_filled(gr);
	cgroups_free(gr->cgroups);
	gr->cgroups = NULL;
}

int group_update(const struct ctr *c, const struct cgroups *g, const struct resources *r,
		 struct err *err)
{
	if (!g || !*c->cgroup)
		return err_set(err, ERR_STATE, "container %s has no cgroup", c->id);
	if (c->scope) {
		struct systemd *bus = systemd_open(c->user_systemd, err);
		int rc = bus ? systemd_update(bus, c->scope, g, c->cgroup, r, err) : -1;

		systemd_free(bus);
		if (rc < 0)
			return -1;
	}
	return resources_update(g, c->cgroup, r, err);
}

/* A create that died may have left a unit, but one in use is another container's. */
static bool is_anothers(struct systemd *bus, const struct ctr *c, const struct cgroups *g)
{
	struct err ignored;
	STR_AUTO path = *c->cgroup ? NULL : systemd_group(bus, c->scope, &ignored);
	unsigned n = 0;

	return path && g && cgroup_pids(g, path, count_pid, &n, &ignored) == 0 && n > 0;
}

/* Where no manager answers, there is no unit. */
static int stop_unit(const struct ctr *c, const struct cgroups *g, struct err *err)
{
	struct systemd *bus = systemd_open(c->user_systemd, err);
	int r = -1;

	if (bus)
		r = is_anothers(bus, c, g) ? 0 : systemd_stop(bus, c->scope, err);
	systemd_free(bus);
	return r < 0 && !bus && err->code == ERR_UNAVAILABLE ? 0 : r;
}

int group_remove(const struct ctr *c, const struct cgroups *g, struct err *err)
{
	bool has_files = g && *c->cgroup;

	if (has_files && cgroup_kill(g, c->cgroup, SIGKILL, err) < 0)
		return -1;
	if (c->scope && stop_unit(c, g, err) < 0)
		return -1;
	return has_files ? cgroup_remove(g, c->cgroup, REMOVE_MS, err) : 0;
}
