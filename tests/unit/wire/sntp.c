/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/sntp.h"

#include "base/num.h"
#include "base/time.h"
#include "unit.h"

#define EPOCH UINT64_C(2208988800)
#define COOKIE UINT64_C(0x0123456789abcdef)

static const int64_t now = INT64_C(1800000000) * NS_PER_SEC,
		     floor_ns = INT64_C(1767225600) * NS_PER_SEC;
static struct err err;

static void stamp(uint8_t *p, int64_t ns)
{
	put_be32(p, (uint32_t)((uint64_t)(ns / NS_PER_SEC) + EPOCH));
	put_be32(p + 4,
		 (uint32_t)(((uint64_t)(ns % NS_PER_SEC) << 32) / (uint64_t)NS_PER_SEC));
}

/* An answer of a server whose clock is ahead of ours; the way there takes 10 ms, and back 20. */
static void answer(uint8_t p[SNTP_SIZE], int64_t ahead)
{
	memset(p, 0, SNTP_SIZE);
	p[0] = 4 << 3 | 4;
	p[1] = 2;
	put_be64(p + 24, COOKIE);
	stamp(p + 32, now + 10 * NS_PER_MS + ahead);
	stamp(p + 40, now + 11 * NS_PER_MS + ahead);
}

static int read_it(const uint8_t p[SNTP_SIZE], struct sntp_sample *s)
{
	return sntp_answer(p, SNTP_SIZE, COOKIE, now, now + 31 * NS_PER_MS, floor_ns, s,
			   &err);
}

static bool near(int64_t a, int64_t b)
{
	return a - b < 1000 && b - a < 1000;
}

TEST(offset_and_delay)
{
	uint8_t p[SNTP_SIZE];
	struct sntp_sample s;

	answer(p, 7 * NS_PER_SEC);
	CHECK_INT(read_it(p, &s), 0);
	CHECK(near(s.offset, 7 * NS_PER_SEC - 5 * NS_PER_MS));
	CHECK(near(s.delay, 30 * NS_PER_MS));
	CHECK_STR(s.kiss, "");
	CHECK_INT(s.stratum, 2);
}

/* A clock that begins in 1970, and one that is in 2100. */
TEST(far_away)
{
	uint8_t p[SNTP_SIZE];
	struct sntp_sample s;
	const int64_t ours[] = {0, INT64_C(4102444800) * NS_PER_SEC};

	answer(p, 0);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(sntp_answer(p, SNTP_SIZE, COOKIE, ours[i],
				      ours[i] + 31 * NS_PER_MS, floor_ns, &s, &err),
			  0);
		CHECK(near(s.offset, now - ours[i] - 5 * NS_PER_MS));
	}
}

/* NTP's seconds begin anew in 2036. */
TEST(second_era)
{
	const int64_t then = INT64_C(2114380800) * NS_PER_SEC;
	uint8_t p[SNTP_SIZE];
	struct sntp_sample s;

	answer(p, then - now);
	CHECK_INT(read_it(p, &s), 0);
	CHECK(near(s.offset, then - now - 5 * NS_PER_MS));
}

TEST(refused)
{
	uint8_t p[SNTP_SIZE];
	struct sntp_sample s;

	answer(p, 0);
	CHECK_INT(sntp_answer(p, SNTP_SIZE - 1, COOKIE, now, now, floor_ns, &s, &err),
		  -1);
	CHECK_INT(sntp_answer(p, 0, COOKIE, now, now, floor_ns, &s, &err), -1);
	CHECK_INT(sntp_answer(p, SNTP_SIZE, COOKIE + 1, now, now, floor_ns, &s, &err),
		  -1);
	CHECK_INT(err.code, ERR_INVALID);
	p[0] = 4 << 3 | 3; /* a client's */
	CHECK_INT(read_it(p, &s), -1);
	answer(p, 0);
	p[0] |= 0xc0;
	CHECK_INT(read_it(p, &s), -1);
	CHECK_INT(err.code, ERR_STATE);
	answer(p, 0);
	p[1] = 16;
	CHECK_INT(read_it(p, &s), -1);
	answer(p, 0);
	put_be32(p + 8, 2 << 16); /* 2 s of dispersion */
	CHECK_INT(read_it(p, &s), -1);
	answer(p, floor_ns - now - 100 * NS_PER_SEC);
	CHECK_INT(read_it(p, &s), -1);
	CHECK_HAS(err.msg, "long been past");
	answer(p, 0);
	stamp(p + 40, now - NS_PER_SEC); /* sent before it was asked */
	CHECK_INT(read_it(p, &s), -1);
}

TEST(kiss)
{
	uint8_t p[SNTP_SIZE];
	struct sntp_sample s;

	answer(p, 0);
	p[1] = 0;
	memcpy(p + 12, "RAT\x1b", 4);
	CHECK_INT(read_it(p, &s), 0);
	CHECK_STR(s.kiss, "RAT?");
}

static struct sntp_sample at(int64_t offset_ms, int64_t distance_ms)
{
	return (struct sntp_sample){.offset = offset_ms * NS_PER_MS,
				    .distance = distance_ms * NS_PER_MS};
}

TEST(select_majority)
{
	struct sntp_sample one[] = {at(5, 10)};
	struct sntp_sample split[] = {at(0, 10), at(1000, 10)};
	struct sntp_sample liar[] = {at(0, 50), at(9000, 1), at(20, 30)};
	struct sntp_sample four[] = {at(0, 10), at(1, 10), at(900, 10), at(901, 10)};

	CHECK_INT(sntp_select(one, 1), 0);
	CHECK_INT(sntp_select(split, 2), -1);
	CHECK_INT(sntp_select(liar, 3), 2);
	CHECK_INT(sntp_select(four, 4), -1);
}

TEST(request)
{
	uint8_t p[SNTP_SIZE];

	sntp_request(p, COOKIE);
	CHECK_INT(p[0], 0x23);
	for (int i = 1; i < 40; i++)
		CHECK_INT(p[i], 0);
	CHECK(get_be64(p + 40) == COOKIE);
}
