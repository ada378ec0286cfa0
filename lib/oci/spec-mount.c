/* spec-mount: config.json's mounts and their options (config-linux.md, Linux mount
 * options). */
#include <linux/mount.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/oci-int.h"

/* Of what a flag option changes: MOUNT_ATTR_x of the mount. */
static const struct {
	const char *name;
	uint64_t set, clear;
} flags[] = {
	{"ro", MOUNT_ATTR_RDONLY, 0},
	{"rw", 0, MOUNT_ATTR_RDONLY},
	{"nosuid", MOUNT_ATTR_NOSUID, 0},
	{"suid", 0, MOUNT_ATTR_NOSUID},
	{"nodev", MOUNT_ATTR_NODEV, 0},
	{"dev", 0, MOUNT_ATTR_NODEV},
	{"noexec", MOUNT_ATTR_NOEXEC, 0},
	{"exec", 0, MOUNT_ATTR_NOEXEC},
	{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
	{"diratime", 0, MOUNT_ATTR_NODIRATIME},
	{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
	{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
	/* one value of several: all its bits are cleared before */
	{"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
	{"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
	{"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
	{"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
	{"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
	{"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

/* Of the file system, not of the mount: fsconfig knows most of them as flags. */
static const char *const super_flags[] = {
	"sync",
	"dirsync",
	"lazytime",
	"mand",
};

/* Defaults, or what the kernel no longer has. */
static const char *const ignored[] = {
	"defaults",   "async",	 "nolazytime", "nomand", "loud",   "iversion",
	"noiversion", "remount", "acl",	       "noacl",	 "silent",
};

static bool among(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i], word))
			return true;
	return false;
}

uint64_t oci_propagation(const char *name, bool *ret_rec)
{
	static const struct {
		const char *name;
		uint64_t value;
	} kinds[] = {
		{"shared", MS_SHARED},
		{"slave", MS_SLAVE},
		{"private", MS_PRIVATE},
		{"unbindable", MS_UNBINDABLE},
	};
	bool rec = name[0] == 'r';

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(name + rec, kinds[i].name)) {
			*ret_rec = rec;
			return kinds[i].value;
		}
	return 0;
}

static void change(uint64_t *set, uint64_t *clear, uint64_t s, uint64_t c)
{
	*set = (*set & ~c) | s;
	*clear = (*clear & ~s) | c;
}

/* A flag option, or its recursive form (r in front). True if it was one. */
static bool flag_option(struct oci_attrs *at, const char *o)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (str_eq(flags[i].name, o)) {
			change(&at->set, &at->clear, flags[i].set, flags[i].clear);
			return true;
		}
		if (o[0] == 'r' && str_eq(flags[i].name, o + 1)) {
			change(&at->rset, &at->rclear, flags[i].set, flags[i].clear);
			return true;
		}
	}
	return false;
}

/* "0-1000-1#1-2000-10": first id inside, first outside, count. */
static int inline_map(const char *text, const char *end, struct arena *a,
		      struct ns_map **ret, size_t *ret_n)
{
	STR_AUTO copy = xstrndup(text, (size_t)(end - text));
	char *at = copy, *one;
	size_t n = 0;

	*ret = arena_array(a, (size_t)(end - text) / 2 + 1, sizeof(**ret));
	while ((one = strsep(&at, "#"))) {
		uint64_t v[3];

		for (size_t i = 0; i < 3; i++) {
			char *word = strsep(&one, "-");

			if (!word || num_u64(word, i == 2, UINT32_MAX, &v[i]) < 0)
				return -1;
		}
		if (one || v[0] + v[2] > UINT32_MAX || v[1] + v[2] > UINT32_MAX)
			return -1;
		(*ret)[n++] =
			(struct ns_map){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2]};
	}
	*ret_n = n;
	return 0;
}

/* crun's form: "idmap=uids=0-1000-1;gids=0-1000-1". */
static int inline_maps(struct oci_mount *m, const char *text, const char *where,
		       struct arena *a, struct err *err)
{
	for (const char *p = text; *p;) {
		const char *end = p + strcspn(p, ";");
		int r = -1;

		if (str_starts(p, "uids="))
			r = inline_map(p + 5, end, a, &m->uids, &m->nuids);
		else if (str_starts(p, "gids="))
			r = inline_map(p + 5, end, a, &m->gids, &m->ngids);
		if (r < 0)
			return err_set(err, ERR_INVALID,
				       "%s.options: idmap \"%.80s\" is not like "
				       "uids=0-1000-1;gids=0-1000-1",
				       where, text);
		p = end + (*end == ';');
	}
	return 0;
}

static int option(struct oci_mount *m, const char *o, const char *where, struct arena *a,
		  struct buf *data, struct err *err)
{
	uint64_t p;
	bool rec;

	if (str_eq(o, "bind") || str_eq(o, "rbind")) {
		m->bind = true;
		m->recursive = *o == 'r';
	} else if ((p = oci_propagation(o, &rec))) {
		m->attrs.propagation = p;
		m->attrs.propagation_rec = rec;
	} else if (str_eq(o, "tmpcopyup")) {
		m->copy_up = true;
	} else if (str_eq(o, "copy-symlink")) {
		m->copy_symlink = true;
	} else if (str_eq(o, "src-nofollow")) {
		m->source_nofollow = true;
	} else if (str_eq(o, "dest-nofollow")) {
		m->dest_nofollow = true;
	} else if (str_starts(o, "idmap=") || str_starts(o, "ridmap=")) {
		m->idmap = *o == 'r' ? OCI_IDMAP_TREE : OCI_IDMAP_MOUNT;
		return inline_maps(m, strchr(o, '=') + 1, where, a, err);
	} else if (str_eq(o, "idmap")) {
		m->idmap = OCI_IDMAP_MOUNT;
	} else if (str_eq(o, "ridmap")) {
		m->idmap = OCI_IDMAP_TREE;
	} else if (!flag_option(&m->attrs, o) && !among(ignored, ARRAY_LEN(ignored), o) &&
		   !(m->bind && among(super_flags, ARRAY_LEN(super_flags), o))) {
		if (data->len)
			buf_add_char(data, ',');
		buf_add_str(data, o);
	}
	return 0;
}

int oci_parse_maps(yyjson_val *obj, const char *where, const char *key, struct arena *a,
		   struct ns_map **ret, size_t *ret_n, struct err *err)
{
	yyjson_val *arr, *v;
	struct ns_map *maps;
	size_t n = 0;

	if (json_opt_arr(obj, where, key, &arr, err) < 0)
		return -1;
	maps = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*maps));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.%s[%zu]", where, key, n);
		uint64_t in = 0, out = 0, size = 0;

		if (json_opt_u64(v, at, "containerID", UINT32_MAX, &in, NULL, err) < 0 ||
		    json_opt_u64(v, at, "hostID", UINT32_MAX, &out, NULL, err) < 0 ||
		    json_opt_u64(v, at, "size", UINT32_MAX, &size, NULL, err) < 0)
			return -1;
		if (!size || in + size > UINT32_MAX || out + size > UINT32_MAX)
			return err_set(err, ERR_INVALID, "%s.size: %llu", at,
				       (unsigned long long)size);
		maps[n++] = (struct ns_map){(uint32_t)in, (uint32_t)out, (uint32_t)size};
	}
	*ret = maps;
	*ret_n = n;
	return 0;
}

