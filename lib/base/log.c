#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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

static bool put(const struct log *log, const struct buf *line)
{
	ssize_t n = -1;

	if (log->dropped)
		n = send(log->fd, line->data, line->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!log->dropped || (n < 0 && errno == ENOTSOCK))
		n = write(log->fd, line->data, line->len);
	return n >= 0;
}

static void begin(const struct log *log, enum log_level level, struct buf *line)
{
	char stamp[TIME_TEXT];

	if (log->time) {
		time_format(stamp, time_real());
		buf_add_fmt(line, "%s ", stamp);
	}
	buf_add_fmt(line, "%s: %s: ", log->name, names[level]);
}

/* Tells how many lines are missing; false if there is no room for that either. */
static bool tell_dropped(const struct log *log)
{
	BUF_AUTO line = {0};

	begin(log, LOG_LEVEL_WARN, &line);
	buf_add_fmt(&line, "%u lines of the log were dropped: nobody read it\n",
		    *log->dropped);
	if (!put(log, &line))
		return false;
	*log->dropped = 0;
	return true;
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
	BUF_AUTO line = {0};
	char text[2048];
	va_list ap;
	int n;

	if (level > log->level)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	begin(log, level, &line);
	str_escape(&line, text, strlen(text));
	if (line.len > LOG_LINE - 1)
		line.len = LOG_LINE - 1;
	buf_add_char(&line, '\n');
	if (log->dropped && *log->dropped && !tell_dropped(log))
		++*log->dropped;
	/* a log that cannot be written has nowhere to be reported */
	else if (!put(log, &line) && log->dropped)
		++*log->dropped;
}
