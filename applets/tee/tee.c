/* tee: standard input to files and to standard output: how a file is written by hand. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "applets.h"
#include "os/fd.h"
#include "tool.h"

enum { CHUNK = 4096, FILES = 16 };

static const char usage[] = "  -a, --append            to what the files hold already\n";

static int run(int argc, char **argv, struct err *err)
{
	char data[CHUNK];
	int fds[FILES];
	struct tool t;
	ssize_t n;

	if (tool_start(&t, &applet_tee, argc, argv, 0, FILES, err) < 0)
		return -1;
	memset(fds, -1, sizeof(fds));
	for (int i = 0; i < t.o.argc; i++) {
		fds[i] = open(t.o.argv[i],
			      O_WRONLY | O_CREAT | O_CLOEXEC |
				      (opts_flag(&t.o, "append") ? O_APPEND : O_TRUNC),
			      0666);
		if (fds[i] < 0)
			tool_warn(&t, errno, "%s", t.o.argv[i]);
	}
	while ((n = read(STDIN_FILENO, data, sizeof(data))) > 0) {
		if (fd_write_all(STDOUT_FILENO, data, (size_t)n) < 0)
			tool_warn(&t, errno, "write");
		for (int i = 0; i < t.o.argc; i++)
			if (fds[i] >= 0 && fd_write_all(fds[i], data, (size_t)n) < 0) {
				tool_warn(&t, errno, "%s", t.o.argv[i]);
				fd_close(&fds[i]);
			}
	}
	for (int i = 0; i < t.o.argc; i++)
		fd_close(&fds[i]);
	return tool_end(&t, err);
}

const struct applet applet_tee = {
	.name = "tee",
	.purpose = "write what is typed to files (Ctrl-D ends it)",
	.synopsis = "[-a] [FILE]...",
	.usage = usage,
	.run = run,
};
