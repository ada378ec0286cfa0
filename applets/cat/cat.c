/* cat: files to standard output. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "applets.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "tool.h"

enum { CHUNK = 16384 };

static const char usage[] = "  -n, --number            number the lines\n";

/* State of the numbering: it goes on from file to file. */
struct lines {
	bool number, inside;
	unsigned long n;
};

static int put(struct lines *l, const char *data, size_t n)
{
	if (!l->number)
		return fd_write_all(STDOUT_FILENO, data, n);
	for (size_t i = 0; i < n; i++) {
		if (!l->inside)
			printf("%6lu\t", ++l->n);
		l->inside = data[i] != '\n';
		putchar(data[i]);
	}
	return ferror(stdout) ? -1 : 0;
}

static int copy(struct tool *t, struct lines *l, int fd, const char *name,
		struct err *err)
{
	char data[CHUNK];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		if (put(l, data, (size_t)n) < 0)
			return err_sys(err, errno, "cat: write");
	if (n < 0)
		tool_warn(t, errno, "%s", name);
	return 0;
}

static int one(struct tool *t, struct lines *l, const char *name, struct err *err)
{
	FD_AUTO fd = -1;

	if (str_eq(name, "-"))
		return copy(t, l, STDIN_FILENO, "standard input", err);
	fd = open(name, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		tool_warn(t, errno, "%s", name);
		return 0;
	}
	return copy(t, l, fd, name, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct lines l = {0};
	struct tool t;

	if (tool_start(&t, &applet_cat, argc, argv, 0, -1, err) < 0)
		return -1;
	l.number = opts_flag(&t.o, "number");
	for (int i = 0; i < t.o.argc; i++)
		if (one(&t, &l, t.o.argv[i], err) < 0)
			return -1;
	if (t.o.argc == 0 && one(&t, &l, "-", err) < 0)
		return -1;
	return tool_end(&t, err);
}

const struct applet applet_cat = {
	.name = "cat",
	.purpose = "print files",
	.synopsis = "[-n] [FILE]...",
	.usage = usage,
	.run = run,
};
