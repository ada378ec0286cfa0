#include "options.h"

#include <string.h>
#include <sys/mount.h>

#include "base/num.h"
#include "base/str.h"

#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1UL << 25)
#endif

/* Flags of mount(2); clear: the word takes them away. */
struct word {
	char name[14];
	bool clear;
	uint32_t flags;
};

static const struct word words[] = {
	{"ro", false, MS_RDONLY},
	{"rw", true, MS_RDONLY},
	{"nosuid", false, MS_NOSUID},
	{"suid", true, MS_NOSUID},
	{"nodev", false, MS_NODEV},
	{"dev", true, MS_NODEV},
	{"noexec", false, MS_NOEXEC},
	{"exec", true, MS_NOEXEC},
	{"sync", false, MS_SYNCHRONOUS},
	{"async", true, MS_SYNCHRONOUS},
	{"dirsync", false, MS_DIRSYNC},
	{"remount", false, MS_REMOUNT},
	{"mand", false, MS_MANDLOCK},
	{"nomand", true, MS_MANDLOCK},
	{"noatime", false, MS_NOATIME},
	{"atime", true, MS_NOATIME},
	{"nodiratime", false, MS_NODIRATIME},
	{"diratime", true, MS_NODIRATIME},
	{"relatime", false, MS_RELATIME},
	{"norelatime", true, MS_RELATIME},
	{"strictatime", false, MS_STRICTATIME},
	{"nostrictatime", true, MS_STRICTATIME},
	{"lazytime", false, MS_LAZYTIME},
	{"nolazytime", true, MS_LAZYTIME},
	{"nosymfollow", false, 256},
	{"symfollow", true, 256},
	{"iversion", false, MS_I_VERSION},
	{"noiversion", true, MS_I_VERSION},
	{"silent", false, MS_SILENT},
	{"loud", true, MS_SILENT},
	{"bind", false, MS_BIND},
	{"rbind", false, MS_BIND | MS_REC},
	{"move", false, MS_MOVE},
};

static const struct word propagations[] = {
	{"shared", false, MS_SHARED},
	{"private", false, MS_PRIVATE},
	{"slave", false, MS_SLAVE},
	{"unbindable", false, MS_UNBINDABLE},
	{"rshared", false, MS_SHARED | MS_REC},
	{"rprivate", false, MS_PRIVATE | MS_REC},
	{"rslave", false, MS_SLAVE | MS_REC},
	{"runbindable", false, MS_UNBINDABLE | MS_REC},
};

/* What fstab(5) says to other programs. */
static const char ignored[][10] = {"defaults", "auto",	  "noauto", "user",  "nouser",
				   "users",    "nogroup", "group",  "owner", "_netdev"};

void mount_options_done(struct mount_options *o)
{
	buf_done(&o->data);
}

static const struct word *find(const struct word *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(table[i].name, name))
			return &table[i];
	return NULL;
}

static bool is_ignored(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		if (str_eq(ignored[i], name))
			return true;
	return str_starts(name, "x-") || str_starts(name, "X-") ||
	       str_starts(name, "comment=");
}

static int size_of(const char *text, uint64_t *ret, struct err *err)
{
	if (num_size(text, ret) < 0)
		return err_set(err, ERR_INVALID, "'%.100s' is no size", text);
	return 0;
}

static int add(struct mount_options *o, char *name, struct err *err)
{
	const struct word *w = find(words, ARRAY_LEN(words), name);

	if (w && w->clear) {
		o->flags &= ~(unsigned long)w->flags;
		o->cleared |= w->flags;
		return 0;
	}
	if (w) {
		o->flags |= w->flags;
		o->cleared &= ~(unsigned long)w->flags;
		return 0;
	}
	w = find(propagations, ARRAY_LEN(propagations), name);
	if (w) {
		if (o->npropagation == ARRAY_LEN(o->propagation))
			return err_set(err, ERR_INVALID, "too many of '%s'", name);
		o->propagation[o->npropagation++] = w->flags;
		return 0;
	}
	if (str_eq(name, "nofail")) {
		o->nofail = true;
		return 0;
	}
	if (is_ignored(name))
		return 0;
	if (str_eq(name, "loop") || str_starts(name, "loop=")) {
		o->loop = true;
		return 0;
	}
	if (o->loop && str_starts(name, "offset="))
		return size_of(name + 7, &o->offset, err);
	if (o->loop && str_starts(name, "sizelimit="))
		return size_of(name + 10, &o->size_limit, err);
	buf_add_fmt(&o->data, "%s%s", o->data.len ? "," : "", name);
	return 0;
}

int mount_options_add(struct mount_options *o, const char *text, struct err *err)
{
	STR_AUTO copy = xstrdup(text);
	char *start = copy, *p = copy;
	bool quoted = false, last;

	do {
		while (*p && (quoted || *p != ','))
			quoted ^= *p++ == '"';
		last = !*p;
		*p++ = 0;
		if (*start && add(o, start, err) < 0)
			return -1;
		start = p;
	} while (!last);
	return 0;
}