static int check_mount(const struct oci_mount *m, const char *where, struct err *err)
{
	if (m->bind && str_empty(m->source))
		return err_set(err, ERR_INVALID, "%s.source: missing", where);
	if (m->bind && *m->data)
		return err_set(err, ERR_INVALID,
			       "%s.options: \"%s\" means nothing for a bind mount", where,
			       m->data);
	if (m->idmap != OCI_IDMAP_NONE && !m->bind)
		return err_set(err, ERR_INVALID, "%s: idmap is for bind mounts", where);
	if ((m->nuids > 0) != (m->ngids > 0))
		return err_set(err, ERR_INVALID,
			       "%s: uidMappings and gidMappings come together", where);
	return 0;
}

int oci_parse_mount(yyjson_val *obj, const char *where, struct arena *a,
		    struct oci_mount *ret, struct err *err)
{
	struct oci_mount m = {0};
	const char *const *options = NULL, *dest = NULL;
	BUF_AUTO data = {0};
	size_t n = 0;

	if (json_opt_str(obj, where, "destination", a, &dest, err) < 0 ||
	    json_opt_str(obj, where, "type", a, &m.type, err) < 0 ||
	    json_opt_str(obj, where, "source", a, &m.source, err) < 0 ||
	    json_opt_strs(obj, where, "options", a, &options, &n, err) < 0 ||
	    oci_parse_maps(obj, where, "uidMappings", a, &m.uids, &m.nuids, err) < 0 ||
	    oci_parse_maps(obj, where, "gidMappings", a, &m.gids, &m.ngids, err) < 0)
		return -1;
	if (str_empty(dest))
		return err_set(err, ERR_INVALID, "%s.destination: missing", where);
	/* a relative one is deprecated, and meant from the root */
	m.destination = *dest == '/' ? dest : arena_fmt(a, "/%s", dest);
	if (m.type && str_eq(m.type, "bind"))
		m.bind = true;
	for (size_t i = 0; i < n; i++)
		if (str_eq(options[i], "bind") || str_eq(options[i], "rbind"))
			m.bind = true; /* known before the others are read */
	for (size_t i = 0; i < n; i++)
		if (option(&m, options[i], where, a, &data, err) < 0)
			return -1;
	m.data = arena_strdup(a, buf_str(&data));
	if (m.nuids && m.idmap == OCI_IDMAP_NONE)
		m.idmap = OCI_IDMAP_MOUNT;
	if (m.bind)
		m.type = "bind";
	else if (str_empty(m.type))
		return err_set(err, ERR_INVALID, "%s.type: missing", where);
	if (check_mount(&m, where, err) < 0)
		return -1;
	*ret = m;
	return 0;
}
