/* Offsets are those of the formats' own headers: Linux's, and where there is a
 * specification, ECMA-119, UEFI 5.3, Microsoft's FAT and exFAT, LUKS1 and LUKS2. */
#include "wire/fsprobe.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

enum { READ_MAX = 4096, SECTOR = 512, GPT_ENTRIES = 1024 };

/* One probing. */
struct probe {
	const struct fsprobe_dev *dev;
	struct fsprobe *out;
	bool failed; /* the medium could not be read */
	uint8_t at[READ_MAX];
};

/* n bytes at off, valid until the next get; NULL beyond the end and after a failure. */
static const uint8_t *get(struct probe *p, uint64_t off, size_t n)
{
	if (p->failed || n > READ_MAX || off > p->dev->size || n > p->dev->size - off)
		return NULL;
	if (p->dev->read(p->dev->arg, off, p->at, n) < 0) {
		p->failed = true;
		return NULL;
	}
	return p->at;
}

/* --- values as text ------------------------------------------------------------------------ */

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return n == 0;
}

static void put_uuid(char dst[FSPROBE_UUID], const uint8_t *u)
{
	if (all_zero(u, 16))
		return;
	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*dst++ = '-';
		str_hex(dst, u + i, 1);
		dst += 2;
	}
}

/* A GUID of Microsoft's: the first three fields are little-endian. */
static void put_guid(char dst[FSPROBE_UUID], const uint8_t *g)
{
	const uint8_t u[16] = {g[3], g[2], g[1],  g[0],	 g[5],	g[4],  g[7],  g[6],
			       g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]};

	put_uuid(dst, u);
}

/* The serial number of FAT and exFAT. */
static void put_serial(char dst[FSPROBE_UUID], uint32_t serial)
{
	if (serial)
		snprintf(dst, FSPROBE_UUID, "%04X-%04X", serial >> 16, serial & 0xffff);
}

/* Bytes up to a NUL, without blanks at the end. */
static void put_label(char dst[FSPROBE_LABEL], const uint8_t *src, size_t n)
{
	n = strnlen((const char *)src, MIN(n, (size_t)FSPROBE_LABEL - 1));
	while (n && (src[n - 1] == ' ' || src[n - 1] == '\n'))
		n--;
	memcpy(dst, src, n);
	dst[n] = 0;
}

static size_t put_utf8(char *dst, uint32_t c)
{
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n; i > 1; i--, c >>= 6)
		dst[i - 1] = (char)(0x80 | (c & 0x3f));
	dst[0] = (char)(lead[n] | c);
	return n;
}

/* n units of little-endian UTF-16 up to a NUL; half a pair becomes U+FFFD. */
static void put_utf16(char dst[FSPROBE_LABEL], const uint8_t *src, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len + 5 < FSPROBE_LABEL; i++) {
		uint32_t c = get_le16(src + 2 * i);
		uint32_t low = i + 1 < n ? get_le16(src + 2 * i + 2) : 0;

		if (!c)
			break;
		if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			i++;
		} else if (c >= 0xd800 && c < 0xe000) {
			c = 0xfffd;
		}
		len += put_utf8(dst + len, c);
	}
	while (len && dst[len - 1] == ' ')
		len--;
	dst[len] = 0;
}

static bool power_of_2(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max && !(v & (v - 1));
}

/* --- those that a magic number, an id and a label describe --------------------------------- */

/* All in place, as pointers would each cost a relocation. Offsets are in the superblock. */
struct plain {
	uint32_t base;
	uint16_t magic_at, uuid_at, label_at; /* 0: has no id, no label */
	uint8_t magic_len, label_len;
	uint8_t kind; /* of the usages below */
	char magic[16], type[16];
};

static const char usages[][12] = {"filesystem", "raid", "crypto", "other"};
enum { FS, RAID, CRYPTO, OTHER };

#define BCACHE "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"
#define BCACHEFS "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"

