/*
 * fsprobe: what is on a block device: superblocks of file systems, swap, RAID, LVM and
 * encryption, and partition tables, with their labels and ids, named as util-linux's blkid
 * names them. A pure codec over a callback that reads; what it reads may be hostile.
 */
#ifndef WIRE_FSPROBE_H
#define WIRE_FSPROBE_H

#include <stddef.h>
#include <stdint.h>

enum { FSPROBE_UUID = 41, FSPROBE_LABEL = 260 };

/* A device or an image. */
struct fsprobe_dev {
	/* n bytes (at most 4096) at off: 0, or -1 if the medium cannot be read. Never beyond size. */
	int (*read)(void *arg, uint64_t off, void *dst, size_t n);
	void *arg;
	uint64_t size;	 /* bytes */
	uint32_t sector; /* logical sector size, where GPT's header is; 0: 512 */
};

/* "" for what is not there. Labels are bytes as found: no NUL, but anything else. */
struct fsprobe {
	char type[24];	/* "ext4", "swap", "LVM2_member", "crypto_LUKS", ... */
	char usage[12]; /* "filesystem", "raid", "crypto", "other" */
	char sec_type
		[8]; /* what it can be mounted as, too: ext3 as ext2, FAT16 as msdos */
	char version[16];
	char uuid[FSPROBE_UUID];
	char uuid_sub[FSPROBE_UUID]; /* this device's, of a set with one uuid */
	char label[FSPROBE_LABEL];
	uint32_t block_size; /* 0: not known */
	char pttype[8];	     /* "gpt", "dos", "PMBR" */
	char ptuuid[FSPROBE_UUID];
};

/* 1: something was found, 0: nothing, -1: the medium could not be read. */
int fsprobe(const struct fsprobe_dev *dev, struct fsprobe *ret);

/* What the partition table of a disk says of a partition. */
struct fsprobe_part {
	char uuid[FSPROBE_UUID];
	char label[FSPROBE_LABEL];
};

/*
 * By its number from 1 and its start in bytes, both as the kernel counts. 1, 0 if the table
 * does not have it, -1 as above.
 */
int fsprobe_part(const struct fsprobe_dev *disk, unsigned number, uint64_t start,
		 struct fsprobe_part *ret);

#endif
