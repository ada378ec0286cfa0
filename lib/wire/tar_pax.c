#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/tar-int.h"

/* "[-]seconds[.fraction]"; digits beyond nanoseconds are dropped. */
static int parse_time(const char *s, struct tar_time *ret)
{
	char text[32];
	size_t len = strcspn(s, ".");
	uint32_t nsec = 0, unit = 100000000;
	int64_t sec;

	if (len == 0 || len >= sizeof(text))
		return -1;
	memcpy(text, s, len);
	text[len] = 0;
	if (num_i64(text, INT64_MIN / 4, INT64_MAX / 4, &sec) < 0)
		return -1;
	for (s += len + (s[len] == '.'); *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		nsec += (uint32_t)(*s - '0') * unit;
		unit /= 10;
	}
	if (text[0] == '-' && nsec) { /* -1.25 is 0.75 s after -2 */
		sec--;
		nsec = 1000000000 - nsec;
	}
	ret->sec = sec;
	ret->nsec = nsec;
	return 0;
}

static int parse_id(const char *s, uint32_t *ret)
{
	uint64_t v;

	if (num_u64(s, 0, UINT32_MAX - 1, &v) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

static int add_xattr(struct tar *t, const char *name, const char *value, size_t len,
		     struct err *err)
{
	struct tar_xattr *x = t->xattrs;

	/* the last of two records with one name holds */
	for (; x < t->xattrs + t->e.nxattrs && !str_eq(x->name, name); x++)
		;
	if (x == t->xattrs + TAR_XATTRS_MAX)
		return tar_fail(t, err, ERR_EXHAUSTED, "too many extended attributes");
	if (x == t->xattrs + t->e.nxattrs)
		t->e.nxattrs++;
	x->name = name;
	x->value = (const uint8_t *)value;
	x->len = len;
	return 0;
}

/* "offset,numbytes,offset,numbytes..." of format 0.1. */
static int parse_map(struct tar *t, char *s, struct err *err)
{
	uint64_t v[2];

	t->nmap = 0;
	for (unsigned i = 0; *s; i++) {
		size_t len = strcspn(s, ",");
		bool more = s[len] == ',';

		s[len] = 0;
		if (num_u64(s, 0, INT64_MAX, &v[i & 1]) < 0)
			return tar_fail(t, err, ERR_CORRUPT, "bad sparse map");
		if ((i & 1) && tar_map_add(t, v[0], v[1], err) < 0)
			return -1;
		s += len + more;
	}
	t->ps.map = true;
	return 0;
}

/* GNU.sparse.*: 0 or -1. */
static int sparse_record(struct tar *t, const char *key, char *value, struct err *err)
{
	uint64_t v = 0;

	if (str_eq(key, "map"))
		return parse_map(t, value, err);
	if (str_eq(key, "name")) {
		buf_reset(&t->name);
		buf_add_str(&t->name, value);
		return 0;
	}
	if (num_u64(value, 0, INT64_MAX, &v) < 0)
		return tar_fail(t, err, ERR_CORRUPT, "bad sparse record");
	if (str_eq(key, "major")) {
		if (v > 1)
			return tar_fail(t, err, ERR_INVALID, "unknown sparse format");
		t->ps.major1 = v == 1;
	} else if (str_eq(key, "size") || str_eq(key, "realsize")) {
		t->ps.size = v;
		t->ps.has_size = true;
	} else if (str_eq(key, "offset")) {
		t->ps.pending = v;
		t->ps.has_pending = true;
	} else if (str_eq(key, "numbytes")) {
		if (!t->ps.has_pending)
			return tar_fail(t, err, ERR_CORRUPT, "bad sparse record");
		t->ps.has_pending = false;
		t->ps.map = true;
		return tar_map_add(t, t->ps.pending, v, err);
	}
	return 0;
}

static int record(struct tar *t, const char *key, char *value, size_t len,
		  struct err *err)
{
	static const char xattr[] = "SCHILY.xattr.";
	static const char sparse[] = "GNU.sparse.";
	struct tar_entry *e = &t->e;
	uint64_t v;
	int r = 0;

	if (str_starts(key, xattr) && key[sizeof(xattr) - 1])
		return add_xattr(t, key + sizeof(xattr) - 1, value, len, err);
	if (memchr(value, 0, len))
		return tar_fail(t, err, ERR_CORRUPT, "NUL in a pax record");
	if (str_starts(key, sparse))
		return sparse_record(t, key + sizeof(sparse) - 1, value, err);
	if (!len) /* an empty value takes the record back: the header's field holds */
		return 0;
	if (str_eq(key, "path")) {
		buf_reset(&t->name);
		buf_add(&t->name, value, len);
	} else if (str_eq(key, "linkpath")) {
		buf_reset(&t->link);
		buf_add(&t->link, value, len);
	} else if (str_eq(key, "size")) {
		r = num_u64(value, 0, INT64_MAX, &v);
		if (r == 0)
			t->left = v;
	} else if (str_eq(key, "uid")) {
		r = parse_id(value, &e->uid);
	} else if (str_eq(key, "gid")) {
		r = parse_id(value, &e->gid);
	} else if (str_eq(key, "mtime")) {
		r = parse_time(value, &e->mtime);
	} else if (str_eq(key, "atime")) {
		r = parse_time(value, &e->atime);
		e->has_atime = true;
	}
	if (r < 0) {
		STR_AUTO why = xasprintf("pax record %s=%.40s: out of range", key, value);

		return tar_fail(t, err, ERR_INVALID, why);
	}
	return 0;
}

int tar_pax_apply(struct tar *t, struct err *err)
{
	char *p = (char *)t->pax.data, *end = p + t->pax.len;

	while (p < end) {
		char *blank = memchr(p, ' ', (size_t)(end - p));
		char *equals, *stop;
		uint64_t len;

		if (!blank)
			return tar_fail(t, err, ERR_CORRUPT, "damaged pax record");
		*blank = 0;
		if (num_u64(p, 5, (uint64_t)(end - p), &len) < 0)
			return tar_fail(t, err, ERR_CORRUPT, "damaged pax record");
		stop = p + len - 1;
		equals = stop > blank ? memchr(blank + 1, '=', (size_t)(stop - blank - 1))
				      : NULL;
		if (!equals || equals == blank + 1 || *stop != '\n')
			return tar_fail(t, err, ERR_CORRUPT, "damaged pax record");
		*equals = 0;
		*stop = 0;
		if (memchr(blank + 1, 0, (size_t)(equals - blank - 1)))
			return tar_fail(t, err, ERR_CORRUPT, "NUL in a pax record");
		if (record(t, blank + 1, equals + 1, (size_t)(stop - equals - 1), err) <
		    0)
			return -1;
		p = stop + 1;
	}
	return 0;
}

int tar_map_add(struct tar *t, uint64_t at, uint64_t n, struct err *err)
{
	if (t->nmap == TAR_SPARSE_MAX)
		return tar_fail(t, err, ERR_EXHAUSTED, "sparse map too long");
	if (t->nmap == t->map_cap) {
		t->map_cap = t->map_cap ? 2 * t->map_cap : 16;
		t->map = xrealloc(t->map, t->map_cap * sizeof(*t->map));
	}
	t->map[t->nmap].at = at;
	t->map[t->nmap++].n = n;
	return 0;
}

int tar_map_check(struct tar *t, struct err *err)
{
	uint64_t at = 0, sum = 0;

	for (size_t i = 0; i < t->nmap; i++) {
		const struct tar_stretch *s = &t->map[i];

		if (s->at < at || s->at > t->e.size || s->n > t->e.size - s->at)
			return tar_fail(t, err, ERR_CORRUPT, "bad sparse map");
		at = s->at + s->n;
		sum += s->n;
	}
	if (sum != t->left)
		return tar_fail(t, err, ERR_CORRUPT, "sparse map and size disagree");
	t->e.sparse = true;
	t->map_at = 0;
	t->map_used = 0;
	return 0;
}

/*
 * The numbers of a 1.0 map: how many stretches, then offset and length of each, one a line.
 * t->meta holds what is left of a line that a block cut.
 */
int tar_map_block(struct tar *t, struct err *err)
{
	char *p, *end;

	buf_add(&t->meta, t->block, TAR_BLOCK);
	p = (char *)t->meta.data;
	end = p + t->meta.len;
	while (t->map_left) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		uint64_t v;

		if (!nl) {
			if (end - p > 32)
				break;
			buf_shift(&t->meta, (size_t)(p - (char *)t->meta.data));
			return 0;
		}
		*nl = 0;
		if (num_u64(p, 0, INT64_MAX, &v) < 0)
			break;
		p = nl + 1;
		if (t->map_left == UINT64_MAX) {
			if (v > TAR_SPARSE_MAX)
				return tar_fail(t, err, ERR_EXHAUSTED,
						"sparse map too long");
			t->map_left = 2 * v;
			continue;
		}
		if (t->map_left-- % 2 == 0)
			t->ps.pending = v;
		else if (tar_map_add(t, t->ps.pending, v, err) < 0)
			return -1;
	}
	if (t->map_left)
		return tar_fail(t, err, ERR_CORRUPT, "bad sparse map");
	return 1;
}
