#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned short grpc;
	unsigned short http;
} codes[ERR_CODE_COUNT] = {
	[ERR_NONE] = {"OK", 0, 200},
	[ERR_CANCELLED] = {"Canceled", 1, 499},
	[ERR_UNKNOWN] = {"Unknown", 2, 500},
	[ERR_INVALID] = {"InvalidArgument", 3, 400},
	[ERR_TIMEOUT] = {"DeadlineExceeded", 4, 504},
	[ERR_NOT_FOUND] = {"NotFound", 5, 404},
	[ERR_EXISTS] = {"AlreadyExists", 6, 409},
	[ERR_DENIED] = {"PermissionDenied", 7, 403},
	[ERR_EXHAUSTED] = {"ResourceExhausted", 8, 429},
	[ERR_STATE] = {"FailedPrecondition", 9, 400},
	[ERR_ABORTED] = {"Aborted", 10, 409},
	[ERR_UNIMPLEMENTED] = {"Unimplemented", 12, 501},
	[ERR_INTERNAL] = {"Internal", 13, 500},
	[ERR_UNAVAILABLE] = {"Unavailable", 14, 503},
	[ERR_CORRUPT] = {"DataLoss", 15, 500},
	[ERR_UNAUTHENTICATED] = {"Unauthenticated", 16, 401},
};

static int err_vset(struct err *err, enum err_code code, int sys, const char *fmt,
		    va_list ap)
{
	char msg[sizeof(err->msg)];

	/* the arguments may point into err->msg itself */
	vsnprintf(msg, sizeof(msg), fmt, ap);
	memcpy(err->msg, msg, sizeof(msg));
	err->code = code;
	err->sys = sys;
	return -1;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, code, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *err, int sys, const char *fmt, ...)
{
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, err_code_of_errno(sys), sys, fmt, ap);
	va_end(ap);
	used = strlen(err->msg);
	snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(sys));
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char msg[2 * sizeof(err->msg) + 2];
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	used = strlen(msg);
	memcpy(msg + used, ": ", 2);
	memcpy(msg + used + 2, err->msg, sizeof(err->msg));
	memcpy(err->msg, msg, sizeof(err->msg));
	err->msg[sizeof(err->msg) - 1] = 0;
	return -1;
}

enum err_code err_code_of_errno(int sys)
{
	switch (sys) {
	case 0:
		return ERR_NONE;
	case ENOENT:
	case ESRCH:
	case ENODEV:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EPERM:
	case EACCES:
	case EROFS:
		return ERR_DENIED;
	case EINVAL:
	case ENAMETOOLONG:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
		return ERR_INVALID;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EFBIG:
		return ERR_EXHAUSTED;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EAGAIN:
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return ERR_UNAVAILABLE;
	case ENOSYS:
	case EOPNOTSUPP:
		return ERR_UNIMPLEMENTED;
	case ECANCELED:
		return ERR_CANCELLED;
	default:
		return ERR_UNKNOWN;
	}
}

unsigned err_grpc_status(enum err_code code)
{
	return code < ERR_CODE_COUNT ? codes[code].grpc : 2;
}

enum err_code err_of_grpc_status(unsigned status)
{
	for (unsigned i = 0; i < ERR_CODE_COUNT; i++)
		if (codes[i].grpc == status)
			return (enum err_code)i;
	return ERR_UNKNOWN;
}

const char *err_name(enum err_code code)
{
	return code < ERR_CODE_COUNT ? codes[code].name : "Unknown";
}

unsigned err_http_status(enum err_code code)
{
	return code < ERR_CODE_COUNT ? codes[code].http : 500;
}

void err_oom(size_t size)
{
	char line[80];
	int n = snprintf(line, sizeof(line), "cribox: out of memory (%zu bytes)\n", size);

	if (n > 0 && write(2, line, (size_t)n) < 0)
		_exit(71);
	_exit(70);
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		err_oom(size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		err_oom(n * size);
	return p;
}

void *xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		err_oom(size);
	return p;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	char *p = xmalloc(n + 1);

	memcpy(p, s, n);
	p[n] = 0;
	return p;
}

char *xasprintf(const char *fmt, ...)
{
	char *s;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		err_oom(0);
	return s;
}
