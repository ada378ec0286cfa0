#include "shim/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/path.h"

/* Opens path below base, where a pod with a volume may have put symlinks. */
static int open_beneath(const char *base, const char *path, struct err *err)
{
	FD_AUTO dir = file_open(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0, err);

	while (dir >= 0) {
		size_t n = strcspn(path, "/");
		STR_AUTO name = xstrndup(path, n);
		int sub;

		if (!path[n])
			return path_open_beneath(dir, path,
						 O_WRONLY | O_APPEND | O_CREAT |
							 O_NOFOLLOW | O_NONBLOCK |
							 O_NOCTTY,
						 0640, err);
		path += n + 1;
		if (!n)
			continue;
		if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			return err_sys(err, errno, "make directory %s", name);
		sub = path_open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0, err);
		fd_close(&dir);
		dir = sub;
	}
	return -1;
}

static int open_log(const char *base, const char *path, struct err *err)
{
	size_t n = strlen(base);
	FD_AUTO fd = -1;
	struct stat st;

	if (*base != '/' || !str_starts(path, base) || path[n] != '/')
		return err_set(err, ERR_INVALID,
			       "log path %s is not in the log directory \"%s\"", path,
			       base);
	if (file_mkdirs(AT_FDCWD, base, 0755, err) < 0)
		return err_wrap(err, "log %s", path);
	fd = open_beneath(base, path + n, err);
	if (fd < 0)
		return err_wrap(err, "log %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "log %s: not a regular file", path);
	return fd_take(&fd);
}

int logger_open(struct logger *g, const char *base, const char *path, struct err *err)
{
	g->fd = -1;
	if (!*path)
		return 0;
	g->fd = open_log(base, path, err);
	if (g->fd < 0)
		return -1;
	free(g->base);
	free(g->path);
	g->base = xstrdup(base);
	g->path = xstrdup(path);
	return 0;
}

int logger_reopen(struct logger *g, struct err *err)
{
	int fd;

	if (!g->path)
		return 0;
	fd = open_log(g->base, g->path, err);
	if (fd < 0)
		return -1;
	fd_close(&g->fd);
	g->fd = fd;
	return 0;
}

static void add_line(struct buf *out, const char *stamp, const char *stream, char tag,
		     const char *data, size_t n)
{
	buf_add_fmt(out, "%s %s %c ", stamp, stream, tag);
	buf_add(out, data, n);
	buf_add_char(out, '\n');
}

/*
 * A log that cannot be written (full disk) must not stop the container: the
 * output is dropped and read on.
 */
static void write_out(struct logger *g, const struct buf *out)
{
	if (g->fd >= 0 && out->len && fd_write_all(g->fd, out->data, out->len) < 0)
		return;
}

void logger_add(struct logger *g, struct logger_stream *s, const char *data, size_t n)
{
	char stamp[TIME_TEXT];
	BUF_AUTO out = {0};

	if (g->fd < 0)
		return;
	time_format(stamp, time_real());
	while (n) {
		const char *nl = memchr(data, '\n', n);
		size_t len = nl ? (size_t)(nl - data) : n;
		size_t room = LOGGER_MAX_LINE - s->line.len;
		bool full = len > room;

		len = MIN(len, room);
		if (!nl && !full) {
			buf_add(&s->line, data, len);
			break;
		}
		if (s->line.len) {
			buf_add(&s->line, data, len);
			add_line(&out, stamp, s->name, full ? 'P' : 'F',
				 (const char *)s->line.data, s->line.len);
			buf_reset(&s->line);
		} else {
			add_line(&out, stamp, s->name, full ? 'P' : 'F', data, len);
		}
		data += full ? len : len + 1;
		n -= full ? len : len + 1;
	}
	if (!s->line.len)
		buf_done(&s->line);
	write_out(g, &out);
}

void logger_end(struct logger *g, struct logger_stream *s)
{
	char stamp[TIME_TEXT];
	BUF_AUTO out = {0};

	if (s->line.len && g->fd >= 0) {
		time_format(stamp, time_real());
		add_line(&out, stamp, s->name, 'P', (const char *)s->line.data,
			 s->line.len);
		write_out(g, &out);
	}
	buf_done(&s->line);
}

void logger_done(struct logger *g)
{
	fd_close(&g->fd);
	free(g->base);
	free(g->path);
	g->base = g->path = NULL;
}
