/*
 * user: names and ids by an image's /etc/passwd and /etc/group (R11). The files are the
 * image's: opened below its root, never blocking, bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/path.h"

enum { MAX_FILE = 1 << 20, MAX_LINE = 4096, MAX_GROUPS = 65536, MAX_FIELDS = 7 };

/* Appends a file's text; a missing one is empty. */
static int read_file(int rootfd, const char *path, struct buf *b, struct err *err)
{
	FD_AUTO fd = -1;
	struct stat st;

	if (rootfd < 0)
		return 0;
	fd = path_open_in_root(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	if (fd < 0)
		return err->sys == ENOENT || err->sys == ENOTDIR ? 0 : -1;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s of the image is not a regular file",
			       path);
	if (fd_read_all(fd, MAX_FILE, b, err) < 0)
		return err_wrap(err, "%s of the image", path);
	return 0;
}

/* The next line as fields between colons; false at the end. Long and odd lines are
 * skipped. */
static bool next_line(char **at, char *fields[MAX_FIELDS], size_t *ret_n)
{
	char *line;

	while ((line = strsep(at, "\n"))) {
		size_t n = 0;
		char *rest = line;

		if (!*line || *line == '#' || strlen(line) > MAX_LINE)
			continue;
		while (n < MAX_FIELDS && rest)
			fields[n++] = strsep(&rest, ":");
		*ret_n = n;
		return true;
	}
	return false;
}

/* Digits only are a number, out of range or not. */
static bool is_number(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

static int parse_id(const char *s, const char *what, uint32_t *ret, struct err *err)
{
	uint64_t v;

	if (num_u64(s, 0, UINT32_MAX - 1, &v) < 0)
		return err_set(err, ERR_INVALID, "%s id %s is out of range", what, s);
	*ret = (uint32_t)v;
	return 0;
}

struct lookup {
	struct arena *a;
	struct buf passwd, group;
	struct oci_user user;
	gid_t *groups;
	size_t n, cap;
};

static void add_group(struct lookup *l, gid_t gid)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->groups[i] == gid)
			return;
	if (l->n >= MAX_GROUPS)
		return;
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		gid_t *more = arena_array(l->a, cap, sizeof(*more));

		if (l->n)
			memcpy(more, l->groups, l->n * sizeof(*more));
		l->groups = more;
		l->cap = cap;
	}
	l->groups[l->n++] = gid;
}

/* passwd(5): name:password:uid:gid:gecos:home:shell. True if there is an entry. */
static bool find_passwd(struct lookup *l, const char *name, bool by_id)
{
	BUF_AUTO copy = {0};
	char *at, *f[MAX_FIELDS];
	size_t n;

	buf_add(&copy, l->passwd.data, l->passwd.len);
	buf_str(&copy);
	for (at = (char *)copy.data; next_line(&at, f, &n);) {
		uint64_t uid, gid;

		if (n < 4 || num_u64(f[2], 0, UINT32_MAX - 1, &uid) < 0 ||
		    num_u64(f[3], 0, UINT32_MAX - 1, &gid) < 0 ||
		    (by_id ? uid != l->user.uid : !str_eq(f[0], name)))
			continue;
		l->user.uid = (uid_t)uid;
		l->user.gid = (gid_t)gid;
		l->user.name = arena_strdup(l->a, f[0]);
		/* a line break in a home has made entries of its own before */
		if (n > 5 && f[5][0] == '/' && !strpbrk(f[5], "\r\n"))
			l->user.home = arena_strdup(l->a, f[5]);
		return true;
	}
	return false;
}

/* group(5): name:password:gid:member,member. True if there is an entry. */
static bool find_group(struct lookup *l, const char *name)
{
	BUF_AUTO copy = {0};
	char *at, *f[MAX_FIELDS];
	size_t n;

	buf_add(&copy, l->group.data, l->group.len);
	buf_str(&copy);
	for (at = (char *)copy.data; next_line(&at, f, &n);) {
		uint64_t gid;

		if (n >= 3 && str_eq(f[0], name) &&
		    num_u64(f[2], 0, UINT32_MAX - 1, &gid) == 0) {
			l->user.gid = (gid_t)gid;
			return true;
		}
	}
	return false;
}

static bool is_member(const char *members, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = members; *p;) {
		size_t n = strcspn(p, ",");

		if (n == len && memcmp(p, name, n) == 0)
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

static void add_memberships(struct lookup *l)
{
	BUF_AUTO copy = {0};
	char *at, *f[MAX_FIELDS];
	size_t n;

	buf_add(&copy, l->group.data, l->group.len);
	buf_str(&copy);
	for (at = (char *)copy.data; next_line(&at, f, &n);) {
		uint64_t gid;

		if (n >= 4 && is_member(f[3], l->user.name) &&
		    num_u64(f[2], 0, UINT32_MAX - 1, &gid) == 0)
			add_group(l, (gid_t)gid);
	}
}

static int resolve_user(struct lookup *l, const char *name, struct err *err)
{
	if (is_number(name)) {
		uint32_t uid;

		if (parse_id(name, "user", &uid, err) < 0)
			return -1;
		l->user.uid = uid;
		find_passwd(l, NULL, true);
		return 0;
	}
	if (!find_passwd(l, name, false))
		return err_set(
			err, ERR_NOT_FOUND,
			"unable to find user %s: no matching entries in passwd file",
			name);
	return 0;
}

static int resolve_group(struct lookup *l, const char *name, struct err *err)
{
	if (is_number(name)) {
		uint32_t gid;

		if (parse_id(name, "group", &gid, err) < 0)
			return -1;
		l->user.gid = gid;
		return 0;
	}
	if (!find_group(l, name))
		return err_set(
			err, ERR_NOT_FOUND,
			"unable to find group %s: no matching entries in group file",
			name);
	return 0;
}

static int resolve(struct lookup *l, int rootfd, const struct oci_user_query *q,
		   struct err *err)
{
	STR_AUTO text = xstrdup(str_or_empty(q->user));
	char *group = strchr(text, ':');

	if (group)
		*group++ = 0;
	if (read_file(rootfd, "etc/passwd", &l->passwd, err) < 0 ||
	    read_file(rootfd, "etc/group", &l->group, err) < 0)
		return -1;
	if (resolve_user(l, *text ? text : "0", err) < 0 ||
	    (!str_empty(group) && resolve_group(l, group, err) < 0))
		return -1;
	if (q->has_gid)
		l->user.gid = q->gid;
	add_group(l, l->user.gid);
	for (size_t i = 0; i < q->ngroups; i++)
		add_group(l, q->groups[i]);
	/* "user:group" has always meant that group alone */
	if (!q->strict && l->user.name && str_empty(group))
		add_memberships(l);
	return 0;
}

int oci_user_resolve(int rootfs_fd, const struct oci_user_query *q, struct arena *a,
		     struct oci_user *ret, struct err *err)
{
	struct lookup l = {.a = a, .user.home = "/"};
	int r = resolve(&l, rootfs_fd, q, err);

	buf_done(&l.passwd);
	buf_done(&l.group);
	if (r < 0)
		return -1;
	*ret = l.user;
	ret->groups = l.groups;
	ret->ngroups = l.n;
	return 0;
}
