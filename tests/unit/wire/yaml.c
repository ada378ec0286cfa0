#include "wire/yaml.h"

#include "base/str.h"
#include "unit.h"

/* YAML in, compact JSON out; an error is its message. */
static const char *as_json(const char *text)
{
	static struct buf out;
	struct err err = {0};
	JSON_AUTO doc = yaml_parse(text, strlen(text), &err);

	buf_reset(&out);
	if (!doc)
		return strcpy((char *)buf_reserve(&out, sizeof(err.msg)), err.msg);
	json_write_val(yyjson_doc_get_root(doc), false, &out);
	return buf_str(&out);
}

/* JSON in, YAML out. */
static const char *as_yaml(const char *text)
{
	static struct buf out;
	struct err err = {0};
	JSON_AUTO doc = json_parse(text, strlen(text), &err);

	buf_reset(&out);
	if (!doc || yaml_write(yyjson_doc_get_root(doc), &out, &err) < 0)
		FAIL("%s", err.msg);
	return buf_str(&out);
}

TEST(reads_scalars_of_yaml_1_1)
{
	CHECK_STR(as_json("[1, -7, 0755, 0x1F, 0b101, 0o17, 1_000, +3]"),
		  "[1,-7,493,31,5,15,1000,3]");
	CHECK_STR(as_json("[1.5, .5, 1e3, 08, -2.]"), "[1.5,0.5,1000,8,-2]");
	CHECK_STR(as_json("[yes, No, on, OFF, y, true, False]"),
		  "[true,false,true,false,true,true,false]");
	CHECK_STR(as_json("[.5_, 1_0.5_0]"), "[\".5_\",10.5]");
	CHECK_STR(as_json("[null, ~, NULL]"), "[null,null,null]");
	CHECK_STR(as_json("['yes', \"1\", !!str 12, 1.2.3, 1:30, 2026-11-21, a b]"),
		  "[\"yes\",\"1\",\"12\",\"1.2.3\",\"1:30\",\"2026-11-21\",\"a b\"]");
	CHECK_STR(as_json("[9223372036854775807, 18446744073709551615, "
			  "-9223372036854775808]"),
		  "[9223372036854775807,18446744073709551615,-9223372036854775808]");
	CHECK_STR(as_json("!!int 12"), "12");
	CHECK_HAS(as_json("[.inf]"), "line 1 column 2: not a number");
	CHECK_HAS(as_json("a: !secret x"), "a tag that has no meaning here");
}

TEST(reads_documents)
{
	CHECK_STR(as_json("# a pod\nmetadata:\n  name: x\n  labels: {1: one, true: t}\n"
			  "command:\n- sh\n- -c\n- |\n  a\n  b\n"),
		  "{\"metadata\":{\"name\":\"x\",\"labels\":{\"1\":\"one\",\"true\":"
		  "\"t\"}},"
		  "\"command\":[\"sh\",\"-c\",\"a\\nb\\n\"]}");
	CHECK_STR(as_json("---\na: 1\n...\n"), "{\"a\":1}");
	CHECK_STR(as_json("{\n \"a\": [1, {\"b\": null}]\n}\n"),
		  "{\"a\":[1,{\"b\":null}]}");
	CHECK_STR(as_json(""), "null");
	CHECK_STR(as_json("# nothing\n"), "null");
}

TEST(expands_aliases_and_merges)
{
	CHECK_STR(as_json("a: &x {b: 1, c: 2}\nd: *x\n"),
		  "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":2}}");
	CHECK_STR(as_json("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n"),
		  "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"c\":3,\"b\":1}}");
	CHECK_STR(as_json("- &x {b: 1}\n- &y {b: 2, c: 3}\n- <<: [*x, *y]\n"),
		  "[{\"b\":1},{\"b\":2,\"c\":3},{\"b\":1,\"c\":3}]");
	CHECK_STR(as_json("- &x 1\n- &x 2\n- *x\n"), "[1,2,2]");
	CHECK_HAS(as_json("- *x\n"), "line 1 column 3: an alias without its anchor");
	CHECK_HAS(as_json("- &x [*x]\n"), "an alias without its anchor");
	CHECK_HAS(as_json("a:\n  <<: 3\n"), "only mappings can be merged");
}

TEST(refuses_what_is_not_one_document)
{
	CHECK_HAS(as_json("a: 1\n---\nb: 2\n"), "line 2 column 1: a second document");
	CHECK_HAS(as_json("a: 1\na: 2\n"),
		  "line 2 column 1: a key that is there already");
	CHECK_HAS(as_json("? [a]\n: 1\n"), "a key that is not a scalar");
	CHECK_HAS(as_json("a: \"x\\0y\"\n"), "a string holds a NUL");
	CHECK_HAS(as_json("\"x\\0y\": 1\n"), "a key holds a NUL");
	CHECK_HAS(as_json("a: [1\n"), "YAML: line ");
	CHECK_HAS(as_json("a: \xff\n"), "YAML: ");
	CHECK_HAS(as_json("\tx: 1\n"), "YAML: line 1 column 1: ");
}

