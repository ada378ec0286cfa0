/* flags: what the commands' arguments have in common. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"

enum { MAX_PRESERVE = 1 << 16 };

int cli_flag(int argc, char **argv, const char *shorts, const struct option *longs,
	     struct err *err)
{
	int c;

	opterr = 0;
	c = getopt_long_only(argc, argv, shorts, longs, NULL);
	if (c == '?' || c == ':') {
		const char *flag = optind > 0 ? str_or_empty(argv[optind - 1]) : "";
		bool known = false;

		/* callers probe with a flag that lacks its value, and look for these words */
		for (const struct option *o = longs; o->name; o++)
			known |= str_eq(o->name, flag + strspn(flag, "-"));
		err_set(err, ERR_INVALID, "%s: %s %s", argv[0],
			c == ':' || known ? "flag needs an argument:"
					  : "flag provided but not defined:",
			flag);
		return -2;
	}
	return c;
}

int cli_no_flags(int argc, char **argv, struct err *err)
{
	static const struct option none[] = {{NULL, 0, NULL, 0}};

	return cli_flag(argc, argv, "", none, err) == -2 ? -1 : 0;
}

bool cli_switch(const char *arg)
{
	return !arg || str_eq(arg, "1") || strcasecmp(arg, "t") == 0 ||
	       strcasecmp(arg, "true") == 0;
}

int cli_count(const char *flag, const char *arg, int *ret, struct err *err)
{
	uint64_t n;

	if (num_u64(arg, 0, MAX_PRESERVE, &n) < 0)
		return err_set(err, ERR_INVALID, "%s %.40s: not a number below %d", flag,
			       arg, MAX_PRESERVE);
	*ret = (int)n;
	return 0;
}

const char *cli_id(int argc, char **argv, struct err *err)
{
	if (optind >= argc) {
		err_set(err, ERR_INVALID,
			"%s: exactly 1 argument is needed: container id cannot be empty",
			argv[0]);
		return NULL;
	}
	if (optind + 1 < argc) {
		err_set(err, ERR_INVALID,
			"%s: exactly 1 argument is needed: what is \"%.80s\"?", argv[0],
			argv[optind + 1]);
		return NULL;
	}
	return ctr_check_id(argv[optind], err) < 0 ? NULL : argv[optind];
}

int cli_up_to_id(int argc)
{
	return optind < argc ? optind + 1 : argc;
}

void cli_warn(const struct buf *lines)
{
	if (lines->len && write(2, lines->data, lines->len) < 0)
		return;
}

int cli_print(const struct buf *out, struct err *err)
{
	if (fd_write_all(1, out->data, out->len) < 0)
		return err_sys(err, errno, "write to standard output");
	return 0;
}

/*
 * A file without a name that gets one when it is whole: a reader that polls never sees a
 * part of it, and no temporary name is left when we are killed. 0 or -1.
 */
static int link_new(const char *path, const char *text)
{
	const char *slash = strrchr(path, '/');
	STR_AUTO dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	FD_AUTO fd = open(dir, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644);
	char link[FD_PATH];

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		return -1;
	if (linkat(AT_FDCWD, fd_path(link, fd), AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	/* an older one, of another process */
	if (errno != EEXIST || unlink(path) < 0)
		return -1;
	return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

int cli_write_pid(const char *path, pid_t pid, struct err *err)
{
	char text[16];

	if (!path)
		return 0;
	snprintf(text, sizeof(text), "%d", (int)pid);
	if (link_new(path, text) == 0)
		return 0;
	return file_replace(AT_FDCWD, path, text, strlen(text), 0644, false, err);
}

int cli_send_pidfd(const char *socket, const char *what, int pidfd, struct err *err)
{
	FD_AUTO fd = -1;

	if (!socket)
		return 0;
	fd = sock_connect_unix(socket, err);
	if (fd < 0)
		return -1;
	if (sock_send_fds(fd, what, strlen(what), &pidfd, 1) < 0)
		return err_sys(err, errno, "send the pidfd to %s", socket);
	return 0;
}
