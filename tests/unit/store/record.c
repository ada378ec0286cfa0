#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/record.h"

static int dir = -1;
static char path[64];

static void begin(void)
{
	strcpy(path, "/tmp/record-XXXXXX");
	CHECK(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
}

static void finish(void)
{
	struct err err;

	close(dir);
	CHECK_INT(file_remove_tree(AT_FDCWD, path, &err), 0);
}

TEST(written_is_read)
{
	BUF_AUTO b = {0};
	struct err err;
	struct stat st;
	char boot[PROC_BOOT_ID], now[PROC_BOOT_ID];

	begin();
	CHECK_INT(record_write(dir, "r", "pod", "{\"a\":1}", 7, false, &err), 0);
	CHECK_INT(record_read_boot(dir, "r", "pod", 100, &b, boot, &err), 0);
	CHECK_STR(buf_str(&b), "{\"a\":1}");
	CHECK_INT(proc_boot_id(now, &err), 0);
	CHECK_STR(boot, now);
	CHECK_INT(fstatat(dir, "r", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	CHECK_INT(record_write(dir, "r", "pod", "", 0, true, &err), 0);
	buf_reset(&b);
	CHECK_INT(record_read(dir, "r", "pod", 0, &b, &err), 0);
	CHECK_INT(b.len, 0);
	finish();
}

TEST(refusals)
{
	BUF_AUTO b = {0};
	struct err err;

	begin();
	CHECK_INT(record_read(dir, "r", "pod", 100, &b, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(record_write(dir, "r", "pod", "0123456789", 10, false, &err), 0);
	CHECK_INT(record_read(dir, "r", "container", 100, &b, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
	CHECK_HAS(err.msg, "record r: of kind pod, not container");
	CHECK_INT(record_read(dir, "r", "pod", 9, &b, &err), -1);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	CHECK_INT(mkdirat(dir, "d", 0700), 0);
	CHECK_INT(record_read(dir, "d", "pod", 9, &b, &err), -1);
	CHECK_INT(b.len, 0);
	finish();
}

TEST(newer_release_is_told_from_damage)
{
	BUF_AUTO text = {0};
	BUF_AUTO b = {0};
	struct err err;

	begin();
	buf_add_str(&text, "cribox-record 2 pod - 2 ");
	buf_add_fmt(&text, "%08x\n{}",
		    (unsigned)num_crc32c(num_crc32c(0, text.data, text.len), "{}", 2));
	CHECK_INT(file_replace(dir, "r", text.data, text.len, 0600, false, &err), 0);
	CHECK_INT(record_read(dir, "r", "pod", 100, &b, &err), -1);
	CHECK_INT(err.code, ERR_UNIMPLEMENTED);
	CHECK_HAS(err.msg, "newer release");
	finish();
}

TEST(every_damaged_byte_is_noticed)
{
	BUF_AUTO file = {0};
	BUF_AUTO b = {0};
	struct err err;

	begin();
	CHECK_INT(record_write(dir, "r", "pod", "{\"id\":\"x\"}", 10, false, &err), 0);
	CHECK_INT(file_read(dir, "r", 1000, &file, &err), 0);
	for (size_t i = 0; i < file.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			file.data[i] ^= (uint8_t)(1u << bit);
			CHECK_INT(file_replace(dir, "r", file.data, file.len, 0600, false,
					       &err),
				  0);
			CHECK_INT(record_read(dir, "r", "pod", 100, &b, &err), -1);
			CHECK_INT(err.code, ERR_CORRUPT);
			CHECK_HAS(err.msg, "record r: ");
			file.data[i] ^= (uint8_t)(1u << bit);
		}
		CHECK_INT(file_replace(dir, "r", file.data, i, 0600, false, &err), 0);
		CHECK_INT(record_read(dir, "r", "pod", 100, &b, &err), -1);
		CHECK_INT(err.code, ERR_CORRUPT);
	}
	CHECK_INT(b.len, 0);
	finish();
}
