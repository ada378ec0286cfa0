#include "os/cgentry.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/fd.h"

int cgentry_open(const struct cgroups *g, const char *path, struct cgentry *ret,
		 struct err *err)
{
	for (unsigned i = 0; i < cgroups_count(g) && ret->n < CGENTRY_MAX; i++) {
		bool v2 = cgroups_tree_is_v2(g, i);
		int fd =
			v2 ? cgroups_tree_open(g, i, path, ".", O_PATH | O_DIRECTORY, err)
			   : cgroups_tree_open(g, i, path, "tasks", O_WRONLY, err);

		if (fd < 0)
			return err_wrap(err, "join");
		if (v2)
			ret->tree = fd;
		else
			ret->tasks[ret->n++] = fd;
	}
	return 0;
}

void cgentry_close(struct cgentry *e)
{
	fd_close(&e->tree);
	while (e->n)
		fd_close(&e->tasks[--e->n]);
}

int cgentry_join(const struct cgentry *e, struct err *err)
{
	for (unsigned i = 0; i < e->n; i++)
		if (write(e->tasks[i], "0", 1) != 1)
			return err_sys(err, errno, "join cgroup");
	return 0;
}