static const struct plain plain[] = {
	{4096, 24, 40, 0, 16, 0, OTHER, BCACHE, "bcache"},
	{4096, 24, 56, 72, 16, 32, FS, BCACHEFS, "bcachefs"},
	{0, 0, 0, 0, 15, 0, OTHER, "bluestore block", "ceph_bluestore"},
	{0, 0, 16, 0, 8, 0, CRYPTO, "verity\0", "DM_verity_hash"},
	{0, 3, 0, 0, 8, 0, CRYPTO, "-FVE-FS-", "BitLocker"},
	{0, 3, 0, 0, 8, 0, FS, "NTFS    ", "ntfs"},
	{0, 32, 0, 0, 4, 0, FS, "NXSB", "apfs"},
	{0, 0, 0, 48, 4, 16, FS, "\x45\x3d\xcd\x28", "cramfs"},
	{1024, 0, 108, 0, 4, 0, FS, "\x10\x20\xf5\xf2", "f2fs"},
	{1024, 6, 152, 168, 2, 80, FS, "\x34\x34", "nilfs2"},
	{1024, 0, 0, 0, 4, 0, FS, "H+\0\4", "hfsplus"},
	{32768, 0, 136, 152, 4, 16, FS, "JFS1", "jfs"},
	{65536, 0, 256, 0, 4, 0, FS, "\1\x16\x19\x70", "gfs2"},
	{65536, 52, 84, 100, 8, 16, FS, "ReIsErFs", "reiserfs"},
	{65536, 52, 84, 100, 9, 16, FS, "ReIsEr2Fs", "reiserfs"},
	{65536, 52, 84, 100, 9, 16, FS, "ReIsEr3Fs", "reiserfs"},
	{4096, 0, 80, 0, 6, 0, FS, "OCFSV2", "ocfs2"},
};

static bool found(struct probe *p, const char *type, unsigned kind)
{
	str_copy(p->out->type, sizeof(p->out->type), type);
	str_copy(p->out->usage, sizeof(p->out->usage), usages[kind]);
	return true;
}

static bool probe_plain(struct probe *p)
{
	for (const struct plain *f = plain; f < plain + ARRAY_LEN(plain); f++) {
		const uint8_t *sb = get(p, f->base, SECTOR);

		if (!sb || memcmp(sb + f->magic_at, f->magic, f->magic_len) != 0)
			continue;
		if (f->uuid_at)
			put_uuid(p->out->uuid, sb + f->uuid_at);
		if (f->label_at)
			put_label(p->out->label, sb + f->label_at, f->label_len);
		if (str_eq(f->type, "f2fs") && (sb = get(p, f->base + 124, 256)))
			put_utf16(p->out->label, sb, 128);
		return found(p, f->type, f->kind);
	}
	return false;
}

/* --- what lies below file systems ---------------------------------------------------------- */

static bool probe_luks(struct probe *p)
{
	const uint8_t *h = get(p, 0, SECTOR);
	unsigned version;

	if (!h || memcmp(h, "LUKS\xba\xbe", 6) != 0)
		return false;
	version = get_be16(h + 6);
	snprintf(p->out->version, sizeof(p->out->version), "%u", version);
	memcpy(p->out->uuid, h + 168, FSPROBE_UUID - 1);
	if (version == 2)
		put_label(p->out->label, h + 24, 48);
	return found(p, "crypto_LUKS", CRYPTO);
}

/* "xxxxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxxxx" of 32 letters and digits. */
static void put_lvm_id(char dst[FSPROBE_UUID], const uint8_t *id)
{
	for (unsigned i = 0; i < 32; i++) {
		if (i >= 6 && i <= 26 && (i - 6) % 4 == 0)
			*dst++ = '-';
		*dst++ = (char)id[i];
	}
	*dst = 0;
}

static bool probe_lvm(struct probe *p)
{
	for (unsigned sector = 0; sector < 4; sector++) {
		const uint8_t *l = get(p, sector * SECTOR, SECTOR);
		uint32_t header;

		if (!l || memcmp(l, "LABELONE", 8) != 0 ||
		    memcmp(l + 24, "LVM2 001", 8) != 0)
			continue;
		header = get_le32(l + 20);
		if (header <= SECTOR - 32)
			put_lvm_id(p->out->uuid, l + header);
		str_copy(p->out->version, sizeof(p->out->version), "LVM2 001");
		return found(p, "LVM2_member", RAID);
	}
	return false;
}

static bool probe_md1(struct probe *p, uint64_t off, const char *version)
{
	const uint8_t *sb = get(p, off, 256);

	if (!sb || get_le32(sb) != 0xa92b4efc || get_le32(sb + 4) != 1 ||
	    get_le64(sb + 144) != off / SECTOR)
		return false;
	put_uuid(p->out->uuid, sb + 16);
	put_uuid(p->out->uuid_sub, sb + 168);
	put_label(p->out->label, sb + 32, 32);
	str_copy(p->out->version, sizeof(p->out->version), version);
	return found(p, "linux_raid_member", RAID);
}

