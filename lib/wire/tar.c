#include "wire/tar.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/tar-int.h"

/* Fields of a header block (POSIX.1-2008, pax, ustar; GNU tar manual, Basic Tar Format). */
enum {
	H_NAME = 0,
	H_MODE = 100,
	H_UID = 108,
	H_GID = 116,
	H_SIZE = 124,
	H_MTIME = 136,
	H_SUM = 148,
	H_TYPE = 156,
	H_LINK = 157,
	H_MAGIC = 257,
	H_MAJOR = 329,
	H_MINOR = 337,
	H_PREFIX = 345,
	H_GNU_SPARSE = 386, /* four stretches of 24 bytes */
	H_GNU_MORE = 482,
	H_GNU_REAL = 483,
	H_STAR_MAGIC = 508,
	NAME_LEN = 100,
	PREFIX_LEN = 155,
	STAR_PREFIX_LEN = 131,
	STRETCH = 24,
	STRETCHES = 21, /* in a block that continues a map */
	X_MORE = 504
};

struct tar *tar_new(void)
{
	return xcalloc(1, sizeof(struct tar));
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	buf_done(&t->meta);
	buf_done(&t->pax);
	buf_done(&t->long_name);
	buf_done(&t->long_link);
	buf_done(&t->name);
	buf_done(&t->link);
	free(t->map);
	free(t);
}

const struct tar_entry *tar_entry(const struct tar *t)
{
	return &t->e;
}

int tar_fail(struct tar *t, struct err *err, enum err_code code, const char *why)
{
	BUF_AUTO name = {0};

	str_escape(&name, buf_str(&t->name), MIN(t->name.len, 200));
	if (!name.len)
		return err_set(err, code, "tar: %s", why);
	return err_set(err, code, "tar: %s: %s", buf_str(&name), why);
}

/*
 * A number in a header field: octal with blanks or NULs around it, or base-256 with the top
 * bit set (negative ones have the next bit set too). 0 or -1.
 */
static int number(const uint8_t *p, size_t len, int64_t *ret)
{
	uint64_t v = 0;

	if (p[0] & 0x80) {
		uint8_t invert = p[0] & 0x40 ? 0xff : 0;

		for (size_t i = 0; i < len; i++) {
			uint8_t b = p[i] ^ invert;

			if (i == 0)
				b &= 0x7f;
			if (v >> 55)
				return -1;
			v = v << 8 | b;
		}
		*ret = invert ? (int64_t)~v : (int64_t)v;
		return 0;
	}
	while (len && (*p == ' ' || *p == 0)) {
		p++;
		len--;
	}
	for (; len && *p >= '0' && *p <= '7'; p++, len--) {
		if (v >> 60)
			return -1;
		v = v << 3 | (uint64_t)(*p - '0');
	}
	for (; len && *p; p++, len--)
		if (*p != ' ')
			return -1;
	*ret = (int64_t)v;
	return 0;
}

static int field(struct tar *t, const char *what, size_t at, size_t len, int64_t max,
		 int64_t *ret, struct err *err)
{
	if (number(t->block + at, len, ret) < 0 || *ret < 0 || *ret > max) {
		STR_AUTO why = xasprintf("%s is out of range", what);

		return tar_fail(t, err, ERR_INVALID, why);
	}
	return 0;
}

static bool checksum_ok(const uint8_t *b)
{
	int64_t want;
	int32_t plain = 0, with_sign = 0; /* some old writers added signed bytes */

	if (number(b + H_SUM, 8, &want) < 0)
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t c = i >= H_SUM && i < H_SUM + 8 ? ' ' : b[i];

		plain += c;
		with_sign += (int8_t)c;
	}
	return want == plain || want == with_sign;
}

static void add_field(struct buf *b, const uint8_t *p, size_t len)
{
	const uint8_t *end = memchr(p, 0, len);

	buf_add(b, p, end ? (size_t)(end - p) : len);
}

/* Name and link of the header block itself. */
static void block_names(struct tar *t)
{
	const uint8_t *b = t->block;

	buf_reset(&t->name);
	buf_reset(&t->link);
	if (memcmp(b + H_MAGIC, "ustar\0", 6) == 0 && b[H_PREFIX]) {
		bool star = memcmp(b + H_STAR_MAGIC, "tar\0", 4) == 0;

		add_field(&t->name, b + H_PREFIX, star ? STAR_PREFIX_LEN : PREFIX_LEN);
		buf_add_char(&t->name, '/');
	}
	add_field(&t->name, b + H_NAME, NAME_LEN);
	add_field(&t->link, b + H_LINK, NAME_LEN);
}

