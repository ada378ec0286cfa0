/*
 * notify: the seccomp listener of a container (config-linux.md, Seccomp: listenerPath, and
 * The Container Process State). The process that loads the filter gets it, and may by then
 * be unable to send anything: the starter takes it out with pidfd_getfd(2), while the
 * process waits on a page of shared memory, without a system call.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/sock.h"

enum { WAIT_NS = 50000 };
static const int64_t patience = 10 * NS_PER_SEC;

volatile int *oci_notify_page(struct err *err)
{
	void *p = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		return p;
	err_sys(err, errno, "shared memory");
	return NULL;
}

void oci_notify_page_free(volatile int *page)
{
	if (page)
		munmap((void *)(uintptr_t)page, sizeof(int));
}

void oci_notify_wait(volatile int *taken)
{
	int64_t end = time_mono() + patience;

	/* the clock is read in the process (vDSO); a trap ends it without a call */
	while (!*taken)
		if (time_mono() > end)
			__builtin_trap();
}

/* The number is that of the next fd that the process will open: its listener. */
static int take(int pidfd, int number, int sock, struct err *err)
{
	int64_t end = time_mono() + patience;
	struct timespec nap = {.tv_nsec = WAIT_NS};

	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);

		if (fd >= 0)
			return fd;
		if (errno != EBADF)
			return err_sys(err, errno, "take the seccomp listener");
		/* it has something to say: the filter was not loaded */
		if (poll(&p, 1, 0) > 0)
			return -2;
		if (time_mono() > end)
			return err_set(err, ERR_TIMEOUT, "no seccomp listener came");
		nanosleep(&nap, NULL);
	}
}

static void write_state(const struct oci_spec *s, const struct oci_hook_state *st,
			const char *status, struct buf *out)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *v;
	const char *metadata = NULL;

	seccomp_profile_listener(s->seccomp, &metadata);
	json_add_str(d, root, "ociVersion", s->version);
	yyjson_mut_arr_add_str(d, json_add_arr(d, root, "fds"), "seccompFd");
	json_add_i64(d, root, "pid", st->pid);
	json_add_str(d, root, "metadata", str_or_empty(metadata));
	v = json_add_obj(d, root, "state");
	oci_add_state(s, st, status, d, v);
	json_write(d, false, out);
}

int oci_notify_forward(const struct oci_spec *s, const struct oci_hook_state *st,
		       const char *status, int pidfd, int number, volatile int *taken,
		       int sock, struct err *err)
{
	const char *metadata, *path = seccomp_profile_listener(s->seccomp, &metadata);
	BUF_AUTO text = {0};
	FD_AUTO to = -1;
	FD_AUTO fd = -1;
	ssize_t n;

	to = sock_connect_unix(path, err);
	if (to < 0)
		return err_wrap(
			err, "linux.seccomp.listenerPath: failed to connect with seccomp "
			     "agent");
	fd = take(pidfd, number, sock, err);
	if (fd < 0)
		return fd == -2 ? 0 : -1;
	write_state(s, st, status, &text);
	n = sock_send_fds(to, text.data, text.len, &fd, 1);
	if (n < 0)
		return err_sys(err, errno, "linux.seccomp.listenerPath: send to %s",
			       path);
	if ((size_t)n != text.len)
		return err_set(err, ERR_EXHAUSTED,
			       "linux.seccomp.listenerPath: the container's state (%zu "
			       "bytes) is more than one message",
			       text.len);
	*taken = 1;
	return 0;
}
