#include "unit.h"

#include "wire/http1_head.h"

static int request(struct http1_head *h, const char *text)
{
	struct err err;

	return http1_head_request(h, text, strlen(text), &err);
}

TEST(the_end_is_found_in_pieces)
{
	static const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
	size_t end = sizeof(text) - 1 - 4;

	for (size_t step = 1; step < sizeof(text); step++) {
		size_t seen = 0, got = 0;

		for (size_t n = step; !got; n += step)
			got = http1_head_length(
				text, n < sizeof(text) ? n : sizeof(text) - 1, &seen);
		CHECK_INT(got, end);
	}
}

TEST(a_request)
{
	struct http1_head h;

	CHECK_INT(request(&h, "POST /exec/a?b=c HTTP/1.1\r\nHost:x\r\nEmpty:\r\n"
			      "Upgrade: SPDY/3.1 \t\r\nConnection: keep-alive\r\n"
			      "connection: foo , uPgrade\r\n\r\n"),
		  0);
	CHECK_STR(h.method, "POST");
	CHECK_STR(h.target, "/exec/a?b=c");
	CHECK_INT(h.nfields, 5);
	CHECK_STR(http1_head_get(&h, "HOST"), "x");
	CHECK_STR(http1_head_get(&h, "empty"), "");
	CHECK_STR(http1_head_get(&h, "upgrade"), "SPDY/3.1");
	CHECK(!http1_head_get(&h, "Missing"));
	CHECK(http1_head_has(&h, "Connection", "upgrade"));
	CHECK(http1_head_has(&h, "Connection", "Keep-Alive"));
	CHECK(!http1_head_has(&h, "Connection", "keep"));
	CHECK(!http1_head_has(&h, "Connection", "foo ,"));
	http1_head_done(&h);
}

TEST(a_response)
{
	static const char full[] = "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n";
	static const char bare[] = "HTTP/1.1 204\r\n\r\n";
	struct http1_head h;
	struct err err;

	CHECK_INT(http1_head_response(&h, full, strlen(full), &err), 0);
	CHECK_INT(h.status, 101);
	CHECK_STR(h.reason, "Switching Protocols");
	http1_head_done(&h);
	CHECK_INT(http1_head_response(&h, bare, strlen(bare), &err), 0);
	CHECK_INT(h.status, 204);
	CHECK_STR(h.reason, "");
	http1_head_done(&h);
	CHECK_INT(http1_head_response(&h, "HTTP/1.1 99 x\r\n\r\n", 17, &err), -1);
	CHECK_INT(http1_head_response(&h, "HTTP/1.1 2000 x\r\n\r\n", 19, &err), -1);
	CHECK_INT(http1_head_response(&h, "HTTP/1.1 600 x\r\n\r\n", 18, &err), -1);
	CHECK_INT(http1_head_response(&h, "HTTP/2 200 x\r\n\r\n", 16, &err), -1);
	CHECK_INT(err.code, ERR_UNIMPLEMENTED);
}

TEST(what_is_refused)
{
	static const char *const bad[] = {
		"",
		"\r\n\r\n",
		"GET / HTTP/1.1\r\n",
		"GET /\r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n",
		"GET / x HTTP/1.1\r\n\r\n",
		"GET x HTTP/1.1\r\n\r\n",
		"G(T / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / FTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\n: no name\r\n\r\n",
		"GET / HTTP/1.1\r\nname : x\r\n\r\n",
		"GET / HTTP/1.1\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n",
		"GET / HTTP/1.1\r\na: b\rc: d\r\n\r\n",
		"GET / HTTP/1.1\r\na: \x01\r\n\r\n",
		"GET / HTTP/1.1\r\na: \x7f\r\n\r\n",
	};
	struct http1_head h;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (request(&h, bad[i]) == 0)
			FAIL("'%s' is accepted", bad[i]);
	CHECK_INT(http1_head_request(&h, "GET / HTTP/1.1\r\na: \0\r\n\r\n", 24, &err),
		  -1);
}
