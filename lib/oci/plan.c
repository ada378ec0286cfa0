/* plan: what a spec means, as a list of operations in the order they are done in. */
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/num.h"
#include "base/str.h"
#include "cgroup/rdt.h"
#include "oci/oci-int.h"

const char *const oci_op_names[OCI_OP_COUNT] = {
	[OCI_OP_ROOT] = "root",
	[OCI_OP_MOUNT] = "mount",
	[OCI_OP_BIND] = "bind",
	[OCI_OP_CGROUP] = "cgroup-mount",
	[OCI_OP_DIR] = "directory",
	[OCI_OP_NODE] = "device",
	[OCI_OP_NODE_BIND] = "device-bind",
	[OCI_OP_LINK] = "link",
	[OCI_OP_CONSOLE] = "console",
	[OCI_OP_SYSCTL] = "sysctl",
	[OCI_OP_HOSTNAME] = "hostname",
	[OCI_OP_DOMAINNAME] = "domainname",
	[OCI_OP_HOOKS] = "hooks",
	[OCI_OP_READONLY] = "read-only",
	[OCI_OP_MASK] = "mask",
	[OCI_OP_MOUNT_RO] = "mount-read-only",
	[OCI_OP_ROOT_ATTRS] = "root-attributes",
	[OCI_OP_PIVOT] = "pivot",
};

/* config-linux.md, Default Devices. */
static const struct oci_device default_devices[] = {
	{.path = "/dev/null", .type = 'c', .major = 1, .minor = 3, .mode = 0666},
	{.path = "/dev/zero", .type = 'c', .major = 1, .minor = 5, .mode = 0666},
	{.path = "/dev/full", .type = 'c', .major = 1, .minor = 7, .mode = 0666},
	{.path = "/dev/random", .type = 'c', .major = 1, .minor = 8, .mode = 0666},
	{.path = "/dev/urandom", .type = 'c', .major = 1, .minor = 9, .mode = 0666},
	{.path = "/dev/tty", .type = 'c', .major = 5, .minor = 0, .mode = 0666},
};

static const struct {
	const char *path, *target;
} default_links[] = {
	{"/dev/fd", "/proc/self/fd"},	    {"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
	{"/dev/core", "/proc/kcore"},	    {"/dev/ptmx", "pts/ptmx"},
};

static struct oci_op *add(struct oci_plan *p, struct arena *a, enum oci_op_kind kind,
			  const char *path)
{
	struct oci_op *op;

	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		struct oci_op *ops = arena_array(a, cap, sizeof(*ops));

		if (p->n)
			memcpy(ops, p->ops, p->n * sizeof(*ops));
		p->ops = ops;
		p->cap = cap;
	}
	op = &p->ops[p->n++];
	op->kind = kind;
	op->path = path;
	op->fd = -1;
	return op;
}

static void add_mount(struct oci_plan *p, struct arena *a, const struct oci_mount *m)
{
	struct oci_op *op = add(p, a,
				m->bind				? OCI_OP_BIND
				: str_starts(m->type, "cgroup") ? OCI_OP_CGROUP
								: OCI_OP_MOUNT,
				m->destination);

	op->source = m->source;
	op->type = m->type;
	op->data = m->data;
	op->attrs = m->attrs;
	op->recursive = m->recursive;
	op->copy_up = m->copy_up;
	op->mount = m;
	/* what a clone would keep: the peer group of the host's mount */
	if (m->bind && !op->attrs.propagation) {
		op->attrs.propagation = MS_PRIVATE;
		op->attrs.propagation_rec = true;
	}
}

static bool is_dev(const char *path)
{
	return str_eq(path, "/dev") || str_eq(path, "/dev/");
}

/* The container's /dev, if it is a file system of its own, to be filled. */
static struct oci_op *own_dev(const struct oci_plan *p)
{
	struct oci_op *own = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (p->ops[i].mount && is_dev(p->ops[i].path))
			own = p->ops[i].mount->bind ? NULL : &p->ops[i];
	return own;
}

static void add_device(struct oci_plan *p, struct arena *a, const struct oci_device *d)
{
	bool bind = p->spec->ns[OCI_NS_USER].present;
	struct oci_op *op = add(
		p, a, bind && d->type != 'p' ? OCI_OP_NODE_BIND : OCI_OP_NODE, d->path);

	op->device = d;
	op->source = d->host_path ? d->host_path : d->path;
}