static int block_numbers(struct tar *t, struct err *err)
{
	struct tar_entry *e = &t->e;
	int64_t v;

	if (field(t, "mode", H_MODE, 8, INT64_MAX, &v, err) < 0)
		return -1;
	e->mode = (uint32_t)(v & 07777);
	/* a pax record may hold what does not fit here: what is odd is judged at the end */
	if (number(t->block + H_UID, 8, &v) < 0 || v < 0 || v >= UINT32_MAX)
		v = UINT32_MAX;
	e->uid = (uint32_t)v;
	if (number(t->block + H_GID, 8, &v) < 0 || v < 0 || v >= UINT32_MAX)
		v = UINT32_MAX;
	e->gid = (uint32_t)v;
	if (number(t->block + H_MTIME, 12, &e->mtime.sec) < 0)
		return tar_fail(t, err, ERR_INVALID, "time is out of range");
	if (field(t, "size", H_SIZE, 12, INT64_MAX, &v, err) < 0)
		return -1;
	t->left = (uint64_t)v;
	if (memcmp(t->block + H_MAGIC, "ustar", 5) != 0)
		return 0;
	if (field(t, "device number", H_MAJOR, 8, UINT32_MAX, &v, err) < 0)
		return -1;
	e->dev_major = (uint32_t)v;
	if (field(t, "device number", H_MINOR, 8, UINT32_MAX, &v, err) < 0)
		return -1;
	e->dev_minor = (uint32_t)v;
	return 0;
}

static int entry_type(struct tar *t, struct err *err)
{
	switch (t->block[H_TYPE]) {
	case 0: /* before POSIX, a directory was a file whose name ends in a slash */
		t->e.type = str_ends(buf_str(&t->name), "/") ? TAR_DIR : TAR_FILE;
		return 0;
	case '0':
	case '7':
	case 'S':
		t->e.type = TAR_FILE;
		return 0;
	case '1':
		t->e.type = TAR_HARDLINK;
		return 0;
	case '2':
		t->e.type = TAR_SYMLINK;
		return 0;
	case '3':
		t->e.type = TAR_CHAR;
		return 0;
	case '4':
		t->e.type = TAR_BLOCKDEV;
		return 0;
	case '5':
		t->e.type = TAR_DIR;
		return 0;
	case '6':
		t->e.type = TAR_FIFO;
		return 0;
	default:
		return tar_fail(t, err, ERR_INVALID, "unknown type of entry");
	}
}

static int check_names(struct tar *t, struct err *err)
{
	struct tar_entry *e = &t->e;

	if (t->name.len > TAR_PATH_MAX || t->link.len > TAR_PATH_MAX) {
		t->name.len = MIN(t->name.len, 200);
		return tar_fail(t, err, ERR_INVALID, "name longer than 4095 bytes");
	}
	e->name = (char *)(uintptr_t)buf_str(&t->name);
	e->link = (char *)(uintptr_t)buf_str(&t->link);
	if (!*e->name)
		return tar_fail(t, err, ERR_INVALID, "entry without a name");
	if (e->type == TAR_HARDLINK || e->type == TAR_SYMLINK) {
		if (!*e->link)
			return tar_fail(t, err, ERR_INVALID, "link without a target");
	} else {
		*e->link = 0;
	}
	if (e->uid == UINT32_MAX || e->gid == UINT32_MAX)
		return tar_fail(t, err, ERR_INVALID, "owner is out of range");
	return 0;
}

static int stretches(struct tar *t, const uint8_t *p, size_t n, struct err *err)
{
	for (; n; n--, p += STRETCH) {
		int64_t at, len;

		if (!p[0]) /* the rest is unused */
			break;
		if (number(p, 12, &at) < 0 || number(p + 12, 12, &len) < 0 || at < 0 ||
		    len < 0)
			return tar_fail(t, err, ERR_CORRUPT, "bad sparse map");
		if (tar_map_add(t, (uint64_t)at, (uint64_t)len, err) < 0)
			return -1;
	}
	return 0;
}

