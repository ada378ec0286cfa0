#include "logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "print.h"

enum {
	CHUNK = 64 << 10,
	LINE_MAX_BYTES = 1 << 20, /* a longer one is no log's */
	CHECK_MS = 1000,	  /* how often the container's state is asked for */
};

struct reader {
	struct ctl *c;
	const struct logfile_query *q;
	const char *path;
	struct err *err;
	int fd;
	int64_t at;	/* of the file: behind what is in `in` */
	struct buf in;	/* read, but no whole line yet */
	struct buf out; /* to be written to out_fd */
	int out_fd;
	int64_t left;	  /* bytes that may still be printed; negative: any */
	int64_t lines;	  /* lines that may still be printed; negative: any */
	bool mid_line[2]; /* per stream: a partial line came before */
	bool said;	  /* that there are lines that are none */
	bool done;
};

/* --- lines ----------------------------------------------------------------------------------- */

/* The next word before a blank; *s and *n move behind the blank. */
static const char *word(const char **s, size_t *n, size_t *len)
{
	const char *start = *s, *blank = memchr(start, ' ', *n);

	if (!blank)
		return NULL;
	*len = (size_t)(blank - start);
	*s += *len + 1;
	*n -= *len + 1;
	return start;
}

static bool same(const char *s, size_t n, const char *text)
{
	return n == strlen(text) && memcmp(s, text, n) == 0;
}

int logfile_parse(const char *s, size_t n, struct logfile_line *ret)
{
	char stamp[64];
	size_t len;
	const char *w = word(&s, &n, &len);

	*ret = (struct logfile_line){0};
	if (!w || len >= sizeof(stamp))
		return -1;
	memcpy(stamp, w, len);
	stamp[len] = 0;
	if (time_parse(stamp, &ret->time) < 0)
		return -1;
	w = word(&s, &n, &len);
	if (!w || (!same(w, len, "stdout") && !same(w, len, "stderr")))
		return -1;
	ret->to_err = same(w, len, "stderr");
	w = word(&s, &n, &len);
	if (!w || !len)
		return -1;
	ret->partial = w[0] == 'P' && (len == 1 || w[1] == ':');
	ret->text = s;
	ret->len = n;
	return 0;
}

static int flush(struct reader *r)
{
	int x = r->out.len ? ctl_write_bytes(r->out_fd, r->out.data, r->out.len, r->err)
			   : 0;

	buf_reset(&r->out);
	return x;
}

/* Queues output; the streams keep their order where both are the same terminal. */
static int print(struct reader *r, bool to_err, const void *data, size_t n)
{
	int fd = to_err ? STDERR_FILENO : STDOUT_FILENO;

	if (fd != r->out_fd && flush(r) < 0)
		return -1;
	r->out_fd = fd;
	if (r->left >= 0 && (int64_t)n >= r->left) {
		n = (size_t)r->left;
		r->done = true;
	}
	if (r->left >= 0)
		r->left -= (int64_t)n;
	buf_add(&r->out, data, n);
	return 0;
}

static int print_line(struct reader *r, const struct logfile_line *line)
{
	char stamp[TIME_TEXT + 1];

	if (line->time < r->q->since || !(line->to_err ? r->q->err : r->q->out))
		return 0;
	if (r->q->timestamps && !r->mid_line[line->to_err]) {
		time_format(stamp, line->time);
		strcat(stamp, " ");
		if (print(r, line->to_err, stamp, strlen(stamp)) < 0)
			return -1;
	}
	r->mid_line[line->to_err] = line->partial;
	if (!r->done && print(r, line->to_err, line->text, line->len) < 0)
		return -1;
	if (!r->done && !line->partial)
		return print(r, line->to_err, "\n", 1);
	return 0;
}

/* docker's form: {"log":"text\n","stream":"stdout","time":"..."} */
static int docker_line(struct reader *r, const char *s, size_t n)
{
	struct err ignored = {0};
	JSON_AUTO doc = json_parse(s, n, &ignored);
	yyjson_val *root = yyjson_doc_get_root(doc);
	struct logfile_line line = {.text = json_str(root, "log")};

	if (!line.text ||
	    time_parse(str_or_empty(json_str(root, "time")), &line.time) < 0)
		return -1;
	line.len = strlen(line.text);
	line.to_err = str_eq(str_or_empty(json_str(root, "stream")), "stderr");
	line.partial = !line.len || line.text[line.len - 1] != '\n';
	if (!line.partial)
		line.len--;
	return print_line(r, &line) < 0 ? -1 : 0;
}

static int one_line(struct reader *r, const char *s, size_t n)
{
	struct logfile_line line;
	int x = 0;

	if (logfile_parse(s, n, &line) == 0) {
		x = print_line(r, &line);
	} else if (!n || *s != '{' || docker_line(r, s, n) < 0) {
		if (!r->said)
			log_warn(&r->c->log,
				 "%s: lines that are not in the log format are "
				 "left out",
				 r->path);
		r->said = true;
	}
	if (r->lines > 0 && --r->lines == 0)
		r->done = true;
	return x;
}

/* All whole lines that were read; with `last`, also what is left behind them. */
static int take_lines(struct reader *r, bool last)
{
	size_t from = 0;

	while (!r->done && from < r->in.len) {
		uint8_t *end = memchr(r->in.data + from, '\n', r->in.len - from);
		size_t n = end ? (size_t)(end - r->in.data) - from : r->in.len - from;

		if (!end && !last && n < LINE_MAX_BYTES)
			break;
		if (one_line(r, (const char *)r->in.data + from, n) < 0)
			return -1;
		from += n + (end ? 1 : 0);
	}
	buf_shift(&r->in, from);
	return flush(r);
}

