#include "unit.h"

#include "wire/fsprobe.h"

#include "base/num.h"
#include "base/str.h"

/* An image in memory; reads beyond `good` fail as a broken medium does. */
struct image {
	uint8_t data[256 << 10];
	size_t good;
};

static int read_image(void *arg, uint64_t off, void *dst, size_t n)
{
	const struct image *im = arg;

	if (off + n > im->good)
		return -1;
	memcpy(dst, im->data + off, n);
	return 0;
}

static struct image im;

static struct fsprobe_dev dev_of(size_t size)
{
	memset(&im, 0, sizeof(im));
	im.good = size;
	return (struct fsprobe_dev){.read = read_image, .arg = &im, .size = size};
}

static void put16(size_t at, unsigned v)
{
	im.data[at] = (uint8_t)v;
	im.data[at + 1] = (uint8_t)(v >> 8);
}

static void put_text16(size_t at, const char *s)
{
	for (; *s; s++, at += 2)
		put16(at, (unsigned char)*s);
}

TEST(nothing_on_nothing)
{
	for (size_t size = 0; size < 6000; size += 37) {
		struct fsprobe_dev d = dev_of(size);
		struct fsprobe p;

		CHECK_INT(fsprobe(&d, &p), 0);
	}
}

TEST(a_medium_that_cannot_be_read_is_not_empty)
{
	struct fsprobe_dev d = dev_of(256 << 10);
	struct fsprobe p;

	im.good = 2000;
	CHECK_INT(fsprobe(&d, &p), -1);
	im.good = 0;
	CHECK_INT(fsprobe(&d, &p), -1);
}

static void ext(uint32_t compat, uint32_t incompat, uint32_t ro)
{
	put16(1024 + 0x38, 0xef53);
	put_le32(im.data + 1024 + 0x5c, compat);
	put_le32(im.data + 1024 + 0x60, incompat);
	put_le32(im.data + 1024 + 0x64, ro);
	memcpy(im.data + 1024 + 0x78, "0123456789abcdefXX", 18);
}

