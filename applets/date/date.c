/* date: the time, and setting it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "tool.h"

static const char usage[] =
	"  -u, --utc               in UTC\n"
	"  -d, --date TEXT         this time instead of now\n"
	"  -s, --set TEXT          set the clock\n"
	"  -R, --rfc-email         Sat, 21 Nov 2026 10:00:00 +0000\n"
	"  -I, --iso-8601          2026-11-21T10:00:00+00:00\n"
	"\n"
	"TEXT is @SECONDS, 2026-11-21, 2026-11-21 10:00:00 or RFC 3339;\n"
	"FORMAT is strftime's.\n";

/* Seconds since 1970 of a text. */
static int parse(const char *text, time_t *ret, struct err *err)
{
	static const char formats[][20] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M",
					   "%Y-%m-%d", "%H:%M:%S", "%H:%M"};
	time_t now = time(NULL);
	int64_t v;

	if (*text == '@' && num_i64(text + 1, INT64_MIN, INT64_MAX, &v) == 0) {
		*ret = (time_t)v;
		return 0;
	}
	if (time_parse(text, &v) == 0) {
		*ret = (time_t)(v / NS_PER_SEC);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct tm tm;
		char *end;

		localtime_r(&now, &tm); /* the day, where only a time is given */
		if (formats[i][1] == 'Y')
			tm.tm_hour = tm.tm_min = 0;
		tm.tm_sec = 0;
		end = strptime(text, formats[i], &tm);
		if (!end || *end)
			continue;
		tm.tm_isdst = -1;
		*ret = mktime(&tm);
		return 0;
	}
	return err_set(err, ERR_INVALID, "date: '%.100s' is no time (see --help)", text);
}

static int run(int argc, char **argv, struct err *err)
{
	const char *format = "%a %b %e %H:%M:%S %Z %Y", *text;
	struct timespec ts;
	struct tool t;
	struct tm tm;
	char out[512];
	bool utc;

	if (tool_start(&t, &applet_date, argc, argv, 0, 1, err) < 0)
		return -1;
	utc = opts_flag(&t.o, "utc");
	clock_gettime(CLOCK_REALTIME, &ts);
	text = opts_text(&t.o, "set");
	text = text ? text : opts_text(&t.o, "date");
	if (text) {
		ts.tv_nsec = 0;
		if (parse(text, &ts.tv_sec, err) < 0)
			return -1;
	}
	if (opts_text(&t.o, "set") && clock_settime(CLOCK_REALTIME, &ts) < 0)
		tool_warn(&t, errno, "set the clock");
	if (opts_flag(&t.o, "rfc-email"))
		format = "%a, %d %b %Y %H:%M:%S %z";
	if (opts_flag(&t.o, "iso-8601"))
		format = "%Y-%m-%dT%H:%M:%S%z";
	if (t.o.argc) {
		if (t.o.argv[0][0] != '+')
			return err_set(err, ERR_INVALID,
				       "date: +FORMAT is needed, not %.100s",
				       t.o.argv[0]);
		format = t.o.argv[0] + 1;
	}
	if (utc)
		gmtime_r(&ts.tv_sec, &tm);
	else
		localtime_r(&ts.tv_sec, &tm);
	out[0] = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	strftime(out, sizeof(out), format, &tm); /* the person's own */
#pragma GCC diagnostic pop
	puts(out);
	return tool_end(&t, err);
}

const struct applet applet_date = {
	.name = "date",
	.purpose = "print or set the time",
	.synopsis = "[-u] [-d TEXT | -s TEXT] [+FORMAT]",
	.usage = usage,
	.run = run,
};
