/*
 * cache: compiled filters in files: "<key in hex>", which hold the SHA-256 of what follows,
 * and the filter. The digest is for what a crash or a full disk leaves; against people
 * stands that the directory and the file are ours, and writable by us alone.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "seccomp/seccomp-int.h"
#include "wire/digest.h"

enum {
	MAX_FILTER = BPF_MAXINSNS * sizeof(struct sock_filter),
	MAX_FILES = 256,
	NAME = 2 * SECCOMP_KEY + 1
};

static bool ours_alone(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type &&
	       st.st_uid == geteuid() && !(st.st_mode & 022);
}

static int open_dir(const char *dir, bool create)
{
	struct err ignored;
	FD_AUTO fd = -1;

	if (create && file_mkdirs(AT_FDCWD, dir, 0711, &ignored) < 0)
		return -1;
	fd = file_open_dir(AT_FDCWD, dir, false, 0, &ignored);

	return fd >= 0 && ours_alone(fd, S_IFDIR) ? fd_take(&fd) : -1;
}

/* What the file holds, if it is what was written there: appended to b without its digest. */
static bool read_filter(int fd, struct buf *b)
{
	uint8_t want[SHA256_LEN], *file;
	size_t at = b->len, n;
	struct err ignored;

	if (fd_read_all(fd, SHA256_LEN + MAX_FILTER, b, &ignored) < 0)
		return false;
	n = b->len - at;
	if (n <= SHA256_LEN || (n - SHA256_LEN) % sizeof(struct sock_filter) != 0)
		return false;
	file = b->data + at;
	sha256_of(file + SHA256_LEN, n - SHA256_LEN, want);
	if (memcmp(want, file, SHA256_LEN) != 0)
		return false;
	memmove(file, file + SHA256_LEN, n - SHA256_LEN);
	b->len -= SHA256_LEN;
	return true;
}

bool seccomp_cache_get(const char *dir, const uint8_t key[SECCOMP_KEY], struct buf *ret)
{
	FD_AUTO d = open_dir(dir, false);
	size_t before = ret->len;
	FD_AUTO fd = -1;
	char name[NAME];

	str_hex(name, key, SECCOMP_KEY);
	if (d < 0)
		return false;
	fd = openat(d, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && ours_alone(fd, S_IFREG) && read_filter(fd, ret))
		return true;
	ret->len = before;
	return false;
}

/* Profiles come and go with images; when there are many, all are made anew. */
static void make_room(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	size_t n = 0;

	if (!d)
		return;
	while (readdir(d))
		n++;
	rewinddir(d);
	while (n > MAX_FILES && (e = readdir(d)))
		if (*e->d_name != '.' && unlinkat(dir, e->d_name, 0) < 0)
			break;
	closedir(d);
}

void seccomp_cache_put(const char *dir, const uint8_t key[SECCOMP_KEY], const void *bpf,
		       size_t n)
{
	FD_AUTO d = open_dir(dir, true);
	uint8_t digest[SHA256_LEN];
	BUF_AUTO text = {0};
	char name[NAME];
	struct err ignored;

	if (d < 0 || n > MAX_FILTER)
		return;
	make_room(d);
	str_hex(name, key, SECCOMP_KEY);
	sha256_of(bpf, n, digest);
	buf_add(&text, digest, sizeof(digest));
	buf_add(&text, bpf, n);
	file_replace(d, name, text.data, text.len, 0600, false, &ignored);
}