TEST(ext_by_its_features)
{
	static const struct {
		uint32_t compat, incompat, ro;
		const char *type;
	} cases[] = {
		{0, 2, 3, "ext2"},    {4, 2, 3, "ext3"},     {4, 0x42, 3, "ext4"},
		{0, 0x42, 3, "ext4"}, {4, 2, 0x400, "ext4"}, {0, 8, 0, "jbd"},
		{0, 4, 0, "ext4"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fsprobe_dev d = dev_of(8192);
		struct fsprobe p;

		ext(cases[i].compat, cases[i].incompat, cases[i].ro);
		CHECK_INT(fsprobe(&d, &p), 1);
		CHECK_STR(p.type, cases[i].type);
		CHECK_STR(p.label, "0123456789abcdef"); /* no NUL in its field */
		CHECK_STR(p.uuid, "");
	}
}

TEST(lvm_and_md_come_before_what_they_carry)
{
	struct fsprobe_dev d = dev_of(200 << 10);
	struct fsprobe p;

	ext(4, 2, 0);
	memcpy(im.data + 512, "LABELONE", 8);
	put_le32(im.data + 512 + 20, 32);
	memcpy(im.data + 512 + 24, "LVM2 001", 8);
	memcpy(im.data + 512 + 32, "abcdefghijklmnopqrstuvwxyz012345", 32);
	CHECK_INT(fsprobe(&d, &p), 1);
	CHECK_STR(p.type, "LVM2_member");
	CHECK_STR(p.uuid, "abcdef-ghij-klmn-opqr-stuv-wxyz-012345");
	put_le32(im.data + 512 + 20, 4000); /* a header beyond the sector: no id */
	CHECK_INT(fsprobe(&d, &p), 1);
	CHECK_STR(p.uuid, "");

	put_le32(im.data + 4096, 0xa92b4efc);
	put_le32(im.data + 4096 + 4, 1);
	put_le32(im.data + 4096 + 144, 8);
	memcpy(im.data + 4096 + 32, "host:array", 10);
	CHECK_INT(fsprobe(&d, &p), 1);
	CHECK_STR(p.type, "linux_raid_member");
	CHECK_STR(p.label, "host:array");
}

/* GPT of two partitions in sectors of a size. */
static struct fsprobe_dev gpt(uint32_t sector)
{
	struct fsprobe_dev d = dev_of(128 << 10);
	uint8_t *h = im.data + sector, *e = im.data + 2 * sector;

	d.sector = sector;
	memcpy(h, "EFI PART", 8);
	put_le32(h + 72, 2);
	put_le32(h + 80, 4);
	put_le32(h + 84, 128);
	for (unsigned i = 0; i < 16; i++)
		h[56 + i] = e[16 + i] = e[128 + 16 + i] = (uint8_t)(i + 1);
	e[0] = e[128] = 1;
	put_le32(e + 32, 8);
	put_text16((size_t)(e - im.data) + 56, "first");
	e[128 + 16] = 0xff;
	put_le32(e + 128 + 32, 16);
	put16((size_t)(e - im.data) + 128 + 56, 0xd83d); /* U+1F433, then half a pair */
	put16((size_t)(e - im.data) + 128 + 58, 0xdc33);
	put16((size_t)(e - im.data) + 128 + 60, 0xd83d);
	return d;
}

TEST(gpt_partitions)
{
	for (uint32_t sector = 512; sector <= 4096; sector *= 8) {
		struct fsprobe_dev d = gpt(sector);
		struct fsprobe_part part;
		struct fsprobe p;

		CHECK_INT(fsprobe(&d, &p), 1);
		CHECK_STR(p.pttype, "gpt");
		CHECK_STR(p.ptuuid, "04030201-0605-0807-090a-0b0c0d0e0f10");
		CHECK_STR(p.type, "");
		CHECK_INT(fsprobe_part(&d, 1, 8 * (uint64_t)sector, &part), 1);
		CHECK_STR(part.label, "first");
		CHECK_STR(part.uuid, "04030201-0605-0807-090a-0b0c0d0e0f10");
		CHECK_INT(fsprobe_part(&d, 2, 16 * (uint64_t)sector, &part), 1);
		CHECK_STR(part.label, "\360\237\220\263\357\277\275");
		CHECK_STR(part.uuid, "040302ff-0605-0807-090a-0b0c0d0e0f10");
		CHECK_INT(fsprobe_part(&d, 3, 24 * (uint64_t)sector, &part), 0);
	}
}

TEST(gpt_with_senseless_numbers)
{
	struct fsprobe_dev d = gpt(512);
	struct fsprobe_part part;

	put_le32(im.data + 512 + 72, 0xffffffff);
	put_le32(im.data + 512 + 76, 0xffffffff);
	CHECK_INT(fsprobe_part(&d, 1, 8 * 512, &part), 0);
	put_le32(im.data + 512 + 72, 2);
	put_le32(im.data + 512 + 76, 0);
	put_le32(im.data + 512 + 80, 0xffffffff); /* entries */
	CHECK_INT(fsprobe_part(&d, 1, 99 * 512, &part), 0);
	put_le32(im.data + 512 + 84, 1 << 30); /* their size */
	CHECK_INT(fsprobe_part(&d, 1, 8 * 512, &part), 0);
}

TEST(dos_table_and_boot_sector)
{
	struct fsprobe_dev d = dev_of(64 << 10);
	struct fsprobe_part part;
	struct fsprobe p;

	im.data[510] = 0x55;
	im.data[511] = 0xaa;
	CHECK_INT(fsprobe(&d, &p), 0); /* no entry: no table */
	im.data[446 + 4] = 0x83;
	put_le32(im.data + 446 + 12, 100);
	put_le32(im.data + 440, 0x1234abcd);
	CHECK_INT(fsprobe(&d, &p), 1);
	CHECK_STR(p.pttype, "dos");
	CHECK_STR(p.ptuuid, "1234abcd");
	CHECK_INT(fsprobe_part(&d, 5, 0, &part), 1);
	CHECK_STR(part.uuid, "1234abcd-05");
	im.data[446] = 0x12; /* neither active nor not */
	CHECK_INT(fsprobe(&d, &p), 0);
	im.data[446] = 0;
	im.data[450] = 0xee;
	CHECK_INT(fsprobe(&d, &p), 1);
	CHECK_STR(p.pttype, "PMBR");
}
