#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/record.h"
#include "store/store-int.h"

static const char *const names[STORE_DIR_COUNT] = {
	[STORE_ROOT] = ".",
	[STORE_IMAGES] = "images",
	[STORE_LAYERS] = "layers",
	[STORE_PODS] = "pods",
	[STORE_CONTAINERS] = "containers",
	[STORE_TMP] = "tmp",
};

void store_free(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < STORE_DIR_COUNT; i++)
		fd_close(&s->fds[i]);
	free(s);
}

struct store *store_open(const char *root, struct err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int ok = 0;

	for (unsigned i = 0; i < STORE_DIR_COUNT; i++)
		s->fds[i] = -1;
	if (proc_boot_id(s->boot, err) < 0 || file_mkdirs(AT_FDCWD, root, 0700, err) < 0)
		ok = -1;
	if (ok == 0) {
		s->fds[STORE_ROOT] =
			file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
		ok = s->fds[STORE_ROOT] < 0 ? -1 : 0;
	}
	for (unsigned i = STORE_ROOT + 1; ok == 0 && i < STORE_DIR_COUNT; i++) {
		s->fds[i] = file_open_dir(s->fds[STORE_ROOT], names[i], true, 0700, err);
		ok = s->fds[i] < 0 ? -1 : 0;
	}
	if (ok < 0) {
		err_wrap(err, "store %s", root);
		store_free(s);
		return NULL;
	}
	return s;
}

int store_fd(const struct store *s, enum store_dir which)
{
	return s->fds[which];
}

int store_lock(struct store *s, struct err *err)
{
	FD_AUTO fd = file_open(s->fds[STORE_ROOT], "lock", O_RDWR | O_CREAT | O_NOFOLLOW,
			       0600, err);
	int r;

	if (fd < 0)
		return -1;
	do
		r = flock(fd, LOCK_EX);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_sys(err, errno, "lock the store");
	return fd_take(&fd);
}

void store_tmp_name(char dst[STORE_TMP_NAME], const char *prefix)
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];

	proc_random(random, sizeof(random));
	str_hex(hex, random, sizeof(random));
	snprintf(dst, STORE_TMP_NAME, "%.16s-%s", prefix, hex);
}

int store_discard(struct store *s, enum store_dir which, const char *name,
		  struct err *err)
{
	char tmp[STORE_TMP_NAME];

	store_tmp_name(tmp, "gone");
	if (renameat(s->fds[which], name, s->fds[STORE_TMP], tmp) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "discard %s", name);
	return 0;
}

int store_empty(int dirfd, const char *prefix, struct err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		err_sys(err, errno, "read directory");
		fd_close(&fd);
		return -1;
	}
	while (r == 0 && (e = readdir(d)))
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, "..") &&
		    str_starts(e->d_name, prefix))
			r = file_remove_tree(dirfd, e->d_name, err);
	closedir(d);
	return r;
}

void store_add_digest(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		      const struct digest *digest)
{
	char text[DIGEST_TEXT];

	if (digest->algo == DIGEST_NONE)
		return;
	digest_format(text, digest);
	json_add_str(d, obj, key, text);
}

void store_get_digest(yyjson_val *obj, const char *key, struct digest *ret)
{
	const char *text = json_str(obj, key);
	struct err ignored;

	if (!text || digest_parse(text, ret, &ignored) < 0)
		memset(ret, 0, sizeof(*ret));
}

yyjson_doc *store_read_json(int dirfd, const char *name, const char *kind,
			    char ret_boot[PROC_BOOT_ID], struct err *err)
{
	BUF_AUTO b = {0};
	yyjson_doc *d;

	if (record_read_boot(dirfd, name, kind, RECORD_MAX, &b, ret_boot, err) < 0)
		return NULL;
	d = json_parse(b.data, b.len, err);
	if (!d) {
		err_wrap(err, "record %s", name);
		err->code = ERR_CORRUPT;
	}
	return d;
}

int store_write_json(int dirfd, const char *name, const char *kind,
		     const yyjson_mut_doc *d, bool sync, struct err *err)
{
	BUF_AUTO b = {0};

	json_write(d, false, &b);
	return record_write(dirfd, name, kind, b.data, b.len, sync, err);
}
