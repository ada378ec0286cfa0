/* names: what udev's rules call a block device (60-persistent-storage.rules). */
#ifndef DEVLINKS_NAMES_H
#define DEVLINKS_NAMES_H

#include "base/buf.h"
#include "devlinks/blockdev.h"

/* Appends "by-KIND/NAME" with a NUL behind each, as many as there are. */
void names_of(const struct blockdev *d, const struct blockdev_info *i, struct buf *out);

#endif
