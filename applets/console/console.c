/*
 * console: who looks at the node on the spot. One process per real terminal, started by init:
 * a status screen, and behind it, if the configuration allows it, a prompt that runs applets.
 */
#include "console.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "applets.h"
#include "base/arena.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "ctl/opts.h"
#include "os/fd.h"

enum {
	LOOK_MS = 3000,	     /* when it is looked whether something has changed, */
	LOOK_MAX_MS = 30000, /* ever more seldom */
	REOPEN_MS = 1000,    /* after a hang-up, doubled up to */
	REOPEN_MAX_MS = 30000,
};

static const char usage[] =
	"      --mode MODE         status, login, open or off (as configured)\n"
	"      --config FILE       another configuration\n";

struct node_config *console_config(const struct console *c)
{
	struct node_config *config = xmalloc(sizeof(*config));
	struct node_sources from = node_sources;

	if (c->config_file)
		from = (struct node_sources){.file = c->config_file};
	node_config_load(&from, false, config);
	return config;
}

static const char *hint(const struct console *c)
{
	switch (c->mode) {
	case NODE_OPEN:
		return "\nPress Enter for a prompt.\n";
	case NODE_LOGIN:
		return "\nPress Enter to log in.\n";
	case NODE_STATUS:
	case NODE_OFF:
		break;
	}
	return "\nPress Enter to see this again.\n";
}

/*
 * Shows the state until somebody presses Enter, and again when it has changed. Lines and no
 * escape sequences: it is readable on any terminal, between lines of the kernel's too.
 */
static enum wait watch(struct console *c)
{
	BUF_AUTO shown = {0};
	BUF_AUTO facts = {0};
	bool drawn = false;

	for (int look_ms = LOOK_MS;; look_ms = MIN(2 * look_ms, LOOK_MAX_MS)) {
		char line[LINE_LENGTH];
		bool end;
		enum wait how;

		buf_reset(&facts);
		screen_facts(c, &facts);
		if (!drawn || !str_eq(buf_str(&facts), buf_str(&shown))) {
			BUF_AUTO text = {0};

			screen_make(c, &text);
			buf_add_str(&text, hint(c));
			how = terminal_say(c, buf_str(&text));
			if (how != WAIT_READY)
				return how;
			drawn = true;
			buf_reset(&shown);
			buf_add_str(&shown, buf_str(&facts));
		}
		how = terminal_line(c, false, look_ms, line, &end);
		if (how != WAIT_TIMEOUT && how != WAIT_INTERRUPT)
			return how;
	}
}

/* A screen, a person, a prompt; until the terminal is gone or we are to end. */
static enum wait serve(struct console *c)
{
	for (;;) {
		enum wait how = watch(c);

		if (how == WAIT_READY && c->mode == NODE_LOGIN)
			how = login_ask(c);
		if (how == WAIT_READY && (c->mode == NODE_LOGIN || c->mode == NODE_OPEN))
			how = shell_run(c);
		if (how == WAIT_GONE || how == WAIT_END)
			return how;
	}
}

/* A line that was hung up, or is not there yet, is opened again. */
static void serve_for_ever(struct console *c, struct err *err)
{
	int pause_ms = REOPEN_MS;
	enum wait how;

	do {
		int64_t start = time_mono();

		how = WAIT_GONE;
		if (terminal_open(c, err) == 0) {
			how = serve(c);
			terminal_close(c);
		} else {
			fprintf(stderr, "console: %s\n", err->msg);
		}
		if (time_mono() > start + REOPEN_MAX_MS * NS_PER_MS)
			pause_ms = REOPEN_MS;
		/* the hang-up itself comes as a signal, too: only an end ends the pause */
		for (int64_t until = time_mono() + pause_ms * NS_PER_MS;
		     how != WAIT_END && time_mono() < until;)
			if (terminal_wait(c, NULL, 0, pause_ms) == WAIT_END)
				how = WAIT_END;
		if (pause_ms < REOPEN_MAX_MS)
			pause_ms *= 2;
	} while (how != WAIT_END);
}

static int set_mode(struct console *c, const char *text, struct err *err)
{
	if (!text) {
		struct node_config *config = console_config(c);

		c->mode = config->console;
		free(config);
		return 0;
	}
	for (c->mode = NODE_STATUS; c->mode <= NODE_OFF; c->mode++)
		if (str_eq(node_console_name(c->mode), text))
			return 0;
	return err_set(err, ERR_INVALID, "console: --mode: '%.50s' is none", text);
}

static int catch_signals(struct console *c, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->signals < 0 ? err_sys(err, errno, "signalfd") : 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct console c = {.fd = -1, .signals = -1};
	ARENA_AUTO arena = {0};
	struct opts o;

	if (opts_parse(&o, usage, false, argc - 1, argv + 1, &arena, err) < 0)
		return err_wrap(err, "console");
	if (o.argc != 1)
		return err_set(err, ERR_INVALID, "console: which terminal? (ttyS0)");
	c.config_file = opts_text(&o, "config");
	if (set_mode(&c, opts_text(&o, "mode"), err) < 0 || catch_signals(&c, err) < 0)
		return -1;
	c.path = str_starts(o.argv[0], "/") ? o.argv[0]
					    : arena_fmt(&arena, "/dev/%s", o.argv[0]);
	setsid(); /* fails if we lead one already */
	/* these are for us, not for what a person starts: a runtime would wait for a word */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	/* what a child prints passes the filter: it may as well not draw */
	setenv("TERM", "dumb", 1);
	while (c.mode == NODE_OFF)
		if (terminal_wait(&c, NULL, 0, -1) == WAIT_END)
			return 0;
	serve_for_ever(&c, err);
	buf_done(&c.typed);
	fd_close(&c.signals);
	return 0;
}

const struct applet applet_console = {
	.name = "console",
	.purpose = "the node's state on a terminal, and a prompt (started by init)",
	.synopsis = "[--mode MODE] TTY",
	.usage = usage,
	.run = run,
};