static size_t padding(uint64_t n)
{
	return (size_t)(-n % TAR_BLOCK);
}

/* The entry is known: announces it. */
static int announce(struct tar *t)
{
	t->e.stored = t->left;
	t->state = t->left || t->pad ? TAR_IN_DATA : TAR_AT_HEADER;
	return TAR_ENTRY;
}

/* Sparse files, by whichever of the formats; else the entry is announced. */
static int begin_contents(struct tar *t, struct err *err)
{
	int64_t real;

	t->pad = padding(t->left);
	if (t->e.type != TAR_FILE) { /* a size without contents: as all readers do */
		t->left = t->pad = 0;
		return announce(t);
	}
	t->e.size = t->left;
	if (t->block[H_TYPE] == 'S') {
		t->nmap = 0;
		if (field(t, "size", H_GNU_REAL, 12, INT64_MAX, &real, err) < 0)
			return -1;
		t->e.size = (uint64_t)real;
		if (stretches(t, t->block + H_GNU_SPARSE, 4, err) < 0)
			return -1;
		if (t->block[H_GNU_MORE]) {
			t->state = TAR_IN_SPARSE;
			return TAR_MORE;
		}
		return tar_map_check(t, err) < 0 ? -1 : announce(t);
	}
	if (t->ps.has_size)
		t->e.size = t->ps.size;
	if (t->ps.major1) {
		if (!t->ps.has_size)
			return tar_fail(t, err, ERR_CORRUPT,
					"sparse file without a size");
		t->nmap = 0;
		t->map_left = UINT64_MAX;
		buf_reset(&t->meta);
		t->state = TAR_IN_MAP;
		return TAR_MORE;
	}
	if (t->ps.map)
		return tar_map_check(t, err) < 0 ? -1 : announce(t);
	t->e.size = t->left;
	return announce(t);
}

/* A header of an entry: with what came before it, this is the entry. */
static int begin_entry(struct tar *t, struct err *err)
{
	memset(&t->e, 0, sizeof(t->e));
	memset(&t->ps, 0, sizeof(t->ps));
	t->nmap = 0;
	t->e.xattrs = t->xattrs;
	block_names(t);
	if (block_numbers(t, err) < 0 || (t->pax_new && tar_pax_apply(t, err) < 0))
		return -1;
	t->pax_new = false;
	if (t->long_name.len && !t->ps.has_size) {
		buf_reset(&t->name);
		buf_add(&t->name, t->long_name.data, t->long_name.len);
	}
	if (t->long_link.len) {
		buf_reset(&t->link);
		buf_add(&t->link, t->long_link.data, t->long_link.len);
	}
	buf_reset(&t->long_name);
	buf_reset(&t->long_link);
	if (entry_type(t, err) < 0 || check_names(t, err) < 0)
		return -1;
	return begin_contents(t, err);
}

static int begin_meta(struct tar *t, struct err *err)
{
	int64_t size = 0;

	block_names(t);
	t->meta_type = (char)t->block[H_TYPE];
	if (field(t, "size", H_SIZE, 12, INT64_MAX, &size, err) < 0)
		return -1;
	if (size > TAR_META_MAX)
		return tar_fail(t, err, ERR_EXHAUSTED,
				"extended header is larger than 1 MiB");
	t->left = (uint64_t)size;
	t->pad = padding(t->left);
	buf_reset(&t->meta);
	t->state = TAR_IN_META;
	return TAR_MORE;
}

static void end_meta(struct tar *t)
{
	struct buf *to = t->meta_type == 'x'   ? &t->pax
			 : t->meta_type == 'L' ? &t->long_name
			 : t->meta_type == 'K' ? &t->long_link
					       : NULL;

	t->state = TAR_AT_HEADER;
	if (!to) /* a global header: no image tool heeds them */
		return;
	buf_reset(to);
	if (to == &t->pax) {
		buf_add(to, t->meta.data, t->meta.len);
		t->pax_new = true;
	} else if (t->meta.len) { /* a C string, with its NUL or without */
		add_field(to, t->meta.data, t->meta.len);
	}
}

