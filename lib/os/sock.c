#include "os/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"

enum { MAX_FDS = 8 };

/*
 * Fills addr for path. A path that does not fit goes through its directory's
 * fd, which is then in *ret_dir and must stay open until after bind/connect.
 */
static int address(const char *path, struct sockaddr_un *addr, int *ret_dir,
		   struct err *err)
{
	const char *slash = strrchr(path, '/');
	STR_AUTO dir = NULL;
	int n;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	*ret_dir = -1;
	if (str_copy(addr->sun_path, sizeof(addr->sun_path), path) == 0)
		return 0;
	if (!slash)
		return err_set(err, ERR_INVALID, "socket path %s is too long", path);
	dir = xstrndup(path, (size_t)(slash - path));
	*ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return err_sys(err, errno, "open %s", dir);
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s",
		     *ret_dir, slash + 1);
	if (n < 0 || (size_t)n >= sizeof(addr->sun_path)) {
		fd_close(ret_dir);
		return err_set(err, ERR_INVALID, "socket name %s is too long", slash + 1);
	}
	return 0;
}

int sock_connect_unix(const char *path, struct err *err)
{
	struct sockaddr_un addr;
	FD_AUTO dir = -1;
	FD_AUTO fd = -1;

	if (address(path, &addr, &dir, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, errno, "connect to %s", path);
	return fd_take(&fd);
}

int sock_listen_unix(const char *path, mode_t mode, struct err *err)
{
	struct sockaddr_un addr;
	struct err ignored;
	mode_t mask;
	FD_AUTO dir = -1;
	FD_AUTO fd = -1;
	FD_AUTO probe = -1;
	int r;

	if (address(path, &addr, &dir, err) < 0)
		return -1;
	probe = sock_connect_unix(path, &ignored);
	if (probe >= 0)
		return err_set(err, ERR_EXISTS, "%s: another process serves this socket",
			       path);
	if (ignored.sys == ECONNREFUSED)
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "socket");
	mask = umask(~mode & 0777);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	if (r < 0 || listen(fd, 128) < 0)
		return err_sys(err, errno, "listen on %s", path);
	return fd_take(&fd);
}

int sock_pair(int ret_fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return err_sys(err, errno, "socketpair");
	return 0;
}

ssize_t sock_send_fds(int sock, const void *data, size_t n, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (nfds > MAX_FDS) {
		errno = EINVAL;
		return -1;
	}
	if (nfds) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * nfds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do {
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent;
}

ssize_t sock_recv_fds(int sock, void *data, size_t n, int *fds, size_t *nfds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	size_t room = *nfds;
	struct cmsghdr *c;
	ssize_t got;

	*nfds = 0;
	do {
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	/* SCM_RIGHTS is the only kind that was not asked for: at most one header */
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return got;
	for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (*nfds < room)
			fds[(*nfds)++] = fd;
		else
			close(fd);
	}
	return got;
}

int sock_peer(int sock, pid_t *ret_pid, uid_t *ret_uid, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_sys(err, errno, "peer credentials");
	*ret_pid = cred.pid;
	*ret_uid = cred.uid;
	return 0;
}

int sock_notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	FD_AUTO fd = -1;
	size_t n;

	if (!path || (*path != '/' && *path != '@'))
		return -1;
	n = strlen(path);
	if (n >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path, path, n);
	if (*path == '@')
		addr.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		return -1;
	return fd_take(&fd);
}

void sock_notify(const char *state)
{
	FD_AUTO fd = sock_notify_open();

	if (fd >= 0)
		(void)!send(fd, state, strlen(state), MSG_NOSIGNAL);
}
