#include "unit.h"

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "wire/tar.h"

static struct buf archive;

static void sum(uint8_t *h)
{
	unsigned total = 0;
	char text[8];

	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		total += h[i];
	snprintf(text, sizeof(text), "%06o", total & 0777777);
	memcpy(h + 148, text, 7);
}

/* Adds a header; the block is returned for changes, which need sum() again. */
static uint8_t *header(const char *name, char type, const char *link, uint64_t size)
{
	uint8_t *h = buf_reserve(&archive, TAR_BLOCK);

	archive.len += TAR_BLOCK;
	memset(h, 0, TAR_BLOCK);
	memcpy(h, name, MIN(strlen(name), (size_t)100));
	memcpy(h + 100, "0000644\0000001750\0000001751", 23);
	snprintf((char *)h + 124, 12, "%011llo", (unsigned long long)size);
	memcpy(h + 136, "13000000000", 11);
	h[156] = (uint8_t)type;
	memcpy(h + 157, link, MIN(strlen(link), (size_t)100));
	memcpy(h + 257, "ustar\00000", 8);
	sum(h);
	return h;
}

static void contents(const void *data, size_t n)
{
	static const uint8_t zeros[TAR_BLOCK];

	buf_add(&archive, data, n);
	buf_add(&archive, zeros, -n % TAR_BLOCK);
}

static void pax(const char *records, size_t n)
{
	header("PaxHeaders/x", 'x', "", n);
	contents(records, n);
}

static void add_record(struct buf *b, const char *key, const void *value, size_t len)
{
	size_t n = strlen(key) + len + 3, digits = 1;

	while (n + digits >= 10) {
		size_t d = 1;

		for (size_t v = n + digits; v >= 10; v /= 10)
			d++;
		if (d == digits)
			break;
		digits = d;
	}
	buf_add_fmt(b, "%zu %s=", n + digits, key);
	buf_add(b, value, len);
	buf_add_char(b, '\n');
}

static void record(struct buf *b, const char *key, const char *value)
{
	add_record(b, key, value, strlen(value));
}

static struct tar *t;
static struct err err;

/* Steps until something is told, over the whole archive. */
static int step(size_t *at, struct tar_data *d)
{
	const uint8_t *p = archive.data + *at;
	size_t n = archive.len - *at;
	int r = tar_step(t, &p, &n, d, &err);

	*at = archive.len - n;
	return r;
}

static void begin(void)
{
	buf_done(&archive);
	tar_free(t);
	t = tar_new();
}

static void finish(void)
{
	buf_done(&archive);
	tar_free(t);
	t = NULL;
}

/* The archive so far is refused with these words. */
static void refused(enum err_code code, const char *words)
{
	struct tar_data d;
	size_t at = 0;
	int r;

	do
		r = step(&at, &d);
	while (r > 0 && r != TAR_END && at < archive.len);
	if (r >= 0)
		r = tar_end(t, &err);
	CHECK_INT(r, -1);
	CHECK_HAS(err.msg, words);
	CHECK_INT(err.code, code);
}

static const struct tar_entry *first(size_t *at)
{
	struct tar_data d;

	*at = 0;
	CHECK_INT(step(at, &d), TAR_ENTRY);
	return tar_entry(t);
}

TEST(ustar_fields)
{
	const struct tar_entry *e;
	struct tar_data d;
	uint8_t *h;
	size_t at;

	begin();
	h = header("file", '0', "", 5);
	memcpy(h + 345, "some/prefix", 11);
	sum(h);
	contents("hello", 5);
	header("l", '2', "target", 0);
	e = first(&at);
	CHECK_STR(e->name, "some/prefix/file");
	CHECK_INT(e->type, TAR_FILE);
	CHECK_INT(e->mode, 0644);
	CHECK_INT(e->uid, 01750);
	CHECK_INT(e->gid, 01751);
	CHECK_INT(e->size, 5);
	CHECK_INT(e->mtime.sec, 013000000000);
	CHECK_INT(step(&at, &d), TAR_DATA);
	CHECK_MEM(d.p, "hello", 5);
	CHECK(d.last && d.n == 5 && d.at == 0);
	CHECK_INT(step(&at, &d), TAR_ENTRY);
	CHECK_STR(tar_entry(t)->link, "target");
	CHECK_INT(tar_entry(t)->type, TAR_SYMLINK);
	CHECK_INT(tar_end(t, &err), 0); /* the blocks of zeros are often missing */
	finish();
}

