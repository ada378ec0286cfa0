/* cp: copies files and trees. */
#include <stdlib.h>
#include <sys/stat.h>

#include "applets.h"
#include "base/str.h"
#include "cp/copy.h"
#include "tool.h"

static const char usage[] =
	"  -r, --recursive         directories and all in them\n"
	"  -R, --trees             the same\n"
	"  -a, --archive           the same as -rp\n"
	"  -p, --preserve          owner, mode and times\n"
	"  -f, --force             replace what cannot be written to\n"
	"  -L, --dereference       with -r: what symbolic links point to\n";

static int run(int argc, char **argv, struct err *err)
{
	const char *to;
	struct copy c;
	struct stat st;
	struct tool t;

	if (tool_start(&t, &applet_cp, argc, argv, 2, -1, err) < 0)
		return -1;
	c.recursive = opts_flag(&t.o, "recursive") || opts_flag(&t.o, "trees") ||
		      opts_flag(&t.o, "archive");
	c.preserve = opts_flag(&t.o, "preserve") || opts_flag(&t.o, "archive");
	c.force = opts_flag(&t.o, "force");
	c.follow = opts_flag(&t.o, "dereference");
	to = t.o.argv[t.o.argc - 1];
	if (t.o.argc > 2 && (stat(to, &st) < 0 || !S_ISDIR(st.st_mode)))
		return err_set(err, ERR_INVALID, "cp: %s is no directory", to);
	for (int i = 0; i < t.o.argc - 1; i++) {
		STR_AUTO target = copy_target(t.o.argv[i], to);

		if (copy_path(&c, t.o.argv[i], target, err) < 0)
			tool_complain(&t, err);
	}
	return tool_end(&t, err);
}

const struct applet applet_cp = {
	.name = "cp",
	.purpose = "copy files",
	.synopsis = "[-rapfL] FROM... TO",
	.usage = usage,
	.run = run,
};
