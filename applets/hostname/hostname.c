/* hostname: the node's name, and setting it until the next boot. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "applets.h"
#include "tool.h"

static const char usage[] = "  -s, --short             up to the first dot\n";

static int run(int argc, char **argv, struct err *err)
{
	struct utsname u;
	struct tool t;

	if (tool_start(&t, &applet_hostname, argc, argv, 0, 1, err) < 0)
		return -1;
	if (t.o.argc) {
		if (sethostname(t.o.argv[0], strlen(t.o.argv[0])) < 0)
			return err_sys(err, errno, "hostname: %s", t.o.argv[0]);
	} else {
		uname(&u);
		if (opts_flag(&t.o, "short"))
			u.nodename[strcspn(u.nodename, ".")] = 0;
		puts(u.nodename);
	}
	return tool_end(&t, err);
}

const struct applet applet_hostname = {
	.name = "hostname",
	.purpose = "print or set the node's name",
	.synopsis = "[-s | NAME]",
	.usage = usage,
	.run = run,
};
