#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "console.h"
#include "wire/sha512crypt.h"

enum { ANSWER_MS = 60 * 1000, DELAY_MS = 3000 };

/* After a wrong password: nothing can be tried for a while. */
static enum wait delay(struct console *c)
{
	enum wait how = WAIT_READY;

	for (int tenth = 0; tenth < DELAY_MS / 100; tenth++) {
		how = terminal_wait(c, NULL, 0, 100);
		if (how == WAIT_GONE || how == WAIT_END)
			return how;
	}
	terminal_flush(c);
	return WAIT_TIMEOUT;
}

enum wait login_ask(struct console *c)
{
	struct node_config *config = console_config(c);
	char line[LINE_LENGTH];
	bool right = false, end = false;
	enum wait how;

	how = terminal_say(c, "password: ");
	if (how == WAIT_READY)
		how = terminal_line(c, false, ANSWER_MS, line, &end);
	if (how == WAIT_READY && !end)
		right = sha512crypt_check(line, config->password);
	explicit_bzero(line, sizeof(line));
	free(config);
	if (how == WAIT_GONE || how == WAIT_END)
		return how;
	if (right)
		return WAIT_READY;
	if (how == WAIT_READY && !end) {
		terminal_say(c, "wrong password\n");
		return delay(c);
	}
	terminal_say(c, how == WAIT_INTERRUPT ? "" : "\n");
	return WAIT_TIMEOUT;
}
