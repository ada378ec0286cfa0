/*
 * ident: who this machine is, and what became of it the last time: machine-id, a seed for
 * the kernel's pool, the last time seen, why it rebooted. What is kept between boots is on
 * the state partition.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "initjob/initjob.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

enum { SEED = 256, DUMPS = 32, DUMP_MAX = 1 << 20 };

#define KEPT_ID "/state/node/machine-id"
#define SEEN NODE_FILES "/seen"
#define GOODBYE NODE_FILES "/goodbye"
#define REASON "/run/cribox/reboot-reason"

static bool has_state(void)
{
	return access(NODE_FILES, W_OK) == 0;
}

static bool read_line(const char *path, struct buf *b)
{
	struct err err;

	buf_reset(b);
	if (file_read(AT_FDCWD, path, 4096, b, &err) < 0)
		return false;
	while (b->len && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == 0))
		b->len--;
	return b->len > 0;
}

static void keep(const char *path, const void *data, size_t n)
{
	struct err err;

	if (has_state() && file_replace(AT_FDCWD, path, data, n, 0600, true, &err) < 0)
		tell("identity", "%s", err.msg);
}

/* --- machine-id ----------------------------------------------------------------------------- */

/* 32 hexadecimal digits out of a text, which may have dashes. */
static bool id_of(const char *s, char id[33])
{
	size_t n = 0;

	for (; *s; s++) {
		char c = *s >= 'A' && *s <= 'F' ? (char)(*s + 32) : *s;

		if (c == '-')
			continue;
		if (n == 32 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		id[n++] = c;
	}
	id[n] = 0;
	return n == 32 && strspn(id, "0") < 32 && strspn(id, "f") < 32;
}

static void machine_id(void)
{
	static const char *const sources[] = {KEPT_ID, "/etc/machine-id",
					      "/sys/class/dmi/id/product_uuid",
					      "/proc/device-tree/vm,uuid",
					      "/proc/device-tree/system-id"};
	BUF_AUTO text = {0};
	char id[34];
	bool found = false;
	uint8_t random[16];
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(sources) && !found; i++)
		found = read_line(sources[i], &text) && id_of(buf_str(&text), id);
	if (!found) {
		proc_random(random, sizeof(random));
		random[6] =
			(uint8_t)((random[6] & 0x0f) | 0x40); /* RFC 9562, version 4 */
		random[8] = (uint8_t)((random[8] & 0x3f) | 0x80);
		str_hex(id, random, sizeof(random));
	}
	id[32] = '\n';
	if (file_replace(AT_FDCWD, "/etc/machine-id", id, 33, 0444, false, &err) < 0)
		tell("identity", "%s", err.msg);
	keep(KEPT_ID, id, 33);
}

/* --- entropy -------------------------------------------------------------------------------- */

static void new_seed(void)
{
	uint8_t seed[SEED];

	proc_random(seed, sizeof(seed));
	keep(NODE_FILES "/seed", seed, sizeof(seed));
}

/* A seed is used once: the next one takes its place before this one is credited. */
static void use_seed(void)
{
	struct {
		struct rand_pool_info head;
		uint8_t seed[SEED];
	} pool = {.head = {.entropy_count = SEED * 8, .buf_size = SEED}};
	FD_AUTO fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	BUF_AUTO old = {0};
	struct err err;

	if (file_read(AT_FDCWD, NODE_FILES "/seed", SEED, &old, &err) < 0 ||
	    old.len != SEED) {
		new_seed();
		return;
	}
	/* mixed in without credit first, so that the new one depends on it */
	if (fd >= 0 && fd_write_all(fd, old.data, old.len) < 0)
		return;
	new_seed();
	memcpy(pool.seed, old.data, SEED);
	if (fd >= 0)
		syscall(SYS_ioctl, fd, (unsigned long)RNDADDENTROPY, &pool);
}

/* --- the clock ------------------------------------------------------------------------------ */

