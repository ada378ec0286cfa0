/* The worker: gives up what it does not need, then serves links until it is told to end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "netd.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sandbox.h"

enum { READY_MS = 2000, MEMORY_MAX = 64 << 20 };

static const int calls[] = {
	SYS_read,	   SYS_write,
	SYS_writev,	   SYS_readv,
	SYS_close,	   SYS_openat,
	SYS_fstat,	   SYS_fchmod,
	SYS_lseek,	   SYS_unlinkat,
	SYS_fcntl,	   SYS_socket,
	SYS_bind,	   SYS_connect,
	SYS_setsockopt,	   SYS_getsockopt,
	SYS_sendto,	   SYS_sendmsg,
	SYS_recvfrom,	   SYS_recvmsg,
	SYS_epoll_ctl,	   SYS_epoll_pwait,
	SYS_clock_gettime, SYS_getrandom,
	SYS_getpid,	   SYS_brk,
	SYS_mmap,	   SYS_munmap,
	SYS_mremap,	   SYS_madvise,
	SYS_mprotect,	   SYS_rt_sigprocmask,
	SYS_rt_sigreturn,  SYS_restart_syscall,
	SYS_exit,	   SYS_exit_group,
#ifdef SYS__llseek
	SYS__llseek, /* musl's lseek on ppc64le */
#endif
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_newfstatat
	SYS_newfstatat,
#endif
#ifdef SYS_statx
	SYS_statx,
#endif
#ifdef SYS_open
	SYS_open,
#endif
#ifdef SYS_send
	SYS_send,	   SYS_recv,
#endif
#ifdef SYS_renameat
	SYS_renameat,
#endif
	SYS_renameat2,
};

static int confine(struct err *err)
{
	const uint64_t keep = UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_NET_RAW |
			      UINT64_C(1) << CAP_NET_BIND_SERVICE;
	const struct rlimit core = {0}, memory = {MEMORY_MAX, MEMORY_MAX};

	if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_AS, &memory) < 0)
		return err_sys(err, errno, "setrlimit");
	if (sandbox_user(NETD_USER, NETD_USER, keep, err) < 0 ||
	    sandbox_with_parent(err) < 0)
		return -1;
	return sandbox_calls(calls, ARRAY_LEN(calls), err);
}

static void on_publish(struct loop_timer *t)
{
	struct netd *n = container_of(t, struct netd, publish);

	publish_now(n);
	if (n->is_ready || !links_settled(n))
		return;
	n->is_ready = true;
	loop_timer_del(&n->ready);
	if (n->s->notify >= 0)
		(void)!send(n->s->notify, "READY=1", 7, MSG_NOSIGNAL);
}

/* What is not there yet comes later; nobody waits for it any longer. */
static void on_ready(struct loop_timer *t)
{
	struct netd *n = container_of(t, struct netd, ready);

	n->is_ready = true;
	if (n->s->notify >= 0)
		(void)!send(n->s->notify, "READY=1", 7, MSG_NOSIGNAL);
}

/* The time process has started and asks for its servers. */
static void on_time(struct loop_fd *src, unsigned events)
{
	struct netd *n = container_of(src, struct netd, time);
	struct netd_servers asked;

	(void)events;
	if (recv(src->fd, &asked, sizeof(asked), MSG_DONTWAIT) > 0)
		(void)!send(src->fd, &n->servers, sizeof(n->servers),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	struct netd *n = arg;

	(void)si;
	loop_stop(n->loop, 0);
}

/*
 * After a restart the kernel has no reason to ask the routers again, and what they say of
 * name servers is not kept anywhere.
 */
static void solicit(struct netd *n)
{
	struct sockaddr_in6 all = {.sin6_family = AF_INET6};
	struct icmp6_filter none;
	uint8_t rs[8] = {ND_ROUTER_SOLICIT};
	int hops = 255;
	FD_AUTO fd =
		socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);

	ICMP6_FILTER_SETBLOCKALL(&none);
	if (fd < 0 ||
	    setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &none, sizeof(none)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0)
		return;
	all.sin6_addr.s6_addr[0] = 0xff; /* ff02::2: all routers */
	all.sin6_addr.s6_addr[1] = all.sin6_addr.s6_addr[15] = 2;
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		all.sin6_scope_id = l->is.index;
		if (l->conf.ra)
			(void)!sendto(fd, rs, sizeof(rs), 0, (struct sockaddr *)&all,
				      sizeof(all));
	}
}

static int serve(struct netd *n, struct err *err)
{
	static const int sigs[] = {SIGTERM, SIGINT};

	if (loop_signals(n->loop, sigs, ARRAY_LEN(sigs), on_signal, n, err) < 0 ||
	    confine(err) < 0)
		return -1;
	n->time = (struct loop_fd){.fn = on_time, .fd = n->s->time_worker};
	if (loop_fd_add(n->loop, &n->time, LOOP_IN, err) < 0 || links_start(n, err) < 0)
		return -1;
	solicit(n);
	loop_timer_set(n->loop, &n->ready, time_mono() + READY_MS * NS_PER_MS);
	publish_later(n);
	if (loop_run(n->loop, err) < 0)
		return -1;
	links_stop(n);
	publish_now(n);
	return 0;
}

int worker_run(struct netd_setup *s)
{
	struct netd n = {.s = s, .rtnl = -1};
	struct err err;

	n.publish.fn = on_publish;
	n.ready.fn = on_ready;
	n.sysctl_dir = open("/proc/sys/net", O_PATH | O_DIRECTORY | O_CLOEXEC);
	n.loop = loop_new(&err);
	if (!n.loop || serve(&n, &err) < 0) {
		log_error(&s->log, "%s", err.msg);
		return 1;
	}
	return 0;
}
