#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/path.h"
#include "os/proc.h"
#include "os/sock.h"

static struct err err;

/* A new directory, as a path and as an fd. */
static int new_dir(char path[64])
{
	int fd;

	strcpy(path, "/tmp/unit-os-XXXXXX");
	CHECK(mkdtemp(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static void end_dir(int fd, const char *path)
{
	close(fd);
	if (file_remove_tree(AT_FDCWD, path, &err) < 0)
		FAIL("%s", err.msg);
}

TEST(symlinks_stay_in_the_root)
{
	char path[64];
	int root = new_dir(path), fd;

	CHECK(mkdirat(root, "etc", 0755) == 0);
	CHECK(symlinkat("/etc", root, "abs") == 0);
	CHECK(symlinkat("../../../../etc", root, "up") == 0);
	CHECK(symlinkat("loop", root, "loop") == 0);
	for (int i = 0; i < 2; i++) {
		fd = path_mkfile_in_root(root, i ? "up/u" : "abs/a", 0644, &err);
		CHECK(fd >= 0);
		close(fd);
	}
	CHECK(faccessat(root, "etc/a", F_OK, 0) == 0);
	CHECK(faccessat(root, "etc/u", F_OK, 0) == 0);
	CHECK(path_open_in_root(root, "loop", O_RDONLY, 0, &err) < 0);
	CHECK_INT(err.sys, ELOOP);
	CHECK(path_open_beneath(root, "abs", O_RDONLY, 0, &err) < 0);
	CHECK(path_open_beneath(root, "..", O_RDONLY, 0, &err) < 0);
	CHECK(path_open_beneath(root, "/etc", O_RDONLY, 0, &err) < 0);
	fd = path_open_beneath(root, "etc/a", O_RDONLY, 0, &err);
	CHECK(fd >= 0);
	close(fd);
	end_dir(root, path);
}

TEST(directories_are_made_in_the_root)
{
	char path[64];
	int root = new_dir(path), fd;

	CHECK(symlinkat("/made/by/link", root, "dangling") == 0);
	fd = path_mkdirs_in_root(root, "/dangling/x//y/", 0755, &err);
	CHECK(fd >= 0);
	close(fd);
	CHECK(faccessat(root, "made/by/link/x/y", F_OK, 0) == 0);
	fd = path_mkdirs_in_root(root, "../../above", 0755, &err);
	CHECK(fd >= 0);
	close(fd);
	CHECK(faccessat(root, "above", F_OK, 0) == 0);
	CHECK(mknodat(root, "file", S_IFREG | 0600, 0) == 0);
	CHECK(path_mkdirs_in_root(root, "file/x", 0755, &err) < 0);
	CHECK(symlinkat("self", root, "self") == 0);
	CHECK(path_mkdirs_in_root(root, "self/x", 0755, &err) < 0);
	end_dir(root, path);
}

TEST(trees_are_removed)
{
	char path[64];
	int root = new_dir(path);

	CHECK(file_mkdirs(root, "a/b//c/", 0700, &err) == 0);
	CHECK(mkdirat(root, "keep", 0700) == 0);
	CHECK(mknodat(root, "keep/file", S_IFREG | 0600, 0) == 0);
	CHECK(symlinkat("../keep", root, "a/link") == 0);
	CHECK(mknodat(root, "a/fifo", S_IFIFO | 0600, 0) == 0);
	CHECK(file_remove_tree(root, "a", &err) == 0);
	CHECK(faccessat(root, "a", F_OK, 0) < 0);
	CHECK(faccessat(root, "keep/file", F_OK, 0) == 0); /* behind the link */
	CHECK(symlinkat("keep", root, "l") == 0);
	CHECK(file_remove_tree(root, "l", &err) == 0);
	CHECK(faccessat(root, "keep/file", F_OK, 0) == 0);
	CHECK(file_remove_tree(root, "missing", &err) == 0);
	end_dir(root, path);
}

TEST(files)
{
	char path[64];
	int root = new_dir(path);
	BUF_AUTO b = {0};
	struct stat st;

	CHECK(file_replace(root, "f", "12345", 5, 0640, true, &err) == 0);
	CHECK(fstatat(root, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
	CHECK(file_read(root, "f", 5, &b, &err) == 0);
	CHECK_INT(b.len, 5);
	CHECK(file_read(root, "f", 4, &b, &err) < 0);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	CHECK(mknodat(root, "fifo", S_IFIFO | 0600, 0) == 0);
	CHECK(file_read(root, "fifo", 9, &b, &err) < 0); /* and does not wait */
	CHECK_INT(err.code, ERR_INVALID);
	CHECK(file_replace(root, "no/f", "x", 1, 0600, false, &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	end_dir(root, path);
}

TEST(fds_travel)
{
	int pair[2], fds[8], got[2];
	size_t n = 2;
	char c;

	CHECK(sock_pair(pair, &err) == 0);
	for (int i = 0; i < 8; i++)
		fds[i] = pair[0];
	CHECK_INT(sock_send_fds(pair[0], "x", 1, fds, 8), 1);
	CHECK_INT(sock_recv_fds(pair[1], &c, 1, got, &n), 1);
	CHECK_INT(n, 2); /* the others are closed, not lost */
	CHECK(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(got[0]);
	close(got[1]);
	CHECK_INT(fcntl(got[1] + 1, F_GETFD), -1);
	CHECK_INT(sock_send_fds(pair[0], "x", 1, fds, 9), -1);
	close(pair[0]);
	n = 2;
	CHECK_INT(sock_recv_fds(pair[1], &c, 1, got, &n), 0);
	CHECK_INT(n, 0);
	close(pair[1]);
}

TEST(a_socket_has_one_server)
{
	char dir[64], path[300];
	int root = new_dir(dir), first, second;
	pid_t pid;
	uid_t uid;

	/* longer than an address holds */
	snprintf(path, sizeof(path), "%s/%0100d", dir, 1);
	CHECK(mkdir(path, 0700) == 0);
	strcat(path, "/s");
	first = sock_listen_unix(path, 0600, &err);
	CHECK(first >= 0);
	CHECK(sock_listen_unix(path, 0600, &err) < 0);
	CHECK_INT(err.code, ERR_EXISTS);
	second = sock_connect_unix(path, &err);
	CHECK(second >= 0);
	CHECK(sock_peer(second, &pid, &uid, &err) == 0);
	CHECK_INT(pid, getpid());
	close(second);
	close(first);
	CHECK(sock_connect_unix(path, &err) < 0); /* the file is there still */
	first = sock_listen_unix(path, 0600, &err);
	CHECK(first >= 0);
	close(first);
	end_dir(root, dir);
}

TEST(processes)
{
	const char *const argv[] = {
		"sh", "-c", "echo out; echo bad >&2; echo three >&3; exit 7", NULL};
	const char *const missing[] = {"x", NULL};
	int out[2], more[2], status = 0, pidfd = -1;
	struct proc_spawn how = {.argv = argv, .path = "/bin/sh"};
	char text[64];
	pid_t pid;

	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(more, O_CLOEXEC) == 0);
	how.fds[0] = -1;
	how.fds[1] = out[1];
	how.fds[2] = -1;
	how.fd3 = more[1];
	pid = proc_spawn(&how, &pidfd, &err);
	CHECK(pid > 0 && pidfd >= 0);
	CHECK(proc_start_time(getpid()) > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(WEXITSTATUS(status), 7);
	CHECK(proc_ended(pidfd));
	CHECK(proc_kill(pidfd, 0) < 0);
	CHECK_INT(read(out[0], text, sizeof(text)), 4);
	CHECK_MEM(text, "out\n", 4);
	CHECK_INT(read(more[0], text, sizeof(text)), 6);
	CHECK_MEM(text, "three\n", 6);
	how.argv = missing;
	how.path = "/not/there";
	CHECK(proc_spawn(&how, NULL, &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(waitpid(-1, &status, WNOHANG), -1); /* no zombie */
	close(pidfd);
	for (int i = 0; i < 2; i++) {
		close(out[i]);
		close(more[i]);
	}
}
