/*
 * signals: the CRI's Signal enum is in alphabetical order, and counts
 * real-time signals from 34 as glibc does, whatever libc we have.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/str.h"
#include "cri/spec.h"

enum { RTMIN = 34, RTMAX = 64 };

static const unsigned char numbers[] = {
	[CRI__SIGNAL__SIGABRT] = SIGABRT,     [CRI__SIGNAL__SIGALRM] = SIGALRM,
	[CRI__SIGNAL__SIGBUS] = SIGBUS,	      [CRI__SIGNAL__SIGCHLD] = SIGCHLD,
	[CRI__SIGNAL__SIGCLD] = SIGCHLD,      [CRI__SIGNAL__SIGCONT] = SIGCONT,
	[CRI__SIGNAL__SIGFPE] = SIGFPE,	      [CRI__SIGNAL__SIGHUP] = SIGHUP,
	[CRI__SIGNAL__SIGILL] = SIGILL,	      [CRI__SIGNAL__SIGINT] = SIGINT,
	[CRI__SIGNAL__SIGIO] = SIGIO,	      [CRI__SIGNAL__SIGIOT] = SIGABRT,
	[CRI__SIGNAL__SIGKILL] = SIGKILL,     [CRI__SIGNAL__SIGPIPE] = SIGPIPE,
	[CRI__SIGNAL__SIGPOLL] = SIGIO,	      [CRI__SIGNAL__SIGPROF] = SIGPROF,
	[CRI__SIGNAL__SIGPWR] = SIGPWR,	      [CRI__SIGNAL__SIGQUIT] = SIGQUIT,
	[CRI__SIGNAL__SIGSEGV] = SIGSEGV,     [CRI__SIGNAL__SIGSTKFLT] = SIGSTKFLT,
	[CRI__SIGNAL__SIGSTOP] = SIGSTOP,     [CRI__SIGNAL__SIGSYS] = SIGSYS,
	[CRI__SIGNAL__SIGTERM] = SIGTERM,     [CRI__SIGNAL__SIGTRAP] = SIGTRAP,
	[CRI__SIGNAL__SIGTSTP] = SIGTSTP,     [CRI__SIGNAL__SIGTTIN] = SIGTTIN,
	[CRI__SIGNAL__SIGTTOU] = SIGTTOU,     [CRI__SIGNAL__SIGURG] = SIGURG,
	[CRI__SIGNAL__SIGUSR1] = SIGUSR1,     [CRI__SIGNAL__SIGUSR2] = SIGUSR2,
	[CRI__SIGNAL__SIGVTALRM] = SIGVTALRM, [CRI__SIGNAL__SIGWINCH] = SIGWINCH,
	[CRI__SIGNAL__SIGXCPU] = SIGXCPU,     [CRI__SIGNAL__SIGXFSZ] = SIGXFSZ,
};

int cri_signal_number(Cri__Signal sig)
{
	unsigned n = (unsigned)sig;

	if (n < ARRAY_LEN(numbers))
		return numbers[n];
	if (n >= CRI__SIGNAL__SIGRTMIN && n <= CRI__SIGNAL__SIGRTMINPLUS15)
		return (int)(n - CRI__SIGNAL__SIGRTMIN) + RTMIN;
	if (n >= CRI__SIGNAL__SIGRTMAXMINUS14 && n <= CRI__SIGNAL__SIGRTMAX)
		return RTMAX - (int)(CRI__SIGNAL__SIGRTMAX - n);
	return 0;
}

/* The number of a name without SIG, from the enum's names: "SIGRTMINPLUS3" is "RTMIN+3". */
static int by_name(const char *name)
{
	const ProtobufCEnumDescriptor *d = pb_link_enum(&cri__signal__descriptor);
	char text[32];
	const char *plus = strpbrk(name, "+-");

	if (plus)
		snprintf(text, sizeof(text), "SIG%.*s%s%s", (int)MIN(plus - name, 8),
			 name, *plus == '+' ? "PLUS" : "MINUS", plus + 1);
	else
		snprintf(text, sizeof(text), "SIG%s", name);
	for (unsigned i = 0; i < d->n_values; i++)
		if (strcasecmp(d->values[i].name, text) == 0)
			return cri_signal_number((Cri__Signal)d->values[i].value);
	return 0;
}

int cri_signal_parse(const char *s)
{
	uint64_t n;

	if (num_u64(s, 1, RTMAX, &n) == 0)
		return (int)n;
	return by_name(strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s);
}
