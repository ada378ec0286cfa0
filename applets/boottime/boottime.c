/* boottime: how long each phase of the boot took. */
#include <errno.h>
#include <stdio.h>

#include "applet.h"
#include "base/str.h"
#include "base/time.h"
#include "node/initctl.h"
#include "os/fd.h"

static void print(void *arg, const struct initctl_reply *r)
{
	const struct initctl_phase *p = &r->phase;

	(void)arg;
	if (r->kind != INITCTL_PHASE)
		return;
	printf("%-16s %10.1f ", p->name, (double)p->end / 1e6);
	if (p->end > p->start)
		printf("%10.1f", (double)(p->end - p->start) / 1e6);
	else
		printf("%10s", "-");
	printf("  %s\n", p->note);
}

static int run_boottime(int argc, char **argv, struct err *err)
{
	FD_AUTO fd = -1;

	if (argc > 1)
		return err_set(err, ERR_INVALID, "unexpected argument: %s", argv[1]);
	fd = initctl_open(err);
	if (fd < 0)
		return -1;
	printf("%-16s %10s %10s  (milliseconds)\n", "PHASE", "DONE AT", "TOOK");
	if (initctl_call(fd, INITCTL_BOOT, NULL, print, NULL, err) < 0)
		return -1;
	return fflush(stdout) == EOF ? err_sys(err, errno, "standard output") : 0;
}

const struct applet applet_boottime = {
	.name = "boottime",
	.purpose =
		"Show how long each phase of the boot took, from the kernel's start on",
	.run = run_boottime,
};
