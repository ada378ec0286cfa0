/* id: who we are. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "applets.h"
#include "tool.h"

enum { GROUPS = 256 };

static const char usage[] = "  -u, --user              only the user\n"
			    "  -g, --group             only the group\n"
			    "  -G, --groups            only all groups\n"
			    "  -n, --name              names instead of numbers\n";

static int run(int argc, char **argv, struct err *err)
{
	gid_t groups[GROUPS];
	int n;
	char user[TOOL_ID], group[TOOL_ID];
	struct tool t;
	bool names;

	if (tool_start(&t, &applet_id, argc, argv, 0, 0, err) < 0)
		return -1;
	/* our own group first, once */
	groups[0] = getegid();
	n = getgroups(GROUPS - 1, groups + 1);
	if (n < 0)
		return err_sys(err, errno, "id: groups");
	for (int i = 1; i <= n; i++)
		if (groups[i] == groups[0])
			groups[i--] = groups[n--];
	n++;
	names = opts_flag(&t.o, "name");
	tool_user(user, geteuid());
	tool_group(group, getegid());
	if (opts_flag(&t.o, "user")) {
		names ? puts(user) : printf("%u\n", geteuid());
	} else if (opts_flag(&t.o, "group")) {
		names ? puts(group) : printf("%u\n", getegid());
	} else if (opts_flag(&t.o, "groups")) {
		for (int i = 0; i < n; i++) {
			if (names)
				printf("%s%s", i ? " " : "",
				       tool_group(group, groups[i]));
			else
				printf("%s%u", i ? " " : "", groups[i]);
		}
		putchar('\n');
	} else {
		printf("uid=%u(%s) gid=%u(%s)", geteuid(), user, getegid(), group);
		for (int i = 0; i < n; i++)
			printf("%s%u(%s)", i ? "," : " groups=", groups[i],
			       tool_group(group, groups[i]));
		putchar('\n');
	}
	return tool_end(&t, err);
}

const struct applet applet_id = {
	.name = "id",
	.purpose = "print user and groups",
	.synopsis = "[-u | -g | -G] [-n]",
	.usage = usage,
	.run = run,
};
