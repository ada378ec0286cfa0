/* rootfs: images as a container sees them: below its root directory, and as volumes. */
#ifndef SHIM_ROOTFS_H
#define SHIM_ROOTFS_H

#include "shim/shim.h"

/*
 * All for a process that may block. image is an object with the paths of the layers'
 * directories, lowest first ("layer_paths").
 */

/* An image's merged tree for looking: an owned directory fd, or -1. */
int rootfs_view(yyjson_val *image, struct err *err);

/*
 * The root file system of a container on its image: dirfd holds its "upper" and "work".
 * An owned fd of a detached mount, or -1.
 */
int rootfs_mount(struct shim *s, yyjson_val *image, int dirfd, struct err *err);

/*
 * An image as a volume: its tree, or what is at its "sub_path" in there. Read-only by the one
 * who attaches it. An owned fd of a detached mount, or -1.
 */
int rootfs_volume(struct shim *s, yyjson_val *image, struct err *err);

#endif
