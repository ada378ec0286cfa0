/* uname: what this machine and its kernel are. */
#include <stdio.h>
#include <sys/utsname.h>

#include "applets.h"
#include "base/str.h"
#include "tool.h"

static const char usage[] = "  -a, --all               all of it, in this order:\n"
			    "  -s, --kernel-name\n"
			    "  -n, --nodename\n"
			    "  -r, --kernel-release\n"
			    "  -v, --kernel-version\n"
			    "  -m, --machine\n"
			    "  -o, --operating-system\n";

static int run(int argc, char **argv, struct err *err)
{
	static const char names[][20] = {"kernel-name",	   "nodename",
					 "kernel-release", "kernel-version",
					 "machine",	   "operating-system"};
	struct utsname u;
	struct tool t;
	bool any = false, all;

	if (tool_start(&t, &applet_uname, argc, argv, 0, 0, err) < 0)
		return -1;
	uname(&u);
	all = opts_flag(&t.o, "all");
	{
		const char *const values[] = {u.sysname, u.nodename, u.release,
					      u.version, u.machine,  "Linux"};

		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			/* alone: the kernel's name */
			if (!all && !opts_flag(&t.o, names[i]) && !(argc == 1 && i == 0))
				continue;
			printf("%s%s", any ? " " : "", values[i]);
			any = true;
		}
	}
	putchar('\n');
	return tool_end(&t, err);
}

const struct applet applet_uname = {
	.name = "uname",
	.purpose = "print what the kernel is",
	.synopsis = "[-asnrvmo]",
	.usage = usage,
	.run = run,
};
