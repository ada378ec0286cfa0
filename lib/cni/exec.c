/* Executable plugins: found by name in the bin directories, run with an environment of ours. */
#include "cni/cni-int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/proc.h"

enum { STDERR_MAX = 4096, CHUNK = 16384 };

const char *const cni_command_names[CNI_COMMANDS] = {
	[CNI_ADD] = "ADD",	 [CNI_DEL] = "DEL", [CNI_CHECK] = "CHECK",
	[CNI_STATUS] = "STATUS", [CNI_GC] = "GC",   [CNI_VERSION] = "VERSION",
};

bool exec_type_ok(const char *type)
{
	return *type && !strchr(type, '/') && !str_eq(type, ".") && !str_eq(type, "..") &&
	       strlen(type) < 128;
}

char *exec_find(const char *type, const char *bin_dirs)
{
	STR_AUTO dirs = xstrdup(bin_dirs);
	char *rest = dirs, *dir;

	if (!exec_type_ok(type))
		return NULL;
	while ((dir = strsep(&rest, ":"))) {
		char *path = *dir == '/' ? xasprintf("%s/%s", dir, type) : NULL;
		struct stat st;

		if (path && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(path, X_OK) == 0)
			return path;
		str_cleanup(&path);
	}
	return NULL;
}

/* A child and the pipes that it writes to. */
struct child {
	pid_t pid;
	int pidfd;
	struct stream {
		int fd;
		size_t max; /* what is beyond is dropped (stderr) or an error (stdout) */
		struct buf *to;
		bool overflow;
	} out, errs;
};

/* The configuration as a file: a plugin may be a script that opens /dev/stdin again. */
static int stdin_of(const void *conf, size_t n, struct err *err)
{
	FD_AUTO fd = memfd_create("cni-config", MFD_CLOEXEC);

	if (fd < 0 || fd_write_all(fd, conf, n) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "write the configuration");
	return fd_take(&fd);
}

static int start(const struct cni_call *call, const char *program, int in, int out,
		 int errs, struct child *c, struct err *err)
{
	STR_AUTO command = xasprintf("CNI_COMMAND=%s", cni_command_names[call->command]);
	STR_AUTO id = xasprintf("CNI_CONTAINERID=%s", call->container_id);
	STR_AUTO netns = xasprintf("CNI_NETNS=%s", call->netns);
	STR_AUTO ifname = xasprintf("CNI_IFNAME=%s", call->ifname);
	STR_AUTO args = xasprintf("CNI_ARGS=%s", call->args);
	STR_AUTO path = xasprintf("CNI_PATH=%s", call->path);
	const char *const env[] = {
		command,
		id,
		netns,
		ifname,
		args,
		path,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		NULL};
	const char *const argv[] = {program, NULL};
	struct proc_spawn how = {.argv = argv,
				 .path = program,
				 .envp = env,
				 .fd3 = -1,
				 .fds = {in, out, errs}};

	c->pid = proc_spawn(&how, &c->pidfd, err);
	return c->pid < 0 ? -1 : 0;
}

/* Reads what is there. False at the end of the stream. */
static bool pump(struct stream *s)
{
	char chunk[CHUNK];
	ssize_t n = read(s->fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	if ((size_t)n > s->max - s->to->len)
		s->overflow = true;
	buf_add(s->to, chunk, MIN((size_t)n, s->max - s->to->len));
	return true;
}

static void pump_rest(struct stream *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	while (poll(&p, 1, 0) == 1 && pump(s) && !s->overflow)
		;
}

/* Collects output until the child ends. 0, or -1 at the deadline. */
static int follow(struct child *c, int64_t deadline)
{
	struct pollfd p[3] = {{.fd = c->pidfd, .events = POLLIN},
			      {.fd = c->out.fd, .events = POLLIN},
			      {.fd = c->errs.fd, .events = POLLIN}};

	for (;;) {
		int64_t left = deadline - time_mono();

		if (left <= 0)
			return -1;
		if (poll(p, 3, (int)MIN(left / NS_PER_MS + 1, (int64_t)INT32_MAX)) <= 0)
			continue;
		if (p[1].revents && !pump(&c->out))
			p[1].fd = -1;
		if (p[2].revents && !pump(&c->errs))
			p[2].fd = -1;
		if (p[0].revents)
			break;
	}
	/* a grandchild may hold the pipes open: only what has been written counts */
	pump_rest(&c->out);
	pump_rest(&c->errs);
	return 0;
}

/* The plugin's own words: the error object on stdout, else what it wrote to stderr. */
static int failure(int status, struct buf *out, struct buf *errs, struct err *err)
{
	struct err ignored;
	JSON_AUTO doc = json_parse(out->data, out->len, &ignored);
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *msg = json_str(root, "msg");
	uint64_t code = json_u64(root, "code", 0);
	const char *details = json_str(root, "details");
	BUF_AUTO line = {0};

	if (msg)
		return err_set(err, code == 11 ? ERR_UNAVAILABLE : ERR_UNKNOWN,
			       "%.600s%s%.200s", msg, str_empty(details) ? "" : "; ",
			       str_or_empty(details));
	while (errs->len && strchr("\n\r\t ", errs->data[errs->len - 1]))
		errs->len--;
	str_escape(&line, (const char *)errs->data, errs->len);
	if (WIFSIGNALED(status))
		return err_set(err, ERR_UNKNOWN, "killed by signal %d: %.600s",
			       WTERMSIG(status), buf_str(&line));
	return err_set(err, ERR_UNKNOWN, "exit status %d: %.600s", WEXITSTATUS(status),
		       line.len ? buf_str(&line) : "it said nothing");
}

static int finish(struct child *c, int64_t timeout, struct err *err)
{
	int status = 0, late = follow(c, time_mono() + timeout);

	if (late)
		proc_kill(c->pidfd, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (late)
		return err_set(err, ERR_TIMEOUT, "no answer in %lld ms",
			       (long long)(timeout / NS_PER_MS));
	if (c->out.overflow)
		return err_set(err, ERR_EXHAUSTED, "it answered more than %d bytes",
			       CNI_RESULT_MAX);
	if (status)
		return failure(status, c->out.to, c->errs.to, err);
	return 0;
}

int exec_plugin(const struct cni_call *call, const char *program, const void *conf,
		size_t n, struct buf *out, struct err *err)
{
	FD_AUTO in = stdin_of(conf, n, err);
	int64_t timeout = call->timeout_ns > 0 ? call->timeout_ns : 60 * NS_PER_SEC;
	int out_pipe[2], err_pipe[2], r;
	BUF_AUTO answer = {0}, errs = {0};
	struct child c = {.pidfd = -1};

	if (in < 0)
		return -1;
	if (pipe2(out_pipe, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	if (pipe2(err_pipe, O_CLOEXEC) < 0) {
		err_sys(err, errno, "pipe");
		fd_close(&out_pipe[0]);
		fd_close(&out_pipe[1]);
		return -1;
	}
	c.out = (struct stream){.fd = out_pipe[0], .max = CNI_RESULT_MAX, .to = &answer};
	c.errs = (struct stream){.fd = err_pipe[0], .max = STDERR_MAX, .to = &errs};
	r = start(call, program, in, out_pipe[1], err_pipe[1], &c, err);
	fd_close(&out_pipe[1]);
	fd_close(&err_pipe[1]);
	if (r == 0)
		r = finish(&c, timeout, err);
	fd_close(&out_pipe[0]);
	fd_close(&err_pipe[0]);
	fd_close(&c.pidfd);
	if (r == 0)
		buf_add(out, answer.data, answer.len);
	return r;
}
