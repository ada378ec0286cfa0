/* image references: what is completed, what is refused */
#include "wire/ref.h"

#include "base/str.h"
#include "unit.h"

static const char *whole(const char *s)
{
	static char text[2048];
	struct ref r;
	struct err err = {0};
	BUF_AUTO out = {0};

	if (ref_parse(s, &r, &err) < 0) {
		CHECK_INT(err.code, ERR_INVALID);
		CHECK(err.msg[0] && !strchr(err.msg, '\n'));
		return NULL;
	}
	ref_add(&out, &r);
	str_copy(text, sizeof(text), buf_str(&out));
	return text;
}

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(completes_names)
{
	CHECK_STR(whole("busybox"), "docker.io/library/busybox:latest");
	CHECK_STR(whole("busybox:1.36"), "docker.io/library/busybox:1.36");
	CHECK_STR(whole("user/app"), "docker.io/user/app:latest");
	CHECK_STR(whole("docker.io/busybox"), "docker.io/library/busybox:latest");
	CHECK_STR(whole("index.docker.io/a/b:c"), "docker.io/a/b:c");
	CHECK_STR(whole("localhost/x"), "localhost/x:latest");
	CHECK_STR(whole("localhost:5000/x:y"), "localhost:5000/x:y");
	CHECK_STR(whole("[::1]:5000/x"), "[::1]:5000/x:latest");
	CHECK_STR(whole("[2001:db8::1]/x/y"), "[2001:db8::1]/x/y:latest");
	CHECK_STR(whole("REGISTRY/x"), "REGISTRY/x:latest");
	CHECK_STR(whole("registry.k8s.io/pause:3.9"), "registry.k8s.io/pause:3.9");
	CHECK_STR(whole("a/b_c__d-e--f.g"), "docker.io/a/b_c__d-e--f.g:latest");
}

TEST(digest_wins_over_tag)
{
	struct ref r;
	struct err err;

	CHECK_STR(whole("busybox@" DIGEST), "docker.io/library/busybox@" DIGEST);
	CHECK_STR(whole("x.y/b:tag@" DIGEST), "x.y/b@" DIGEST);
	CHECK(ref_parse("x.y/b:tag@" DIGEST, &r, &err) == 0);
	CHECK_STR(r.tag, "tag");
	CHECK(ref_parse("x.y/b@" DIGEST, &r, &err) == 0);
	CHECK_STR(r.tag, "");
}

TEST(refuses_what_is_not_a_reference)
{
	static const char *const bad[] = {
		"",
		" ",
		"Busybox",
		"a//b",
		"/a",
		"a/",
		"a:",
		"a:b:c",
		"a@b",
		"a:-x",
		"a___b",
		"a..b",
		"a._b",
		"-a/b",
		"a.b:port/x",
		"a.b:/x",
		"a.b:123456/x",
		"a.-b.c/x",
		"a..c/x",
		"[::1/x",
		"[]/x",
		"[g::]/x",
		"x.y/",
		"docker.io/",
		"http://a/b",
		"user@host/x",
		"a\nb",
		"a b",
		"\xc3\xa9",
		"a/\x1b[31m",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"a@sha256:../../x",
		"a@md5:d41d8cd98f00b204e9800998ecf8427e",
		"a@",
		"a@sha256:"
		"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"a@sha256:"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
		"a@sha256:"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (whole(bad[i]))
			FAIL("'%s' was read as '%s'", bad[i], whole(bad[i]));
}

TEST(limits)
{
	char s[1200];

	memset(s, 'a', sizeof(s));
	memcpy(s, "x.y/", 4);
	s[4 + 255] = 0;
	CHECK(whole(s));
	s[4 + 255] = 'a';
	s[4 + 256] = 0;
	CHECK(!whole(s));
	memset(s, 'a', sizeof(s));
	s[255] = 0; /* and library/ before it */
	CHECK(!whole(s));
	memcpy(s, "a:", 2);
	s[2 + 128] = 0;
	CHECK(whole(s));
	s[2 + 128] = 'a';
	s[2 + 129] = 0;
	CHECK(!whole(s));
	memset(s, 'a', sizeof(s));
	s[1100] = 0;
	CHECK(!whole(s));
}

TEST(familiar_names)
{
	static const char *const pairs[][2] = {
		{"docker.io/library/busybox", "busybox"},
		{"docker.io/a/b", "a/b"},
		{"quay.io/a/b", "quay.io/a/b"},
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		BUF_AUTO out = {0};
		struct ref r;
		struct err err;

		CHECK(ref_parse(pairs[i][0], &r, &err) == 0);
		ref_add_familiar_name(&out, &r);
		CHECK_STR(buf_str(&out), pairs[i][1]);
	}
}

TEST(ids)
{
	CHECK(ref_is_id(DIGEST));
	CHECK(ref_is_id(&DIGEST[7]));
	CHECK(!ref_is_id("busybox"));
	CHECK(!ref_is_id("sha512:"
			 "0123456789abcdef"));
}
