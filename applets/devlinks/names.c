#include "names.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"

static bool plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (c && strchr("#+-.:=@_", c));
}

/* Length of a character of more than one byte, 0 if it is not valid UTF-8. */
static size_t wide(const char *s)
{
	for (size_t n = 2; n <= 4; n++)
		if (strnlen(s, n) == n && str_is_utf8(s, n) && (*s & 0xc0) == 0xc0)
			return n;
	return 0;
}

/* Labels and ids: what is not plain becomes \xNN, so that nothing is lost. */
static void add_escaped(struct buf *out, const char *s)
{
	while (*s) {
		size_t n = plain((unsigned char)*s) ? 1 : wide(s);

		if (n)
			buf_add(out, s, n);
		else
			buf_add_fmt(out, "\\x%02x", (unsigned char)*s);
		s += n ? n : 1;
	}
}

/* Models and serial numbers: blanks become one '_', what is not plain another. */
static void add_word(struct buf *out, const char *s)
{
	s += strspn(s, " ");
	while (*s) {
		size_t blanks = strspn(s, " ");

		if (blanks && !s[blanks])
			return;
		buf_add_char(out, plain((unsigned char)*s) ? *s : '_');
		s += blanks ? blanks : 1;
	}
}

static void begin(struct buf *out, const char *kind, const char *prefix)
{
	buf_add_fmt(out, "by-%s/%s", kind, prefix);
}

/* "-part1" of a partition, and the NUL. */
static void end(struct buf *out, const struct blockdev *d)
{
	if (d->number)
		buf_add_fmt(out, "-part%u", d->number);
	buf_add_char(out, 0);
}

static void add_link(struct buf *out, const char *kind, const char *value)
{
	if (!*value || str_eq(value, ".") || str_eq(value, ".."))
		return;
	begin(out, kind, "");
	add_escaped(out, value);
	buf_add_char(out, 0);
}

/* --- by-id --------------------------------------------------------------------------------- */

static void add_id(struct buf *out, const struct blockdev *d, const char *prefix,
		   const char *model, const char *serial)
{
	begin(out, "id", prefix);
	if (*model) {
		add_word(out, model);
		buf_add_char(out, '_');
	}
	add_word(out, serial);
	end(out, d);
}

/* A SCSI disk's worldwide id as sysfs has it: "naa.5000c500a1b2c3d4", "t10.ATA     ...". */
static void add_scsi(struct buf *out, const struct blockdev *d, const char *wwid)
{
	if (str_starts(wwid, "naa.")) {
		add_id(out, d, "wwn-0x", "", wwid + 4);
		add_id(out, d, "scsi-3", "", wwid + 4);
	} else if (str_starts(wwid, "eui.")) {
		add_id(out, d, "wwn-0x", "", wwid + 4);
		add_id(out, d, "scsi-2", "", wwid + 4);
	} else if (str_starts(wwid, "t10.ATA ")) {
		add_id(out, d, "ata-", "", wwid + strlen("t10.ATA "));
	}
}

static void add_ids(struct buf *out, const struct blockdev *d)
{
	char serial[256] = "", model[256] = "", id[512];
	const char *disk = d->disk;

	if (str_starts(disk, "vd")) {
		if (blockdev_attr(disk, "serial", serial, sizeof(serial)) && *serial)
			add_id(out, d, "virtio-", "", serial);
	} else if (str_starts(disk, "nvme")) {
		if (blockdev_attr(disk, "wwid", id, sizeof(id)))
			add_id(out, d, "nvme-", "", id);
		if (blockdev_attr(disk, "device/model", model, sizeof(model)) &&
		    blockdev_attr(disk, "device/serial", serial, sizeof(serial)))
			add_id(out, d, "nvme-", model, serial);
	} else if (str_starts(disk, "mmcblk")) {
		if (blockdev_attr(disk, "device/name", model, sizeof(model)) &&
		    blockdev_attr(disk, "device/serial", serial, sizeof(serial)))
			add_id(out, d, "mmc-", model, serial);
	} else if (str_starts(disk, "dm-")) {
		if (blockdev_attr(disk, "dm/name", id, sizeof(id)))
			add_id(out, d, "dm-name-", "", id);
		if (blockdev_attr(disk, "dm/uuid", id, sizeof(id)) && *id)
			add_id(out, d, "dm-uuid-", "", id);
	} else if (str_starts(disk, "dasd")) {
		if (blockdev_attr(disk, "device/uid", id, sizeof(id)))
			add_id(out, d, "ccw-", "", id);
	} else if (blockdev_attr(disk, "device/wwid", id, sizeof(id))) {
		add_scsi(out, d, id);
	}
}

