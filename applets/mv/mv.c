/* mv: gives files other names; to another file system they are copied and removed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "applets.h"
#include "base/str.h"
#include "cp/copy.h"
#include "os/file.h"
#include "tool.h"

static const char usage[] =
	"  -f, --force             (always so)\n"
	"  -n, --no-clobber        do not replace what is there\n"
	"  -T, --no-target-directory  TO is the name, never the directory to move into\n";

static int move(const char *from, const char *to, struct err *err)
{
	static const struct copy all = {
		.recursive = true, .preserve = true, .force = true};

	if (rename(from, to) == 0)
		return 0;
	if (errno != EXDEV)
		return err_sys(err, errno, "%s to %s", from, to);
	if (copy_path(&all, from, to, err) < 0)
		return -1;
	return file_remove_tree(AT_FDCWD, from, err);
}

static int run(int argc, char **argv, struct err *err)
{
	const char *to;
	struct stat st;
	struct tool t;

	if (tool_start(&t, &applet_mv, argc, argv, 2, -1, err) < 0)
		return -1;
	to = t.o.argv[t.o.argc - 1];
	if (t.o.argc > 2 && (stat(to, &st) < 0 || !S_ISDIR(st.st_mode)))
		return err_set(err, ERR_INVALID, "mv: %s is no directory", to);
	for (int i = 0; i < t.o.argc - 1; i++) {
		STR_AUTO target = opts_flag(&t.o, "no-target-directory")
					  ? xstrdup(to)
					  : copy_target(t.o.argv[i], to);

		if (opts_flag(&t.o, "no-clobber") && lstat(target, &st) == 0)
			continue;
		if (move(t.o.argv[i], target, err) < 0)
			tool_complain(&t, err);
	}
	return tool_end(&t, err);
}

const struct applet applet_mv = {
	.name = "mv",
	.purpose = "move or rename files",
	.synopsis = "[-fnT] FROM... TO",
	.usage = usage,
	.run = run,
};
