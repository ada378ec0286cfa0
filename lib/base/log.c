#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"

static const char *const names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

int log_level_parse(const char *s, enum log_level *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], s)) {
			*ret = (enum log_level)i;
			return 0;
		}
	return -1;
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
	BUF_AUTO line = {0};
	char text[2048], stamp[TIME_TEXT];
	va_list ap;
	int n;

	if (level > log->level)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (log->time) {
		time_format(stamp, time_real());
		buf_add_fmt(&line, "%s ", stamp);
	}
	buf_add_fmt(&line, "%s: %s: ", log->name, names[level]);
	str_escape(&line, text, strlen(text));
	buf_add_char(&line, '\n');
	/* a log that cannot be written has nowhere to be reported */
	if (write(log->fd, line.data, line.len) < 0)
		return;
}
