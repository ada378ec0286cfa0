#include "os/cgentry.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"

int cgentry_open(const struct cgroups *g, const char *path, struct cgentry *ret,
		 struct err *err)
{
	for (unsigned i = 0; i < cgroups_count(g) && ret->n < CGENTRY_MAX; i++) {
		int dir = cgroups_tree_dir(g, i, path, err);

		if (dir < 0)
			return err_wrap(err, "join cgroup %s", path);
		if (cgroups_tree_is_v2(g, i)) {
			ret->tree = dir;
			continue;
		}
		ret->tasks[ret->n] = file_open(dir, "tasks", O_WRONLY, 0, err);
		fd_close(&dir);
		if (ret->tasks[ret->n] < 0)
			return err_wrap(err, "join cgroup %s", path);
		ret->n++;
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