TEST(pax_overrides)
{
	BUF_AUTO b = {0};
	const struct tar_entry *e;
	size_t at;

	begin();
	record(&b, "path", "a/long/name");
	record(&b, "linkpath", "elsewhere");
	record(&b, "uid", "4000000000");
	record(&b, "mtime", "-1.25");
	record(&b, "atime", "12.0000000019");
	record(&b, "SCHILY.xattr.user.k", "v");
	add_record(&b, "SCHILY.xattr.user.bin", "\0=\n", 3);
	record(&b, "SCHILY.xattr.user.k", "w");
	record(&b, "gid", "");
	record(&b, "comment", "ignored");
	pax(buf_str(&b), b.len);
	header("short", '2', "x", 0);
	header("next", '5', "", 0);
	e = first(&at);
	CHECK_STR(e->name, "a/long/name");
	CHECK_STR(e->link, "elsewhere");
	CHECK_INT(e->uid, 4000000000);
	CHECK_INT(e->gid, 01751);
	CHECK_INT(e->mtime.sec, -2);
	CHECK_INT(e->mtime.nsec, 750000000);
	CHECK_INT(e->atime.sec, 12);
	CHECK_INT(e->atime.nsec, 1);
	CHECK_INT(e->nxattrs, 2);
	CHECK_STR(e->xattrs[0].name, "user.k");
	CHECK_MEM(e->xattrs[0].value, "w", 1);
	CHECK_INT(e->xattrs[1].len, 3);
	CHECK_MEM(e->xattrs[1].value, "\0=\n", 3);
	CHECK_INT(step(&at, &(struct tar_data){0}), TAR_ENTRY);
	CHECK_STR(tar_entry(t)->name, "next"); /* they were for one entry */
	CHECK_INT(tar_entry(t)->nxattrs, 0);
	CHECK_INT(tar_entry(t)->uid, 01750);
	finish();
}

TEST(global_headers_are_skipped)
{
	BUF_AUTO b = {0};
	size_t at;

	begin();
	record(&b, "path", "global");
	header("g", 'g', "", b.len);
	contents(b.data, b.len);
	header("a", '0', "", 0);
	CHECK_STR(first(&at)->name, "a");
	finish();
}

TEST(gnu_names_and_numbers)
{
	char name[300];
	uint8_t *h;
	size_t at;
	const struct tar_entry *e;

	begin();
	memset(name, 'n', sizeof(name));
	name[299] = 0;
	header("././@LongLink", 'L', "", sizeof(name));
	contents(name, sizeof(name));
	h = header("cut", '0', "", 0);
	memset(h + 108, 0, 8);
	h[108] = 0x80;
	put_be32(h + 112, 3000000);
	memset(h + 136, 0xff, 12); /* -2 */
	h[147] = 0xfe;
	sum(h);
	e = first(&at);
	CHECK_STR(e->name, name);
	CHECK_INT(e->uid, 3000000);
	CHECK_INT(e->mtime.sec, -2);
	finish();
}

TEST(old_directories)
{
	size_t at;

	begin();
	header("dir/", 0, "", 0);
	CHECK_INT(first(&at)->type, TAR_DIR);
	finish();
}

TEST(the_end)
{
	static const uint8_t zeros[2 * TAR_BLOCK];
	struct tar_data d;
	size_t at;

	begin();
	header("a", '0', "", 0);
	buf_add(&archive, zeros, sizeof(zeros));
	buf_add_str(&archive, "what follows is not looked at");
	first(&at);
	CHECK_INT(step(&at, &d), TAR_END);
	CHECK_INT(step(&at, &d), TAR_END);
	CHECK_INT(at, archive.len);
	CHECK_INT(tar_end(t, &err), 0);
	begin();
	CHECK_INT(tar_end(t, &err), 0); /* no bytes: an empty layer */
	begin();
	header("a", '0', "", 0);
	buf_add(&archive, zeros, TAR_BLOCK);
	header("b", '0', "", 0);
	refused(ERR_CORRUPT, "damaged");
	finish();
}

TEST(damage)
{
	uint8_t *h;

	begin();
	h = header("a", '0', "", 0);
	h[0]++;
	refused(ERR_CORRUPT, "not a tar archive");
	begin();
	header("a", '0', "", 0);
	header("b", '0', "", 0)[200] = 1;
	refused(ERR_CORRUPT, "checksum");
	begin();
	header("a", '0', "", 100);
	refused(ERR_CORRUPT, "cut short");
	begin();
	header("a", '0', "", 0);
	archive.len -= 3;
	refused(ERR_CORRUPT, "cut short");
	finish();
}

TEST(fields_out_of_range)
{
	uint8_t *h;

	begin();
	h = header("a", '0', "", 0);
	memset(h + 124, 0x7f, 12);
	sum(h);
	refused(ERR_INVALID, "size is out of range");
	begin();
	h = header("a", '0', "", 0);
	memset(h + 124, 0xff, 12); /* -1 */
	sum(h);
	refused(ERR_INVALID, "size is out of range");
	begin();
	h = header("a", '0', "", 0);
	h[124] = 0x80;
	h[125] = 1; /* 2^80 */
	sum(h);
	refused(ERR_INVALID, "size is out of range");
	begin();
	h = header("a", '0', "", 0);
	memcpy(h + 108, "0000x50", 8);
	sum(h);
	refused(ERR_INVALID, "owner is out of range");
	begin();
	header("a", 'Z', "", 0);
	refused(ERR_INVALID, "unknown type");
	begin();
	header("", '0', "", 0);
	refused(ERR_INVALID, "without a name");
	begin();
	header("a", '1', "", 0);
	refused(ERR_INVALID, "link without a target");
	finish();
}

