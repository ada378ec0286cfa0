/* TOML: what is read, and how errors name their place */
#include "wire/toml.h"

#include "base/str.h"
#include "unit.h"

static struct arena arena;
static struct err err;

static struct toml *parse(const char *s)
{
	arena_done(&arena);
	return toml_parse(s, strlen(s), &arena, &err);
}

static const char *why(const char *s)
{
	if (parse(s))
		FAIL("'%s' was accepted", s);
	CHECK_INT(err.code, ERR_INVALID);
	return err.msg;
}

TEST(hosts_toml)
{
	struct toml *t = parse("server = \"https://docker.io\" # comment\r\n"
			       "\n"
			       "[host.\"https://mirror:5000/v2/x\"]\n"
			       "  capabilities = [\"pull\", 'resolve',]\n"
			       "  ca = [ # all\n \"a.pem\" ,\n\n \"b.pem\"\n ]\n"
			       "  skip_verify = true\n"
			       "  client = [[\"c\", \"k\"], [\"d\", \"\"]]\n"
			       "[host.\"https://mirror:5000/v2/x\".header]\n"
			       "  x-one = \"1\"\n"
			       "[host.\"http://second\"]\n");
	const struct toml *hosts, *h;
	const char *s = NULL;
	bool flag = false;

	CHECK(t);
	CHECK_INT(toml_get_str(t, "server", &s, &err), 1);
	CHECK_STR(s, "https://docker.io");
	CHECK_INT(toml_get_table(t, "host", &hosts, &err), 1);
	h = hosts->first;
	CHECK_STR(h->key, "https://mirror:5000/v2/x");
	CHECK_INT(h->line, 3);
	CHECK_STR(h->next->key, "http://second");
	CHECK_INT(toml_get_bool(h, "skip_verify", &flag, &err), 1);
	CHECK(flag);
	CHECK_STR(toml_get(h, "ca")->last->str, "b.pem");
	CHECK_STR(toml_get(h, "capabilities")->first->next->str, "resolve");
	CHECK_STR(toml_get(h, "client")->last->first->str, "d");
	CHECK_STR(toml_get(toml_get(h, "header"), "x-one")->str, "1");
	CHECK(!toml_get(h, "nothing"));
	CHECK_INT(toml_get_str(t, "nothing", &s, &err), 0);
}

TEST(values)
{
	struct toml *t = parse("a.b.c = 1_000\na.d = -0x0\n");

	CHECK(!t);
	t = parse("a.b.c = 1_000\na.d = -17\nh = 0xfF\no = 0o17\nb = 0b101\n"
		  "max = 9223372036854775807\nmin = -9223372036854775808\n"
		  "t = { x = 1, y.z = [ ] }\n"
		  "e = \"\\u00e9\\t\\\"\\U0001F600\"\n"
		  "l = 'C:\\path'\n"
		  "m = \"\"\"\nline 1\n  \"quoted\" \\\n   joined\"\"\"\"\n"
		  "n = '''\nraw \\n\n'''\n"
		  "\"quoted key\" = false\n");
	if (!t)
		FAIL("%s", err.msg);
	CHECK_INT(toml_get(toml_get(toml_get(t, "a"), "b"), "c")->num, 1000);
	CHECK_INT(toml_get(toml_get(t, "a"), "d")->num, -17);
	CHECK_INT(toml_get(t, "h")->num, 255);
	CHECK_INT(toml_get(t, "o")->num, 15);
	CHECK_INT(toml_get(t, "b")->num, 5);
	CHECK_INT(toml_get(t, "max")->num, INT64_MAX);
	CHECK_INT(toml_get(t, "min")->num, INT64_MIN);
	CHECK_INT(toml_get(toml_get(t, "t"), "x")->num, 1);
	CHECK_STR(toml_get(t, "e")->str, "\xc3\xa9\t\"\xf0\x9f\x98\x80");
	CHECK_STR(toml_get(t, "l")->str, "C:\\path");
	CHECK_STR(toml_get(t, "m")->str, "line 1\n  \"quoted\" joined\"");
	CHECK_STR(toml_get(t, "n")->str, "raw \\n\n");
	CHECK(!toml_get(t, "quoted key")->flag);
}

