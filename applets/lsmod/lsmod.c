/* lsmod: the loaded kernel modules. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "applet.h"

static int run(int argc, char **argv, struct err *err)
{
	char line[4096], name[64], users[3072];
	unsigned long size;
	long count;
	FILE *f;

	(void)argv;
	if (argc > 1)
		return err_set(err, ERR_INVALID, "no arguments are known");
	f = fopen("/proc/modules", "re");
	if (!f && errno == ENOENT)
		return err_set(err, ERR_UNIMPLEMENTED,
			       "this kernel cannot load modules (no /proc/modules)");
	if (!f)
		return err_sys(err, errno, "/proc/modules");
	printf("%-24s %8s  Used by\n", "Module", "Size");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %lu %ld %3071s", name, &size, &count, users) != 4)
			continue;
		if (users[strlen(users) - 1] == ',')
			users[strlen(users) - 1] = 0;
		printf("%-24s %8lu  %ld %s\n", name, size, count,
		       users[0] == '-' ? "" : users);
	}
	fclose(f);
	return 0;
}

const struct applet applet_lsmod = {
	.name = "lsmod",
	.purpose = "list the loaded kernel modules",
	.synopsis = "",
	.run = run,
};
