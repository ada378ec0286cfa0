/*
 * logs: the keeper of log files. It has every service's ring, and copies what is new to
 * /var/log/cribox/NAME.log. How far it came is in the ring itself: a keeper that starts
 * anew goes on where the last one ended. A disk that is full costs lines, no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "initjob/initjob.h"
#include "node/initctl.h"
#include "os/fd.h"
#include "os/sock.h"

#define DIR_OF_LOGS "/var/log/cribox"

enum { LOGS = 64, FILE_MAX = 1 << 20, OLD_FILES = 3, AT_ONCE = 16384 };

struct log_file {
	char name[INITCTL_NAME];
	int ring, file;
	uint8_t *head; /* of the ring, shared: the second number is ours */
	uint64_t at;
	off_t size;
};

static struct log_file files[LOGS];
static volatile sig_atomic_t leaving;

static void on_term(int sig)
{
	(void)sig;
	leaving = 1;
}

static void path_of(const struct log_file *f, int old, char *dst, size_t size)
{
	if (old)
		snprintf(dst, size, DIR_OF_LOGS "/%s.log.%d", f->name, old);
	else
		snprintf(dst, size, DIR_OF_LOGS "/%s.log", f->name);
}

static void rotate(struct log_file *f)
{
	char from[96], to[96];

	for (int i = OLD_FILES; i > 0; i--) {
		path_of(f, i - 1, from, sizeof(from));
		path_of(f, i, to, sizeof(to));
		rename(from, to);
	}
	fd_close(&f->file);
}

static bool open_file(struct log_file *f)
{
	char path[96];
	struct stat st;

	if (f->file >= 0)
		return true;
	path_of(f, 0, path, sizeof(path));
	f->file =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (f->file < 0)
		return false;
	f->size = fstat(f->file, &st) == 0 ? st.st_size : 0;
	return true;
}

static void save_place(struct log_file *f)
{
	put_le32(f->head + 8, (uint32_t)f->at);
	put_le32(f->head + 12, (uint32_t)(f->at >> 32));
}

static void drain(struct log_file *f)
{
	static char data[AT_ONCE];
	struct err err;
	long n;

	while ((n = initctl_ring_read(f->ring, &f->at, data, sizeof(data), &err)) > 0) {
		/* what cannot be written is left out: it is in the ring for a while */
		if (open_file(f) && fd_write_all(f->file, data, (size_t)n) == 0)
			f->size += n;
		save_place(f);
		if (f->size >= FILE_MAX)
			rotate(f);
	}
}

static struct log_file *find(const char *name)
{
	for (int i = 0; i < LOGS; i++)
		if (!files[i].name[0] || str_eq(files[i].name, name))
			return &files[i];
	return NULL;
}

static void add(struct log_file *f, const char *name, int ring_taken)
{
	void *map = mmap(NULL, INITCTL_RING_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED,
			 ring_taken, 0);

	if (map == MAP_FAILED || f->name[0]) { /* the same, announced again */
		if (map != MAP_FAILED)
			munmap(map, INITCTL_RING_HEAD);
		close(ring_taken);
		return;
	}
	str_copy(f->name, sizeof(f->name), name);
	f->ring = ring_taken;
	f->file = -1;
	f->head = map;
	f->at = get_le64(f->head + 8);
}

/* False at the end: init is gone. */
static bool take(void)
{
	char name[INITCTL_NAME];
	struct log_file *f;
	size_t nfds = 1;
	int fd = -1;
	ssize_t n = sock_recv_fds(3, name, sizeof(name), &fd, &nfds);

	if (n == 0)
		return false;
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	name[n == sizeof(name) ? n - 1 : n] = 0;
	f = strchr(name, '/') ? NULL : find(name);
	if (nfds == 1 && f)
		add(f, name, fd);
	else if (nfds == 1)
		close(fd);
	if (f && f->name[0])
		drain(f);
	return true;
}

int job_log(char **args, struct err *err)
{
	struct sigaction sa = {.sa_handler = on_term};
	struct pollfd p = {.fd = 3, .events = POLLIN};

	(void)args;
	(void)err;
	sigaction(SIGTERM, &sa, NULL);
	mkdir(DIR_OF_LOGS, 0755);
	while (!leaving)
		if (poll(&p, 1, -1) > 0 && !take())
			break;
	for (int i = 0; i < LOGS && files[i].name[0]; i++)
		drain(&files[i]);
	return 0;
}
