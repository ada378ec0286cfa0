/* kill: signals to processes. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "tool.h"

static const char usage[] =
	"kill -l lists the signals. A negative PID is a process group.\n";

static const struct {
	char name[8];
	int number;
} signals[] = {
	{"HUP", SIGHUP},   {"INT", SIGINT},	{"QUIT", SIGQUIT}, {"ILL", SIGILL},
	{"TRAP", SIGTRAP}, {"ABRT", SIGABRT},	{"BUS", SIGBUS},   {"FPE", SIGFPE},
	{"KILL", SIGKILL}, {"USR1", SIGUSR1},	{"SEGV", SIGSEGV}, {"USR2", SIGUSR2},
	{"PIPE", SIGPIPE}, {"ALRM", SIGALRM},	{"TERM", SIGTERM}, {"CHLD", SIGCHLD},
	{"CONT", SIGCONT}, {"STOP", SIGSTOP},	{"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
	{"TTOU", SIGTTOU}, {"URG", SIGURG},	{"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
	{"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},	   {"PWR", SIGPWR},
	{"SYS", SIGSYS},
};

static int number_of(const char *text, struct err *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t v;

	if (num_u64(text, 0, 64, &v) == 0)
		return (int)v;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (strcasecmp(signals[i].name, name) == 0)
			return signals[i].number;
	return err_set(err, ERR_INVALID, "kill: unknown signal: %.50s", text);
}

static int list(void)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		printf("%2d %-8s%s", signals[i].number, signals[i].name,
		       i % 6 == 5 || i + 1 == ARRAY_LEN(signals) ? "\n" : "");
	return 0;
}

/* The options are signals, so they are read by hand. */
static int run(int argc, char **argv, struct err *err)
{
	struct tool t = {.name = "kill"};
	int sig = SIGTERM, at = 1;

	if (argc > 1 && str_eq(argv[1], "-l"))
		return list();
	if (argc > 2 && str_eq(argv[1], "-s")) {
		sig = number_of(argv[2], err);
		at = 3;
	} else if (argc > 1 && argv[1][0] == '-' && !str_eq(argv[1], "--")) {
		sig = number_of(argv[1] + 1, err);
		at = 2;
	}
	if (sig < 0)
		return -1;
	if (at < argc && str_eq(argv[at], "--"))
		at++;
	if (at >= argc)
		return err_set(err, ERR_INVALID, "kill: which process? (see --help)");
	for (; at < argc; at++) {
		int64_t pid;

		if (num_i64(argv[at], INT32_MIN + 1, INT32_MAX, &pid) < 0)
			tool_warn(&t, 0, "%.50s: no process id", argv[at]);
		else if (kill((pid_t)pid, sig) < 0)
			tool_warn(&t, errno, "%s", argv[at]);
	}
	return tool_end(&t, err);
}

const struct applet applet_kill = {
	.name = "kill",
	.purpose = "send a signal (TERM) to processes",
	.synopsis = "[-SIGNAL] PID...",
	.usage = usage,
	.run = run,
};
