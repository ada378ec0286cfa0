/* URLs, and the fields of HTTP authentication */
#include "wire/url.h"

#include "base/str.h"
#include "unit.h"
#include "wire/challenge.h"

static const char *shown(const struct url *u)
{
	static char text[2048];
	BUF_AUTO b = {0};

	url_add_public(&b, u);
	str_copy(text, sizeof(text), buf_str(&b));
	return text;
}

static const char *parsed(const char *s)
{
	URL_AUTO u = {0};
	struct err err;

	if (url_parse(s, &u, &err) < 0) {
		CHECK_INT(err.code, ERR_INVALID);
		return NULL;
	}
	return shown(&u);
}

TEST(parse)
{
	URL_AUTO u = {0};
	struct err err;

	CHECK(url_parse("HTTPS://Example.COM:8443/a/b?c=d#frag", &u, &err) == 0);
	CHECK(u.tls);
	CHECK_STR(u.host, "example.com");
	CHECK_INT(u.port, 8443);
	CHECK_STR(u.target, "/a/b?c=d");
	CHECK_STR(shown(&u), "https://example.com:8443/a/b");
	CHECK_STR(parsed("http://x"), "http://x/");
	CHECK_STR(parsed("http://x:80?q"), "http://x/");
	CHECK_STR(parsed("https://[2001:DB8::1]:5000/y"), "https://[2001:db8::1]:5000/y");
	CHECK_STR(parsed("https://x:443/"), "https://x/");
}

TEST(refused)
{
	static const char *const bad[] = {
		"",
		"x",
		"ftp://x",
		"https://",
		"https:///a",
		"http://u:p@x/",
		"http://x:0/",
		"http://x:65536/",
		"http://x:1a/",
		"http://x/a b",
		"http://x/\r\nA",
		"http://x/\x7f",
		"http://[::1",
		"http://[::1]a/",
		"http://x y/",
		"http://x/\xc3\xa9",
		"http://x\\@y",
		"http://x:123456",
		"//x/",
		"http://[]/",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parsed(bad[i]))
			FAIL("'%s' was accepted", bad[i]);
}

static const char *resolved(const char *ref)
{
	URL_AUTO base = {0};
	URL_AUTO u = {0};
	struct err err;

	CHECK(url_parse("https://r.io:5000/v2/a/blobs/x?y=z", &base, &err) == 0);
	if (url_resolve(&base, ref, &u, &err) < 0)
		return NULL;
	return shown(&u);
}

TEST(resolve)
{
	CHECK_STR(resolved("https://s3/b?sig=1"), "https://s3/b");
	CHECK_STR(resolved("/x/y"), "https://r.io:5000/x/y");
	CHECK_STR(resolved("//other/x"), "https://other/x");
	CHECK_STR(resolved("z"), "https://r.io:5000/v2/a/blobs/z");
	CHECK_STR(resolved("./sha256:z"), "https://r.io:5000/v2/a/blobs/sha256:z");
	CHECK_STR(resolved("?q"), "https://r.io:5000/v2/a/blobs/x");
	CHECK_STR(resolved("http://r.io:5000/"), "http://r.io:5000/");
	CHECK(!resolved("gopher://x/"));
	CHECK(!resolved("/x\n"));
}

TEST(origins)
{
	URL_AUTO a = {0};
	static const char *const others[] = {"http://h/", "https://h:444/",
					     "https://h.h/", "https://sub.h/"};
	struct err err;

	CHECK(url_parse("https://h/x", &a, &err) == 0);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		URL_AUTO b = {0};

		CHECK(url_parse(others[i], &b, &err) == 0);
		CHECK(!url_same_origin(&a, &b));
	}
	{
		URL_AUTO b = {0};

		CHECK(url_parse("https://H:443/y", &b, &err) == 0);
		CHECK(url_same_origin(&a, &b));
	}
}

TEST(escaping)
{
	BUF_AUTO b = {0};

	url_add_escaped(&b, "repository:a/b:pull & \xc3\xa9~");
	CHECK_STR(buf_str(&b), "repository%3Aa%2Fb%3Apull%20%26%20%C3%A9~");
}

TEST(challenges)
{
	ARENA_AUTO a = {0};
	struct challenge c[3];
	struct err err;

	CHECK_INT(challenge_parse("Bearer realm=\"https://auth/token\",service=\"reg\", "
				  "scope=\"repository:a:pull,push\" ,error=\"x\\\"y\"",
				  &a, c, 3, &err),
		  1);
	CHECK_STR(c[0].scheme, "Bearer");
	CHECK_STR(c[0].realm, "https://auth/token");
	CHECK_STR(c[0].service, "reg");
	CHECK_STR(c[0].scope, "repository:a:pull,push");
	CHECK_STR(c[0].error, "x\"y");
	CHECK_INT(challenge_parse("Negotiate, Basic realm=x , bearer REALM = \"y\"", &a,
				  c, 3, &err),
		  3);
	CHECK_STR(c[0].scheme, "Negotiate");
	CHECK_STR(c[1].realm, "x");
	CHECK_STR(c[2].scheme, "bearer");
	CHECK_STR(c[2].realm, "y");
	CHECK_INT(challenge_parse("A, B, C, D, E", &a, c, 3, &err), 3);
	CHECK_INT(challenge_parse("", &a, c, 3, &err), 0);
	CHECK_INT(challenge_parse("Bearer realm=\"open", &a, c, 3, &err), -1);
	CHECK_INT(challenge_parse("Bearer realm=", &a, c, 3, &err), -1);
	CHECK_INT(challenge_parse("\x01", &a, c, 3, &err), -1);
	CHECK_INT(challenge_parse("=", &a, c, 3, &err), -1);
}
