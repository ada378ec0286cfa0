/* dmesg: the kernel's log (/dev/kmsg). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <time.h>
#include <unistd.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "tool.h"

enum { RECORD = 8192, KLOG_CLEAR = 5, KLOG_CONSOLE_LEVEL = 8 };

static const char usage[] =
	"  -l, --level LEVELS      "
	"emerg,alert,crit,err,warn,notice,info,debug\n"
	"  -w, --follow            wait for more\n"
	"  -W, --follow-new        only what comes\n"
	"  -T, --ctime             times of the day (wrong after a sleep)\n"
	"  -t, --notime            none\n"
	"  -x, --decode            facility and level\n"
	"  -n, --console-level N   levels below this go to the console\n"
	"  -C, --clear             from now on dmesg has only newer ones\n";

static const char levels[][8] = {"emerg", "alert",  "crit", "err",
				 "warn",  "notice", "info", "debug"};
static const char facilities[][10] = {"kern", "user",	"mail",	    "daemon",
				      "auth", "syslog", "lpr",	    "news",
				      "uucp", "cron",	"authpriv", "ftp"};

struct dmesg {
	struct tool t;
	unsigned wanted; /* a bit for each level */
	int64_t boot;	 /* time of day at boot, ns */
};

static int read_levels(struct dmesg *d, struct err *err)
{
	const char *text = opts_text(&d->t.o, "level");
	char *at = text ? arena_strdup(&d->t.arena, text) : NULL, *word;

	d->wanted = text ? 0 : ~0U;
	while ((word = strsep(&at, ","))) {
		size_t i = 0;

		while (i < ARRAY_LEN(levels) && !str_eq(levels[i], word))
			i++;
		if (i == ARRAY_LEN(levels))
			return err_set(err, ERR_INVALID, "dmesg: unknown level '%.50s'",
				       word);
		d->wanted |= 1U << i;
	}
	return 0;
}

static void print_time(const struct dmesg *d, uint64_t us)
{
	time_t s = (time_t)((d->boot + (int64_t)us * 1000) / NS_PER_SEC);
	struct tm tm;
	char text[40];

	if (opts_flag(&d->t.o, "notime"))
		return;
	if (opts_flag(&d->t.o, "ctime")) {
		localtime_r(&s, &tm);
		strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
		printf("[%s] ", text);
	} else {
		printf("[%5u.%06u] ", (unsigned)(us / 1000000), (unsigned)(us % 1000000));
	}
}

/* "LEVEL,SEQUENCE,MICROSECONDS,FLAGS;TEXT\n KEY=VALUE\n" (Documentation/ABI/testing/dev-kmsg) */
static void print_record(const struct dmesg *d, char *text)
{
	char *body = strchr(text, ';'), *end;
	unsigned priority, facility;
	uint64_t us;

	if (!body)
		return;
	*body++ = 0;
	priority = (unsigned)strtoul(text, &end, 10);
	if (*end != ',' || !(end = strchr(end + 1, ',')))
		return;
	us = strtoull(end + 1, NULL, 10);
	if (!(d->wanted & 1U << (priority & 7)))
		return;
	body[strcspn(body, "\n")] = 0;
	facility = priority >> 3;
	if (opts_flag(&d->t.o, "decode"))
		printf("%-6s:%-6s: ",
		       facility < ARRAY_LEN(facilities) ? facilities[facility] : "?",
		       levels[priority & 7]);
	print_time(d, us);
	tool_print(body);
	putchar('\n');
}

static int print_all(const struct dmesg *d, int fd, bool follow, struct err *err)
{
	char record[RECORD + 1];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n = read(fd, record, RECORD);

		if (n > 0) {
			record[n] = 0;
			print_record(d, record);
		} else if (n < 0 && errno == EAGAIN) {
			if (!follow)
				return 0;
			fflush(stdout);
			poll(&p, 1, -1);
		} else if (n == 0 || (errno != EPIPE && errno != EINTR)) {
			return err_sys(err, n ? errno : EIO, "dmesg: read /dev/kmsg");
		}
		/* EPIPE: records were overwritten before we came to them */
	}
}

static int run(int argc, char **argv, struct err *err)
{
	struct dmesg d = {.boot = time_real() - time_mono()};
	bool new, follow;
	FD_AUTO fd = -1;
	int r = 0;

	if (tool_start(&d.t, &applet_dmesg, argc, argv, 0, 0, err) < 0 ||
	    read_levels(&d, err) < 0)
		return -1;
	if (opts_get(&d.t.o, "console-level")->set) {
		int64_t level = opts_num(&d.t.o, "console-level", 0);

		if (klogctl(KLOG_CONSOLE_LEVEL, NULL, (int)MIN(MAX(level, 1), 8)) < 0)
			return err_sys(err, errno, "dmesg: console level");
		return tool_end(&d.t, err);
	}
	new = opts_flag(&d.t.o, "follow-new");
	follow = new || opts_flag(&d.t.o, "follow");
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "dmesg: open /dev/kmsg");
	if (opts_flag(&d.t.o, "clear"))
		r = klogctl(KLOG_CLEAR, NULL, 0);
	else if (lseek(fd, 0, new ? SEEK_END : SEEK_DATA) < 0 ||
		 print_all(&d, fd, follow, err) < 0)
		return -1;
	if (r < 0)
		return err_sys(err, errno, "dmesg: clear");
	return tool_end(&d.t, err);
}

const struct applet applet_dmesg = {
	.name = "dmesg",
	.purpose = "print the kernel's log",
	.synopsis = "[-l LEVELS] [-w] [-T]",
	.usage = usage,
	.run = run,
};
