/* What json_parse refuses, and how it names the place. */
#include "base/str.h"
#include "unit.h"
#include "wire/json.h"

static const char *why(const char *text)
{
	static struct err err;
	JSON_AUTO doc = json_parse(text, strlen(text), &err);

	return doc ? "" : err.msg;
}

TEST(json_places)
{
	CHECK_STR(why("{\"a\": {\"b\": [1, {\"c\": \"x\\u0000y\"}]}}"),
		  "JSON: a.b[1].c: a string holds a NUL");
	CHECK_STR(why("[[\"\\u0000\"]]"), "JSON: [0][0]: a string holds a NUL");
	CHECK_STR(why("\"\\u0000\""), "JSON: a string holds a NUL");
	CHECK_STR(why("{\"a\": {\"\\u0000\": 1}}"), "JSON: a: a key holds a NUL");
	CHECK_STR(why("{\"a\": [{\"b\": 1, \"b\": 2}]}"),
		  "JSON: a[0]: a key occurs twice in one object");
	CHECK_STR(why("{\"a\": [{\"b\": 1, \"c\": 2}]}"), "");
}

TEST(json_syntax)
{
	CHECK_HAS(why("{\n\"a\": }"), "JSON: line 2 column ");
	CHECK_HAS(why(""), "JSON: ");
	CHECK_HAS(why("{} {}"), "JSON: line 1 column ");
	CHECK_HAS(why("[1,]"), "JSON: line 1 column ");
}

/* A place too long for the message is cut, not overrun. */
TEST(json_depth)
{
	char text[2 * JSON_MAX_DEPTH + 3];

	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	text[2 * JSON_MAX_DEPTH] = '\0';
	CHECK_STR(why(text), "");
	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	text[2 * JSON_MAX_DEPTH + 2] = '\0';
	CHECK_HAS(why(text), "[0][0]");
	CHECK_HAS(why(text), "nested too deep");
}

TEST(json_copies)
{
	static const char text[] = "{\"a\":1,\"b\":{\"c\":[1,\"x\"]}}";
	struct err e;
	yyjson_doc *from = json_parse(text, strlen(text), &e);
	JSON_AUTO part = json_copy(json_obj(yyjson_doc_get_root(from), "b"));
	JSON_AUTO merged =
		json_merge(yyjson_doc_get_root(from), "{\"d\":[true],\"a\":\"new\"}");
	JSON_AUTO same = json_merge(yyjson_doc_get_root(from), "{}");
	BUF_AUTO out = {0};

	json_free(&from);
	json_write_val(yyjson_doc_get_root(part), false, &out);
	CHECK_STR(buf_str(&out), "{\"c\":[1,\"x\"]}");
	buf_reset(&out);
	json_write_val(yyjson_doc_get_root(merged), false, &out);
	CHECK_STR(buf_str(&out), "{\"b\":{\"c\":[1,\"x\"]},\"d\":[true],\"a\":\"new\"}");
	buf_reset(&out);
	json_write_val(yyjson_doc_get_root(same), false, &out);
	CHECK_STR(buf_str(&out), text);
}