TEST(arrays_of_tables)
{
	struct toml *t = parse("[[a]]\nx = 1\n[a.b]\ny = 2\n[[a]]\nx = 3\n[[a.c]]\n");

	if (!t)
		FAIL("%s", err.msg);
	t = toml_get(t, "a");
	CHECK_INT(t->type, TOML_ARRAY);
	CHECK_INT(toml_get(t->first, "x")->num, 1);
	CHECK_INT(toml_get(toml_get(t->first, "b"), "y")->num, 2);
	CHECK_INT(toml_get(t->last, "x")->num, 3);
	CHECK_INT(toml_get(t->last, "c")->type, TOML_ARRAY);
}

TEST(errors_name_line_and_key)
{
	CHECK_STR(why("a = 1\nb = oops\n"), "line 2: b: expected a value");
	CHECK_STR(why("a = 1\na = 2\n"), "line 2: a is there twice");
	CHECK_STR(why("\n\nkey = \"open\n"), "line 3: key: a string is not closed");
	CHECK_HAS(why("a = 1 2\n"), "line 1: a: unexpected character");
	CHECK_HAS(why("[a\n"), "line 1: expected ']'");
	CHECK_HAS(why("a = 1.5"), "floats and dates");
	CHECK_HAS(why("a = 2026-11-21"), "floats and dates");
	CHECK_HAS(why("a = 1\n[a]\n"), "line 2: a is already something else");
	CHECK_HAS(why("[a]\n[a]\n"), "line 2");
	CHECK_HAS(why("a = { b = 1 }\n[a.c]\n"), "line 2");
	CHECK_HAS(why("a = [1, 2\n"), "line 2: a: expected ',' or ']'");
	CHECK_HAS(why("a = 9223372036854775808"), "out of range");
	CHECK_HAS(why("a = 01"), "begin with 0");
	CHECK_HAS(why("a = \"\\q\""), "escape");
	CHECK_HAS(why("a = \"\\u0000\""), "no character");
	CHECK_HAS(why("a = \"\x01\""), "control character");
	CHECK_HAS(why("a = \"\xff\""), "UTF-8");
	CHECK_HAS(why("= 1"), "expected a key");
	CHECK_HAS(why("a"), "expected '='");
}

TEST(types)
{
	const char *s;
	bool flag;
	int64_t n = 0;
	const struct toml *c;

	parse("x = 5\n\ny = \"z\"\n");
	CHECK_INT(toml_get_str(parse("x = 5\n\ny = \"z\"\n"), "x", &s, &err), -1);
	CHECK_STR(err.msg, "line 1: x must be a string");
	CHECK_INT(toml_get_bool(parse("x = 5"), "x", &flag, &err), -1);
	CHECK_INT(toml_get_table(parse("x = 5"), "x", &c, &err), -1);
	CHECK_INT(toml_get_array(parse("x = {}"), "x", &c, &err), -1);
	CHECK_INT(toml_get_int(parse("x = 5"), "x", 6, 9, &n, &err), -1);
	CHECK_STR(err.msg, "line 1: x must be between 6 and 9");
	CHECK_INT(toml_get_int(parse("x = 5"), "x", 5, 5, &n, &err), 1);
	CHECK_INT(n, 5);
}

TEST(depth_is_bounded)
{
	char s[300];

	memset(s, '[', sizeof(s));
	memcpy(s, "a = ", 4);
	s[4 + 31] = 0;
	CHECK_HAS(why(s), "expected a value");
	s[4 + 31] = '[';
	s[sizeof(s) - 1] = 0;
	CHECK_HAS(why(s), "nested too deep");
	arena_done(&arena);
}
