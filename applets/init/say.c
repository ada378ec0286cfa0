/* say: what init tells: lines in the kernel's log, screens on the consoles, phases. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "init/init.h"
#include "os/fd.h"

void say_open(struct init *in)
{
	in->kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	/* the kernel would drop lines of a user that writes many */
	if (in->machine)
		put_text("/proc/sys/kernel/printk_devkmsg", "on\n");
}

void say(struct init *in, int level, const char *phase, const char *fmt, ...)
{
	char line[600];
	va_list ap;
	int n, fd = in->machine && in->kmsg >= 0 ? in->kmsg : STDERR_FILENO;

	n = fd == STDERR_FILENO ? snprintf(line, 64, "cribox: %s: ", phase)
				: snprintf(line, 64, "<%d>cribox: %s: ", level, phase);
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	/* one line, and nothing in it that controls a terminal */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 127)
			line[i] = ' ';
	line[n++] = '\n';
	if (write(fd, line, (size_t)n) < 0)
		return; /* there is nobody left to tell */
}

/* A console that is not read must not hold us. */
static void show(const char *tty, const char *text, size_t n)
{
	char path[32];
	FD_AUTO fd = -1;

	snprintf(path, sizeof(path), "/dev/%s", tty);
	fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && write(fd, text, n) < 0)
		return;
}

void say_fault(struct init *in, const char *what, const char *advice)
{
	char text[1024];
	int n;

	str_copy(in->fault, sizeof(in->fault), what);
	say(in, SAY_ERROR, "fault", "%s", what);
	n = snprintf(
		text, sizeof(text),
		"\r\n"
		"*** cribox: this node does not do its work ***\r\n"
		"\r\n"
		"What went wrong:\r\n"
		"  %s\r\n"
		"What to do:\r\n"
		"  %s\r\n"
		"\r\n"
		"Ctrl-Alt-Del, or \"reboot\" at the console's prompt, boots again.\r\n"
		"\r\n",
		what, advice);
	if (!in->machine)
		return;
	if (!in->nttys)
		show("console", text, (size_t)n);
	for (unsigned i = 0; i < in->nttys; i++)
		show(in->ttys[i], text, (size_t)n);
}

void phase_begin(struct init *in, const char *name)
{
	struct phase *p;

	if (in->nphases == PHASES)
		return;
	p = &in->phases[in->nphases++];
	str_copy(p->name, sizeof(p->name), name);
	p->note[0] = 0;
	p->start = p->end = time_mono();
}

void phase_note(struct init *in, const char *fmt, ...)
{
	struct phase *p = &in->phases[in->nphases - 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->note, sizeof(p->note), fmt, ap);
	va_end(ap);
}

void phase_end(struct init *in)
{
	struct phase *p = &in->phases[in->nphases - 1];
	int64_t us;

	p->end = time_mono();
	us = (p->end - p->start) / 1000;
	say(in, SAY_INFO, p->name, "%s%s%lld.%lld ms", p->note, p->note[0] ? ", " : "",
	    (long long)us / 1000, (long long)us / 100 % 10);
}