/* --- by-path ------------------------------------------------------------------------------- */

/* The name of what a link in sysfs points to, or "". */
static void link_name(const char *dir, const char *link, char *dst, size_t size)
{
	char path[PATH_MAX + 32], target[PATH_MAX];
	ssize_t n;

	*dst = 0;
	snprintf(path, sizeof(path), "%s/%s", dir, link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = 0;
	if (strrchr(target, '/'))
		str_copy(dst, size, strrchr(target, '/') + 1);
}

/* The number of a port of ATA: DIR/ata_port/ata1/port_no. 0: none. */
static unsigned ata_port(const char *dir, const char *name)
{
	char path[PATH_MAX + 160], text[16];
	uint64_t v;
	FILE *f;

	snprintf(path, sizeof(path), "%s/ata_port/%s/port_no", dir, name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		*text = 0;
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	return num_u64(text, 0, 99999, &v) < 0 ? 0 : (unsigned)v;
}

/*
 * One level of the device's ancestry as udev's path_id says it, nearest first; a bus that
 * said something (`last`) is not asked again above.
 */
static void path_part(const struct blockdev *d, const char *dir, char *last, size_t size,
		      char *ret, size_t ret_size)
{
	char subsystem[32], nsid[32];
	const char *name = strrchr(dir, '/') + 1;
	unsigned port = ata_port(dir, name), h, c, t, l;

	*ret = 0;
	link_name(dir, "subsystem", subsystem, sizeof(subsystem));
	if (port) {
		snprintf(ret, ret_size, "ata-%u", port);
		str_copy(last, size, "ata");
		return;
	}
	if (str_eq(subsystem, last))
		return;
	if (str_eq(subsystem, "pci") || str_eq(subsystem, "platform") ||
	    str_eq(subsystem, "ccw"))
		snprintf(ret, ret_size, "%s-%s", subsystem, name);
	else if (str_eq(subsystem, "scsi") &&
		 sscanf(name, "%u:%u:%u:%u", &h, &c, &t, &l) == 4)
		snprintf(ret, ret_size, "scsi-0:%u:%u:%u", c, t, l);
	else if (str_eq(subsystem, "nvme") &&
		 blockdev_attr(d->disk, "nsid", nsid, sizeof(nsid)))
		snprintf(ret, ret_size, "nvme-%s", nsid);
	else if (str_eq(subsystem, "usb") && strchr(name, ':'))
		snprintf(ret, ret_size, "usb-0:%s", strchr(name, '-') + 1);
	else
		return;
	str_copy(last, size, subsystem);
}

static void add_path(struct buf *out, const struct blockdev *d)
{
	char dir[PATH_MAX], link[96], last[32] = "", part[160], path[512] = "", more[700];

	snprintf(link, sizeof(link), "/sys/class/block/%s", d->disk);
	if (!realpath(link, dir) || strstr(dir, "/virtual/"))
		return;
	for (char *slash;
	     (slash = strrchr(dir, '/')) && slash - dir > (int)strlen("/sys/d");
	     *slash = 0) {
		path_part(d, dir, last, sizeof(last), part, sizeof(part));
		if (!*part)
			continue;
		/* a disk behind ATA is its port, not its SCSI address */
		if (str_eq(last, "ata") && str_starts(path, "scsi-"))
			*path = 0;
		snprintf(more, sizeof(more), "%s%s%s", part, *path ? "-" : "", path);
		if (str_copy(path, sizeof(path), more) < 0)
			return;
	}
	if (!*path)
		return;
	begin(out, "path", "");
	add_word(out, path);
	end(out, d);
}

void names_of(const struct blockdev *d, const struct blockdev_info *i, struct buf *out)
{
	bool mountable =
		str_eq(i->fs.usage, "filesystem") || str_eq(i->fs.usage, "other");

	if (mountable)
		add_link(out, "label", i->fs.label);
	if (mountable || str_eq(i->fs.usage, "crypto"))
		add_link(out, "uuid", i->fs.uuid);
	add_link(out, "partlabel", i->part.label);
	add_link(out, "partuuid", i->part.uuid);
	add_ids(out, d);
	add_path(out, d);
}
