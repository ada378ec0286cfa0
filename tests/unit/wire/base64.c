#include "wire/base64.h"

#include "unit.h"

/* RFC 4648 section 10. */
static const char *const vectors[][2] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

TEST(base64_vectors)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		BUF_AUTO text = {0};
		BUF_AUTO back = {0};

		base64_encode(&text, vectors[i][0], strlen(vectors[i][0]));
		CHECK_STR(buf_str(&text), vectors[i][1]);
		CHECK(base64_decode(&back, (char *)text.data, text.len) == 0);
		CHECK_STR(buf_str(&back), vectors[i][0]);
	}
}

TEST(base64_every_byte)
{
	BUF_AUTO text = {0};
	BUF_AUTO back = {0};
	uint8_t all[256];

	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	base64_encode(&text, all, sizeof(all));
	CHECK(base64_decode(&back, (char *)text.data, text.len) == 0);
	CHECK_INT(back.len, 256);
	CHECK_MEM(back.data, all, 256);
}

TEST(base64_lenient)
{
	BUF_AUTO out = {0};

	CHECK(base64_decode(&out, "Zm9vYg", 6) == 0);
	CHECK_STR(buf_str(&out), "foob");
	buf_reset(&out);
	CHECK(base64_decode(&out, "-_-_", 4) == 0);
	CHECK_MEM(out.data, "\xfb\xff\xbf", 3);
}

TEST(base64_refused)
{
	static const char *const bad[] = {
		"Z", "Zg=", "Zg===", "Zh==", "Z g=", "====", "Zm9v=", "=Zg=", "Zm9vY"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		BUF_AUTO out = {0};

		buf_add_str(&out, "x");
		if (base64_decode(&out, bad[i], strlen(bad[i])) == 0)
			FAIL("'%s' was read", bad[i]);
		CHECK_INT(out.len, 1);
	}
}