/* The superblocks of Linux's md: 1.1, 1.2, 1.0 (8 KiB before the end), 0.90 (64 KiB). */
static bool probe_md(struct probe *p)
{
	uint64_t sectors = p->dev->size / SECTOR;
	const uint8_t *sb;
	uint8_t id[16];

	if (probe_md1(p, 0, "1.1") || probe_md1(p, 4096, "1.2") ||
	    (sectors > 16 &&
	     probe_md1(p, ((sectors - 16) & ~UINT64_C(7)) * SECTOR, "1.0")))
		return true;
	if (p->dev->size < 128 << 10)
		return false;
	sb = get(p, (p->dev->size & ~UINT64_C(0xffff)) - 0x10000, 256);
	/* in the byte order of the machine that made it */
	if (!sb || (get_le32(sb) != 0xa92b4efc && get_be32(sb) != 0xa92b4efc))
		return false;
	for (unsigned i = 0; i < 4; i++)
		put_be32(id + 4 * i, get_le32(sb) == 0xa92b4efc
					     ? get_le32(sb + (i ? 48 + 4 * i : 20))
					     : get_be32(sb + (i ? 48 + 4 * i : 20)));
	put_uuid(p->out->uuid, id);
	str_copy(p->out->version, sizeof(p->out->version), "0.90.0");
	return found(p, "linux_raid_member", RAID);
}

/* The header is in the first page, its mark at the page's end; pages have five sizes. */
static bool probe_swap(struct probe *p)
{
	uint32_t page;

	for (page = 4096; page <= 65536; page <<= 1) {
		const uint8_t *mark = get(p, page - 10, 10);

		if (mark && (memcmp(mark, "SWAPSPACE2", 10) == 0 ||
			     memcmp(mark, "SWAP-SPACE", 10) == 0))
			break;
		if (mark && (memcmp(mark, "S1SUSPEND", 9) == 0 ||
			     memcmp(mark, "S2SUSPEND", 9) == 0))
			return found(p, "swsuspend", OTHER);
	}
	if (page <= 65536) {
		const uint8_t *h = get(p, 1024, 44);

		if (h && (get_le32(h) == 1 || get_be32(h) == 1)) {
			put_uuid(p->out->uuid, h + 12);
			put_label(p->out->label, h + 28, 16);
			str_copy(p->out->version, sizeof(p->out->version), "1");
		}
		return found(p, "swap", OTHER);
	}
	return false;
}

/* --- Linux's file systems ------------------------------------------------------------------ */

/* Features (ext4(5)) that the older ones have. */
enum {
	EXT_COMPAT_JOURNAL = 4,
	EXT_INCOMPAT_EXT2 = 0x2 | 0x10,
	EXT_INCOMPAT_EXT3 = 0x2 | 0x4 | 0x10,
	EXT_INCOMPAT_JOURNAL_DEV = 8,
	EXT_RO_OLD = 1 | 2 | 4,
};

static bool probe_ext(struct probe *p)
{
	const uint8_t *sb = get(p, 1024, SECTOR);
	uint32_t incompat, ro, shift;
	bool journal;

	if (!sb || get_le16(sb + 0x38) != 0xef53 || (shift = get_le32(sb + 0x18)) > 6)
		return false;
	journal = get_le32(sb + 0x5c) & EXT_COMPAT_JOURNAL;
	incompat = get_le32(sb + 0x60);
	ro = get_le32(sb + 0x64);
	put_uuid(p->out->uuid, sb + 0x68);
	put_label(p->out->label, sb + 0x78, 16);
	snprintf(p->out->version, sizeof(p->out->version), "%u.%u", get_le32(sb + 0x4c),
		 get_le16(sb + 0x3e));
	p->out->block_size = 1024U << shift;
	if (incompat & EXT_INCOMPAT_JOURNAL_DEV)
		return found(p, "jbd", OTHER);
	if (ro & ~(uint32_t)EXT_RO_OLD || incompat & ~(uint32_t)EXT_INCOMPAT_EXT3)
		return found(p, "ext4", FS);
	if (journal) {
		str_copy(p->out->sec_type, sizeof(p->out->sec_type), "ext2");
		return found(p, "ext3", FS);
	}
	return found(p, incompat & ~(uint32_t)EXT_INCOMPAT_EXT2 ? "ext4" : "ext2", FS);
}

