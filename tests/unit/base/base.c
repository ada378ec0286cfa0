#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"

TEST(arena_holds_small_and_large)
{
	ARENA_AUTO a = {0};
	char *all[300];

	for (size_t i = 0; i < 300; i++) {
		all[i] = arena_alloc(&a, i * 37);
		CHECK_INT((uintptr_t)all[i] % sizeof(void *), 0);
		for (size_t k = 0; k < i * 37; k++)
			CHECK(!all[i][k]);
		memset(all[i], (int)i, i * 37);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t k = 0; k < i * 37; k++)
			CHECK(all[i][k] == (char)i);
	CHECK_STR(arena_fmt(&a, "%s-%d", "x", 5), "x-5");
	CHECK_STR(arena_strndup(&a, "abcdef", 3), "abc");
	CHECK_STR(arena_strndup(&a, "ab", 3), "ab");
	CHECK_STR(arena_strdup(&a, ""), "");
}

TEST(buf_grows_and_shifts)
{
	BUF_AUTO b = {0};
	char *s;

	CHECK_STR(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_add_fmt(&b, "%d,", i);
	CHECK_INT(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	buf_shift(&b, 2);
	CHECK_MEM(b.data, "1,2,", 4);
	buf_shift(&b, b.len);
	CHECK_INT(b.len, 0);
	buf_add_fmt(&b, "%0200d", 7); /* longer than its first guess */
	CHECK_INT(b.len, 200);
	buf_reset(&b);
	buf_add_be32(&b, 0x01020304);
	buf_add_be16(&b, 0x0506);
	CHECK_MEM(b.data, "\1\2\3\4\5\6", 6);
	buf_reset(&b);
	buf_add_str(&b, "end");
	s = buf_detach(&b);
	CHECK_STR(s, "end");
	CHECK(!b.data && !b.cap);
	free(s);
}

TEST(map_survives_many_deletions)
{
	static char keys[2000][12];
	struct map m = {0};
	const struct map_slot *slot;
	size_t at = 0, n = 0;

	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 2000; i++) {
			snprintf(keys[i], sizeof(keys[i]), "%d", i);
			map_put(&m, keys[i], keys[i]);
		}
		CHECK_INT(m.len, 2000);
		for (int i = 0; i < 2000; i++)
			if (i % 3)
				CHECK(map_del(&m, keys[i]) == keys[i]);
		CHECK(!map_del(&m, "1"));
		for (int i = 0; i < 2000; i++)
			CHECK(map_get(&m, keys[i]) == (i % 3 ? NULL : keys[i]));
	}
	while ((slot = map_next(&m, &at)))
		n++;
	CHECK_INT(n, 667);
	CHECK_INT(m.len, 667);
	CHECK(map_put(&m, "0", &m) == keys[0]);
	CHECK(map_get(&m, "0") == &m);
	CHECK(!map_get(&m, ""));
	map_done(&m);
	CHECK(!map_get(&m, "0"));
}

TEST(list_each_allows_deletion)
{
	struct list head, nodes[5];
	unsigned n = 0;

	list_init(&head);
	for (int i = 0; i < 5; i++)
		list_add(&head, &nodes[i]);
	list_each (p, &head) {
		CHECK(p == &nodes[n]);
		list_del(p);
		list_del(p);
		n++;
	}
	CHECK_INT(n, 5);
	CHECK(list_empty(&head));
}

TEST(numbers_are_strict)
{
	static const char *const bad[] = {
		"",    " 1", "1 ",  "+1",   "0x1",
		"1.0", "-",  "--1", "\xb9", "18446744073709551616"};
	uint64_t u = 7;
	int64_t i = 7;

	for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
		CHECK_INT(num_u64(bad[k], 0, UINT64_MAX, &u), -1);
		CHECK_INT(num_i64(bad[k], INT64_MIN, INT64_MAX, &i), -1);
	}
	CHECK_INT(u, 7);
	CHECK_INT(num_u64("-1", 0, UINT64_MAX, &u), -1);
	CHECK(num_u64("18446744073709551615", 0, UINT64_MAX, &u) == 0 && u == UINT64_MAX);
	CHECK_INT(num_u64("4294967296", 0, UINT32_MAX, &u), -1);
	CHECK(num_i64("-9223372036854775808", INT64_MIN, 0, &i) == 0 && i == INT64_MIN);
	CHECK_INT(num_i64("9223372036854775808", INT64_MIN, INT64_MAX, &i), -1);
	CHECK(num_octal("0755", 07777, &u) == 0 && u == 0755);
	CHECK_INT(num_octal("8", 07777, &u), -1);
	CHECK_INT(num_octal("10000", 07777, &u), -1);
}

