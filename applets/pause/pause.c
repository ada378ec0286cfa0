/*
 * pause: init of a pod's shared PID namespace. Reaps what is left to it and
 * waits; a signal from within the namespace cannot end it.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "applet.h"
#include "os/fd.h"

static int run(int argc, char **argv, struct err *err)
{
	(void)argc;
	(void)argv;
	(void)err;
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the shim's end is the pod's end */
	signal(SIGCHLD, SIG_IGN);	  /* the kernel reaps */
	while (pause() < 0)
		;
	return 0;
}

const struct applet applet_pause = {.name = "pause", .run = run};