static void add_devices(struct oci_plan *p, struct arena *a)
{
	const struct oci_spec *s = p->spec;

	for (size_t i = 0; i < ARRAY_LEN(default_devices); i++) {
		bool replaced = false;

		for (size_t j = 0; j < s->ndevices; j++)
			replaced |= str_eq(s->devices[j].path, default_devices[i].path);
		if (!replaced)
			add_device(p, a, &default_devices[i]);
	}
	for (size_t i = 0; i < s->ndevices; i++)
		add_device(p, a, &s->devices[i]);
	for (size_t i = 0; i < ARRAY_LEN(default_links); i++)
		add(p, a, OCI_OP_LINK, default_links[i].path)->source =
			default_links[i].target;
}

/* Where the new root is in place with all its mounts, and still can be written to. */
static void add_hooks(struct oci_plan *p, struct arena *a)
{
	static const enum oci_hook_kind kinds[] = {
		OCI_HOOK_PRESTART, OCI_HOOK_CREATE_RUNTIME, OCI_HOOK_CREATE_CONTAINER};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (p->spec->hooks[kinds[i]].n)
			add(p, a, OCI_OP_HOOKS, NULL)->hooks = kinds[i];
}

static void add_restrictions(struct oci_plan *p, struct arena *a)
{
	const struct oci_spec *s = p->spec;
	struct map masked = {0};
	struct oci_op *op;

	for (size_t i = 0; i < s->nsysctls; i++)
		add(p, a, OCI_OP_SYSCTL, s->sysctls[i].key)->source = s->sysctls[i].value;
	for (size_t i = 0; i < s->nreadonly; i++)
		add(p, a, OCI_OP_READONLY, s->readonly[i]);
	for (size_t i = 0; i < s->nmasked; i++)
		if (!map_put(&masked, s->masked[i], p))
			add(p, a, OCI_OP_MASK, s->masked[i]);
	map_done(&masked);
	if (s->process && s->process->cwd)
		add(p, a, OCI_OP_DIR, s->process->cwd);
	op = add(p, a, OCI_OP_ROOT_ATTRS, "/");
	op->attrs.set = s->root_readonly ? MOUNT_ATTR_RDONLY : 0;
	op->attrs.propagation = s->root_propagation;
}

struct oci_plan *oci_plan_new(const struct oci_spec *s, const struct oci_plan_how *how,
			      struct arena *a)
{
	struct oci_plan *p = arena_alloc(a, sizeof(*p));
	struct oci_op *dev;
	bool dev_ro = false;

	p->spec = s;
	p->how = *how;
	for (unsigned i = 0; i < OCI_NS_COUNT; i++)
		if (s->ns[i].present && !s->ns[i].path && !(how->joined >> i & 1))
			p->new_ns |= 1U << i;
	if (s->hostname)
		add(p, a, OCI_OP_HOSTNAME, NULL)->source = s->hostname;
	if (s->domainname)
		add(p, a, OCI_OP_DOMAINNAME, NULL)->source = s->domainname;
	add(p, a, OCI_OP_ROOT, "/")->source = how->rootfs ? how->rootfs : s->root;
	for (size_t i = 0; i < s->nmounts; i++)
		add_mount(p, a, &s->mounts[i]);
	dev = own_dev(p);
	if (dev) {
		/* as soon as there is everything in it */
		dev_ro = (dev->attrs.set & MOUNT_ATTR_RDONLY) != 0;
		dev->attrs.set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
		add_devices(p, a);
	}
	if (how->console)
		add(p, a, OCI_OP_CONSOLE, "/dev/console");
	add_hooks(p, a);
	add_restrictions(p, a);
	if (dev_ro)
		add(p, a, OCI_OP_MOUNT_RO, "/dev");
	add(p, a, OCI_OP_PIVOT, NULL);
	return p;
}

/* --- printing ----------------------------------------------------------------------- */

