/*
 * err: the error value of every function that can fail.
 *
 * A struct err is plain bytes on the caller's stack and the last parameter of
 * a fallible function, never NULL. A function that fails returns -1 (or NULL),
 * has filled *err, and has left its ret_ outputs untouched. A child process
 * may write a struct err to a pipe as it is: it holds no pointer.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

/* What went wrong, in the terms that gRPC uses; ERR_NONE is 0. */
enum err_code {
	ERR_NONE,
	ERR_CANCELLED,
	ERR_UNKNOWN,
	ERR_INVALID, /* the caller's input is wrong: InvalidArgument */
	ERR_TIMEOUT, /* DeadlineExceeded */
	ERR_NOT_FOUND,
	ERR_EXISTS,    /* AlreadyExists */
	ERR_DENIED,    /* PermissionDenied */
	ERR_EXHAUSTED, /* ResourceExhausted: disk, memory, a limit of ours */
	ERR_STATE,     /* FailedPrecondition: not in the right state for this */
	ERR_ABORTED,
	ERR_UNIMPLEMENTED,
	ERR_INTERNAL,
	ERR_UNAVAILABLE, /* a peer cannot be reached or broke off: try again */
	ERR_CORRUPT,	 /* DataLoss: a digest or checksum does not match */
	ERR_UNAUTHENTICATED,
	ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	int sys;	/* errno that led here, or 0 */
	char msg[1000]; /* one line, no trailing newline */
};

/* Sets *err. Returns -1, so that callers can `return err_set(...)`. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Sets *err from an errno value: code is derived from sys, the message is
 * "<fmt>: <strerror(sys)>". Returns -1.
 */
int err_sys(struct err *err, int sys, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "<fmt>: " before the message that is already there. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The code that fits an errno value (ENOENT: ERR_NOT_FOUND, ENOSPC: ERR_EXHAUSTED...). */
enum err_code err_code_of_errno(int sys);

/* gRPC status number of a code, 0 to 16 (grpc/doc/statuscodes.md). */
unsigned err_grpc_status(enum err_code code);

/* The code that a gRPC status number stands for; unknown numbers are ERR_UNKNOWN. */
enum err_code err_of_grpc_status(unsigned status);

/* gRPC's name of a code: "NotFound", "InvalidArgument", ... */
const char *err_name(enum err_code code);

/* HTTP status of a code, e.g. 404. */
unsigned err_http_status(enum err_code code);

/*
 * Out of memory: writes one line to stderr and ends the process with status
 * 70. Lib code calls the x-functions below and never sees NULL (crash-only).
 */
void err_oom(size_t size) __attribute__((noreturn));

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t max);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
