/* uptime: how long the machine has been up, and how busy it is. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "applets.h"
#include "base/time.h"
#include "tool.h"

static int run(int argc, char **argv, struct err *err)
{
	int64_t s = time_mono() / NS_PER_SEC;
	double load[3] = {0};
	time_t now = time(NULL);
	struct tool t;
	struct tm tm;
	char text[16];

	if (tool_start(&t, &applet_uptime, argc, argv, 0, 0, err) < 0)
		return -1;
	localtime_r(&now, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf(" %s up ", text);
	if (s >= 86400)
		printf("%d day%s, ", (int)(s / 86400), s >= 2 * 86400 ? "s" : "");
	if (s % 86400 >= 3600)
		printf("%d:%02d", (int)(s % 86400 / 3600), (int)(s / 60 % 60));
	else
		printf("%d min", (int)(s / 60 % 60));
	getloadavg(load, 3);
	printf(",  load average: %.2f, %.2f, %.2f\n", load[0], load[1], load[2]);
	return tool_end(&t, err);
}

const struct applet applet_uptime = {
	.name = "uptime",
	.purpose = "print how long the machine has been up, and its load",
	.run = run,
};
