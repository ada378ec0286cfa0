/* sock: unix sockets and fd passing. */
#ifndef OS_SOCK_H
#define OS_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Listens on a stream socket at path with the given mode. A stale socket is
 * replaced; one that somebody answers on is ERR_EXISTS. Paths longer than
 * sun_path are bound through /proc/self/fd of their directory. An owned,
 * non-blocking fd or -1.
 */
int sock_listen_unix(const char *path, mode_t mode, struct err *err);

/* Connects a stream socket; blocking. An owned fd or -1. */
int sock_connect_unix(const char *path, struct err *err);

/* A connected pair of stream sockets. 0 or -1. */
int sock_pair(int ret_fds[2], struct err *err);

/* Sends n bytes (n > 0) with up to 8 fds as SCM_RIGHTS. Bytes sent or -1 with errno. */
ssize_t sock_send_fds(int sock, const void *data, size_t n, const int *fds, size_t nfds);

/*
 * Receives up to n bytes and up to *nfds fds (owned by the caller, CLOEXEC);
 * *nfds becomes their number. Bytes, 0 at the end, or -1 with errno.
 */
ssize_t sock_recv_fds(int sock, void *data, size_t n, int *fds, size_t *nfds);

/* Credentials of the peer of a unix socket. 0 or -1. */
int sock_peer(int sock, pid_t *ret_pid, uid_t *ret_uid, struct err *err);

/*
 * Tells a service manager something ("READY=1") if NOTIFY_SOCKET is set
 * (sd_notify(3)). Failure is ignored as sd_notify(3) advises.
 */
void sock_notify(const char *state);

/*
 * The same for those who give up the right to reach the socket: a connected socket to write
 * to. Owned; -1 if nobody wants to be told.
 */
int sock_notify_open(void);

#endif
