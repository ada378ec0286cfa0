/* halt: takes the node down, through init, or, with -f, at once. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "node/initctl.h"
#include "os/fd.h"

/* What each verb is to init's socket, to the kernel, and as busybox's signal to init. */
static const struct how {
	const char *name;
	enum initctl_verb verb;
	int cmd, sig;
} hows[] = {
	{"halt", INITCTL_HALT, (int)RB_HALT_SYSTEM, SIGUSR1},
	{"poweroff", INITCTL_POWEROFF, (int)RB_POWER_OFF, SIGUSR2},
	{"reboot", INITCTL_REBOOT, (int)RB_AUTOBOOT, SIGTERM},
};

struct options {
	const struct how *how;
	bool force, no_sync;
	uint64_t delay;
};

static const struct how *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(hows); i++)
		if (str_eq(name, hows[i].name))
			return &hows[i];
	return NULL;
}

/* shutdown [-h|-P|-H|-r] [now|+0]: powers off unless it is told otherwise. */
static int parse_shutdown(struct options *o, int argc, char **argv, struct err *err)
{
	o->how = find("poweroff");
	for (int i = 1; i < argc; i++) {
		if (str_eq(argv[i], "-r"))
			o->how = find("reboot");
		else if (str_eq(argv[i], "-H"))
			o->how = find("halt");
		else if (str_eq(argv[i], "-h") || str_eq(argv[i], "-P"))
			o->how = find("poweroff");
		else if (!str_eq(argv[i], "now") && !str_eq(argv[i], "+0"))
			return err_set(err, ERR_INVALID,
				       "%s: only -h, -P, -H, -r and \"now\"", argv[i]);
	}
	return 0;
}

static int parse(struct options *o, int argc, char **argv, struct err *err)
{
	const char *base = strrchr(argv[0], '/');
	int c;

	base = base ? base + 1 : argv[0];
	if (str_eq(base, "shutdown"))
		return parse_shutdown(o, argc, argv, err);
	o->how = find(base);
	optind = 1;
	opterr = 0;
	while ((c = getopt(argc, argv, "d:nfw")) >= 0) {
		if (c == 'd' && num_u64(optarg, 0, 86400, &o->delay) < 0)
			return err_set(err, ERR_INVALID, "-d %s: not seconds", optarg);
		if (c == '?')
			return err_set(err, ERR_INVALID, "unrecognized option: -%c",
				       optopt);
		o->no_sync = o->no_sync || c == 'n';
		o->force = o->force || c == 'f';
		if (c == 'w')
			return 1; /* nobody reads wtmp here */
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, "unexpected argument: %s", argv[optind]);
	return 0;
}

static int run_halt(int argc, char **argv, struct err *err)
{
	struct options o = {0};
	FD_AUTO fd = -1;
	int r = parse(&o, argc, argv, err);

	if (r)
		return r < 0 ? -1 : 0;
	if (o.delay)
		sleep((unsigned)o.delay);
	if (o.force) {
		if (!o.no_sync)
			sync();
		reboot(o.how->cmd);
		return err_sys(err, errno, "%s", o.how->name);
	}
	fd = initctl_open(err);
	if (fd >= 0)
		return initctl_call(fd, o.how->verb, "a command", NULL, NULL, err);
	/* another init, or one that does not listen: signals mean the same to all */
	if (kill(1, o.how->sig) < 0)
		return err_sys(err, errno, "signal init");
	return 0;
}

const struct applet applet_halt = {
	.name = "halt",
	.alias = "poweroff reboot shutdown",
	.purpose = "Take the node down: stop pods and services, unmount, and halt, power "
		   "off "
		   "or reboot",
	.synopsis = "[-d SECONDS] [-n] [-f]   |   shutdown [-h|-P|-H|-r] [now]",
	.usage =
		"  -d SECONDS  wait before\n"
		"  -f          at once, without init: pods and services are not stopped\n"
		"  -n          with -f: do not flush disks first\n",
	.run = run_halt,
};
