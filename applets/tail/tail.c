/* tail: the end of files, and what is added to them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "tool.h"

enum {
	CHUNK = 16384,
	KEEP = 64 << 20, /* of what cannot be read backwards */
	LOOK_MS = 1000,	 /* a file without change events (of /proc, of another node) */
};

static const char usage[] =
	"  -n, --lines COUNT       so many lines (10); -COUNT is the same;\n"
	"                          +COUNT: from line COUNT on\n"
	"  -c, --bytes COUNT       so many bytes\n"
	"  -f, --follow            go on as the file grows\n"
	"  -F, --rotate            the same, also when another file takes its name\n";

struct tail {
	struct tool t;
	uint64_t count;
	bool bytes, from_start;
};

static int out(const void *data, size_t n)
{
	return fd_write_all(STDOUT_FILENO, data, n);
}

/* Where the last count lines (or bytes) of n bytes begin. */
static size_t place(const struct tail *s, const char *data, size_t n)
{
	uint64_t left = s->count;
	size_t at = n;

	if (s->bytes)
		return n - (size_t)MIN((uint64_t)n, left);
	if (!left)
		return n;
	while (at) {
		/* the newline at the very end ends a line and begins none */
		if (data[at - 1] == '\n' && at != n && --left == 0)
			break;
		at--;
	}
	return at;
}

static int rest(int fd)
{
	char data[CHUNK];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		if (out(data, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

/* +COUNT: passes over COUNT - 1 lines or bytes. */
static int from_start(const struct tail *s, int fd)
{
	uint64_t skip = s->count ? s->count - 1 : 0;
	char data[CHUNK];
	ssize_t n;

	while (skip && (n = read(fd, data, sizeof(data))) > 0) {
		ssize_t at = 0;

		while (skip && at < n)
			skip -= data[at++] == '\n' || s->bytes;
		if (out(data + at, (size_t)(n - at)) < 0)
			return -1;
	}
	return rest(fd);
}

/* A file of which the end can be reached: read backwards until there is enough. */
static bool seek_end(const struct tail *s, int fd)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	uint64_t left = s->count;
	char data[CHUNK];

	if (end <= 0)
		return false;
	if (s->bytes)
		return lseek(fd, end - (off_t)MIN(left, (uint64_t)end), SEEK_SET) >= 0;
	while (at > 0) {
		off_t from = at > CHUNK ? at - CHUNK : 0;
		ssize_t n = pread(fd, data, (size_t)(at - from), from);

		if (n <= 0)
			return false;
		for (ssize_t i = n; i > 0; i--)
			if (data[i - 1] == '\n' && from + i != end && left-- <= 1)
				return lseek(fd, from + i, SEEK_SET) >= 0;
		at = from;
	}
	return lseek(fd, 0, SEEK_SET) >= 0;
}

static int show_end(const struct tail *s, int fd)
{
	BUF_AUTO all = {0};
	struct stat st;
	ssize_t n;
	size_t at;

	if (s->from_start)
		return from_start(s, fd);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    seek_end(s, fd))
		return s->count ? rest(fd) : 0;
	while ((n = read(fd, buf_reserve(&all, CHUNK), CHUNK)) > 0) {
		all.len += (size_t)n;
		if (all.len > KEEP)
			buf_shift(&all, all.len / 2);
	}
	if (n < 0)
		return -1;
	at = place(s, (const char *)all.data, all.len);
	return out(all.data + at, all.len - at);
}

/* The file that has the name now, if it is another one or was cut short. */
static void reopen(int *fd, const char *name, bool by_name)
{
	struct stat now, ours;
	int other;

	if (fstat(*fd, &ours) < 0)
		return;
	if (S_ISREG(ours.st_mode) && lseek(*fd, 0, SEEK_CUR) > ours.st_size)
		lseek(*fd, 0, SEEK_SET);
	if (!by_name || stat(name, &now) < 0 ||
	    (now.st_ino == ours.st_ino && now.st_dev == ours.st_dev))
		return;
	other = open(name, O_RDONLY | O_CLOEXEC);
	if (other < 0)
		return;
	rest(*fd);
	fd_close(fd);
	*fd = other;
}

static int follow(int *fd, const char *name, bool by_name)
{
	FD_AUTO events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char drain[CHUNK];

	for (;;) {
		struct pollfd p = {.fd = events, .events = POLLIN};

		if (events >= 0)
			inotify_add_watch(events, name,
					  IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF);
		reopen(fd, name, by_name);
		if (rest(*fd) < 0)
			return -1;
		poll(&p, 1, LOOK_MS);
		if (p.revents && read(events, drain, sizeof(drain)) < 0)
			continue;
	}
}

static int read_count(struct tail *s, struct err *err)
{
	const char *bytes = opts_text(&s->t.o, "bytes");
	const char *text = bytes ? bytes : opts_text(&s->t.o, "lines");

	s->bytes = bytes;
	if (!text)
		return 0;
	s->from_start = *text == '+';
	if (num_size(text + (*text == '+' || *text == '-'), &s->count) < 0)
		return err_set(err, ERR_INVALID, "tail: '%.100s' is no number", text);
	return 0;
}

static void one(struct tail *s, const char *name, bool last)
{
	bool by_name = opts_flag(&s->t.o, "rotate");
	FD_AUTO fd = str_eq(name, "-") ? fcntl(0, F_DUPFD_CLOEXEC, 3)
				       : open(name, O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || show_end(s, fd) < 0 ||
	    (last && (by_name || opts_flag(&s->t.o, "follow")) &&
	     follow(&fd, name, by_name) < 0))
		tool_warn(&s->t, errno, "%s", name);
}

static int run(int argc, char **argv, struct err *err)
{
	struct tail s = {0};
	uint64_t count = 10;

	if (argc > 1 && argv[1][0] == '-' &&
	    num_u64(argv[1] + 1, 0, UINT64_MAX, &count) == 0) {
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (tool_start(&s.t, &applet_tail, argc, argv, 0, -1, err) < 0)
		return -1;
	s.count = count;
	if (read_count(&s, err) < 0)
		return -1;
	for (int i = 0; i < s.t.o.argc; i++) {
		if (s.t.o.argc > 1) {
			printf("%s==> %s <==\n", i ? "\n" : "", s.t.o.argv[i]);
			fflush(stdout);
		}
		one(&s, s.t.o.argv[i], i == s.t.o.argc - 1);
	}
	if (s.t.o.argc == 0)
		one(&s, "-", true);
	return tool_end(&s.t, err);
}

const struct applet applet_tail = {
	.name = "tail",
	.purpose = "print the end of files; -f follows the last one",
	.synopsis = "[-n COUNT] [-f] [FILE]...",
	.usage = usage,
	.run = run,
};