static bool probe_xfs(struct probe *p)
{
	const uint8_t *sb = get(p, 0, SECTOR);

	if (!sb || memcmp(sb, "XFSB", 4) != 0 ||
	    !power_of_2(get_be32(sb + 4), 512, 65536) ||
	    !power_of_2(get_be16(sb + 102), 512, 32768))
		return false;
	put_uuid(p->out->uuid, sb + 32);
	put_label(p->out->label, sb + 108, 12);
	p->out->block_size = get_be16(sb + 102);
	return found(p, "xfs", FS);
}

static bool probe_btrfs(struct probe *p)
{
	const uint8_t *sb = get(p, 65536, 1024);

	if (!sb || memcmp(sb + 0x40, "_BHRfS_M", 8) != 0)
		return false;
	put_uuid(p->out->uuid, sb + 0x20);
	put_uuid(p->out->uuid_sub, sb + 0x10b);
	put_label(p->out->label, sb + 0x12b, 256);
	p->out->block_size = get_le32(sb + 0x90);
	return found(p, "btrfs", FS);
}

static bool probe_erofs(struct probe *p)
{
	const uint8_t *sb = get(p, 1024, 128);

	if (!sb || get_le32(sb) != 0xe0f5e1e2 || sb[12] < 9 || sb[12] > 16)
		return false;
	put_uuid(p->out->uuid, sb + 48);
	put_label(p->out->label, sb + 64, 16);
	p->out->block_size = 1U << sb[12];
	return found(p, "erofs", FS);
}

static bool probe_squashfs(struct probe *p)
{
	const uint8_t *sb = get(p, 0, 96);
	bool le = sb && memcmp(sb, "hsqs", 4) == 0;

	if (!sb || (!le && memcmp(sb, "sqsh", 4) != 0))
		return false;
	snprintf(p->out->version, sizeof(p->out->version), "%u.%u",
		 (unsigned)(le ? get_le16(sb + 28) : get_be16(sb + 28)),
		 (unsigned)(le ? get_le16(sb + 30) : get_be16(sb + 30)));
	if (!le || get_le16(sb + 28) < 4)
		return found(p, "squashfs3", FS);
	return found(p, "squashfs", FS);
}

/* ZFS keeps a ring of "uberblocks" in the second half of each of its labels. */
static bool probe_zfs(struct probe *p)
{
	unsigned good = 0;

	for (uint64_t off = 128 << 10; off < 256 << 10 && good < 4; off += 1024) {
		const uint8_t *u = get(p, off, 8);

		if (u && (get_le64(u) == 0xbab10c || get_be64(u) == 0xbab10c))
			good++;
	}
	return good == 4 && found(p, "zfs_member", FS);
}

/* --- optical media and FAT ----------------------------------------------------------------- */

/* "2026-11-21-10-00-00-00" of a date of ECMA-119 8.4.26.1, which is the id of a disc. */
static void put_date(char dst[FSPROBE_UUID], const uint8_t *date)
{
	if (memcmp(date, "0000000000000000", 16) == 0 || all_zero(date, 16))
		return;
	for (unsigned i = 0; i < 16; i++) {
		if (i >= 4 && i % 2 == 0)
			*dst++ = '-';
		*dst++ = (char)date[i];
	}
	*dst = 0;
}

static bool probe_iso(struct probe *p)
{
	const uint8_t *d = get(p, 32768, 1024);

	if (!d || d[0] != 1 || memcmp(d + 1, "CD001", 5) != 0)
		return false;
	put_label(p->out->label, d + 40, 32);
	put_date(p->out->uuid, d + 830);
	if (!p->out->uuid[0])
		put_date(p->out->uuid, d + 813);
	p->out->block_size = 2048;
	return found(p, "iso9660", FS);
}

/* A volume recognition sequence with NSR02 or NSR03 in it (ECMA-167 3/9.1). */
static bool probe_udf(struct probe *p)
{
	for (uint64_t off = 32768; off < 32768 + 16 * 2048; off += 2048) {
		const uint8_t *d = get(p, off, 8);

		if (d &&
		    (memcmp(d + 1, "NSR02", 5) == 0 || memcmp(d + 1, "NSR03", 5) == 0))
			return found(p, "udf", FS);
		if (!d ||
		    (memcmp(d + 1, "BEA01", 5) != 0 && memcmp(d + 1, "BOOT2", 5) != 0 &&
		     memcmp(d + 1, "CD001", 5) != 0))
			return false;
	}
	return false;
}