static void bad_pax(const char *text, size_t n, enum err_code code, const char *words)
{
	begin();
	pax(text, n);
	header("a", '0', "", 0);
	refused(code, words);
	finish();
}

TEST(bad_pax_records)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *words;
	} cases[] = {
		{"x", ERR_CORRUPT, "damaged pax record"},
		{"6 a=b", ERR_CORRUPT, "damaged pax record"},
		{"99 a=b\n", ERR_CORRUPT, "damaged pax record"},
		{"6 ab\n ", ERR_CORRUPT, "damaged pax record"},
		{"6 a=bc", ERR_CORRUPT, "damaged pax record"},
		{"-6 a=b\n", ERR_CORRUPT, "damaged pax record"},
		{"5 =b\n", ERR_CORRUPT, "damaged pax record"},
		{"14 mtime=1.x3\n", ERR_INVALID, "out of range"},
		{"18 uid=4294967295\n", ERR_INVALID, "out of range"},
		{"12 size=-10\n", ERR_INVALID, "out of range"},
		{"22 GNU.sparse.major=7\n", ERR_INVALID, "unknown sparse format"},
		{"22 GNU.sparse.map=a,b\n", ERR_CORRUPT, "bad sparse map"},
		{"26 GNU.sparse.numbytes=10\n", ERR_CORRUPT, "bad sparse record"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		bad_pax(cases[i].text, strlen(cases[i].text), cases[i].code,
			cases[i].words);
	bad_pax("12 path=a\0b\n", 12, ERR_CORRUPT, "NUL in a pax record");
}

TEST(limits)
{
	char name[4097];
	BUF_AUTO b = {0};
	size_t at;

	memset(name, 'n', sizeof(name));
	name[4095] = 0;
	begin();
	record(&b, "path", name);
	pax(buf_str(&b), b.len);
	header("a", '0', "", 0);
	CHECK_INT(strlen(first(&at)->name), TAR_PATH_MAX);
	name[4095] = 'n';
	name[4096] = 0;
	begin();
	buf_reset(&b);
	record(&b, "path", name);
	pax(buf_str(&b), b.len);
	header("a", '0', "", 0);
	refused(ERR_INVALID, "longer than 4095");
	begin();
	header("x", 'x', "", TAR_META_MAX + 1);
	refused(ERR_EXHAUSTED, "1 MiB");
	begin();
	buf_reset(&b);
	for (int i = 0; i <= TAR_XATTRS_MAX; i++) {
		char key[40];

		snprintf(key, sizeof(key), "SCHILY.xattr.user.%d", i);
		record(&b, key, "v");
	}
	pax(buf_str(&b), b.len);
	header("a", '0', "", 0);
	refused(ERR_EXHAUSTED, "too many extended attributes");
	begin();
	buf_reset(&b);
	buf_add_str(&b, "GNU.sparse.map=");
	for (int i = 0; i <= TAR_SPARSE_MAX; i++)
		buf_add_fmt(&b, "%s%d,1", i ? "," : "", 2 * i);
	{
		BUF_AUTO r = {0};

		record(&r, "GNU.sparse.map", buf_str(&b) + strlen("GNU.sparse.map="));
		pax(buf_str(&r), r.len);
	}
	header("a", '0', "", 0);
	refused(ERR_EXHAUSTED, "sparse map too long");
	finish();
}

/* Stretches at 3 (2 bytes) and 10 (1 byte) of 20, by pax 0.1. */
TEST(sparse_stretches)
{
	BUF_AUTO b = {0};
	struct tar_data d;
	size_t at;

	begin();
	record(&b, "GNU.sparse.size", "20");
	record(&b, "GNU.sparse.name", "real");
	record(&b, "GNU.sparse.map", "3,2,10,1,20,0");
	pax(buf_str(&b), b.len);
	header("GNUSparseFile.0/real", '0', "", 3);
	contents("abc", 3);
	CHECK_STR(first(&at)->name, "real");
	CHECK_INT(tar_entry(t)->size, 20);
	CHECK_INT(tar_entry(t)->stored, 3);
	CHECK(tar_entry(t)->sparse);
	CHECK_INT(step(&at, &d), TAR_DATA);
	CHECK(d.at == 3 && d.n == 2 && !d.last);
	CHECK_INT(step(&at, &d), TAR_DATA);
	CHECK(d.at == 10 && d.n == 1 && d.last);
	CHECK_MEM(d.p, "c", 1);

	begin(); /* beyond the end */
	buf_reset(&b);
	record(&b, "GNU.sparse.size", "10");
	record(&b, "GNU.sparse.map", "3,2,10,1");
	pax(buf_str(&b), b.len);
	header("a", '0', "", 3);
	contents("abc", 3);
	refused(ERR_CORRUPT, "bad sparse map");

	begin(); /* more in the map than is stored */
	buf_reset(&b);
	record(&b, "GNU.sparse.size", "10");
	record(&b, "GNU.sparse.map", "3,2,8,1");
	pax(buf_str(&b), b.len);
	header("a", '0', "", 2);
	contents("ab", 2);
	refused(ERR_CORRUPT, "disagree");
	finish();
}
