/* place: cgroups and paths of a pod and of its shim. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/systemd.h"
#include "shim/shim.h"

enum { REMOVE_MS = 5000 };

/*
 * Never the pod's group nor crid's: the kubelet kills what is in the one, a
 * service manager what is in the other.
 */
static char *shim_group(const struct shim *s)
{
	return xasprintf("/cribox/shims/%s", s->id);
}

int place_shim(struct shim *s, struct err *err)
{
	STR_AUTO group = shim_group(s);
	int tries = 5;

	/* the last shim to leave removes the parents: try again if that was just now */
	while (cgroup_make(s->cgroups, group, err) < 0)
		if (err->code != ERR_NOT_FOUND || !--tries)
			return -1;
	return cgroup_join(s->cgroups, group, 0, err);
}

/* The groups that all shims share go with the last one; busy ones stay. */
static void remove_parents(struct shim *s)
{
	struct err ignored;

	if (cgroup_prune(s->cgroups, "/cribox/shims", &ignored) == 0)
		cgroup_prune(s->cgroups, "/cribox", &ignored);
}

void place_leave(struct shim *s)
{
	STR_AUTO group = shim_group(s);
	struct err err;

	if (!cgroup_exists(s->cgroups, group))
		return;
	if (cgroup_join(s->cgroups, "/", 0, &err) < 0 ||
	    cgroup_remove(s->cgroups, group, REMOVE_MS, &err) < 0)
		log_warn(&s->log, "%s", err.msg);
	remove_parents(s);
}

int place_clean(struct shim *s, struct err *err)
{
	STR_AUTO group = shim_group(s);

	if (cgroup_kill(s->cgroups, group, SIGKILL, err) < 0 ||
	    cgroup_remove(s->cgroups, group, REMOVE_MS, err) < 0)
		return -1;
	remove_parents(s);
	return 0;
}

void place_pod(struct shim *s)
{
	const char *parent = pod_str(s, "cgroup_parent");
	yyjson_val *ns = json_obj(s->pod.spec, "ns");
	struct err ignored;

	s->pod.own_cgroup = !*parent;
	if (str_ends(parent, ".slice") && *parent != '/')
		s->pod.cgroup = systemd_slice_path(parent, &ignored);
	s->pod.systemd = s->pod.cgroup != NULL;
	if (!s->pod.cgroup)
		s->pod.cgroup =
			*parent ? xstrdup(parent) : xasprintf("/cribox/%s", s->id);
	if (!str_eq(str_or_empty(json_str(ns, "network")), "node"))
		s->pod.netns = xasprintf("/run/netns/cni-%s", s->id);
}

int place_remove(struct shim *s, struct err *err)
{
	if (!s->pod.own_cgroup)
		return 0;
	return cgroup_remove(s->cgroups, s->pod.cgroup, REMOVE_MS, err);
}
