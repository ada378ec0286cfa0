/* console: what the parts of the console share. */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "base/buf.h"
#include "base/err.h"
#include "node/config.h"

/* One terminal and who sits at it. */
struct console {
	const char *path;      /* "/dev/ttyS0" */
	int fd;		       /* -1: not open */
	int signals;	       /* signalfd of TERM and HUP */
	struct termios before; /* as we found it */
	enum node_console mode;
	const char *config_file; /* of --config, or NULL */
	struct buf typed;	 /* read and not taken yet */
	bool after_return;	 /* the last key was CR: a LF behind it is the same key */
	unsigned key;		 /* how far we are in what a cursor key sends */
};

/* What a wait ended with. */
enum wait {
	WAIT_READY,
	WAIT_TIMEOUT,
	WAIT_INTERRUPT, /* Ctrl-C */
	WAIT_GONE,	/* the terminal was hung up */
	WAIT_END,	/* we are to end */
};

/* --- terminal.c ---------------------------------------------------------------------------- */

/* Opens it and makes it our controlling terminal; all keys come as bytes. 0 or -1. */
int terminal_open(struct console *c, struct err *err);
void terminal_close(struct console *c);

/* Waits for one of n fds (the terminal or others) to be ready, at most timeout_ms (-1: for ever). */
enum wait terminal_wait(struct console *c, struct pollfd *fds, unsigned n,
			int timeout_ms);

/*
 * Writes all of it; a line that is stopped (flow control) is waited for. WAIT_READY,
 * WAIT_GONE, WAIT_END.
 */
enum wait terminal_write(struct console *c, const void *data, size_t n);

/* Lines of text, which end with \n. */
enum wait terminal_say(struct console *c, const char *text);

enum { LINE_LENGTH = 4096 };

/*
 * A line without its newline, as a string. Backspace, Ctrl-U and Ctrl-W rub out. WAIT_READY;
 * *ret_end: Ctrl-D instead of a line; WAIT_INTERRUPT: Ctrl-C; WAIT_TIMEOUT: no key within
 * timeout_ms; or as above.
 */
enum wait terminal_line(struct console *c, bool echo, int timeout_ms,
			char ret[LINE_LENGTH], bool *ret_end);

/* Throws typed lines away. */
void terminal_flush(struct console *c);

/* --- the rest ------------------------------------------------------------------------------ */

/* screen.c: the state of the node as plain text of 80 columns, appended to out. */
void screen_make(const struct console *c, struct buf *out);

/*
 * The same without what changes all the time (uptime, load): equal text means that there is
 * nothing new to show.
 */
void screen_facts(const struct console *c, struct buf *out);

/* shell.c: commands, until the person leaves. WAIT_READY, WAIT_GONE or WAIT_END. */
enum wait shell_run(struct console *c);

/* login.c: WAIT_READY if the password was right, WAIT_TIMEOUT if not, or as above. */
enum wait login_ask(struct console *c);

/* The node's configuration, heap-allocated; never NULL. */
struct node_config *console_config(const struct console *c);

#endif
