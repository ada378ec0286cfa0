/* rm: removes files, and with -r directories; never what is mounted below them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/str.h"
#include "os/file.h"
#include "tool.h"

static const char usage[] = "  -r, --recursive         directories and all in them\n"
			    "  -f, --force             nothing there is fine\n"
			    "  -d, --dir               empty directories\n";

/* "/", "." and ".." at the end are nothing that a person means to remove. */
static bool refused(const char *path)
{
	const char *name = strrchr(path, '/');
	STR_AUTO real = realpath(path, NULL);

	name = name ? name + 1 : path;
	return str_eq(name, ".") || str_eq(name, "..") || (real && str_eq(real, "/"));
}

static void one(struct tool *t, char *path)
{
	struct err err;
	struct stat st;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = 0;
	if (lstat(path, &st) < 0) {
		if (errno != ENOENT || !opts_flag(&t->o, "force"))
			tool_warn(t, errno, "%s", path);
	} else if (refused(path)) {
		tool_warn(t, 0, "%s: refused", path);
	} else if (!S_ISDIR(st.st_mode)) {
		if (unlink(path) < 0)
			tool_warn(t, errno, "%s", path);
	} else if (opts_flag(&t->o, "recursive")) {
		if (file_remove_tree(AT_FDCWD, path, &err) < 0)
			tool_complain(t, &err);
	} else if (!opts_flag(&t->o, "dir")) {
		tool_warn(t, EISDIR, "%s", path);
	} else if (rmdir(path) < 0) {
		tool_warn(t, errno, "%s", path);
	}
}

static int run(int argc, char **argv, struct err *err)
{
	struct tool t;

	if (tool_start(&t, &applet_rm, argc, argv, 0, -1, err) < 0)
		return -1;
	if (t.o.argc == 0 && !opts_flag(&t.o, "force"))
		return err_set(err, ERR_INVALID, "rm: which file? (see --help)");
	for (int i = 0; i < t.o.argc; i++)
		one(&t, t.o.argv[i]);
	return tool_end(&t, err);
}

const struct applet applet_rm = {
	.name = "rm",
	.purpose = "remove files",
	.synopsis = "[-rfd] FILE...",
	.usage = usage,
	.run = run,
};
