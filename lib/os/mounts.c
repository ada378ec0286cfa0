#include "os/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "os/file.h"

int mounts_read(struct buf *b, struct err *err)
{
	return file_read(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, b, err);
}

static bool octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' &&
	       s[2] <= '7';
}

/* The kernel writes blank, tab, newline, '\\' and '#' of a name as "\040". */
static char *unescape(char *s)
{
	char *out = s;

	for (const char *in = s; *in; in++) {
		if (*in == '\\' && octal(in + 1)) {
			*out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 |
					(in[3] - '0'));
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = 0;
	return s;
}

/* "36 35 98:0 /root /target rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue" */
static bool parse(char *line, struct mounts_line *ret)
{
	char *words[6], *rest = line, *dash, *after;
	struct mounts_line m = {0};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		words[i] = strsep(&rest, " ");
		if (!rest)
			return false;
	}
	if (num_u64(words[0], 0, UINT64_MAX, &m.id) < 0 ||
	    num_u64(words[1], 0, UINT64_MAX, &m.parent) < 0 ||
	    sscanf(words[2], "%u:%u", &m.major, &m.minor) != 2)
		return false;
	m.root = unescape(words[3]);
	m.target = unescape(words[4]);
	m.options = words[5];
	dash = str_starts(rest, "- ") ? rest : strstr(rest, " - ");
	if (!dash)
		return false;
	after = dash + (dash == rest ? 2 : 3);
	*dash = 0;
	m.tags = rest;
	m.type = strsep(&after, " ");
	m.source = after ? strsep(&after, " ") : NULL;
	if (!m.source)
		return false;
	unescape(m.type);
	unescape(m.source);
	m.super = after ? unescape(after) : m.type + strlen(m.type);
	*ret = m;
	return true;
}

bool mounts_next(char **at, struct mounts_line *ret)
{
	char *line;

	while ((line = strsep(at, "\n")))
		if (parse(line, ret))
			return true;
	return false;
}