static void print_flags(struct buf *out, const char *key, uint64_t v)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {
		{MOUNT_ATTR_RDONLY, "ro"},
		{MOUNT_ATTR_NOSUID, "nosuid"},
		{MOUNT_ATTR_NODEV, "nodev"},
		{MOUNT_ATTR_NOEXEC, "noexec"},
		{MOUNT_ATTR_NODIRATIME, "nodiratime"},
		{MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
	};
	const char *sep = "=";

	if (!v)
		return;
	buf_add_fmt(out, " %s", key);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (v & names[i].bit) {
			buf_add_fmt(out, "%s%s", sep, names[i].name);
			sep = ",";
		}
	if ((v & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME)
		buf_add_fmt(out, "%satime*", sep);
	else if (v & MOUNT_ATTR_NOATIME)
		buf_add_fmt(out, "%snoatime", sep);
	else if (v & MOUNT_ATTR_STRICTATIME)
		buf_add_fmt(out, "%sstrictatime", sep);
}

static void print_attrs(struct buf *out, const struct oci_attrs *at)
{
	print_flags(out, "set", at->set);
	print_flags(out, "clear", at->clear);
	print_flags(out, "set-tree", at->rset);
	print_flags(out, "clear-tree", at->rclear);
	if (at->propagation)
		buf_add_fmt(out, " propagation=%s%s", at->propagation_rec ? "r" : "",
			    at->propagation == MS_SHARED    ? "shared"
			    : at->propagation == MS_SLAVE   ? "slave"
			    : at->propagation == MS_PRIVATE ? "private"
							    : "unbindable");
}

/* A word as it is, or in quotes if it is none. */
static void print_word(struct buf *out, const char *s)
{
	bool plain = *s != 0;

	for (const char *p = s; *p; p++)
		plain = plain && (unsigned char)*p > ' ' && *p != '"' && *p != '\\' &&
			*p != 0x7f;
	if (plain) {
		buf_add_str(out, s);
		return;
	}
	buf_add_char(out, '"');
	for (const char *p = s; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_add_char(out, '\\');
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			buf_add_fmt(out, "\\x%02x", (unsigned)*p);
		else
			buf_add_char(out, *p);
	}
	buf_add_char(out, '"');
}

static void print_mount(struct buf *out, const struct oci_mount *m)
{
	if (m->idmap != OCI_IDMAP_NONE)
		buf_add_str(out, m->idmap == OCI_IDMAP_TREE ? " idmap-tree" : " idmap");
	for (size_t i = 0; i < m->nuids; i++)
		buf_add_fmt(out, " uid:%u:%u:%u", m->uids[i].inside, m->uids[i].outside,
			    m->uids[i].count);
	for (size_t i = 0; i < m->ngids; i++)
		buf_add_fmt(out, " gid:%u:%u:%u", m->gids[i].inside, m->gids[i].outside,
			    m->gids[i].count);
	if (m->copy_symlink)
		buf_add_str(out, " copy-symlink");
	if (m->source_nofollow)
		buf_add_str(out, " src-nofollow");
	if (m->dest_nofollow)
		buf_add_str(out, " dest-nofollow");
}

static void print_hooks(struct buf *out, const struct oci_spec *s,
			enum oci_hook_kind kind)
{
	for (size_t i = 0; i < s->hooks[kind].n; i++) {
		const struct oci_hook *h = &s->hooks[kind].list[i];

		buf_add_fmt(out, "hook %s ", oci_hook_names[kind]);
		print_word(out, h->path);
		for (size_t j = 0; h->args && h->args[j]; j++) {
			buf_add_char(out, ' ');
			print_word(out, h->args[j]);
		}
		if (h->timeout)
			buf_add_fmt(out, " timeout=%d", (int)h->timeout);
		buf_add_char(out, '\n');
	}
}

static void print_op(struct buf *out, const struct oci_spec *s, const struct oci_op *op)
{
	if (op->kind == OCI_OP_HOOKS) {
		print_hooks(out, s, op->hooks);
		return;
	}
	buf_add_str(out, oci_op_names[op->kind]);
	if (op->path) {
		buf_add_char(out, ' ');
		print_word(out, op->path);
	}
	if (op->kind == OCI_OP_MOUNT || op->kind == OCI_OP_CGROUP)
		buf_add_fmt(out, " type=%s", op->type);
	if (op->device)
		buf_add_fmt(out, " %c %u:%u %04o %u:%u", op->device->type,
			    op->device->major, op->device->minor,
			    (unsigned)op->device->mode, (unsigned)op->device->uid,
			    (unsigned)op->device->gid);
	if (op->source && op->kind != OCI_OP_NODE) {
		buf_add_str(out, op->kind == OCI_OP_LINK     ? " -> "
				 : op->kind == OCI_OP_SYSCTL ? " = "
				 : op->path		     ? " source="
							     : " ");
		print_word(out, op->source);
	}
	if (!str_empty(op->data)) {
		buf_add_str(out, " data=");
		print_word(out, op->data);
	}
	if (op->recursive)
		buf_add_str(out, " recursive");
	if (op->copy_up)
		buf_add_str(out, " copy-up");
	if (op->mount)
		print_mount(out, op->mount);
	print_attrs(out, &op->attrs);
	buf_add_char(out, '\n');
}

static void print_maps(struct buf *out, const char *what, const struct ns_map *maps,
		       size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_fmt(out, "%s %u %u %u\n", what, maps[i].inside, maps[i].outside,
			    maps[i].count);
}

static void print_offset(struct buf *out, const char *clock,
			 const struct oci_time_offset *o)
{
	if (o->given)
		buf_add_fmt(out, "time-offset %s %lld.%09u\n", clock, (long long)o->secs,
			    o->nanosecs);
}

static void print_namespaces(struct buf *out, const struct oci_plan *p)
{
	const struct oci_spec *s = p->spec;

	for (unsigned i = 0; i < OCI_NS_COUNT; i++) {
		if (p->how.joined >> i & 1)
			buf_add_fmt(out, "join %s\n", oci_ns_types[i].name);
		else if (p->new_ns >> i & 1)
			buf_add_fmt(out, "new %s\n", oci_ns_types[i].name);
		else if (s->ns[i].present) {
			buf_add_fmt(out, "join %s ", oci_ns_types[i].name);
			print_word(out, s->ns[i].path);
			buf_add_char(out, '\n');
		}
	}
	print_maps(out, "uid-map", s->uids, s->nuids);
	print_maps(out, "gid-map", s->gids, s->ngids);
	print_offset(out, "monotonic", &s->monotonic);
	print_offset(out, "boottime", &s->boottime);
	for (size_t i = 0; i < s->nnetdevs; i++)
		buf_add_fmt(out, "net-device %s -> %s\n", s->netdevs[i].host,
			    s->netdevs[i].name);
	if (s->rdt)
		rdt_print(s->rdt, out);
}

static void print_caps(struct buf *out, const char *name, uint64_t set)
{
	const char *sep = " ";

	buf_add_fmt(out, "capabilities %s", name);
	for (unsigned i = 0; caps_name(i); i++)
		if (set >> i & 1) {
			buf_add_fmt(out, "%s%s", sep, caps_name(i) + 4);
			sep = ",";
		}
	buf_add_char(out, '\n');
}

static void print_process(struct buf *out, const struct oci_process *p)
{
	for (size_t i = 0; i < p->nrlimits; i++)
		buf_add_fmt(out, "rlimit %d soft=%llu hard=%llu\n",
			    p->rlimits[i].resource,
			    (unsigned long long)p->rlimits[i].soft,
			    (unsigned long long)p->rlimits[i].hard);
	if (p->has_oom)
		buf_add_fmt(out, "oom-score-adj %d\n", p->oom_score_adj);
	if (p->terminal)
		buf_add_fmt(out, "terminal %ux%u\n", p->cols, p->rows);
	buf_add_fmt(out, "umask %04o\n", p->has_umask ? (unsigned)p->umask : 022U);
	if (p->no_new_privs)
		buf_add_str(out, "no-new-privileges\n");
	if (!str_empty(p->apparmor))
		buf_add_fmt(out, "apparmor %s\n", p->apparmor);
	if (!str_empty(p->selinux))
		buf_add_fmt(out, "selinux %s\n", p->selinux);
	print_caps(out, "bounding", p->caps.bounding);
	buf_add_fmt(out, "user %u:%u", (unsigned)p->uid, (unsigned)p->gid);
	for (size_t i = 0; i < p->ngroups; i++)
		buf_add_fmt(out, "%s%u", i ? "," : " groups ", (unsigned)p->groups[i]);
	buf_add_str(out, "\ncwd ");
	print_word(out, p->cwd);
	buf_add_char(out, '\n');
	print_caps(out, "effective", p->caps.effective);
	print_caps(out, "permitted", p->caps.permitted);
	print_caps(out, "inheritable", p->caps.inheritable);
	print_caps(out, "ambient", p->caps.ambient);
}

static void print_exec(struct buf *out, const struct oci_process *p)
{
	for (char *const *e = p->env; *e; e++) {
		buf_add_str(out, "env ");
		print_word(out, *e);
		buf_add_char(out, '\n');
	}
	buf_add_str(out, "exec");
	for (char *const *e = p->args; *e; e++) {
		buf_add_char(out, ' ');
		print_word(out, *e);
	}
	buf_add_char(out, '\n');
}

static void print_end(struct buf *out, const struct oci_spec *s)
{
	if (s->seccomp)
		seccomp_profile_print(s->seccomp, out);
	print_hooks(out, s, OCI_HOOK_START_CONTAINER);
	if (s->process)
		print_exec(out, s->process);
	print_hooks(out, s, OCI_HOOK_POSTSTART);
	print_hooks(out, s, OCI_HOOK_POSTSTOP);
}

void oci_plan_print(const struct oci_plan *p, struct buf *out)
{
	resources_print(&p->spec->res, p->how.cgroup_v1, out);
	print_namespaces(out, p);
	for (size_t i = 0; i < p->n; i++)
		print_op(out, p->spec, &p->ops[i]);
	if (p->spec->process) {
		print_process(out, p->spec->process);
		oci_print_tuning(p->spec, p->spec->process, out);
	}
	print_end(out, p->spec);
}
