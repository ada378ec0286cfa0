/*
 * floor: the least that a container costs: the namespaces of the bare specification, /proc,
 * the root, and the program. What a runtime takes beyond this is its own; or the kernel's, for
 * the container's control groups: they are made, entered and removed if they are given.
 *
 *	floor ROOTFS PROGRAM [GROUP]...
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Neither way into a group waits: a task of its own on version 1, by birth on version 2. */
static int join(char **groups)
{
	for (; *groups; groups++) {
		char path[4096];
		int fd;

		snprintf(path, sizeof(path), "%s/tasks", *groups);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, "0", 1) != 1)
			return -1;
		close(fd);
	}
	return 0;
}

static int make(char **groups, struct clone_args *args)
{
	for (; *groups; groups++) {
		char path[4096];

		if (mkdir(*groups, 0755) < 0)
			return -1;
		snprintf(path, sizeof(path), "%s/tasks", *groups);
		if (access(path, F_OK) == 0)
			continue;
		args->cgroup = (uint64_t)open(*groups, O_PATH | O_DIRECTORY | O_CLOEXEC);
		args->flags |= CLONE_INTO_CGROUP;
	}
	return 0;
}

static int child(const char *root, char *program, char **groups)
{
	char *argv[] = {program, NULL};

	if (join(groups) < 0)
		return 124;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(root, root, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(root) < 0 ||
	    mount("proc", "proc", "proc", 0, NULL) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return 126;
	execv(argv[0], argv);
	return 127;
}

int main(int argc, char **argv)
{
	struct clone_args args = {.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
					   CLONE_NEWIPC | CLONE_NEWUTS,
				  .exit_signal = SIGCHLD};
	int status;
	pid_t pid;

	if (argc < 3)
		return 125;
	if (make(argv + 3, &args) < 0)
		return 125;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(child(argv[1], argv[2], argv + 3));
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 125;
	for (char **group = argv + 3; *group; group++)
		if (rmdir(*group) < 0)
			return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