TEST(bounds_what_it_reads)
{
	BUF_AUTO b = {0};

	for (int i = 0; i < JSON_MAX_DEPTH; i++)
		buf_add_char(&b, '[');
	for (int i = 0; i < JSON_MAX_DEPTH; i++)
		buf_add_char(&b, ']');
	CHECK(str_starts(as_json(buf_str(&b)), "[[["));
	b.data[0] = '[';
	b.len = 0;
	for (int i = 0; i < JSON_MAX_DEPTH + 1; i++)
		buf_add_char(&b, '[');
	CHECK_HAS(as_json(buf_str(&b)), "nested too deep");

	/* each level has what the one before had ten times: 10^9 in the end */
	b.len = 0;
	buf_add_str(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++) {
		buf_add_fmt(&b, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			buf_add_fmt(&b, "%s*a%d", j ? "," : "", i - 1);
		buf_add_str(&b, "]\n");
	}
	CHECK_HAS(as_json(buf_str(&b)), "the document is too large");

	/* depth by aliases: every level is shallow where it is written */
	b.len = 0;
	buf_add_str(&b, "- &a0 [x]\n");
	for (int i = 1; i < 100; i++)
		buf_add_fmt(&b, "- &a%d [*a%d]\n", i, i - 1);
	CHECK_HAS(as_json(buf_str(&b)), "nested too deep");
}

TEST(writes_block_style_with_sorted_keys)
{
	CHECK_STR(as_yaml("{\"b\":[1,{\"y\":2,\"x\":[]}],\"a\":{\"k\":\"v\"},\"e\":{}}"),
		  "a:\n  k: v\nb:\n- 1\n- x: []\n  \"y\": 2\ne: {}\n");
	CHECK_STR(as_yaml("{\"a10\":1,\"a9\":1,\"a_b\":1,\"ab\":1,\"A\":1,\"a01\":1}"),
		  "A: 1\na_b: 1\na01: 1\na9: 1\na10: 1\nab: 1\n");
	CHECK_STR(as_yaml("[[1,2],[]]"), "- - 1\n  - 2\n- []\n");
}

TEST(quotes_what_would_be_read_as_something_else)
{
	CHECK_STR(
		as_yaml("[\"1\",\"true\",\"no\",\"\",\"null\",\"~\",\"1e3\",\"0x1f\"]"),
		"- \"1\"\n- \"true\"\n- \"no\"\n- \"\"\n- \"null\"\n- \"~\"\n- \"1e3\"\n"
		"- \"0x1f\"\n");
	CHECK_STR(
		as_yaml("[\"2026-11-21T07:13:00.5Z\",\"2026-11-21\",\"1:30\",\"1.2.3\"]"),
		"- \"2026-11-21T07:13:00.5Z\"\n- \"2026-11-21\"\n- \"1:30\"\n- 1.2.3\n");
	CHECK_STR(as_yaml("[\"a: b\",\"#x\",\"- x\",\"it's\",\" "
			  "x\",\"*x\",\"@x\",\"a#b\"]"),
		  "- 'a: b'\n- '#x'\n- '- x'\n- it's\n- ' x'\n- '*x'\n- '@x'\n- a#b\n");
	CHECK_STR(as_yaml("{\"a\":\"x\\ny\\n\",\"b\":\"x\\ny\",\"c\":\"x\\n\\n\"}"),
		  "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\n");
	CHECK_STR(as_yaml("[1.5,1e300,0.00001,123456789012,-3,true,null]"),
		  "- 1.5\n- 1e+300\n- 1e-05\n- 123456789012\n- -3\n- true\n- null\n");
}

TEST(wraps_long_lines_as_go_yaml_does)
{
	CHECK_STR(
		as_yaml("[\"123456789 123456789 123456789 123456789 123456789 123456789 "
			"123456789 123456789 123456789 x\"]"),
		"- 123456789 123456789 123456789 123456789 123456789 123456789 123456789 "
		"123456789\n  123456789 x\n");
}

TEST(cannot_control_a_terminal)
{
	CHECK_STR(as_yaml("[\"\\u001b[2J\",\"\\u009b2J\",\"\\u007f\",\"a\\u0085b\"]"),
		  "- \"\\e[2J\"\n- \"\\x9B2J\"\n- \"\\x7F\"\n- \"a\\Nb\"\n");
	CHECK_STR(as_yaml("[\"\\u001b\\n\"]"), "- \"\\e\\n\"\n");
}

TEST(reads_what_it_wrote)
{
	static const char *const docs[] = {
		"{\"a\":[\"1\",\"x\\n y\",\" lead\",\"tab\\there\",\"\\u00e9\",\"- -\"]}",
		"{\"n\":[[],{},[[]]],\"o\":{\"y\":\"n\"},\"s\":\"a\\n\\n\\n\"}",
		"[\"<<\",\"=\",\"!x\",\"%x\",\"---\",\"...\",\"? "
		"x\",\":\",\"'\",\"\\\"\"]",
		"[0.1,1e22,5e-324,1.7976931348623157e308,18446744073709551615]",
	};

	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		struct err err = {0};
		JSON_AUTO doc = json_parse(docs[i], strlen(docs[i]), &err);
		BUF_AUTO want = {0};

		CHECK(doc);
		json_write_val(yyjson_doc_get_root(doc), false, &want);
		CHECK_STR(as_json(as_yaml(docs[i])), buf_str(&want));
	}
}
