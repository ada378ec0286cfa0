#include "cri/specparts.h"

#include <limits.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/str.h"
#include "os/caps.h"

/* containerd's default set, which images rely on: ping, chroot, mknod. */
static const char *const default_caps[] = {
	"CAP_AUDIT_WRITE", "CAP_CHOWN",	    "CAP_DAC_OVERRIDE", "CAP_FOWNER",
	"CAP_FSETID",	   "CAP_KILL",	    "CAP_MKNOD",	"CAP_NET_BIND_SERVICE",
	"CAP_NET_RAW",	   "CAP_SETFCAP",   "CAP_SETGID",	"CAP_SETPCAP",
	"CAP_SETUID",	   "CAP_SYS_CHROOT"};

/* The number of a capability, with or without CAP_, in any case; -1 if unknown. */
static int cap_number(const char *name, struct err *err)
{
	int n;

	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (n = 0; caps_name((unsigned)n); n++)
		if (strcasecmp(caps_name((unsigned)n) + 4, name) == 0)
			return n;
	return err_set(err, ERR_INVALID, "capabilities: unknown capability \"%s\"", name);
}

static int change_caps(uint64_t *set, bool add, size_t n, const char *const *names,
		       struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		int cap;

		if (strcasecmp(names[i], "ALL") == 0) {
			*set = add ? caps_all() : 0;
			continue;
		}
		cap = cap_number(names[i], err);
		if (cap < 0)
			return -1;
		*set = add ? *set | UINT64_C(1) << cap : *set & ~(UINT64_C(1) << cap);
	}
	return 0;
}

static void add_set(uint64_t set, yyjson_mut_doc *d, yyjson_mut_val *caps,
		    const char *key)
{
	yyjson_mut_val *arr = json_add_arr(d, caps, key);

	for (unsigned i = 0; caps_name(i); i++)
		if (set >> i & 1)
			yyjson_mut_arr_add_strcpy(d, arr, caps_name(i));
}

/* "ALL" goes first in each list, so that the names beside it refine it. */
static int apply_caps(const Cri__Capability *c, uint64_t *set, struct err *err)
{
	bool drop_all = false, add_all = false;

	for (size_t i = 0; i < c->n_drop_capabilities; i++)
		drop_all |= strcasecmp(c->drop_capabilities[i], "ALL") == 0;
	for (size_t i = 0; i < c->n_add_capabilities; i++)
		add_all |= strcasecmp(c->add_capabilities[i], "ALL") == 0;
	if (drop_all)
		*set = 0;
	if (add_all)
		*set = caps_all();
	if (change_caps(set, true, add_all ? 0 : c->n_add_capabilities,
			(const char *const *)c->add_capabilities, err) < 0 ||
	    change_caps(set, false, drop_all ? 0 : c->n_drop_capabilities,
			(const char *const *)c->drop_capabilities, err) < 0)
		return -1;
	return 0;
}

int spec_add_capabilities(const Cri__Capability *c, bool privileged, yyjson_mut_doc *d,
			  yyjson_mut_val *process, struct err *err)
{
	yyjson_mut_val *caps = json_add_obj(d, process, "capabilities");
	uint64_t set = 0, ambient = 0;

	for (size_t i = 0; i < ARRAY_LEN(default_caps); i++)
		set |= UINT64_C(1) << cap_number(default_caps[i], err);
	if (privileged)
		set = caps_all();
	else if (c && apply_caps(c, &set, err) < 0)
		return -1;
	if (c && change_caps(&ambient, true, c->n_add_ambient_capabilities,
			     (const char *const *)c->add_ambient_capabilities, err) < 0)
		return -1;
	set |= ambient;
	add_set(set, d, caps, "bounding");
	add_set(set, d, caps, "permitted");
	add_set(set, d, caps, "effective");
	add_set(ambient, d, caps, "inheritable"); /* R12: else empty */
	add_set(ambient, d, caps, "ambient");
	return 0;
}

