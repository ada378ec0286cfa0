/* ln: more names for files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/str.h"
#include "cp/copy.h"
#include "tool.h"

static const char usage[] =
	"  -s, --symbolic\n"
	"  -f, --force             replace what has the name\n"
	"  -n, --no-dereference    a link to a directory is replaced, not used\n";

static int run(int argc, char **argv, struct err *err)
{
	struct stat st;
	const char *to;
	struct tool t;
	bool symbolic;

	if (tool_start(&t, &applet_ln, argc, argv, 1, -1, err) < 0)
		return -1;
	symbolic = opts_flag(&t.o, "symbolic");
	to = t.o.argc > 1 ? t.o.argv[--t.o.argc] : ".";
	if (t.o.argc > 1 && (stat(to, &st) < 0 || !S_ISDIR(st.st_mode)))
		return err_set(err, ERR_INVALID, "ln: %s is no directory", to);
	for (int i = 0; i < t.o.argc; i++) {
		const char *from = t.o.argv[i];
		bool as_name = opts_flag(&t.o, "no-dereference") && lstat(to, &st) == 0 &&
			       S_ISLNK(st.st_mode);
		STR_AUTO path = as_name ? xstrdup(to) : copy_target(from, to);

		if (opts_flag(&t.o, "force") && unlink(path) < 0 && errno != ENOENT)
			tool_warn(&t, errno, "%s", path);
		else if ((symbolic ? symlink(from, path) : link(from, path)) < 0)
			tool_warn(&t, errno, "%s", path);
	}
	return tool_end(&t, err);
}

const struct applet applet_ln = {
	.name = "ln",
	.purpose = "make links",
	.synopsis = "[-sfn] FILE... [NAME]",
	.usage = usage,
	.run = run,
};
