/*
 * ns: the namespaces that a pod's containers share. A short-lived child
 * makes them, user namespace first so that it owns the others; we hold them
 * through fds of its /proc/PID/ns.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"
#include "shim/shim.h"

/* What the child is told to do, and how it reports: one struct err on the socket. */
struct plan {
	bool user;
	int flags; /* CLONE_NEWNET... */
	const char *hostname;
};

static int report(int sock, const struct err *e)
{
	return fd_write_all(sock, e, sizeof(*e));
}

static int wait_for(int sock, struct err *err)
{
	struct err e;

	if (fd_read_full(sock, &e, sizeof(e)) != (ssize_t)sizeof(e))
		return err_set(err, ERR_INTERNAL, "the namespace helper died");
	if (e.code != ERR_NONE) {
		*err = e;
		return -1;
	}
	return 0;
}

/* Becomes root of the new user namespace, after the parent wrote the maps. */
static int enter_user(int sock, struct err *e)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return err_sys(e, errno, "new user namespace");
	if (report(sock, &(struct err){0}) < 0 || wait_for(sock, e) < 0)
		return err_set(e, ERR_INTERNAL, "user namespace: no maps");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(e, errno, "become root of the user namespace");
	return 0;
}

/* The holder mount namespace keeps the pod's /dev/shm. */
static int make_shm(struct err *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, errno, "make the holder's mounts private");
	if (mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=1777,size=64m") < 0)
		return err_sys(e, errno, "mount the pod's /dev/shm");
	return 0;
}

static void holder(const struct plan *p, int sock)
{
	struct err e = {0};
	int r = 0;

	prctl(PR_SET_DUMPABLE, 0);
	if (p->user)
		r = enter_user(sock, &e);
	if (r == 0 && unshare(p->flags) < 0)
		r = err_sys(&e, errno, "new namespaces");
	if (r == 0 && (p->flags & CLONE_NEWUTS) && *p->hostname &&
	    sethostname(p->hostname, strlen(p->hostname)) < 0)
		r = err_sys(&e, errno, "set hostname %s", p->hostname);
	if (r == 0 && (p->flags & CLONE_NEWNS))
		r = make_shm(&e);
	report(sock, &e);
	if (r == 0)
		wait_for(sock, &e); /* until the parent has opened our namespaces */
	_exit(0);
}

static int write_map(pid_t pid, const char *name, yyjson_val *maps, struct err *err)
{
	char path[64];
	BUF_AUTO text = {0};
	yyjson_val *m;

	json_each (m, maps)
		buf_add_fmt(&text, "%llu %llu %llu\n",
			    (unsigned long long)json_u64(m, "container", 0),
			    (unsigned long long)json_u64(m, "host", 0),
			    (unsigned long long)json_u64(m, "size", 0));
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return file_write(AT_FDCWD, path, buf_str(&text), err);
}

static int open_ns(pid_t pid, const char *name, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	return file_open(AT_FDCWD, path, O_RDONLY, 0, err);
}

static int open_all(pid_t pid, const struct plan *p, int ret_ns[POD_NS_COUNT],
		    struct err *err)
{
	static const struct {
		int flag;
		enum pod_ns ns;
		const char *name;
	} all[] = {{CLONE_NEWNET, POD_NS_NET, "net"},
		   {CLONE_NEWIPC, POD_NS_IPC, "ipc"},
		   {CLONE_NEWUTS, POD_NS_UTS, "uts"},
		   {CLONE_NEWNS, POD_NS_MNT, "mnt"}};

	if (p->user && (ret_ns[POD_NS_USER] = open_ns(pid, "user", err)) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((p->flags & all[i].flag) &&
		    (ret_ns[all[i].ns] = open_ns(pid, all[i].name, err)) < 0)
			return -1;
	return 0;
}

static int drive(pid_t pid, int sock, const struct plan *p, yyjson_val *user,
		 int ret_ns[POD_NS_COUNT], struct err *err)
{
	if (p->user) {
		if (wait_for(sock, err) < 0 ||
		    write_map(pid, "uid_map", json_arr(user, "uids"), err) < 0 ||
		    write_map(pid, "gid_map", json_arr(user, "gids"), err) < 0)
			return err_wrap(err, "user namespace");
		report(sock, &(struct err){0});
	}
	if (wait_for(sock, err) < 0)
		return -1;
	return open_all(pid, p, ret_ns, err);
}

int pod_make_ns(yyjson_val *spec, int ret_ns[POD_NS_COUNT], struct err *err)
{
	yyjson_val *ns = json_obj(spec, "ns"), *user = json_obj(ns, "user");
	bool host_net = str_eq(str_or_empty(json_str(ns, "network")), "node");
	bool host_ipc = str_eq(str_or_empty(json_str(ns, "ipc")), "node");
	struct plan p = {
		.user = user != NULL,
		/* a pod on the host's network keeps the host's name */
		.flags = (host_net ? 0 : CLONE_NEWNET | CLONE_NEWUTS) |
			 (host_ipc ? 0 : CLONE_NEWIPC | CLONE_NEWNS),
		.hostname = str_or_empty(json_str(spec, "hostname")),
	};
	int pair[2], r;
	pid_t pid;

	for (unsigned i = 0; i < POD_NS_COUNT; i++)
		ret_ns[i] = -1;
	if (!p.user && !p.flags)
		return 0;
	if (sock_pair(pair, err) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		holder(&p, pair[1]);
	}
	close(pair[1]);
	if (pid < 0)
		r = err_sys(err, errno, "fork");
	else
		r = drive(pid, pair[0], &p, user, ret_ns, err);
	close(pair[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	for (unsigned i = 0; r < 0 && i < POD_NS_COUNT; i++)
		fd_close(&ret_ns[i]);
	return r;
}

int netns_bind(int nsfd, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	STR_AUTO dir = xstrndup(path, (size_t)(slash - path));
	char from[FD_PATH];
	FD_AUTO fd = -1;

	if (file_mkdirs(AT_FDCWD, dir, 0755, err) < 0)
		return -1;
	fd = file_open(AT_FDCWD, path, O_RDONLY | O_CREAT | O_EXCL, 0444, err);
	if (fd < 0)
		return -1;
	if (mount(fd_path(from, nsfd), path, NULL, MS_BIND, NULL) < 0) {
		err_sys(err, errno, "bind network namespace to %s", path);
		unlink(path);
		return -1;
	}
	return 0;
}

int netns_unbind(const char *path, struct err *err)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
	    errno != ENOENT)
		return err_sys(err, errno, "unmount %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", path);
	return 0;
}