static int header(struct tar *t, struct err *err)
{
	static const uint8_t zeros[TAR_BLOCK];
	char type = (char)t->block[H_TYPE];

	if (memcmp(t->block, zeros, TAR_BLOCK) == 0) {
		if (++t->zero == 2)
			t->state = TAR_AT_END;
		return t->zero == 2 ? TAR_END : TAR_MORE;
	}
	if (t->zero || !checksum_ok(t->block)) {
		buf_reset(&t->name);
		return err_set(err, ERR_CORRUPT,
			       t->any ? "tar: header is damaged (checksum)"
				      : "not a tar archive");
	}
	t->any = true;
	if (type == 'x' || type == 'g' || type == 'L' || type == 'K')
		return begin_meta(t, err);
	return begin_entry(t, err);
}

/* Collects a block. True when it is whole. */
static bool collect(struct tar *t, const uint8_t **in, size_t *n)
{
	size_t take = MIN(*n, TAR_BLOCK - t->have);

	memcpy(t->block + t->have, *in, take);
	*in += take;
	*n -= take;
	t->have += take;
	if (t->have < TAR_BLOCK)
		return false;
	t->have = 0;
	return true;
}

/* Takes stored bytes, then the padding behind them. The number of bytes, at *ret. */
static size_t stored(struct tar *t, uint64_t max, const uint8_t **in, size_t *n,
		     const uint8_t **ret)
{
	size_t take = (size_t)MIN(MIN(t->left, max), *n);

	*ret = *in;
	*in += take;
	*n -= take;
	t->left -= take;
	if (!t->left) {
		size_t pad = MIN(t->pad, *n);

		*in += pad;
		*n -= pad;
		t->pad -= pad;
	}
	return take;
}

static int data(struct tar *t, const uint8_t **in, size_t *n, struct tar_data *ret)
{
	uint64_t max = t->left;

	if (!t->e.sparse) {
		ret->at = t->e.size - t->left;
	} else if (t->left) {
		while (t->map_used == t->map[t->map_at].n) {
			t->map_at++;
			t->map_used = 0;
		}
		max = t->map[t->map_at].n - t->map_used;
		ret->at = t->map[t->map_at].at + t->map_used;
	}
	ret->n = stored(t, max, in, n, &ret->p);
	t->map_used += ret->n;
	ret->last = !t->left;
	if (!t->left && !t->pad)
		t->state = TAR_AT_HEADER;
	return ret->n ? TAR_DATA : TAR_MORE;
}

/* A block of an old GNU map. */
static int sparse_block(struct tar *t, struct err *err)
{
	if (stretches(t, t->block, STRETCHES, err) < 0)
		return -1;
	if (t->block[X_MORE])
		return TAR_MORE;
	return tar_map_check(t, err) < 0 ? -1 : announce(t);
}

/* A block of a map that is stored before the contents. */
static int map_block(struct tar *t, struct err *err)
{
	int r;

	if (t->left < TAR_BLOCK)
		return tar_fail(t, err, ERR_CORRUPT, "bad sparse map");
	t->left -= TAR_BLOCK;
	r = tar_map_block(t, err);
	if (r <= 0)
		return r < 0 ? -1 : TAR_MORE;
	return tar_map_check(t, err) < 0 ? -1 : announce(t);
}

int tar_step(struct tar *t, const uint8_t **in, size_t *n, struct tar_data *ret_data,
	     struct err *err)
{
	const uint8_t *p;
	size_t got;
	int r = TAR_MORE;

	while (r == TAR_MORE &&
	       (*n || (t->state == TAR_IN_META && !t->left && !t->pad))) {
		switch (t->state) {
		case TAR_AT_HEADER:
			if (collect(t, in, n))
				r = header(t, err);
			break;
		case TAR_IN_META:
			got = stored(t, UINT64_MAX, in, n, &p);
			buf_add(&t->meta, p, got);
			if (!t->left && !t->pad)
				end_meta(t);
			break;
		case TAR_IN_SPARSE:
			if (collect(t, in, n))
				r = sparse_block(t, err);
			break;
		case TAR_IN_MAP:
			if (collect(t, in, n))
				r = map_block(t, err);
			break;
		case TAR_IN_DATA:
			r = data(t, in, n, ret_data);
			break;
		case TAR_AT_END:
			*in += *n;
			*n = 0;
			return TAR_END;
		}
	}
	return r;
}

int tar_end(const struct tar *t, struct err *err)
{
	if (t->state == TAR_AT_END || (t->state == TAR_AT_HEADER && !t->have))
		return 0;
	return err_set(err, ERR_CORRUPT, "tar: cut short");
}
