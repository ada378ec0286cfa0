#include "fetch/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "image/image.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/digest.h"
#include "wire/json.h"

enum { MAX_INDEX = 4 << 20, PIECE = 1 << 20 };

/* The complete name of an entry, by one of its annotations. 0, or -1: it has none. */
static int entry_name(yyjson_val *entry, const char *dir, struct ref *ret)
{
	yyjson_val *a = json_obj(entry, "annotations");
	const char *name = json_str(a, "io.containerd.image.name");
	const char *tag = json_str(a, "org.opencontainers.image.ref.name");
	STR_AUTO both = NULL;
	struct err ignored;

	if (name)
		return ref_parse(name, ret, &ignored);
	if (tag && strpbrk(tag, "/:@"))
		return ref_parse(tag, ret, &ignored);
	both = xasprintf("%s%s%s", dir, tag ? ":" : "", str_or_empty(tag));
	return ref_parse(both, ret, &ignored);
}

static int each_entry(int dir, const char *dirname, layout_fn *fn, void *arg)
{
	BUF_AUTO text = {0};
	struct err ignored;
	yyjson_val *entry;
	int r = 0;

	if (file_read(dir, "index.json", MAX_INDEX, &text, &ignored) < 0)
		return 0;
	JSON_AUTO doc = json_parse(text.data, text.len, &ignored);

	if (!doc)
		return 0;
	json_each (entry, json_arr(yyjson_doc_get_root(doc), "manifests")) {
		struct layout l = {.dir = dir};
		const char *digest = json_str(entry, "digest");
		struct ref name;

		if (r != 0 || !digest || !ref_is_digest(digest) ||
		    entry_name(entry, dirname, &name) < 0)
			continue;
		str_copy(l.digest, sizeof(l.digest), digest);
		str_copy(l.type, sizeof(l.type),
			 str_or_empty(json_str(entry, "mediaType")));
		r = fn(arg, &name, &l);
	}
	return r;
}

int layout_each(int dirfd, layout_fn *fn, void *arg)
{
	int list = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = list < 0 ? NULL : fdopendir(list);
	struct dirent *e;

	if (!d) {
		fd_close(&list);
		return 0;
	}
	while (r == 0 && (e = readdir(d))) {
		FD_AUTO dir = -1;

		if (*e->d_name == '.')
			continue;
		dir = openat(dirfd, e->d_name,
			     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir >= 0)
			r = each_entry(dir, e->d_name, fn, arg);
	}
	closedir(d);
	return r;
}

struct search {
	const struct ref *want;
	struct layout *ret;
};

static int matches(void *arg, const struct ref *name, const struct layout *l)
{
	const struct search *s = arg;

	if (!str_eq(name->domain, s->want->domain) || !str_eq(name->path, s->want->path))
		return 0;
	if (s->want->digest[0] ? !str_eq(s->want->digest, l->digest)
			       : !str_eq(name->tag, s->want->tag))
		return 0;
	*s->ret = *l;
	s->ret->dir = fcntl(l->dir, F_DUPFD_CLOEXEC, 0);
	return s->ret->dir >= 0;
}

int layout_find(int dirfd, const struct ref *want, struct layout *ret)
{
	struct search s = {want, ret};

	return layout_each(dirfd, matches, &s);
}

void layout_done(struct layout *l)
{
	fd_close(&l->dir);
}

/* blobs/sha256/<digits>; a digest holds no slash. An owned fd or -1. */
static int open_blob(const struct layout *l, const char *digest, struct err *err)
{
	STR_AUTO path = xasprintf("blobs/%s", digest);
	char *colon = strchr(path, ':');

	if (!ref_is_digest(digest))
		return err_set(err, ERR_INVALID, "blob %.80s: not a digest", digest);
	*colon = '/';
	return file_open(l->dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, err);
}

int layout_blob(const struct layout *l, const char *digest, size_t max, struct buf *out,
		struct err *err)
{
	FD_AUTO fd = open_blob(l, digest, err);
	BUF_AUTO data = {0};
	struct digest want;

	if (fd < 0 || fd_read_all(fd, max, &data, err) < 0 ||
	    digest_parse(digest, &want, err) < 0 ||
	    digest_check("blob", data.data, data.len, &want, err) < 0)
		return err_wrap(err, "image layout");
	buf_add(out, data.data, data.len);
	return 0;
}

int layout_stream(const struct layout *l, const char *digest, uint64_t size, int pipe,
		  void (*progress)(void *arg, uint64_t done), void *arg, struct err *err)
{
	FD_AUTO fd = open_blob(l, digest, err);
	uint64_t done = 0;
	struct stat st;

	if (fd < 0)
		return err_wrap(err, "image layout");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return err_set(err, ERR_CORRUPT,
			       "image layout: the blob has not the %llu bytes that were "
			       "announced",
			       (unsigned long long)size);
	while (done < size) {
		ssize_t n = splice(fd, NULL, pipe, NULL, PIECE, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EIO, "image layout: read");
		done += (uint64_t)n;
		progress(arg, done);
	}
	return 0;
}
