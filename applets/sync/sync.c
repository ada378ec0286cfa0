/* sync: what was written reaches the disks. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "applets.h"
#include "os/fd.h"
#include "tool.h"

static int run(int argc, char **argv, struct err *err)
{
	struct tool t;

	if (tool_start(&t, &applet_sync, argc, argv, 0, -1, err) < 0)
		return -1;
	if (t.o.argc == 0)
		sync();
	for (int i = 0; i < t.o.argc; i++) {
		FD_AUTO fd = open(t.o.argv[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0 || syncfs(fd) < 0)
			tool_warn(&t, errno, "%s", t.o.argv[i]);
	}
	return tool_end(&t, err);
}

const struct applet applet_sync = {
	.name = "sync",
	.purpose = "flush written data to all disks, or to those of files",
	.synopsis = "[FILE]...",
	.run = run,
};
