/* hostdev: devices of the host for a container, looked up by path. May block. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/file.h"

enum { MAX_DEVICES = 4096, MAX_DEPTH = 8 };

/* A device that is added: host path, path in the container, allowed access. */
struct request {
	struct oci_spec *spec;
	struct arena *arena;
	unsigned access;
	bool rules;	/* each device gets a rule of its own */
	bool terminals; /* pts, console and the like are taken too */
};

static unsigned access_bits(const char *s)
{
	return (strchr(s, 'r') ? DEVICE_READ : 0U) |
	       (strchr(s, 'w') ? DEVICE_WRITE : 0U) |
	       (strchr(s, 'm') ? DEVICE_MKNOD : 0U);
}

static void add_rule(const struct request *q, char type, uint32_t major, uint32_t minor)
{
	struct resources *r = &q->spec->res;
	struct device_rule *rules = arena_array(q->arena, r->nrules + 1, sizeof(*rules));

	if (r->nrules)
		memcpy(rules, r->rules, r->nrules * sizeof(*rules));
	rules[r->nrules++] = (struct device_rule){true, type, major, minor, q->access};
	r->rules = rules;
	r->has_rules = true;
}

/* One device node; a path that the spec has already is replaced. */
static int add_node(const struct request *q, const char *path, const char *host,
		    const struct stat *st, struct err *err)
{
	struct oci_spec *s = q->spec;
	struct oci_device dev = {
		.path = arena_strdup(q->arena, path),
		.host_path = arena_strdup(q->arena, host),
		.type = S_ISBLK(st->st_mode) ? 'b' : 'c',
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.mode = st->st_mode & 0777,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};

	if (q->rules)
		add_rule(q, dev.type, dev.major, dev.minor);
	for (size_t i = 0; i < s->ndevices; i++)
		if (str_eq(s->devices[i].path, path)) {
			s->devices[i] = dev;
			return 0;
		}
	if (s->ndevices >= MAX_DEVICES)
		return err_set(err, ERR_EXHAUSTED, "more than %d devices", MAX_DEVICES);
	if (s->ndevices == s->devices_cap) {
		size_t cap = s->devices_cap * 2 + 16;
		struct oci_device *grown = arena_array(q->arena, cap, sizeof(*grown));

		if (s->ndevices)
			memcpy(grown, s->devices, s->ndevices * sizeof(*grown));
		s->devices = grown;
		s->devices_cap = cap;
	}
	s->devices[s->ndevices++] = dev;
	return 0;
}

/* What a container has of its own below /dev, or must not get. */
static bool is_private(const char *host)
{
	static const char *const names[] = {
		"/dev/pts",  "/dev/shm",  "/dev/mqueue",      "/dev/fd",   "/dev/console",
		"/dev/ptmx", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], host))
			return true;
	return false;
}

static int add_tree(const struct request *q, const char *path, const char *host,
		    unsigned depth, struct err *err);

static int add_any(const struct request *q, const char *path, const char *host,
		   unsigned depth, struct err *err)
{
	struct stat st;

	/* below a directory symlinks are left out: what they name is there itself */
	if (fstatat(AT_FDCWD, host, &st, depth ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return depth ? 0 : err_sys(err, errno, "device %s", host);
	if (S_ISDIR(st.st_mode))
		return add_tree(q, path, host, depth + 1, err);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return add_node(q, path, host, &st, err);
	return depth ? 0 : err_set(err, ERR_INVALID, "device %s: not a device", host);
}

static int add_tree(const struct request *q, const char *path, const char *host,
		    unsigned depth, struct err *err)
{
	DIR *d = depth > MAX_DEPTH ? NULL : opendir(host);
	struct dirent *e;
	int r = 0;

	if (!d)
		return depth > MAX_DEPTH ? 0 : err_sys(err, errno, "device %s", host);
	while (r == 0 && (e = readdir(d))) {
		STR_AUTO from = xasprintf("%s/%s", host, e->d_name);
		STR_AUTO to = xasprintf("%s/%s", path, e->d_name);

		if (*e->d_name == '.' || (!q->terminals && is_private(from)))
			continue;
		r = add_any(q, to, from, depth, err);
	}
	closedir(d);
	return r;
}

int oci_spec_add_device(struct oci_spec *s, struct arena *a, const char *path,
			const char *host_path, const char *access, struct err *err)
{
	struct request q = {.spec = s,
			    .arena = a,
			    .access = access_bits(access),
			    .rules = true,
			    .terminals = true};

	return add_any(&q, path, host_path, 0, err);
}

int oci_spec_add_host_devices(struct oci_spec *s, struct arena *a, struct err *err)
{
	struct request q = {.spec = s, .arena = a};

	return add_tree(&q, "/dev", "/dev", 1, err);
}