/* A clock never goes back behind a time at which this machine has been up. */
static void clock_floor(void)
{
	BUF_AUTO text = {0};
	int64_t seen, now = time_real();
	struct timespec ts;
	char human[TIME_TEXT];

	if (!read_line(SEEN, &text) || time_parse(buf_str(&text), &seen) < 0 ||
	    seen <= now)
		return;
	ts = (struct timespec){.tv_sec = (time_t)(seen / NS_PER_SEC)};
	time_format(human, seen);
	if (clock_settime(CLOCK_REALTIME, &ts) == 0)
		tell("clock", "was behind: set to %s, when this node was last seen",
		     human);
}

static void clock_seen(void)
{
	char text[TIME_TEXT];

	time_format(text, time_real());
	keep(SEEN, text, strlen(text));
}

/* --- why we are here ------------------------------------------------------------------------ */

/* What the kernel kept of its last words: to a directory of the log, and gone from there. */
static unsigned harvest(void)
{
	DIR *d = opendir("/sys/fs/pstore");
	const struct dirent *e;
	char to[TIME_TEXT + 40], stamp[TIME_TEXT];
	unsigned n = 0;
	struct err err;

	time_format(stamp, time_real());
	snprintf(to, sizeof(to), "/var/log/cribox/pstore/%s", stamp);
	while (d && n < DUMPS && (e = readdir(d)) != NULL) {
		BUF_AUTO text = {0};
		STR_AUTO from = NULL;
		STR_AUTO dst = NULL;

		if (e->d_name[0] == '.')
			continue;
		from = xasprintf("/sys/fs/pstore/%s", e->d_name);
		dst = xasprintf("%s/%s", to, e->d_name);
		if (file_mkdirs(AT_FDCWD, to, 0700, &err) < 0 ||
		    file_read(AT_FDCWD, from, DUMP_MAX, &text, &err) < 0 ||
		    file_replace(AT_FDCWD, dst, text.data, text.len, 0600, true, &err) <
			    0) {
			tell("pstore", "%s", err.msg);
			continue;
		}
		unlink(from); /* its space is small */
		n++;
	}
	if (d)
		closedir(d);
	if (n)
		tell("pstore", "%u records of an earlier kernel, now in %s", n, to);
	return n;
}

static bool watchdog_did(void)
{
	BUF_AUTO text = {0};
	uint64_t bits = 0;

	return read_line("/sys/class/watchdog/watchdog0/bootstatus", &text) &&
	       num_u64(buf_str(&text), 0, UINT32_MAX, &bits) == 0 &&
	       (bits & WDIOF_CARDRESET);
}

static void reason(unsigned dumps)
{
	BUF_AUTO said = {0}, text = {0};
	struct err err;

	if (dumps)
		buf_add_str(&text, "the kernel crashed (see /var/log/cribox/pstore)");
	else if (watchdog_did())
		buf_add_str(&text, "the watchdog: the node did not answer");
	else if (!has_state())
		buf_add_str(&text, "not known: there is no state partition");
	else if (read_line(GOODBYE, &said))
		buf_add(&text, said.data, said.len);
	else if (access(SEEN, F_OK) == 0)
		buf_add_str(&text, "power failure or reset: it did not say goodbye");
	else
		buf_add_str(&text, "first boot");
	unlink(GOODBYE);
	tell("reason", "%s", buf_str(&text));
	buf_add_char(&text, '\n');
	file_replace(AT_FDCWD, REASON, text.data, text.len, 0644, false, &err);
}

int job_ident(char **args, struct err *err)
{
	(void)args;
	(void)err;
	machine_id();
	use_seed();
	clock_floor();
	reason(harvest());
	clock_seen();
	return 0;
}

/* "goodbye VERB WHY": for the next boot. */
int job_goodbye(char **args, struct err *err)
{
	STR_AUTO text = xasprintf("%s (%s)\n", args[0], args[1]);

	(void)err;
	new_seed();
	clock_seen();
	keep(GOODBYE, text, strlen(text));
	return 0;
}
