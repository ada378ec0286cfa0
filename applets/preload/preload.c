/*
 * preload: a node's service: what was brought along as OCI image layouts gets into the store. The
 * daemon pulls each image by its name; that it looks into the same directory first is its
 * preload-dir setting.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "applet.h"
#include "base/buf.h"
#include "base/str.h"
#include "fetch/layout.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

/* Appends a name and its NUL: the layouts are closed again before anything is pulled. */
static int add_name(void *arg, const struct ref *name, const struct layout *l)
{
	struct buf *names = arg;

	(void)l;
	ref_add(names, name);
	buf_add_char(names, '\0');
	return 0;
}

static int pull(const char *name, struct err *err)
{
	const char *const argv[] = {"ctl", "pull", name, NULL};
	struct proc_spawn how = {.argv = argv, .fd3 = -1};
	pid_t pid = proc_spawn(&how, NULL, err);
	int status = 0;

	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "wait");
	return status ? err_set(err, ERR_INTERNAL, "%s was not pulled", name) : 0;
}

static int run(int argc, char **argv, struct err *err)
{
	BUF_AUTO names = {0};
	FD_AUTO dir = -1;
	int r = 0;

	if (argc != 2)
		return err_set(err, ERR_INVALID, "preload: DIR is missing");
	dir = file_open(AT_FDCWD, argv[1], O_PATH | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	layout_each(dir, add_name, &names);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1)
		if (pull((char *)names.data + i, err) < 0)
			r = -1; /* the others may be well */
	return r;
}

const struct applet applet_preload = {.name = "preload", .run = run};