/* The volume's label is an entry in the root directory; n bytes of it at off. */
static void fat_label(struct probe *p, uint64_t off, uint64_t n)
{
	enum { ENTRY = 32, LONG_NAME = 0x0f, VOLUME = 0x08, DELETED = 0xe5 };

	for (uint64_t at = 0; at < MIN(n, 32768U); at += ENTRY) {
		const uint8_t *e = get(p, off + at, ENTRY);

		if (!e || !e[0])
			return;
		if (e[0] != DELETED && e[11] != LONG_NAME && (e[11] & 0x18) == VOLUME) {
			put_label(p->out->label, e, 11);
			if (e[0] == 0x05) /* 0xe5, which would mean "deleted" */
				p->out->label[0] = (char)0xe5;
			return;
		}
	}
}

static bool fat_plausible(const uint8_t *b)
{
	return b[510] == 0x55 && b[511] == 0xaa && (b[0] == 0xeb || b[0] == 0xe9) &&
	       power_of_2(get_le16(b + 11), 512, 4096) && power_of_2(b[13], 1, 128) &&
	       get_le16(b + 14) && b[16] >= 1 && b[16] <= 4 &&
	       (b[21] == 0xf0 || b[21] >= 0xf8);
}

static bool probe_fat(struct probe *p)
{
	const uint8_t *boot = get(p, 0, SECTOR);
	uint8_t b[SECTOR];
	uint32_t sector, fat, root, sectors, data, clusters;

	if (!boot || !fat_plausible(boot))
		return false;
	memcpy(b, boot, sizeof(b));
	sector = get_le16(b + 11);
	fat = get_le16(b + 22) ? get_le16(b + 22) : get_le32(b + 36);
	root = (get_le16(b + 17) * 32U + sector - 1) / sector;
	sectors = get_le16(b + 19) ? get_le16(b + 19) : get_le32(b + 32);
	data = (uint32_t)MIN((uint64_t)get_le16(b + 14) + (uint64_t)b[16] * fat,
			     UINT32_MAX);
	if (!fat || (uint64_t)data + root >= sectors)
		return false;
	clusters = (sectors - data - root) / b[13];
	p->out->block_size = sector;
	if (get_le16(b + 22)) {
		str_copy(p->out->sec_type, sizeof(p->out->sec_type), "msdos");
		str_copy(p->out->version, sizeof(p->out->version),
			 clusters < 4085 ? "FAT12" : "FAT16");
		put_serial(p->out->uuid, get_le32(b + 39));
		fat_label(p, (uint64_t)data * sector, (uint64_t)root * sector);
	} else {
		uint64_t first = get_le32(b + 44);

		str_copy(p->out->version, sizeof(p->out->version), "FAT32");
		put_serial(p->out->uuid, get_le32(b + 67));
		if (first >= 2)
			fat_label(p, ((first - 2) * b[13] + data) * sector,
				  (uint64_t)b[13] * sector);
	}
	return found(p, "vfat", FS);
}

static bool probe_exfat(struct probe *p)
{
	enum { ENTRY = 32, LABEL = 0x83 };
	const uint8_t *b = get(p, 0, SECTOR);
	uint64_t root;
	uint32_t cluster;

	if (!b || memcmp(b + 3, "EXFAT   ", 8) != 0 || b[108] < 9 || b[108] > 12 ||
	    b[109] > 25 - b[108] || get_le32(b + 96) < 2)
		return false;
	put_serial(p->out->uuid, get_le32(b + 100));
	snprintf(p->out->version, sizeof(p->out->version), "%u.%u", b[105], b[104]);
	p->out->block_size = 1U << b[108];
	cluster = 1U << (b[108] + b[109]);
	root = ((uint64_t)get_le32(b + 88) << b[108]) +
	       (uint64_t)(get_le32(b + 96) - 2) * cluster;
	for (uint32_t at = 0; at < MIN(cluster, 4096U); at += ENTRY) {
		const uint8_t *e = get(p, root + at, ENTRY);

		if (!e || !e[0])
			break;
		if (e[0] == LABEL && e[1] <= 11)
			put_utf16(p->out->label, e + 2, e[1]);
	}
	return found(p, "exfat", FS);
}

