/*
 * log: one line per event on a file descriptor, for applets only (lib never
 * logs). The text goes through str_escape: it cannot control a terminal.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Where and what to log; lives in the applet and is passed down. */
struct log {
	int fd;
	enum log_level level;
	const char *name; /* of the applet: the first word of a line */
	int time;	  /* nonzero: a time stamp before it */
	/*
	 * Not NULL: fd is non-blocking or a socket. A line that a stuck reader has no room
	 * for is dropped and counted here; the next one that gets through tells.
	 */
	unsigned *dropped;
};

/* "error", "warn", "info", "debug" to a level. Returns 0 or -1. */
int log_level_parse(const char *s, enum log_level *ret);

/* Writes one line of at most LOG_LINE bytes: longer ones are cut. */
enum { LOG_LINE = 4096 }; /* what a pipe takes as a whole (PIPE_BUF) */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_line(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_line(log, LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(log, ...) log_line(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_line(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
