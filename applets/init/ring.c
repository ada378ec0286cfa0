/*
 * ring: the last bytes of what services write, in memory that clients map. The keeper of
 * log files ("initjob log") is such a client: it gets every ring's fd and a wink when there
 * is more. A disk that is full or hangs holds the keeper, and nobody else.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "init/init.h"
#include "os/fd.h"
#include "os/sock.h"

enum { AT_ONCE = 4096, ROUNDS = 8 };

int ring_open(struct ring *r, const char *name, struct err *err)
{
	size_t size = INITCTL_RING_HEAD + INITCTL_RING_SIZE;
	FD_AUTO fd = memfd_create(name, MFD_CLOEXEC);
	void *map;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return err_sys(err, errno, "log of %s", name);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(err, errno, "log of %s", name);
	r->map = map;
	r->fd = fd_take(&fd);
	return 0;
}

static void ring_add(struct ring *r, const char *data, size_t n)
{
	uint8_t *bytes = r->map + INITCTL_RING_HEAD;

	while (n) {
		size_t at = (size_t)(r->end % INITCTL_RING_SIZE);
		size_t len = MIN(n, (size_t)INITCTL_RING_SIZE - at);

		memcpy(bytes + at, data, len);
		data += len;
		n -= len;
		r->end += len;
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	put_le32(r->map, (uint32_t)r->end);
	put_le32(r->map + 4, (uint32_t)(r->end >> 32));
}

/* Tells the keeper: fd -1 is a wink. It may be full of winks: then it looks anyway. */
static void wink(struct init *in, const char *title, int fd)
{
	char name[INITCTL_NAME] = {0};

	memcpy(name, title, strnlen(title, sizeof(name) - 1));
	sock_send_fds(in->log_socket[0], name, sizeof(name), &fd, fd >= 0 ? 1 : 0);
}

/* A keeper begins with a socket that is not full of what the one before did not read. */
void log_renew(struct init *in)
{
	fd_close(&in->log_socket[0]);
	fd_close(&in->log_socket[1]);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, in->log_socket) == 0)
		fd_set_nonblock(in->log_socket[0], true);
}

void log_announce(struct init *in)
{
	for (unsigned i = 0; i < in->nservices; i++)
		if (in->services[i].ring.map)
			wink(in, in->services[i].title, in->services[i].ring.fd);
}

static void take(struct service *s, int rounds)
{
	char data[AT_ONCE];
	ssize_t n = 0;
	bool any = false;

	while (rounds-- && (n = read(s->output, data, sizeof(data))) > 0) {
		if (s->ring.map)
			ring_add(&s->ring, data, (size_t)n);
		any = true;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		loop_fd_del(&s->output_src);
		fd_close(&s->output);
	}
	if (any)
		wink(s->init, s->title, -1);
}

static void on_output(struct loop_fd *src, unsigned events)
{
	struct service *s = container_of(src, struct service, output_src);

	(void)events;
	take(s, ROUNDS);
}

void output_watch(struct service *s)
{
	struct err ignored;

	loop_fd_del(&s->output_src);
	s->output_src = (struct loop_fd){.fn = on_output, .fd = s->output};
	loop_fd_add(s->init->loop, &s->output_src, LOOP_IN, &ignored);
}

void output_drain(struct service *s)
{
	if (s->output >= 0)
		take(s, 1 << 10);
}
