#include "os/module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"

enum {
	INDEX_MAX = 64 << 20,
	COMPRESSED =
		4, /* MODULE_INIT_COMPRESSED_FILE of linux/module.h, since Linux 5.17 */
	PARAMS_MAX = 2048,
	ALIAS_MAX = 1024,
	DEPTH_MAX = 24, /* of directories below /sys/devices */
	ROUNDS = 4,	/* of coldplug: a device behind a bus behind a bus */
};

static int map_index(struct module_index *mi, struct err *err)
{
	FD_AUTO fd = openat(mi->dirfd, "cribox.index", O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, errno, "cribox.index");
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > INDEX_MAX)
		return err_set(err, ERR_CORRUPT, "cribox.index: not an index");
	mi->size = (size_t)st.st_size;
	mi->map = mmap(NULL, mi->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (mi->map == MAP_FAILED) {
		mi->map = NULL;
		return err_sys(err, errno, "cribox.index: mmap");
	}
	return modindex_init(&mi->ix, mi->map, mi->size, err);
}

static int open_in(struct module_index *mi, const char *dir, struct err *err)
{
	mi->dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mi->dirfd < 0)
		return err_sys(err, errno, "kernel modules: %s", dir);
	if (map_index(mi, err) < 0) {
		module_index_close(mi);
		return err_wrap(err, "kernel modules: %s", dir);
	}
	return 0;
}

int module_index_open(struct module_index *mi, const char *dir, struct err *err)
{
	static const char *const places[] = {"/payload/lib/modules", "/lib/modules"};
	struct utsname uts;
	char path[128];

	*mi = (struct module_index){.dirfd = -1};
	if (dir)
		return open_in(mi, dir, err);
	if (uname(&uts) < 0)
		return err_sys(err, errno, "uname");
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], uts.release);
		if (open_in(mi, path, err) == 0)
			return 0;
	}
	return -1;
}

void module_index_close(struct module_index *mi)
{
	if (mi->map)
		munmap(mi->map, mi->size);
	fd_close(&mi->dirfd);
	*mi = (struct module_index){.dirfd = -1};
}

/* --- what is denied, and parameters ------------------------------------------------------- */

/* a's first n bytes and the whole of b, '-' and '_' being the same. */
static bool same_name(const char *a, size_t n, const char *b)
{
	for (size_t i = 0; i < n; i++) {
		char x = a[i] == '-' ? '_' : a[i], y = b[i] == '-' ? '_' : b[i];

		if (x != y || !y)
			return false;
	}
	return !b[n];
}

/* The length of the word at s: to the next white space that is not in quotes. */
static size_t word_len(const char *s)
{
	bool quoted = false;
	size_t n = 0;

	for (; s[n] && (quoted || !strchr(" \t\n", s[n])); n++)
		if (s[n] == '"')
			quoted = !quoted;
	return n;
}

/* The next word of a command line from *p on, which is moved behind it; NULL at the end. */
static const char *next_word(const char **p, size_t *ret_n)
{
	const char *s = *p + strspn(*p, " \t\n");
	size_t n = word_len(s);

	if (!n)
		return NULL;
	*p = s + n;
	*ret_n = n;
	return s;
}

static bool in_blacklist(const char *s, size_t n, const char *name)
{
	while (n) {
		const char *comma = memchr(s, ',', n);
		size_t len = comma ? (size_t)(comma - s) : n;

		if (same_name(s, len, name))
			return true;
		s += len + !!comma;
		n -= len + !!comma;
	}
	return false;
}

static bool is_denied(const struct module_index *mi, const char *name)
{
	static const char key[] = "modprobe.blacklist=";
	const char *p = mi->cmdline, *word;
	size_t n;

	for (const char *const *d = mi->deny; d && *d; d++)
		if (same_name(*d, strlen(*d), name))
			return true;
	while (p && (word = next_word(&p, &n)))
		if (n > sizeof(key) - 1 && strncmp(word, key, sizeof(key) - 1) == 0 &&
		    in_blacklist(word + sizeof(key) - 1, n - (sizeof(key) - 1), name))
			return true;
	return false;
}

int module_params(char *dst, size_t size, const char *cmdline, const char *name)
{
	size_t len = strlen(dst), n;
	const char *p = cmdline, *word;

	while (p && (word = next_word(&p, &n))) {
		const char *dot = memchr(word, '.', n);
		size_t skip = dot ? (size_t)(dot - word) : 0, rest = n - skip;

		if (!dot || rest < 2 || !same_name(word, skip, name))
			continue;
		if (len + rest + 1 > size)
			return -1;
		if (len)
			dst[len++] = ' ';
		memcpy(dst + len, dot + 1, rest - 1);
		len += rest - 1;
		dst[len] = 0;
	}
	return 0;
}

