/* sleep: waits. */
#include <errno.h>
#include <time.h>

#include "applets.h"
#include "base/num.h"
#include "base/time.h"
#include "tool.h"

static int run(int argc, char **argv, struct err *err)
{
	struct timespec left;
	int64_t ns;
	struct tool t;

	if (tool_start(&t, &applet_sleep, argc, argv, 1, 1, err) < 0)
		return -1;
	if (num_duration(t.o.argv[0], &ns) < 0 || ns < 0)
		return err_set(err, ERR_INVALID, "sleep: '%.100s' is no duration",
			       t.o.argv[0]);
	left.tv_sec = (time_t)(ns / NS_PER_SEC);
	left.tv_nsec = (long)(ns % NS_PER_SEC);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	return tool_end(&t, err);
}

const struct applet applet_sleep = {
	.name = "sleep",
	.purpose = "wait: 10, 1.5s, 2m",
	.synopsis = "TIME",
	.run = run,
};