/* Reads to the end of the file. */
static int drain(struct reader *r)
{
	while (!r->done) {
		ssize_t n = read(r->fd, buf_reserve(&r->in, CHUNK), CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(r->err, errno, "read %s", r->path);
		if (n == 0)
			return 0;
		r->in.len += (size_t)n;
		r->at += n;
		if (take_lines(r, false) < 0)
			return -1;
	}
	return 0;
}

/* --- the file -------------------------------------------------------------------------------- */

/* Where the last `lines` lines begin; an unfinished one does not count. */
static int64_t tail_start(int fd, int64_t size, int64_t lines)
{
	char block[4096];
	int64_t at = size;

	if (lines < 0)
		return 0;
	while (at > 0) {
		size_t n = (size_t)MIN(at, (int64_t)sizeof(block));

		if (pread(fd, block, n, at - (int64_t)n) != (ssize_t)n)
			return 0; /* it was truncated meanwhile */
		for (size_t i = n; i > 0; i--)
			if (block[i - 1] == '\n' && lines-- == 0)
				return at - (int64_t)n + (int64_t)i;
		at -= (int64_t)n;
	}
	return 0;
}

static int open_log(struct reader *r)
{
	r->fd = file_open(AT_FDCWD, r->path, O_RDONLY, 0, r->err);
	r->at = 0;
	return r->fd < 0 ? -1 : 0;
}

/*
 * After rotation the path names another file: the old one was read to its end. After
 * truncation it is shorter than what was read.
 */
static int look_again(struct reader *r)
{
	struct stat now, named;

	if (fstat(r->fd, &now) < 0)
		return err_sys(r->err, errno, "%s", r->path);
	if (stat(r->path, &named) == 0 &&
	    (named.st_ino != now.st_ino || named.st_dev != now.st_dev)) {
		if (drain(r) < 0)
			return -1;
		fd_close(&r->fd);
		buf_reset(&r->in);
		return open_log(r);
	}
	if (now.st_size < r->at) {
		buf_reset(&r->in);
		r->at = 0;
		if (lseek(r->fd, 0, SEEK_SET) < 0)
			return err_sys(r->err, errno, "%s", r->path);
	}
	return 0;
}

/* --- following ------------------------------------------------------------------------------- */

static int watch(struct reader *r)
{
	char *dir = arena_strdup(&r->c->arena, r->path), *slash = strrchr(dir, '/');
	FD_AUTO fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (slash)
		slash[slash == dir] = 0;
	if (fd < 0 ||
	    inotify_add_watch(fd, slash ? dir : ".",
			      IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM) < 0)
		return err_sys(r->err, errno, "watch the directory of %s", r->path);
	return fd_take(&fd);
}

/* Waits for a change, a signal or the next check. 1: ended by a signal. */
static int wait_for_change(int watch_fd, int signal_fd)
{
	struct pollfd p[2] = {{.fd = watch_fd, .events = POLLIN},
			      {.fd = signal_fd, .events = POLLIN}};
	char events[4096];

	if (poll(p, 2, CHECK_MS) < 0)
		return 0;
	if (p[1].revents)
		return 1;
	while (read(watch_fd, events, sizeof(events)) > 0)
		;
	return 0;
}

static int follow(struct reader *r)
{
	FD_AUTO watch_fd = watch(r);
	FD_AUTO signal_fd = -1;
	int64_t checked = 0;
	bool running = true;
	sigset_t set;

	if (watch_fd < 0)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	while (!r->done) {
		int64_t now = time_mono();

		/* asked before the file is read: what it wrote last is there by then */
		if (now - checked >= CHECK_MS * NS_PER_MS) {
			running = r->q->is_running(r->q->arg);
			checked = now;
		}
		if (drain(r) < 0 || look_again(r) < 0 || drain(r) < 0)
			return -1;
		if (!running || r->done || wait_for_change(watch_fd, signal_fd))
			return 0;
	}
	return 0;
}

static int run(struct reader *r)
{
	struct stat st;
	int64_t start;

	if (open_log(r) < 0)
		return -1;
	if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(r->err, ERR_INVALID, "%s: not a regular file", r->path);
	start = tail_start(r->fd, st.st_size, r->q->tail);
	if (lseek(r->fd, start, SEEK_SET) < 0)
		return err_sys(r->err, errno, "%s", r->path);
	r->at = start;
	if (drain(r) < 0 || (r->q->follow && !r->done && follow(r) < 0))
		return -1;
	return r->done ? flush(r) : take_lines(r, true);
}

int logfile_read(struct ctl *c, const char *path, const struct logfile_query *q,
		 struct err *err)
{
	struct reader r = {.c = c,
			   .q = q,
			   .path = path,
			   .err = err,
			   .fd = -1,
			   .out_fd = STDOUT_FILENO,
			   .left = q->limit,
			   .lines = q->follow ? -1 : q->tail};
	int x;

	if (ctl_flush(c, err) < 0)
		return -1;
	r.done = q->limit == 0 || (q->tail == 0 && !q->follow);
	x = run(&r);
	fd_close(&r.fd);
	buf_done(&r.in);
	buf_done(&r.out);
	return x;
}
