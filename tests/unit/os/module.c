/* The index of kernel modules, and what a command line says about them. */
#include "os/module.h"

#include <fcntl.h>

#include "base/buf.h"
#include "base/str.h"
#include "os/file.h"
#include "unit.h"

/*
 * What initramfs/modindex.py makes of: crc32c_generic; libcrc32c (softdep crc32c); jbd2; ext4 (jbd2,
 * libcrc32c); failover; net_failover; virtio_net and other_net for the same device; battery, whose alias
 * has a wildcard in the bus; nft_masq; virtio_pci, built in.
 */
static struct buf data;

static void open_index(struct modindex *ix)
{
	struct err err = {0};

	buf_reset(&data);
	CHECK(file_read(AT_FDCWD, "tests/fuzz/corpus/modindex/small", 1 << 20, &data,
			&err) == 0);
	CHECK(modindex_init(ix, data.data, data.len, &err) == 0);
}

static int alias(const struct modindex *ix, const char *name, char *dst)
{
	uint32_t pos = 0;
	int n, count = 0;

	*dst = 0;
	for (; n = modindex_match(ix, name, &pos), n >= 0; count++)
		strcat(strcat(dst, modindex_name(ix, n)), " ");
	return count;
}

TEST(names)
{
	struct modindex ix;

	open_index(&ix);
	CHECK_STR(modindex_name(&ix, modindex_find(&ix, "virtio_net")), "virtio_net");
	CHECK_STR(modindex_name(&ix, modindex_find(&ix, "virtio-net")), "virtio_net");
	CHECK_STR(modindex_file(&ix, modindex_find(&ix, "nft_masq")), "nft-masq.ko.xz");
	CHECK(modindex_find(&ix, "virtio_pci") >= 0);
	CHECK(!modindex_file(&ix, modindex_find(&ix, "virtio_pci")));
	CHECK_INT(modindex_find(&ix, "virtio"), -1);
	CHECK_INT(modindex_find(&ix, "virtio_net2"), -1);
	CHECK_INT(modindex_find(&ix, ""), -1);
	CHECK_STR(modindex_name(&ix, -1), "");
	CHECK_STR(modindex_name(&ix, 99), "");
}

TEST(aliases)
{
	struct modindex ix;
	char got[256];

	open_index(&ix);
	CHECK_INT(alias(&ix, "virtio:d00000001v00001AF4", got), 2);
	CHECK_STR(got, "virtio_net other_net ");
	CHECK_INT(alias(&ix, "virtio:d00000002v00001AF4", got), 1);
	CHECK_STR(got, "other_net ");
	CHECK_INT(alias(&ix, "virtio:d00000003v00001AF4", got), 0);
	CHECK_INT(alias(&ix, "acpi:PNP0C0A:", got), 1);
	CHECK_STR(got, "battery ");
	CHECK_INT(alias(&ix, "nft-expr-masq", got), 1);
	CHECK_INT(alias(&ix, "nft-expr-mas", got), 0);
	CHECK_INT(alias(&ix, "", got), 0);
	CHECK_INT(alias(&ix, "zzz", got), 0);
}

TEST(order_of_needs)
{
	struct modindex ix;
	struct modindex_links needs;
	bool soft;

	open_index(&ix);
	needs = modindex_needs(&ix, modindex_find(&ix, "ext4"));
	CHECK_INT(needs.count, 3);
	CHECK_STR(modindex_name(&ix, modindex_link(&ix, needs, 0, &soft)), "jbd2");
	CHECK(!soft);
	CHECK_STR(modindex_name(&ix, modindex_link(&ix, needs, 1, &soft)),
		  "crc32c_generic");
	CHECK(soft);
	CHECK_STR(modindex_name(&ix, modindex_link(&ix, needs, 2, &soft)), "libcrc32c");
	CHECK(!soft);
	CHECK_INT(modindex_list(&ix, "late").count, 2);
	CHECK_INT(modindex_list(&ix, "later").count, 0);
}

TEST(damaged_heads)
{
	struct modindex ix;
	struct err err;

	open_index(&ix);
	for (size_t n = 0; n < data.len; n++)
		CHECK(modindex_init(&ix, data.data, n, &err) < 0);
	data.data[7]++;
	CHECK(modindex_init(&ix, data.data, data.len, &err) < 0);
	CHECK_INT(err.code, ERR_CORRUPT);
}

static const char *params(const char *cmdline, const char *name)
{
	static char dst[64];

	*dst = 0;
	return module_params(dst, sizeof(dst), cmdline, name) < 0 ? "too long" : dst;
}

TEST(parameters_of_the_command_line)
{
	CHECK_STR(params("quiet ext4.a=1 b=2 ext4.c jbd2.x=3 ext4.d=\"a b\"", "ext4"),
		  "a=1 c d=\"a b\"");
	CHECK_STR(params("virtio-net.x=1 virtio_net.y", "virtio_net"), "x=1 y");
	CHECK_STR(params("ext4 ext4. .ext4 xext4.a=1 ext4x.a=1", "ext4"), "");
	CHECK_STR(params("\"ext4.a=1", "ext4"), "");
	CHECK_STR(params(NULL, "ext4"), "");
	CHECK_STR(params("ext4.abc="
			 "0123456789012345678901234567890123456789012345678901234567",
			 "ext4"),
		  "abc=0123456789012345678901234567890123456789012345678901234567");
	CHECK_STR(params("ext4.abc="
			 "012345678901234567890123456789012345678901234567890123456789",
			 "ext4"),
		  "too long");
}

struct plan {
	char text[256];
};

static void add(void *arg, const char *name, const char *file)
{
	struct plan *p = arg;

	strcat(strcat(strcat(p->text, file ? "" : "!"), name), " ");
}

TEST(plans)
{
	struct module_index mi = {.dirfd = -1};
	struct plan p = {""};
	struct err err;

	open_index(&mi.ix);
	CHECK_INT(module_plan(&mi, "@late", add, &p, &err), 0);
	CHECK_STR(p.text, "jbd2 crc32c_generic libcrc32c ext4 nft_masq ");
	*p.text = 0;
	CHECK_INT(module_plan(&mi, "virtio_pci", add, &p, &err), 0);
	CHECK_STR(p.text, "!virtio_pci ");
	CHECK_INT(module_plan(&mi, "nothing", add, &p, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(module_load(&mi, "nothing", NULL, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
}

static int try(const char *deny, const char *cmdline)
{
	struct module_index mi = {.dirfd = -1, .cmdline = cmdline};
	const char *names[] = {deny, NULL};
	struct err err = {0};

	open_index(&mi.ix);
	mi.deny = deny ? names : NULL;
	CHECK(module_load(&mi, "fs-ext4", NULL, &err) < 0); /* there are no files */
	return (int)err.code;
}

TEST(what_is_denied)
{
	CHECK(try("nft_masq", NULL) != ERR_DENIED);
	CHECK_INT(try("jbd2", NULL), ERR_DENIED);
	CHECK_INT(try(NULL, "quiet modprobe.blacklist=nft-masq,jbd2"), ERR_DENIED);
	CHECK(try(NULL, "modprobe.blacklist=jbd,jbd22,,") != ERR_DENIED);
}
