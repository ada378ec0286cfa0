#include "store/record.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "os/file.h"

enum { HEADER_MAX = 160, CRC_DIGITS = 8 };

static const char magic[] = "cribox-record ";

int record_write(int dirfd, const char *name, const char *kind, const void *payload,
		 size_t n, bool sync, struct err *err)
{
	BUF_AUTO b = {0};
	char boot[PROC_BOOT_ID];
	struct err ignored;
	uint32_t crc;

	if (n > RECORD_MAX)
		return err_set(err, ERR_EXHAUSTED, "record %s: larger than %d bytes",
			       name, RECORD_MAX);
	/* without /proc there is no boot id, and still a record */
	if (proc_boot_id(boot, &ignored) < 0)
		strcpy(boot, "-");
	buf_reserve(&b, n + HEADER_MAX);
	buf_add_fmt(&b, "%s%d %s %s %zu ", magic, RECORD_VERSION, kind, boot, n);
	crc = num_crc32c(num_crc32c(0, b.data, b.len), payload, n);
	buf_add_fmt(&b, "%08x\n", (unsigned)crc);
	buf_add(&b, payload, n);
	return file_replace(dirfd, name, b.data, b.len, 0600, sync, err);
}

/* The next word of a line, up to a blank; the blank becomes NUL. NULL if there is none. */
static char *word(char **at)
{
	char *start = *at, *end = strchr(start, ' ');

	if (!end || end == start)
		return NULL;
	*end = 0;
	*at = end + 1;
	return start;
}

static int damaged(struct err *err, const char *name, const char *why)
{
	return err_set(err, ERR_CORRUPT, "record %s: %s", name, why);
}

int record_read_boot(int dirfd, const char *name, const char *kind, size_t max,
		     struct buf *out, char ret_boot[PROC_BOOT_ID], struct err *err)
{
	BUF_AUTO b = {0};
	char line[HEADER_MAX], *at, *got_kind, *boot, *version, *len;
	uint64_t v, n;
	uint8_t crc[CRC_DIGITS / 2];
	const uint8_t *end;
	size_t head;

	if (file_read(dirfd, name, max + HEADER_MAX, &b, err) < 0)
		return err->code == ERR_INVALID ? damaged(err, name, "not a regular file")
						: -1;
	end = b.len ? memchr(b.data, '\n', MIN(b.len, HEADER_MAX)) : NULL;
	if (!end || memcmp(b.data, magic, MIN(b.len, sizeof(magic) - 1)) != 0)
		return damaged(err, name, b.len ? "not a record" : "empty");
	head = (size_t)(end - b.data) + 1;
	memcpy(line, b.data, head);
	line[head - 1] = 0;
	at = line + sizeof(magic) - 1;
	version = word(&at);
	got_kind = word(&at);
	boot = word(&at);
	len = word(&at);
	if (!version || !got_kind || !boot || !len || strlen(at) != CRC_DIGITS ||
	    str_unhex(crc, sizeof(crc), at) < 0 || num_u64(len, 0, RECORD_MAX, &n) < 0 ||
	    num_u64(version, 1, UINT32_MAX, &v) < 0)
		return damaged(err, name, "header line is damaged");
	if (b.len - head != n)
		return damaged(err, name, "cut short, or too long");
	if (num_crc32c(num_crc32c(0, b.data, head - 1 - CRC_DIGITS), b.data + head, n) !=
	    get_be32(crc))
		return damaged(err, name, "checksum does not match");
	if (v > RECORD_VERSION)
		return err_set(err, ERR_UNIMPLEMENTED,
			       "record %s: written by a newer release", name);
	if (!str_eq(got_kind, kind))
		return err_set(err, ERR_CORRUPT, "record %s: of kind %s, not %s", name,
			       got_kind, kind);
	if (n > max)
		return err_set(err, ERR_EXHAUSTED, "record %s: more than %zu bytes", name,
			       max);
	if (ret_boot)
		str_copy(ret_boot, PROC_BOOT_ID, boot);
	buf_add(out, b.data + head, n);
	return 0;
}

int record_read(int dirfd, const char *name, const char *kind, size_t max,
		struct buf *out, struct err *err)
{
	return record_read_boot(dirfd, name, kind, max, out, NULL, err);
}