TEST(durations_and_sizes)
{
	static const struct {
		const char *s;
		int64_t ns;
	} good[] = {{"10", 10 * NS_PER_SEC},
		    {"1.5h", 5400 * NS_PER_SEC},
		    {"1m30s", 90 * NS_PER_SEC},
		    {"300ms", 300 * NS_PER_MS},
		    {"5us", 5000},
		    {"7ns", 7}};
	static const char *const bad[] = {"",
					  "s",
					  "1x",
					  "1h2",
					  "-1s",
					  "1.s.",
					  ".",
					  "1e9",
					  "99999999999999999999s",
					  "100000000000h"};
	int64_t ns;
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CHECK_INT(num_duration(good[i].s, &ns), 0);
		CHECK_INT(ns, good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (num_duration(bad[i], &ns) == 0)
			FAIL("\"%s\" is taken for a duration", bad[i]);
	CHECK(num_size("1Ki", &n) == 0 && n == 1024);
	CHECK(num_size("2GiB", &n) == 0 && n == UINT64_C(2) << 30);
	CHECK(num_size("5kB", &n) == 0 && n == 5120);
	CHECK_INT(num_size("16777216t", &n), -1);
	CHECK_INT(num_size("k", &n), -1);
	CHECK_INT(num_size("1kk", &n), -1);
}

TEST(byte_orders)
{
	uint8_t b[8];

	put_be64(b, UINT64_C(0x0102030405060708));
	CHECK_MEM(b, "\1\2\3\4\5\6\7\10", 8);
	CHECK(get_be64(b) == UINT64_C(0x0102030405060708));
	CHECK(get_le64(b) == UINT64_C(0x0807060504030201));
	CHECK_INT(get_be16(b), 0x0102);
	CHECK_INT(get_le16(b), 0x0201);
	put_le32(b, 0xfffefdfc);
	CHECK_INT(get_le32(b), 0xfffefdfc);
	CHECK_INT(get_be32(b), 0xfcfdfeff);
	CHECK_INT(num_crc32c(0, "123456789", 9), 0xe3069283);
}

TEST(text_is_escaped)
{
	static const char in[] = "a\x1b[31m\x7f\xc2\x9b\xff\xc3\xa9\xed\xa0\x80\n";
	BUF_AUTO b = {0};

	str_escape(&b, in, sizeof(in) - 1);
	CHECK_STR(buf_str(&b),
		  "a\\x1b[31m\\x7f\\xc2\\x9b\\xff\xc3\xa9\\xed\\xa0\\x80\\x0a");
	CHECK(str_is_utf8("\xf0\x9f\x98\x80", 4));
	CHECK(!str_is_utf8("\xf0\x9f\x98", 3));
	CHECK(!str_is_utf8("\xc0\x80", 2));
	CHECK(!str_is_utf8("\xf4\x90\x80\x80", 4));
	CHECK(!str_is_utf8("\xe0\x80\x80", 3));
}

TEST(strings)
{
	char small[4];
	uint8_t bytes[2];

	CHECK_INT(str_copy(small, sizeof(small), "abc"), 0);
	CHECK_INT(str_copy(small, sizeof(small), "abcd"), -1);
	CHECK_STR(small, "abc");
	CHECK_INT(str_distance("pul", "pull"), 1);
	CHECK_INT(str_distance("", "abc"), 3);
	CHECK_INT(str_unhex(bytes, 2, "0aff"), 0);
	CHECK_MEM(bytes, "\x0a\xff", 2);
	CHECK_INT(str_unhex(bytes, 2, "0aFF"), -1);
	CHECK_INT(str_unhex(bytes, 2, "0a"), -1);
}

TEST(errors)
{
	struct err e;
	char *big = malloc(3000);

	err_sys(&e, ENOSPC, "write %s", "x");
	CHECK_INT(e.code, ERR_EXHAUSTED);
	CHECK_INT(e.sys, ENOSPC);
	CHECK_HAS(e.msg, "write x: ");
	err_wrap(&e, "%s", "image");
	CHECK_HAS(e.msg, "image: write x: ");
	err_set(&e, ERR_INVALID, "<%s>", e.msg); /* from itself */
	CHECK_HAS(e.msg, "<image: write x: ");
	memset(big, 'y', 2999);
	big[2999] = 0;
	err_wrap(&e, "%s", big);
	CHECK_INT(strlen(e.msg), sizeof(e.msg) - 1);
	free(big);
	for (unsigned i = 0; i < ERR_CODE_COUNT; i++)
		CHECK_INT(err_of_grpc_status(err_grpc_status((enum err_code)i)), i);
	CHECK_INT(err_of_grpc_status(99), ERR_UNKNOWN);
}

TEST(times)
{
	char text[TIME_TEXT];
	int64_t ns;

	CHECK_INT(time_parse("1970-01-01T00:00:01.5Z", &ns), 0);
	CHECK_INT(ns, 1500000000);
	CHECK_INT(time_parse("2026-02-28T23:59:59.123456789+05:30", &ns), 0);
	time_format(text, ns);
	CHECK_STR(text, "2026-02-28T18:29:59.123456789Z");
	CHECK_INT(time_parse("1969-12-31t23:59:59.9999999999z", &ns), 0);
	time_format(text, ns);
	CHECK_STR(text, "1969-12-31T23:59:59.999999999Z");
	CHECK_INT(time_parse("2026-02-28", &ns), -1);
	CHECK_INT(time_parse("2026-02-28T23:59:59", &ns), -1);
	CHECK_INT(time_parse("2026-13-28T23:59:59Z", &ns), -1);
	CHECK_INT(time_parse("2026-02-28T23:59:59.Z", &ns), -1);
	CHECK_INT(time_parse("2026-02-28T23:59:59Zx", &ns), -1);
}

/* Nanoseconds since 1970 end in the year 2262: images may say anything. */
TEST(times_beyond_the_clock)
{
	int64_t ns = 5;

	CHECK_INT(time_parse("9999-12-31T23:59:59Z", &ns), -1);
	CHECK_INT(time_parse("0001-01-01T00:00:00Z", &ns), -1);
	CHECK_INT(ns, 5);
	CHECK_INT(time_parse("2262-01-01T00:00:00Z", &ns), 0);
}

/* Nobody reads the log: lines are counted, and the count is told once there is room. */
TEST(log_drops)
{
	unsigned dropped = 0;
	struct log log = {.level = LOG_LEVEL_INFO, .name = "x", .dropped = &dropped};
	static char data[70000];
	int fds[2];
	ssize_t n;

	CHECK(pipe2(fds, O_NONBLOCK) == 0);
	log.fd = fds[1];
	for (int i = 0; i < 5000; i++)
		log_info(&log, "line %d", i);
	CHECK(dropped > 10);
	n = read(fds[0], data, sizeof(data) - 1);
	CHECK(n > 0);
	log_info(&log, "again %s", "");
	CHECK_INT(dropped, 0);
	n = read(fds[0], data, sizeof(data) - 1);
	CHECK(n > 0);
	data[n > 0 ? n : 0] = 0;
	CHECK_HAS(data, " lines of the log were dropped: nobody read it\nx: info: again");
	memset(data, '\x01', LOG_LINE); /* four bytes each, when escaped */
	log_info(&log, "%.*s", LOG_LINE, data);
	n = read(fds[0], data, sizeof(data) - 1);
	CHECK_INT(n, LOG_LINE);
	CHECK_INT(data[n - 1], '\n');
	close(fds[0]);
	close(fds[1]);
}
