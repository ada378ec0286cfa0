#include "ctl/print.h"

#include <time.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/logfile.h"
#include "unit.h"

static const char *ago(int64_t seconds)
{
	static char text[PRINT_SHORT];

	print_ago(text, time_real() - seconds * NS_PER_SEC - 10 * NS_PER_MS);
	return text;
}

TEST(says_how_long_ago)
{
	CHECK_STR(ago(-5), "Less than a second ago");
	CHECK_STR(ago(0), "Less than a second ago");
	CHECK_STR(ago(1), "1 second ago");
	CHECK_STR(ago(59), "59 seconds ago");
	CHECK_STR(ago(60), "About a minute ago");
	CHECK_STR(ago(150), "2 minutes ago");
	CHECK_STR(ago(3599), "59 minutes ago");
	CHECK_STR(ago(3600), "About an hour ago");
	CHECK_STR(ago(5400), "2 hours ago");
	CHECK_STR(ago(47 * 3600), "47 hours ago");
	CHECK_STR(ago(48 * 3600), "2 days ago");
	CHECK_STR(ago(14 * 86400), "2 weeks ago");
	CHECK_STR(ago(60 * 86400), "2 months ago");
	CHECK_STR(ago(2 * 365 * 86400), "2 years ago");
}

static const char *size(uint64_t bytes, int digits)
{
	static char text[PRINT_SHORT];

	print_size(text, bytes, digits);
	return text;
}

TEST(says_how_large)
{
	CHECK_STR(size(0, 3), "0B");
	CHECK_STR(size(999, 3), "999B");
	CHECK_STR(size(1000, 3), "1kB");
	CHECK_STR(size(4261000, 3), "4.26MB");
	CHECK_STR(size(4261000, 4), "4.261MB");
	CHECK_STR(size(123456789012, 3), "123GB");
	CHECK_STR(size(999900, 3), "1e+03kB"); /* as Go has it */
	CHECK_STR(size(UINT64_MAX, 3), "18.4EB");
}

TEST(says_when)
{
	char text[PRINT_SHORT];

	setenv("TZ", "UTC", 1);
	tzset();
	print_time(text, INT64_C(1700000000120000000));
	CHECK_STR(text, "2023-11-14T22:13:20.12Z");
	print_time(text, INT64_C(1700000000000000000));
	CHECK_STR(text, "2023-11-14T22:13:20Z");
	print_time_go(text, INT64_C(1700000000000000001));
	CHECK_STR(text, "2023-11-14 22:13:20.000000001 +0000 UTC");
	print_time(text, 0);
	CHECK_STR(text, "0001-01-01T00:00:00Z");
	setenv("TZ", "XYZ-5:30", 1);
	tzset();
	print_time(text, INT64_C(1700000000500000000));
	CHECK_STR(text, "2023-11-15T03:43:20.5+05:30");
	print_time_go(text, INT64_C(1700000000000000000));
	CHECK_STR(text, "2023-11-15 03:43:20 +0530 XYZ");
	setenv("TZ", "UTC", 1);
	tzset();
}

TEST(aligns_tables)
{
	static const char *const head[] = {"A", "B", "C", NULL};
	struct ctl c = {0};
	TABLE_AUTO t = {0};

	table_add_head(&t, head);
	table_add(&t, "a cell that is wider");
	table_add(&t, "\xc3\xa9\x1b");
	table_add(&t, NULL);
	table_print(&c, &t);
	CHECK_STR(buf_str(&c.out),
		  "A                      B                   C\n"
		  "a cell that is wider   \xc3\xa9\\x1b               \n");
	buf_done(&c.out);
}

TEST(escapes_what_it_says)
{
	struct ctl c = {0};
	struct err err = {0};
	JSON_MUT_AUTO d = json_new();

	ctl_say(&c, "%s: %d%% of %ld\n", "a\n\x1b[m", 5, 7L);
	CHECK_STR(buf_str(&c.out), "a\\x0a\\x1b[m: 5% of 7\n");
	buf_reset(&c.out);
	json_add_str(d, yyjson_mut_doc_get_root(d), "k", "\x7f\xc2\x9b\xc3\xa9\x1b");
	CHECK(print_mut(&c, yyjson_mut_doc_get_root(d), PRINT_JSON, &err) == 0);
	CHECK_STR(buf_str(&c.out), "{\n  \"k\": \"\\u007f\\u009b\xc3\xa9\\u001B\"\n}\n");
	buf_reset(&c.out);
	CHECK(print_mut(&c, yyjson_mut_doc_get_root(d), PRINT_YAML, &err) == 0);
	CHECK_STR(buf_str(&c.out), "k: \"\\x7F\\x9B\xc3\xa9\\e\"\n\n");
	buf_done(&c.out);
}

/* "time stream partial text" of a line, or "-". */
static const char *line(const char *s)
{
	static char text[200];
	struct logfile_line l;

	if (logfile_parse(s, strlen(s), &l) < 0)
		return "-";
	snprintf(text, sizeof(text), "%lld %d %d %.*s", (long long)l.time, l.to_err,
		 l.partial, (int)l.len, l.text);
	return text;
}

TEST(parses_log_lines)
{
	CHECK_STR(line("1970-01-01T00:00:01.5Z stdout F a b  c"),
		  "1500000000 0 0 a b  c");
	CHECK_STR(line("1970-01-01T02:00:01+02:00 stderr P x"), "1000000000 1 1 x");
	CHECK_STR(line("1970-01-01T00:00:01Z stdout F "), "1000000000 0 0 ");
	CHECK_STR(line("1970-01-01T00:00:01Z stdout P:tag x"), "1000000000 0 1 x");
	CHECK_STR(line("1970-01-01T00:00:01Z stdout F:tag x"), "1000000000 0 0 x");
	CHECK_STR(line(""), "-");
	CHECK_STR(line("1970-01-01T00:00:01Z stdout F"), "-");
	CHECK_STR(line("1970-01-01T00:00:01Z stdin F x"), "-");
	CHECK_STR(line("1970-01-01T00:00:01Z stdout  x"), "-");
	CHECK_STR(line("yesterday stdout F x"), "-");
	CHECK_STR(line("1970-01-01T00:00:01Z\tstdout\tF\tx"), "-");
}
