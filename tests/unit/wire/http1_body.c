/* the framing of HTTP/1.1 bodies, fed whole and byte by byte */
#include "wire/http1_body.h"

#include "base/buf.h"
#include "base/str.h"
#include "unit.h"

static struct err err;

static int start(struct http1_body *b, const char *head, bool to_head)
{
	struct http1_head h;
	int r;

	CHECK(http1_head_response(&h, head, strlen(head), &err) == 0);
	r = http1_body_init(b, &h, to_head, &err);
	http1_head_done(&h);
	return r;
}

/* The content of a body that comes in pieces of `piece` bytes; NULL if it is refused. */
static const char *content(const char *head, const char *body, size_t piece)
{
	static char text[65536];
	struct http1_body b;
	BUF_AUTO out = {0};
	size_t n = strlen(body), at = 0;

	if (start(&b, head, false) < 0)
		return NULL;
	while (at < n && !b.done) {
		size_t skip, take, have = n - at < piece ? n - at : piece;

		if (http1_body_step(&b, body + at, have, &skip, &take, &err) < 0)
			return NULL;
		CHECK(skip + take <= have);
		buf_add(&out, body + at + skip, take);
		at += skip + take;
	}
	if (http1_body_end(&b, &err) < 0)
		return NULL;
	str_copy(text, sizeof(text), buf_str(&out));
	return text;
}

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

TEST(lengths)
{
	for (size_t piece = 1; piece < 12; piece++) {
		CHECK_STR(content(OK "Content-Length: 5\r\n\r\n", "hello, and more",
				  piece),
			  "hello");
		CHECK_STR(content(OK "\r\n", "to the end", piece), "to the end");
		CHECK_STR(content(CHUNKED,
				  "5\r\nhello\r\n00A ; x=y\r\n, chunked!\r\n0\r\n\r\n",
				  piece),
			  "hello, chunked!");
		CHECK_STR(content(CHUNKED,
				  "1\r\na\r\n0\r\nTrailer: x\r\nB: y\r\n\r\nnext", piece),
			  "a");
	}
	CHECK_STR(content("HTTP/1.0 200 OK\r\n\r\n", "old", 3), "old");
	CHECK_STR(content(OK "Content-Length: 0\r\n\r\n", "x", 1), "");
	CHECK_STR(content(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", "ab", 2),
		  "ab");
	CHECK_STR(content("HTTP/1.1 204 X\r\nContent-Length: 9\r\n\r\n", "x", 1), "");
}

TEST(head_has_no_body)
{
	struct http1_body b;

	CHECK(start(&b, OK "Content-Length: 10\r\n\r\n", true) == 0);
	CHECK(b.done);
}

TEST(truncation_is_seen)
{
	CHECK(!content(OK "Content-Length: 5\r\n\r\n", "hell", 4));
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	CHECK(!content(CHUNKED, "5\r\nhello\r\n", 4));
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	CHECK(!content(CHUNKED, "5\r\nhello\r\n0\r\n", 4));
}

TEST(refused)
{
	static const char *const heads[] = {
		OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
		OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		OK "Content-Length: -1\r\n\r\n",
		OK "Content-Length: 5, 5\r\n\r\n",
		OK "Content-Length: 99999999999999999999\r\n\r\n",
		OK "Content-Length: 0x10\r\n\r\n",
		OK "Content-Length:\r\n\r\n",
		OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
		OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	static const char *const bodies[] = {
		"x\r\n",
		"\r\n",
		"-1\r\n",
		" 5\r\nhello\r\n",
		"5\nhello\n",
		"5\r\nhelloX\r\n",
		"5\r\nhello\n",
		"5;\nhello",
		"FFFFFFFFFFFFFFFF\r\n",
		"5\r\nhello\r\n0\r\nA: b\n\r\n",
		"5 \r5\r\n",
		"0x5\r\nhello",
	};

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		if (content(heads[i], "hello", 5))
			FAIL("'%s' was accepted", heads[i]);
		CHECK_INT(err.code, ERR_INVALID);
	}
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		for (size_t piece = 1; piece < 4; piece++) {
			if (content(CHUNKED, bodies[i], piece))
				FAIL("'%s' was accepted", bodies[i]);
			CHECK_INT(err.code, ERR_INVALID);
		}
}

TEST(lines_are_bounded)
{
	BUF_AUTO b = {0};

	buf_add_str(&b, "5;");
	for (int i = 0; i < 5000; i++)
		buf_add_char(&b, 'x');
	CHECK(!content(CHUNKED, buf_str(&b), 100));
	CHECK_HAS(err.msg, "too long");
	buf_reset(&b);
	buf_add_str(&b, "0\r\n");
	for (int i = 0; i < 5000; i++)
		buf_add_str(&b, "a: b\r\n");
	CHECK(!content(CHUNKED, buf_str(&b), 100));
	CHECK_HAS(err.msg, "too long");
}
