#include "shim/rootfs.h"

#include <fcntl.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"

enum { MAX_LAYERS = 500 };

/* The layers' directories, topmost first. */
struct layers {
	int fds[MAX_LAYERS];
	size_t n;
};

#define LAYERS_AUTO __attribute__((cleanup(layers_close))) struct layers

static void layers_close(struct layers *l)
{
	while (l->n)
		fd_close(&l->fds[--l->n]);
}

static int layers_open(yyjson_val *image, struct layers *l, struct err *err)
{
	yyjson_val *paths = json_arr(image, "layer_paths");
	size_t n = paths ? yyjson_arr_size(paths) : 0;

	l->n = 0;
	if (!n || n > MAX_LAYERS)
		return err_set(err, ERR_INVALID, "an image of %zu layers", n);
	for (size_t i = n; i-- > 0;) {
		const char *path = str_or_empty(yyjson_get_str(yyjson_arr_get(paths, i)));

		l->fds[l->n] = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, err);
		if (l->fds[l->n] < 0)
			return err_wrap(err, "image layer");
		l->n++;
	}
	return 0;
}

int rootfs_view(yyjson_val *image, struct err *err)
{
	LAYERS_AUTO l = {.n = 0};
	struct mount_overlay o = {.lower = l.fds, .rw_fd = -1, .userns_fd = -1};

	if (layers_open(image, &l, err) < 0)
		return -1;
	if (l.n == 1) /* needs no mount */
		return fd_take(&l.fds[0]);
	o.nlower = l.n;
	return mount_overlay(&o, err);
}

int rootfs_mount(struct shim *s, yyjson_val *image, int dirfd, struct err *err)
{
	LAYERS_AUTO l = {.n = 0};
	struct mount_overlay o = {.lower = l.fds,
				  .rw_fd = dirfd,
				  .upper = "upper",
				  .work = "work",
				  .is_volatile = true,
				  .userns_fd = s->pod.ns[POD_NS_USER]};

	if (layers_open(image, &l, err) < 0)
		return -1;
	o.nlower = l.n;
	return mount_overlay(&o, err);
}

/* The merged tree as the pod's users see it. */
static int mount_tree(struct shim *s, yyjson_val *image, struct err *err)
{
	LAYERS_AUTO l = {.n = 0};
	struct mount_overlay o = {
		.lower = l.fds, .rw_fd = -1, .userns_fd = s->pod.ns[POD_NS_USER]};
	FD_AUTO one = -1;

	if (layers_open(image, &l, err) < 0)
		return -1;
	o.nlower = l.n;
	if (l.n > 1)
		return mount_overlay(&o, err);
	/* an overlay has an upper layer or two lower ones */
	one = mount_clone(l.fds[0], "", false, err);
	if (one < 0 ||
	    (o.userns_fd >= 0 && mount_idmap(one, false, o.userns_fd, err) < 0))
		return -1;
	return fd_take(&one);
}

int rootfs_volume(struct shim *s, yyjson_val *image, struct err *err)
{
	const char *sub = json_str(image, "sub_path");
	FD_AUTO tree = mount_tree(s, image, err);

	if (tree < 0 || !sub)
		return fd_take(&tree);
	return mount_sub(tree, sub, err);
}