static void add_cpu(const Cri__LinuxContainerResources *r, yyjson_mut_doc *d,
		    yyjson_mut_val *resources)
{
	yyjson_mut_val *cpu = json_add_obj(d, resources, "cpu");

	if (r->cpu_shares > 0)
		json_add_i64(d, cpu, "shares", r->cpu_shares);
	if (r->cpu_quota)
		json_add_i64(d, cpu, "quota", r->cpu_quota);
	if (r->cpu_period > 0)
		json_add_i64(d, cpu, "period", r->cpu_period);
	json_add_str(d, cpu, "cpus", *r->cpuset_cpus ? r->cpuset_cpus : NULL);
	json_add_str(d, cpu, "mems", *r->cpuset_mems ? r->cpuset_mems : NULL);
}

int spec_add_resources(const Cri__LinuxContainerResources *r, yyjson_mut_doc *d,
		       yyjson_mut_val *resources, struct err *err)
{
	yyjson_mut_val *memory, *list;

	if (!r)
		return 0;
	if (r->oom_score_adj < -1000 || r->oom_score_adj > 1000)
		return err_set(err, ERR_INVALID,
			       "resources.oom_score_adj: %lld is not in -1000..1000",
			       (long long)r->oom_score_adj);
	if (r->memory_limit_in_bytes < -1 || r->cpu_shares < 0 || r->cpu_period < 0)
		return err_set(err, ERR_INVALID, "resources: a limit is negative");
	if (strspn(r->cpuset_cpus, "0123456789,-") != strlen(r->cpuset_cpus) ||
	    strspn(r->cpuset_mems, "0123456789,-") != strlen(r->cpuset_mems))
		return err_set(err, ERR_INVALID,
			       "resources: cpuset \"%s\" \"%s\": not a list",
			       r->cpuset_cpus, r->cpuset_mems);
	if (r->memory_swap_limit_in_bytes > 0 && r->memory_limit_in_bytes > 0 &&
	    r->memory_swap_limit_in_bytes < r->memory_limit_in_bytes)
		return err_set(
			err, ERR_INVALID,
			"resources.memory_swap_limit_in_bytes is below the memory limit");
	add_cpu(r, d, resources);
	memory = json_add_obj(d, resources, "memory");
	if (r->memory_limit_in_bytes)
		json_add_i64(d, memory, "limit", r->memory_limit_in_bytes);
	/* no swap beyond the limit unless it is asked for */
	if (r->memory_swap_limit_in_bytes)
		json_add_i64(d, memory, "swap", r->memory_swap_limit_in_bytes);
	else if (r->memory_limit_in_bytes > 0)
		json_add_i64(d, memory, "swap", r->memory_limit_in_bytes);
	list = json_add_arr(d, resources, "hugepageLimits");
	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		yyjson_mut_val *h = yyjson_mut_arr_add_obj(d, list);

		json_add_str(d, h, "pageSize", r->hugepage_limits[i]->page_size);
		json_add_u64(d, h, "limit", r->hugepage_limits[i]->limit);
	}
	list = json_add_obj(d, resources, "unified");
	for (size_t i = 0; i < r->n_unified; i++)
		json_add_str(d, list, r->unified[i]->key, r->unified[i]->value);
	return 0;
}

/* Adds a mount; options are words separated by commas. */
static yyjson_mut_val *add_mount(yyjson_mut_doc *d, yyjson_mut_val *mounts,
				 const char *dest, const char *type, const char *source,
				 const char *options)
{
	yyjson_mut_val *m = yyjson_mut_arr_add_obj(d, mounts), *arr;

	json_add_str(d, m, "destination", dest);
	json_add_str(d, m, "type", type);
	json_add_str(d, m, "source", source);
	arr = json_add_arr(d, m, "options");
	while (*options) {
		size_t n = strcspn(options, ",");

		yyjson_mut_arr_add_strncpy(d, arr, options, n);
		options += n + (options[n] == ',');
	}
	return m;
}

