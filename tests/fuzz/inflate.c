/*
 * inflate: no input makes the decoders misbehave; the output keeps its limit and is the same
 * for any cut of the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "wire/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 20, ROOM = 5000 };

static void want(int condition)
{
	if (!condition)
		abort();
}

static uint32_t read_all(const uint8_t *data, size_t size, size_t step, uint64_t *ret_n,
			 int *ret_end)
{
	struct inflate *z = inflate_new(LIMIT);
	uint8_t *out = malloc(ROOM);
	uint32_t sum = 0;
	uint64_t total = 0;
	struct err err;
	long got = 0;

	want(out != NULL);
	for (size_t pos = 0; pos < size && got >= 0; pos += step) {
		const uint8_t *p = data + pos;
		size_t n = MIN(step, size - pos);

		while (got = inflate_step(z, &p, &n, out, ROOM, &err), got > 0) {
			total += (uint64_t)got;
			sum = num_crc32c(sum, out, (size_t)got);
		}
		want(got < 0 || n == 0);
	}
	while (got >= 0) {
		got = inflate_end(z, out, ROOM, &err);
		if (got <= 0)
			break;
		total += (uint64_t)got;
		sum = num_crc32c(sum, out, (size_t)got);
	}
	want(total <= LIMIT);
	*ret_n = total;
	*ret_end = (int)got;
	inflate_free(z);
	free(out);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int end1, end2;
	uint64_t n1, n2;
	uint32_t sum1 = read_all(data, size, size ? size : 1, &n1, &end1);
	uint32_t sum2 = read_all(data, size, 11, &n2, &end2);

	want(end1 == end2);
	/* before an error, how much came out may depend on the cut */
	if (end1 == 0)
		want(sum1 == sum2 && n1 == n2);
	return 0;
}