/* --- partition tables ---------------------------------------------------------------------- */

/* GPT's header (UEFI 5.3.2); the second one is in the last sector. */
static const uint8_t *gpt_header(struct probe *p)
{
	const uint32_t sector = p->dev->sector ? p->dev->sector : SECTOR;
	const uint64_t places[] = {sector, p->dev->size - sector};

	for (unsigned i = 0; i < 2 && p->dev->size >= 2 * (uint64_t)sector; i++) {
		const uint8_t *h = get(p, places[i], 92);

		if (h && memcmp(h, "EFI PART", 8) == 0)
			return h;
	}
	return NULL;
}

static bool dos_plausible(const uint8_t *b)
{
	bool any = false;

	if (b[510] != 0x55 || b[511] != 0xaa)
		return false;
	for (const uint8_t *e = b + 446; e < b + 510; e += 16) {
		if (e[0] & 0x7f)
			return false;
		any |= e[4] && get_le32(e + 12);
	}
	return any;
}

static bool probe_table(struct probe *p)
{
	const uint8_t *h = gpt_header(p);

	if (h) {
		put_guid(p->out->ptuuid, h + 56);
		str_copy(p->out->pttype, sizeof(p->out->pttype), "gpt");
		return true;
	}
	h = get(p, 0, SECTOR);
	if (!h || !dos_plausible(h))
		return false;
	if (get_le32(h + 440))
		snprintf(p->out->ptuuid, sizeof(p->out->ptuuid), "%08x",
			 get_le32(h + 440));
	str_copy(p->out->pttype, sizeof(p->out->pttype), h[450] == 0xee ? "PMBR" : "dos");
	return true;
}

static int gpt_part(struct probe *p, const uint8_t *h, uint64_t start,
		    struct fsprobe_part *ret)
{
	const uint32_t sector = p->dev->sector ? p->dev->sector : SECTOR;
	uint64_t lba = get_le64(h + 72);
	uint32_t count = get_le32(h + 80), size = get_le32(h + 84);

	if (size < 128 || size > READ_MAX || lba > p->dev->size / sector)
		return 0;
	for (uint32_t i = 0; i < MIN(count, (uint32_t)GPT_ENTRIES); i++) {
		const uint8_t *e = get(p, lba * sector + (uint64_t)i * size, 128);

		if (!e)
			return p->failed ? -1 : 0;
		if (all_zero(e, 16) || get_le64(e + 32) != start / sector)
			continue;
		put_guid(ret->uuid, e + 16);
		put_utf16(ret->label, e + 56, 36);
		return 1;
	}
	return 0;
}

int fsprobe_part(const struct fsprobe_dev *disk, unsigned number, uint64_t start,
		 struct fsprobe_part *ret)
{
	struct fsprobe none;
	struct probe p = {.dev = disk, .out = &none};
	const uint8_t *h = gpt_header(&p);

	*ret = (struct fsprobe_part){0};
	if (h)
		return gpt_part(&p, h, start, ret);
	h = get(&p, 0, SECTOR);
	if (h && dos_plausible(h) && get_le32(h + 440)) {
		snprintf(ret->uuid, sizeof(ret->uuid), "%08x-%02x", get_le32(h + 440),
			 number & 0xff);
		return 1;
	}
	return p.failed ? -1 : 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

/*
 * In this order, what is below file systems first: their marks survive a mkfs more easily
 * than a file system's survive pvcreate. FAT has the weakest mark, so it comes late.
 */
static bool probe_all(struct probe *p)
{
	return probe_luks(p) || probe_md(p) || probe_lvm(p) || probe_ext(p) ||
	       probe_xfs(p) || probe_btrfs(p) || probe_erofs(p) || probe_squashfs(p) ||
	       probe_swap(p) || probe_exfat(p) || probe_plain(p) || probe_fat(p) ||
	       probe_iso(p) || probe_udf(p) || probe_zfs(p);
}

int fsprobe(const struct fsprobe_dev *dev, struct fsprobe *ret)
{
	struct fsprobe out = {0};
	struct probe p = {.dev = dev, .out = &out};
	bool any = probe_all(&p);

	/* a boot sector of FAT also looks like a table; a disc may have both */
	if (!any || str_eq(out.type, "iso9660") || str_eq(out.type, "udf"))
		any |= probe_table(&p);
	if (p.failed)
		return -1;
	if (any)
		*ret = out;
	return any;
}