static void add_system_mounts(bool privileged, bool host_net, bool userns,
			      yyjson_mut_doc *d, yyjson_mut_val *mounts)
{
	add_mount(d, mounts, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(d, mounts, "/dev", "tmpfs", "tmpfs",
		  "nosuid,strictatime,mode=755,size=65536k");
	add_mount(d, mounts, "/dev/pts", "devpts", "devpts",
		  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	add_mount(d, mounts, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
	/* sysfs shows the network namespace's devices: with the host's it cannot be
	 * mounted anew from within a user namespace */
	if (host_net && userns)
		add_mount(d, mounts, "/sys", "bind", "/sys",
			  "rbind,rro,nosuid,nodev,noexec");
	else
		add_mount(d, mounts, "/sys", "sysfs", "sysfs",
			  privileged ? "nosuid,noexec,nodev,rw"
				     : "nosuid,noexec,nodev,ro");
	add_mount(d, mounts, "/sys/fs/cgroup", "cgroup", "cgroup",
		  privileged ? "nosuid,noexec,nodev,relatime,rw"
			     : "nosuid,noexec,nodev,relatime,ro");
	/* the shim puts the pod's own in place of the source */
	add_mount(d, mounts, "/dev/shm", "bind", "/dev/shm", "rbind,nosuid,nodev,noexec");
}

static bool has_mount(const Cri__ContainerConfig *c, const char *dest)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		const char *p = c->mounts[i]->container_path;
		size_t n = strlen(p);

		while (n > 1 && p[n - 1] == '/')
			n--;
		if (strlen(dest) == n && memcmp(p, dest, n) == 0)
			return true;
	}
	return false;
}

/* The pod's files, unless the request has its own in their place. */
static void add_pod_files(const struct cri_ctr_source *src, bool readonly,
			  yyjson_mut_doc *d, yyjson_mut_val *mounts)
{
	static const char *const names[] = {"hostname", "hosts", "resolv.conf"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		STR_AUTO dest = xasprintf("/etc/%s", names[i]);
		STR_AUTO from =
			xasprintf("%s/pods/%s/%s", src->def->root, src->pod_id, names[i]);

		if (!has_mount(src->config, dest))
			add_mount(d, mounts, dest, "bind", from,
				  readonly ? "rbind,rprivate,ro" : "rbind,rprivate,rw");
	}
}

bool spec_is_image_volume(const Cri__Mount *m)
{
	return m->image && *m->image->image;
}

static int check_mount(size_t i, const Cri__Mount *m, struct err *err)
{
	if (strlen(m->container_path) >= PATH_MAX || strlen(m->host_path) >= PATH_MAX)
		return err_set(err, ERR_INVALID, "mounts[%zu]: a path is longer than %d",
			       i, PATH_MAX - 1);
	if (*m->container_path != '/')
		return err_set(err, ERR_INVALID,
			       "mounts[%zu].container_path \"%s\" is not absolute", i,
			       m->container_path);
	if (spec_is_image_volume(m) && (*m->host_path || !m->readonly))
		return err_set(err, ERR_INVALID,
			       "mounts[%zu].image: needs readonly, and no host_path", i);
	if (spec_is_image_volume(m))
		return 0;
	if (*m->host_path != '/')
		return err_set(err, ERR_INVALID,
			       "mounts[%zu].host_path \"%s\" is not absolute", i,
			       m->host_path);
	if (m->recursive_read_only && !m->readonly)
		return err_set(err, ERR_INVALID,
			       "mounts[%zu]: recursive_read_only needs readonly", i);
	if (m->recursive_read_only &&
	    m->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return err_set(
			err, ERR_INVALID,
			"mounts[%zu]: recursive_read_only needs PROPAGATION_PRIVATE", i);
	return 0;
}

static void add_id_maps(yyjson_mut_doc *d, yyjson_mut_val *m, const char *key, size_t n,
			Cri__IDMapping **maps)
{
	yyjson_mut_val *arr = n ? json_add_arr(d, m, key) : NULL;

	for (size_t i = 0; i < n; i++) {
		yyjson_mut_val *o = yyjson_mut_arr_add_obj(d, arr);

		json_add_u64(d, o, "containerID", maps[i]->container_id);
		json_add_u64(d, o, "hostID", maps[i]->host_id);
		json_add_u64(d, o, "size", maps[i]->length);
	}
}

/* The shim puts the image's tree, with the pod's ids, in place of the source. */
static void add_image_volume(const Cri__Mount *m, yyjson_mut_doc *d,
			     yyjson_mut_val *mounts)
{
	add_mount(d, mounts, m->container_path, "bind", m->image->image,
		  "rbind,rprivate,ro,nosuid,nodev");
}

static void add_volume(const Cri__Mount *m, yyjson_mut_doc *d, yyjson_mut_val *mounts)
{
	const char *propagation =
		m->propagation == CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL
			? "rshared"
		: m->propagation == CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER
			? "rslave"
			: "rprivate";
	STR_AUTO options = xasprintf("rbind,%s,%s%s", propagation,
				     m->recursive_read_only ? "rro"
				     : m->readonly	    ? "ro"
							    : "rw",
				     m->n_uidmappings ? ",idmap" : "");
	yyjson_mut_val *v =
		add_mount(d, mounts, m->container_path, "bind", m->host_path, options);

	add_id_maps(d, v, "uidMappings", m->n_uidmappings, m->uidmappings);
	add_id_maps(d, v, "gidMappings", m->n_gidmappings, m->gidmappings);
}

/* Number of path components: /a/b is mounted before /a/b/c. */
static unsigned depth(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path != '/' && (path[1] == '/' || !path[1]);
	return n;
}

int spec_add_mounts(const struct cri_ctr_source *src, bool privileged, bool host_net,
		    yyjson_mut_doc *d, yyjson_mut_val *spec, yyjson_mut_val *lin,
		    struct err *err)
{
	const Cri__ContainerConfig *c = src->config;
	yyjson_mut_val *mounts = json_add_arr(d, spec, "mounts");
	bool readonly = c->linux && c->linux->security_context &&
			c->linux->security_context->readonly_rootfs;
	bool shared = false, slave = false;
	unsigned max = 0;

	add_system_mounts(privileged, host_net,
			  yyjson_mut_obj_get(lin, "uidMappings") != NULL, d, mounts);
	add_pod_files(src, readonly, d, mounts);
	for (size_t i = 0; i < c->n_mounts; i++) {
		const Cri__Mount *m = c->mounts[i];

		if (check_mount(i, m, err) < 0)
			return -1;
		max = MAX(max, depth(m->container_path));
		shared |= m->propagation ==
			  CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
		slave |= m->propagation ==
			 CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	}
	for (unsigned level = 0; level <= max; level++)
		for (size_t i = 0; i < c->n_mounts; i++)
			if (depth(c->mounts[i]->container_path) != level)
				continue;
			else if (spec_is_image_volume(c->mounts[i]))
				add_image_volume(c->mounts[i], d, mounts);
			else
				add_volume(c->mounts[i], d, mounts);
	if (shared || slave)
		json_add_str(d, lin, "rootfsPropagation", shared ? "rshared" : "rslave");
	return 0;
}

int spec_add_devices(const Cri__ContainerConfig *c, bool privileged, yyjson_mut_doc *d,
		     yyjson_mut_val *obj, yyjson_mut_val *lin, struct err *err)
{
	yyjson_mut_val *arr = json_add_arr(d, obj, "devices");
	yyjson_mut_val *resources = json_add_obj(d, lin, "resources");
	yyjson_mut_val *rule =
		yyjson_mut_arr_add_obj(d, json_add_arr(d, resources, "devices"));

	json_add_bool(d, rule, "allow", privileged);
	json_add_str(d, rule, "access", "rwm");
	json_add_bool(d, obj, "host_devices", privileged);
	if (c->n_cdi_devices)
		return err_set(err, ERR_UNIMPLEMENTED,
			       "CDI_devices are not supported yet");
	for (size_t i = 0; i < c->n_devices; i++) {
		const Cri__Device *dev = c->devices[i];
		yyjson_mut_val *v;

		if (*dev->host_path != '/' || *dev->container_path != '/')
			return err_set(err, ERR_INVALID,
				       "devices[%zu]: a path is not absolute", i);
		if (strspn(dev->permissions, "rwm") != strlen(dev->permissions))
			return err_set(err, ERR_INVALID,
				       "devices[%zu].permissions \"%s\": not of r, w, m",
				       i, dev->permissions);
		v = yyjson_mut_arr_add_obj(d, arr);
		json_add_str(d, v, "path", dev->container_path);
		json_add_str(d, v, "host_path", dev->host_path);
		json_add_str(d, v, "permissions",
			     *dev->permissions ? dev->permissions : "rwm");
	}
	return 0;
}