/* --- one module --------------------------------------------------------------------------- */

bool module_is_loaded(const char *name)
{
	char path[128], state[8] = "";
	FD_AUTO fd = -1;

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fd_read_full(fd, state, sizeof(state) - 1) > 0 &&
	       str_starts(state, "live");
}

/* What finit_module means by its error numbers. */
static int load_error(struct err *err, const char *name)
{
	int sys = errno;

	if (sys == ENOENT)
		return err_set(err, ERR_STATE, "%s: a symbol it needs is not there",
			       name);
	if (sys == ENOEXEC)
		return err_set(err, ERR_CORRUPT, "%s: not a module of this kernel", name);
	return err_sys(err, sys, "%s", name);
}

/* 1: loaded, 0: was there, -1. */
static int load_file(struct module_index *mi, int number, const char *params,
		     struct err *err)
{
	const char *name = modindex_name(&mi->ix, number);
	const char *file = modindex_file(&mi->ix, number);
	char text[PARAMS_MAX] = "";
	FD_AUTO fd = -1;

	if (is_denied(mi, name))
		return err_set(err, ERR_DENIED, "%s: denied by the configuration", name);
	if (module_is_loaded(name))
		return 0;
	if (str_copy(text, sizeof(text), str_or_empty(params)) < 0 ||
	    module_params(text, sizeof(text), mi->cmdline, name) < 0)
		return err_set(err, ERR_INVALID, "%s: too many parameters", name);
	fd = openat(mi->dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, errno, "%s", file);
	if (syscall(SYS_finit_module, fd, text, str_ends(file, ".ko") ? 0 : COMPRESSED) <
	    0)
		return errno == EEXIST ? 0 : load_error(err, name);
	return 1;
}

static int load_one(struct module_index *mi, int number, const char *params,
		    struct err *err)
{
	uint8_t *mark = &mi->loaded[number / 8], bit = (uint8_t)(1 << number % 8);
	int r;

	if (*mark & bit || !modindex_file(&mi->ix, number))
		return 0;
	r = load_file(mi, number, params, err);
	if (r >= 0)
		*mark |= bit;
	return r;
}

/* With all that it needs. How many were loaded, or -1. */
static int load_with_needs(struct module_index *mi, int number, const char *params,
			   struct err *err)
{
	struct modindex_links needs = modindex_needs(&mi->ix, number);
	int count = 0, r;

	if (mi->loaded[number / 8] & 1 << number % 8)
		return 0;
	for (uint32_t i = 0; i < needs.count; i++) {
		struct err why;
		bool soft;
		int need = modindex_link(&mi->ix, needs, i, &soft);

		r = need < 0 ? err_set(&why, ERR_CORRUPT, "damaged index")
			     : load_one(mi, need, NULL, &why);
		if (r < 0 && !soft) {
			*err = why;
			return err_wrap(err, "%s needs", modindex_name(&mi->ix, number));
		}
		count += r > 0;
	}
	r = load_one(mi, number, params, err);
	return r < 0 ? -1 : count + r;
}

/* --- a name, an alias, a list ------------------------------------------------------------- */

/* Goes through the modules that a word means: start with {0}. */
struct meaning {
	bool begun;
	uint32_t pos;
};

static int next_meant(const struct modindex *ix, const char *what, struct meaning *m)
{
	bool soft;

	if (*what == '@') {
		struct modindex_links list = modindex_list(ix, what + 1);

		return m->pos < list.count ? modindex_link(ix, list, m->pos++, &soft)
					   : -1;
	}
	if (!m->begun) {
		int number = modindex_find(ix, what);

		m->begun = true;
		if (number >= 0) {
			m->pos = UINT32_MAX;
			return number;
		}
	}
	return m->pos == UINT32_MAX ? -1 : modindex_match(ix, what, &m->pos);
}

static int unknown(const char *what, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "%s: no such module, and no module for it",
		       what);
}

int module_load(struct module_index *mi, const char *what, const char *params,
		struct err *err)
{
	struct meaning m = {0};
	int number, count = 0, known = 0, good = 0;

	while (number = next_meant(&mi->ix, what, &m), number >= 0) {
		int r = load_with_needs(mi, number, params, err);

		known++;
		good += r >= 0;
		count += r > 0 ? r : 0;
	}
	if (!known)
		return unknown(what, err);
	return good ? count : -1;
}

