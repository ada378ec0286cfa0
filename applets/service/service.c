/* service: what init runs, for a person. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "node/initctl.h"
#include "os/fd.h"

enum { SERVICES = 64, AT_ONCE = 8192, LOOK_MS = 200 };

static void print_since(int64_t since)
{
	int64_t s = (time_mono() - since) / NS_PER_SEC;

	if (s < 120)
		printf("%4llds", (long long)s);
	else if (s < 7200)
		printf("%4lldm", (long long)s / 60);
	else if (s < 172800)
		printf("%4lldh", (long long)s / 3600);
	else
		printf("%4lldd", (long long)s / 86400);
}

static int status(int fd, const char *name, struct err *err)
{
	struct initctl_service list[SERVICES];
	int n = initctl_services(fd, list, SERVICES, err), shown = 0, bad = 0;

	if (n < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		const struct initctl_service *s = &list[i];

		if (name && !str_eq(name, s->name))
			continue;
		if (shown++ == 0)
			printf("%-16s %-9s %6s %9s %5s  %s\n", "NAME", "STATE", "PID",
			       "RESTARTS", "FOR", "LAST ERROR");
		printf("%-16s %-9s ", s->name, initctl_state_name(s->state));
		if (s->pid)
			printf("%6d", (int)s->pid);
		else
			printf("%6s", "-");
		printf(" %9u ", (unsigned)s->restarts);
		print_since(s->since);
		printf("  %s\n", s->error);
		bad |= s->state != INITCTL_UP && s->state != INITCTL_DONE;
	}
	if (name && !shown)
		return err_set(err, ERR_NOT_FOUND, "%s: no such service", name);
	return name && bad ? 3 : 0;
}

static int put_all(const char *data, size_t n, struct err *err)
{
	/* the terminal's, not the log's, to be controlled by nobody */
	char text[AT_ONCE] = {0};

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)data[i];

		text[i] =
			c == '\n' || c == '\t' || (c >= ' ' && c != 127) ? data[i] : '?';
	}
	if (fwrite(text, 1, n, stdout) != n || fflush(stdout) == EOF)
		return err_sys(err, errno, "standard output");
	return 0;
}

static int logs(int fd, const char *name, bool follow, struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * NS_PER_MS};
	FD_AUTO ring = initctl_logs(fd, name, err);
	char data[AT_ONCE];
	uint64_t at = 0;

	if (ring < 0)
		return -1;
	for (;;) {
		long n = initctl_ring_read(ring, &at, data, sizeof(data), err);

		if (n < 0 || (n > 0 && put_all(data, (size_t)n, err) < 0))
			return -1;
		if (n == 0 && !follow)
			return 0;
		if (n == 0)
			nanosleep(&pause, NULL);
	}
}

static int run_service(int argc, char **argv, struct err *err)
{
	static const struct {
		const char *word;
		enum initctl_verb verb;
	} verbs[] = {{"start", INITCTL_START},
		     {"stop", INITCTL_STOP},
		     {"restart", INITCTL_RESTART}};
	const char *verb = argc > 1 ? argv[1] : "status";
	bool follow = argc > 2 && str_eq(argv[2], "-f");
	const char *name = argc > 2 + follow ? argv[2 + follow] : NULL;
	FD_AUTO fd = -1;

	if (argc > 3 + follow)
		return err_set(err, ERR_INVALID, "unexpected argument: %s",
			       argv[3 + follow]);
	fd = initctl_open(err);
	if (fd < 0)
		return -1;
	if (str_eq(verb, "status") || str_eq(verb, "list"))
		return status(fd, name, err);
	if (str_eq(verb, "reload"))
		return initctl_call(fd, INITCTL_RELOAD, NULL, NULL, NULL, err);
	if (!name)
		return err_set(err, ERR_INVALID, "which service? (see --help)");
	if (str_eq(verb, "logs"))
		return logs(fd, name, follow, err);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eq(verb, verbs[i].word))
			return initctl_call(fd, verbs[i].verb, name, NULL, NULL, err);
	return err_set(err, ERR_INVALID, "unknown verb: %s (see --help)", verb);
}

const struct applet applet_service = {
	.name = "service",
	.purpose = "Show, start, stop and restart the services that init runs",
	.synopsis = "[status [NAME] | start NAME | stop NAME | restart NAME | "
		    "logs [-f] NAME | reload]",
	.usage =
		"status NAME exits with 3 if the service is not up. logs shows the last\n"
		"128 KiB of what it wrote, -f also what is to come; older lines are in\n"
		"/var/log/cribox/NAME.log. reload has init read the configuration "
		"again.\n",
	.run = run_service,
};
