/*
 * tar: no input makes the reader misbehave; what it tells about an archive is the same in one
 * piece and byte by byte; contents stay within the size of their entry.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

static uint32_t entry_sum(uint32_t sum, const struct tar_entry *e)
{
	uint64_t n[] = {e->mode,      e->uid, e->gid, e->size, (uint64_t)e->mtime.sec,
			e->mtime.nsec};

	want(*e->name && strlen(e->name) <= TAR_PATH_MAX);
	want(strlen(e->link) <= TAR_PATH_MAX);
	want(e->nxattrs <= TAR_XATTRS_MAX);
	want(e->mtime.nsec < 1000000000);
	sum = num_crc32c(sum, e->name, strlen(e->name));
	sum = num_crc32c(sum, e->link, strlen(e->link));
	for (size_t i = 0; i < e->nxattrs; i++) {
		sum = num_crc32c(sum, e->xattrs[i].name, strlen(e->xattrs[i].name));
		sum = num_crc32c(sum, e->xattrs[i].value, e->xattrs[i].len);
	}
	return num_crc32c(sum, n, sizeof(n));
}

/* Reads all; a checksum of what was told, and how it ended. */
static uint32_t read_all(const uint8_t *data, size_t size, size_t step, int *ret_end)
{
	struct tar *t = tar_new();
	uint32_t sum = 0;
	uint64_t at = 0, top = 0, left = 0;
	struct err err;
	int r = TAR_MORE;

	for (size_t pos = 0; pos < size && r >= 0; pos += step) {
		const uint8_t *p = data + pos;
		size_t n = MIN(step, size - pos);
		struct tar_data d = {0};

		while (r = tar_step(t, &p, &n, &d, &err), r > TAR_MORE) {
			if (r == TAR_ENTRY) {
				sum = entry_sum(sum, tar_entry(t));
				top = tar_entry(t)->size;
				at = 0;
				left = tar_entry(t)->stored;
			} else if (r == TAR_DATA) {
				want(d.n && d.at >= at && d.at + d.n <= top);
				at = d.at + d.n;
				left -= d.n;
				want(d.last == !left);
				sum = num_crc32c(sum, d.p, d.n);
			} else if (!n) {
				break;
			}
		}
		want(r < 0 || n == 0);
	}
	*ret_end = r < 0 ? -1 : tar_end(t, &err);
	tar_free(t);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int end1, end2;
	uint32_t sum1 = read_all(data, size, size ? size : 1, &end1);
	uint32_t sum2 = read_all(data, size, 7, &end2);

	want(end1 == end2);
	want(sum1 == sum2);
	return 0;
}
