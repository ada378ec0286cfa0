#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "os/file.h"

static int start(struct tool *t, const struct applet *a, bool ordered, int argc,
		 char **argv, struct err *err)
{
	*t = (struct tool){.name = a->name};
	if (opts_parse(&t->o, a->usage, ordered, argc - 1, argv + 1, &t->arena, err) <
	    0) {
		arena_done(&t->arena);
		return err_wrap(err, "%s", a->name);
	}
	return 0;
}

int tool_start(struct tool *t, const struct applet *a, int argc, char **argv, int min,
	       int max, struct err *err)
{
	if (start(t, a, false, argc, argv, err) < 0)
		return -1;
	if (t->o.argc >= min && (max < 0 || t->o.argc <= max))
		return 0;
	if (t->o.argc < min)
		err_set(err, ERR_INVALID, "%s: which %s? (see --help)", a->name,
			str_or_empty(a->synopsis));
	else
		err_set(err, ERR_INVALID, "%s: unexpected argument: %s (see --help)",
			a->name, t->o.argv[max]);
	arena_done(&t->arena);
	return -1;
}

int tool_start_ordered(struct tool *t, const struct applet *a, int argc, char **argv,
		       struct err *err)
{
	return start(t, a, true, argc, argv, err);
}

void tool_complain(struct tool *t, const struct err *err)
{
	BUF_AUTO line = {0};

	fflush(stdout);
	buf_add_fmt(&line, "%s: ", t->name);
	str_escape(&line, err->msg, strlen(err->msg));
	fprintf(stderr, "%s\n", buf_str(&line));
	t->status = 1;
}

void tool_warn(struct tool *t, int sys, const char *fmt, ...)
{
	struct err err = {0};
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (sys)
		err_sys(&err, sys, "%s", text);
	else
		err_set(&err, ERR_UNKNOWN, "%s", text);
	tool_complain(t, &err);
}

int tool_end(struct tool *t, struct err *err)
{
	int status = t->status;

	arena_done(&t->arena);
	if (fflush(stdout) == EOF || ferror(stdout))
		return err_sys(err, errno, "%s: write to standard output", t->name);
	return status;
}

const char *tool_size(char dst[TOOL_SIZE], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	unsigned unit = 0;
	uint64_t div = 1024, tenths;

	if (bytes < 1024) {
		snprintf(dst, TOOL_SIZE, "%u", (unsigned)bytes);
		return dst;
	}
	while (unit < 5 && bytes / div >= 1024) {
		div *= 1024;
		unit++;
	}
	tenths = bytes / div * 10 + (bytes % div / (div / 1024) * 10 + 1023) / 1024;
	if (tenths < 100)
		snprintf(dst, TOOL_SIZE, "%u.%u%c", (unsigned)tenths / 10,
			 (unsigned)tenths % 10, units[unit]);
	else
		snprintf(dst, TOOL_SIZE, "%u%c", (unsigned)(tenths + 9) / 10,
			 units[unit]);
	return dst;
}

uint64_t tool_meminfo(const char *key)
{
	BUF_AUTO text = {0};
	struct err ignored;
	const char *at;

	if (file_read(AT_FDCWD, "/proc/meminfo", 65536, &text, &ignored) < 0)
		return 0;
	for (at = buf_str(&text); *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (str_starts(at, key) && at[strlen(key)] == ':')
			return strtoull(at + strlen(key) + 1, NULL, 10) * 1024;
	return 0;
}

void tool_print(const char *s)
{
	BUF_AUTO b = {0};

	str_escape(&b, s, strlen(s));
	fputs(buf_str(&b), stdout);
}

/* "NAME:x:ID:..." */
static const char *name_of(char dst[TOOL_ID], const char *file, uint32_t id)
{
	BUF_AUTO text = {0};
	struct err ignored;
	char *at, *line;

	snprintf(dst, TOOL_ID, "%u", id);
	if (file_read(AT_FDCWD, file, 1 << 20, &text, &ignored) < 0)
		return dst;
	at = (char *)(uintptr_t)buf_str(&text);
	while ((line = strsep(&at, "\n"))) {
		char *name = strsep(&line, ":"), *number;
		uint64_t v;

		strsep(&line, ":");
		number = strsep(&line, ":");
		if (number && num_u64(number, 0, UINT32_MAX, &v) == 0 && v == id) {
			snprintf(dst, TOOL_ID, "%.32s", name);
			break;
		}
	}
	return dst;
}

const char *tool_user(char dst[TOOL_ID], uint32_t uid)
{
	return name_of(dst, "/etc/passwd", uid);
}

const char *tool_group(char dst[TOOL_ID], uint32_t gid)
{
	return name_of(dst, "/etc/group", gid);
}