int module_plan(struct module_index *mi, const char *what,
		void (*fn)(void *arg, const char *name, const char *file), void *arg,
		struct err *err)
{
	struct meaning m = {0};
	int number, known = 0;

	for (; number = next_meant(&mi->ix, what, &m), number >= 0; known++) {
		struct modindex_links needs = modindex_needs(&mi->ix, number);

		for (uint32_t i = 0; i < needs.count; i++) {
			bool soft;
			int need = modindex_link(&mi->ix, needs, i, &soft);

			fn(arg, modindex_name(&mi->ix, need),
			   modindex_file(&mi->ix, need));
		}
		fn(arg, modindex_name(&mi->ix, number), modindex_file(&mi->ix, number));
	}
	return known ? 0 : unknown(what, err);
}

int module_remove(const char *name, struct err *err)
{
	char text[MODINDEX_NAME_MAX];

	if (str_copy(text, sizeof(text), name) < 0)
		return err_set(err, ERR_INVALID, "%s: not a module's name", name);
	for (char *p = text; *p; p++)
		*p = *p == '-' ? '_' : *p;
	if (syscall(SYS_delete_module, text, O_NONBLOCK) == 0)
		return 0;
	if (errno == EWOULDBLOCK || errno == EBUSY)
		return err_set(err, ERR_STATE, "%s: in use", name);
	if (errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "%s: not loaded", name);
	return err_sys(err, errno, "%s", name);
}

/* --- coldplug ----------------------------------------------------------------------------- */

struct coldplug {
	struct module_index *mi;
	int loaded;
	unsigned failed;
	struct err *err;
};

/* The alias is all that is in the file "modalias", or a line of "uevent". */
static void plug(struct coldplug *c, int dirfd, const char *file, const char *before)
{
	char text[ALIAS_MAX], *alias;
	FD_AUTO fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);
	struct err why;
	int r;

	if (n <= 0)
		return;
	text[n] = 0;
	alias = strstr(text, before);
	if (!alias)
		return;
	alias += strlen(before);
	alias[strcspn(alias, "\n")] = 0;
	r = module_load(c->mi, alias, NULL, &why);
	if (r > 0) {
		c->loaded += r;
	} else if (r < 0 && why.code != ERR_NOT_FOUND && why.code != ERR_DENIED) {
		c->failed++;
		*c->err = why;
	}
}

struct entry64 { /* linux_dirent64, getdents64(2) */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};
enum { TYPE_DIR = 4 };

static bool has_devices(const char *name)
{
	/* many, and none of them holds a device */
	return name[0] != '.' && !str_eq(name, "power") && !str_eq(name, "queues") &&
	       !str_eq(name, "statistics") && !str_eq(name, "msi_irqs");
}

static void walk(struct coldplug *c, int dirfd, unsigned depth)
{
	_Alignas(struct entry64) char buf[2048];
	bool alias = false, device = false, taken = false;
	long n;

	while (n = syscall(SYS_getdents64, dirfd, buf, sizeof(buf)), n > 0) {
		for (long at = 0; at < n;) {
			const struct entry64 *e = (const void *)(buf + at);

			at += e->reclen;
			if (str_eq(e->name, "modalias"))
				alias = true;
			else if (str_eq(e->name, "subsystem"))
				device = true;
			else if (str_eq(e->name, "driver") || str_eq(e->name, "dev"))
				taken = true;
			if (e->type == TYPE_DIR && has_devices(e->name) &&
			    depth < DEPTH_MAX) {
				FD_AUTO fd = openat(dirfd, e->name,
						    O_RDONLY | O_DIRECTORY | O_CLOEXEC |
							    O_NOFOLLOW);

				if (fd >= 0)
					walk(c, fd, depth + 1);
			}
		}
	}
	if (alias)
		plug(c, dirfd, "modalias", "");
	else if (device && !taken) /* memory cards have it in their uevents alone */
		plug(c, dirfd, "uevent", "MODALIAS=");
}

int module_coldplug(struct module_index *mi, unsigned *ret_failed, struct err *err)
{
	struct coldplug c = {.mi = mi, .err = err};
	int before = -1;

	for (int round = 0; round < ROUNDS && c.loaded != before; round++) {
		FD_AUTO fd = open("/sys/devices", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return err_sys(err, errno, "/sys/devices");
		before = c.loaded;
		c.failed = 0;
		walk(&c, fd, 0);
	}
	*ret_failed = c.failed;
	return c.loaded;
}
