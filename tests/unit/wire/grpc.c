#include "unit.h"

#include "base/err.h"
#include "base/time.h"
#include "wire/grpc.h"

TEST(timeouts)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"1n", 1},
		{"0n", 1},
		{"10u", 10000},
		{"250m", 250 * NS_PER_MS},
		{"99999999S", 99999999 * NS_PER_SEC},
		{"2M", 120 * NS_PER_SEC},
		{"3H", 10800 * NS_PER_SEC},
		{"99999999H", INT64_MAX},
	};
	static const char *const bad[] = {"",	"1",	"S",   "123456789S", "-1S",
					  "1s", "1.5S", " 1S", "1SS",	     "+1S"};
	int64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_INT(grpc_timeout_parse(good[i].text, strlen(good[i].text), &ns), 0);
		CHECK_INT(ns, good[i].ns);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(grpc_timeout_parse(bad[i], strlen(bad[i]), &ns), -1);
}

TEST(timeouts_are_written_rounded_up)
{
	static const struct {
		int64_t ns;
		const char *text;
	} all[] = {
		{1, "1n"},
		{99999999, "99999999n"},
		{100000000, "100000u"},
		{100000001, "100001u"},
		{5 * NS_PER_SEC, "5000000u"},
		{120 * NS_PER_SEC, "120000m"},
		{INT64_MAX, "2562048H"},
	};
	char text[GRPC_TIMEOUT_TEXT];
	int64_t back;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		grpc_timeout_format(text, all[i].ns);
		CHECK_STR(text, all[i].text);
		CHECK_INT(grpc_timeout_parse(text, strlen(text), &back), 0);
		CHECK(back >= all[i].ns);
	}
}

TEST(messages)
{
	BUF_AUTO b = {0};
	BUF_AUTO back = {0};

	grpc_message_encode(&b, "50% of \xc3\xa9\n~\x7f");
	CHECK_STR(buf_str(&b), "50%25 of %C3%A9%0A~%7F");
	grpc_message_decode(&back, (const char *)b.data, b.len);
	CHECK_STR(buf_str(&back), "50% of \xc3\xa9\n~\x7f");
	buf_reset(&back);
	grpc_message_decode(&back, "100%, %4, %zz, %4a%", 19);
	CHECK_STR(buf_str(&back), "100%, %4, %zz, J%");
}

TEST(prefix_and_content_type)
{
	BUF_AUTO b = {0};

	grpc_prefix_put(&b, 0x01020304);
	CHECK_INT(b.len, GRPC_PREFIX);
	CHECK_MEM(b.data, "\0\1\2\3\4", GRPC_PREFIX);
	CHECK(grpc_content_type("application/grpc", 16));
	CHECK(grpc_content_type("application/grpc+proto", 22));
	CHECK(grpc_content_type("application/grpc;charset=utf-8", 30));
	CHECK(!grpc_content_type("application/grpc-web", 20));
	CHECK(!grpc_content_type("application/grp", 15));
	CHECK(!grpc_content_type("text/plain", 10));
}
