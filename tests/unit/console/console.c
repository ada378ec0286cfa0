#include "unit.h"

#include "console/filter.h"
#include "console/words.h"

#include "base/str.h"

/* What the filter makes of n bytes, given in pieces of every size. */
static void filtered(const char *in, size_t n, const char *want)
{
	for (size_t piece = 1; piece <= n + 1; piece++) {
		struct filter f = {0};
		BUF_AUTO out = {0};

		for (size_t at = 0; at < n; at += piece)
			filter_add(&f, in + at, n - at < piece ? n - at : piece, &out);
		filter_end(&f, &out);
		CHECK_STR(buf_str(&out), want);
	}
}

#define FILTERED(in, want) filtered(in, sizeof(in) - 1, want)

TEST(filter_passes_text)
{
	FILTERED("", "");
	FILTERED("plain\ttext\r\nnext", "plain\ttext\r\nnext");
	FILTERED("\303\274 \342\202\254 \360\237\220\263",
		 "\303\274 \342\202\254 \360\237\220\263");
}

TEST(filter_shows_control_bytes)
{
	FILTERED("a\0b\a\v\f\x7f", "a\\x00b\\x07\\x0b\\x0c\\x7f");
	FILTERED("\033[2J\033]0;title\a\033c", "\\x1b[2J\\x1b]0;title\\x07\\x1bc");
	FILTERED("\033[?25l\033[1;2H\033[6n", "\\x1b[?25l\\x1b[1;2H\\x1b[6n");
	FILTERED("\x9b"
		 "2J\302\233x",
		 "\\x9b2J\\xc2\\x9bx");
	FILTERED("\033", "\\x1b");
	FILTERED("\033[", "\\x1b[");
	FILTERED("\033[1", "\\x1b[1");
	FILTERED("\033[\033[2J", "\\x1b[\\x1b[2J");
}

TEST(filter_shows_what_is_no_utf8)
{
	FILTERED("\300\200", "\\xc0\\x80");
	FILTERED("\355\240\200", "\\xed\\xa0\\x80"); /* half of a pair */
	FILTERED("\342\202", "\\xe2\\x82");
	FILTERED("\342\202x", "\\xe2\\x82x");
	FILTERED("\364\220\200\200", "\\xf4\\x90\\x80\\x80");
	FILTERED("\377\376", "\\xff\\xfe");
	FILTERED("\342\033[2J", "\\xe2\\x1b[2J");
}

TEST(filter_drops_colours_and_passes_erasing)
{
	FILTERED("\033[31mred\033[0;1mbold\033[m.", "redbold.");
	FILTERED("ab\b \bc", "ab\b \bc");
	FILTERED("a\bb\b\b \b", "a\\x08b\\x08\b \b");
	/* too long to be a colour */
	FILTERED("\033[1111111111111111111111111111111111m",
		 "\\x1b[1111111111111111111111111111111111m");
}

/* No sequence of bytes gets a control byte through, but for the three and the erasing. */
TEST(filter_lets_nothing_else_through)
{
	static const char bytes[] = "\033[m0;\b \n\r\tx\302\233\342\202\000\a]\\";
	uint64_t seed = 88172645463325252u;

	for (int round = 0; round < 20000; round++) {
		struct filter f = {0};
		BUF_AUTO out = {0};

		for (int i = 0; i < 12; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			filter_add(&f, &bytes[seed % (sizeof(bytes) - 1)], 1, &out);
		}
		filter_end(&f, &out);
		CHECK(str_is_utf8((const char *)out.data, out.len));
		for (size_t i = 0; i < out.len; i++) {
			uint8_t c = out.data[i];
			bool erase =
				c == '\b' &&
				((i + 2 < out.len && !memcmp(out.data + i, "\b \b", 3)) ||
				 (i >= 2 && !memcmp(out.data + i - 2, "\b \b", 3)));

			CHECK(c >= 0x20 || strchr("\n\r\t", c) || erase);
			CHECK(c != 0x7f);
			CHECK(c != 0xc2 || i + 1 == out.len || out.data[i + 1] >= 0xa0);
		}
	}
}

/* The words of a line, each between brackets. */
static const char *split(const char *line)
{
	static char text[500];
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};
	struct err err = {0};
	char **words;
	int n = words_split(line, &a, &words, &err);

	if (n < 0)
		buf_add_fmt(&out, "error %s", err.msg);
	for (int i = 0; i < n; i++)
		buf_add_fmt(&out, "[%s]", words[i]);
	CHECK(n < 0 || !words[n]);
	str_copy(text, sizeof(text), buf_str(&out));
	return text;
}

TEST(words)
{
	CHECK_STR(split(""), "");
	CHECK_STR(split("  \t "), "");
	CHECK_STR(split("ls -l  /tmp\t"), "[ls][-l][/tmp]");
	CHECK_STR(split("a 'b c' \"d 'e\""), "[a][b c][d 'e]");
	CHECK_STR(split("'' \"\" x''y"), "[][][xy]");
	CHECK_STR(split("a\\ b \\'"), "[a b][']");
	CHECK_STR(split("\"a\\\"b\\\\c\\d\""), "[a\"b\\c\\d]");
	CHECK_STR(split("'a\\'"), "[a\\]");
	CHECK_STR(split("echo # gone"), "[echo]");
	CHECK_STR(split("a#b"), "[a#b]");
	CHECK_STR(split("x\\"), "[x\\]");
	CHECK_STR(split("\303\274"), "[\303\274]");
}

TEST(words_that_are_a_shells)
{
	CHECK_HAS(split("ps | grep x"), "error");
	CHECK_HAS(split("ps > /x"), "error");
	CHECK_HAS(split("sleep 1 &"), "error");
	CHECK_HAS(split("ls; ls"), "error");
	CHECK_STR(split("grep '|' \\; x\">\""), "[grep][|][;][x>]");
	CHECK_HAS(split("a 'b"), "error");
	CHECK_HAS(split("a \"b"), "error");
	CHECK_HAS(split("a \"b\\"), "error");
}

TEST(too_many_words)
{
	char line[1200];

	for (size_t i = 0; i < sizeof(line) - 1; i++)
		line[i] = i % 2 ? ' ' : 'x';
	line[sizeof(line) - 1] = 0;
	CHECK_HAS(split(line), "error more than 256");
}
