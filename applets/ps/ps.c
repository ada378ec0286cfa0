/* ps: processes, and the containers that they belong to. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/tty.h"
#include "tool.h"

enum { COMMAND = 256, GROUP = 24, ID = 64, SHORT_ID = 13 };

static const char usage[] =
	"  -A, --all               the kernel's threads, too (also -e, a)\n"
	"  -e, --every\n"
	"  -f, --full              (all columns are shown)\n"
	"  -p, --pid PID           only this process\n"
	"  -C, --container TEXT    only of containers or groups whose name begins so\n"
	"  -k, --sort KEY          pid (default), rss or time, the largest first\n"
	"  -w, --wide              do not cut lines\n"
	"\n"
	"STAT: R runs, S sleeps, D waits for a device, T is stopped, Z is dead.\n"
	"CONTAINER: the container's id, or the control group.\n";

struct process {
	int pid, ppid;
	uint32_t uid;
	char state;
	uint64_t ticks, rss; /* rss: bytes */
	char group[GROUP];
	char command[COMMAND];
};

struct list {
	struct tool t;
	struct process *all;
	size_t n;
};

/* --- one process --------------------------------------------------------------------------- */

static bool read_of(int dir, const char *file, struct buf *out)
{
	struct err ignored;

	buf_reset(out);
	return file_read(dir, file, 1 << 16, out, &ignored) == 0;
}

/* proc(5), /proc/PID/stat: the name in parentheses may hold anything. */
static bool parse_stat(char *text, struct process *p)
{
	char *open = strchr(text, '('), *close = strrchr(text, ')'), *at, *word;
	uint64_t v[23] = {0};

	if (!open || !close || close < open || close[1] != ' ')
		return false;
	p->pid = atoi(text);
	at = close + 2;
	for (unsigned field = 3; field < ARRAY_LEN(v) + 2 && (word = strsep(&at, " "));
	     field++) {
		if (field == 3)
			p->state = *word;
		else
			v[field - 3] = strtoull(word, NULL, 10);
	}
	p->ppid = (int)v[4 - 3];
	p->ticks = v[14 - 3] + v[15 - 3];
	p->rss = v[24 - 3] * (uint64_t)sysconf(_SC_PAGESIZE);
	*close = 0;
	snprintf(p->command, sizeof(p->command), "[%.200s]", open + 1);
	return true;
}

/* The arguments, which end with NUL each; a kernel thread has none and keeps its name. */
static void parse_command(struct buf *text, struct process *p)
{
	BUF_AUTO safe = {0};
	size_t n = MIN(text->len, sizeof(p->command));

	while (n && !text->data[n - 1])
		n--;
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		if (!text->data[i])
			text->data[i] = ' ';
	str_escape(&safe, (const char *)text->data, n);
	str_copy(p->command, sizeof(p->command), buf_str(&safe));
}

static bool is_id(const char *s, size_t n)
{
	return n == ID && strspn(s, "0123456789abcdef") >= ID;
}

/*
 * The container's id is a word of 64 digits in the path of the group, alone or between the
 * decorations of a runtime ("cri-containerd-ID.scope"); else the last directory that is not
 * the root.
 */
static void parse_group(const char *text, struct process *p)
{
	const char *last = NULL;
	size_t last_len = 0;

	for (const char *line = text; *line;
	     line += strcspn(line, "\n"), line += *line == '\n') {
		const char *at = memchr(line, '/', strcspn(line, "\n"));

		while (at && *at && *at != '\n') {
			size_t n = strcspn(at, "/\n-.:");

			if (is_id(at, n)) {
				snprintf(p->group, sizeof(p->group), "%.*s", SHORT_ID,
					 at);
				return;
			}
			if (at[-1] == '/') {
				last = at;
				last_len = strcspn(at, "/\n");
			}
			at += n;
			at += *at && *at != '\n';
		}
	}
	if (last_len) {
		BUF_AUTO safe = {0};

		str_escape(&safe, last, MIN(last_len, (size_t)GROUP));
		str_copy(p->group, sizeof(p->group), buf_str(&safe));
	}
}

static bool read_process(int proc, const char *name, struct process *p)
{
	FD_AUTO dir = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	BUF_AUTO text = {0};
	struct stat st;

	*p = (struct process){.group = "-"};
	if (dir < 0 || fstat(dir, &st) < 0 || !read_of(dir, "stat", &text))
		return false;
	p->uid = st.st_uid;
	if (!parse_stat((char *)(uintptr_t)buf_str(&text), p))
		return false;
	if (read_of(dir, "cmdline", &text))
		parse_command(&text, p);
	if (read_of(dir, "cgroup", &text))
		parse_group(buf_str(&text), p);
	return true;
}

/* --- all of them --------------------------------------------------------------------------- */

static bool wanted(const struct list *l, const struct process *p)
{
	const struct opts *o = &l->t.o;
	const char *group = opts_text(o, "container");

	if (group && strncmp(p->group, group, MIN(strlen(group), (size_t)SHORT_ID)) != 0)
		return false;
	return p->command[0] != '[' || (p->ppid != 2 && p->pid != 2) ||
	       opts_flag(o, "all") || opts_flag(o, "every") || opts_text(o, "pid") ||
	       (o->argc && o->argv[0][0] == 'a');
}

static int read_all(struct list *l, struct err *err)
{
	const char *only = opts_text(&l->t.o, "pid");
	DIR *d = opendir("/proc");
	struct dirent *e;

	if (!d)
		return err_sys(err, errno, "ps: /proc");
	while ((e = readdir(d))) {
		struct process p;

		if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
		    (only && !str_eq(only, e->d_name)) ||
		    !read_process(dirfd(d), e->d_name, &p) || !wanted(l, &p))
			continue;
		if (!(l->n & (l->n - 1)))
			l->all = xrealloc(l->all, (l->n ? 2 * l->n : 1) * sizeof(p));
		l->all[l->n++] = p;
	}
	closedir(d);
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	return ((const struct process *)a)->pid - ((const struct process *)b)->pid;
}

static int by_rss(const void *a, const void *b)
{
	uint64_t x = ((const struct process *)a)->rss,
		 y = ((const struct process *)b)->rss;

	return (x < y) - (x > y);
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct process *)a)->ticks;
	uint64_t y = ((const struct process *)b)->ticks;

	return (x < y) - (x > y);
}

static int sort(struct list *l, struct err *err)
{
	const char *key = opts_text(&l->t.o, "sort");
	int (*by)(const void *a, const void *b) = by_pid;

	key = key && *key == '-' ? key + 1 : key;
	if (key && str_eq(key, "rss"))
		by = by_rss;
	else if (key && str_eq(key, "time"))
		by = by_time;
	else if (key && !str_eq(key, "pid"))
		return err_set(err, ERR_INVALID,
			       "ps: --sort: pid, rss or time, not %.50s", key);
	qsort(l->all, l->n, sizeof(*l->all), by);
	return 0;
}

static void print(const struct process *p, int width)
{
	uint64_t s = p->ticks / (uint64_t)sysconf(_SC_CLK_TCK);
	char user[TOOL_ID], rss[TOOL_SIZE], time[24];
	int used;

	snprintf(time, sizeof(time), "%" PRIu64 ":%02u", s / 60, (unsigned)(s % 60));
	used = printf("%7d %7d %-8.8s %c %6s %7s %-13.13s ", p->pid, p->ppid,
		      tool_user(user, p->uid), p->state,
		      p->rss ? tool_size(rss, p->rss) : "-", time, p->group);
	printf("%.*s\n", MAX(width - used, 8), p->command);
}

static int run(int argc, char **argv, struct err *err)
{
	struct list l = {0};
	unsigned short rows, cols;
	int width = COMMAND + 100;

	if (tool_start(&l.t, &applet_ps, argc, argv, 0, 1, err) < 0 ||
	    read_all(&l, err) < 0 || sort(&l, err) < 0)
		return -1;
	if (!opts_flag(&l.t.o, "wide") &&
	    tty_get_size(STDOUT_FILENO, &rows, &cols) == 0 && cols)
		width = cols;
	puts("    PID    PPID USER     S    RSS    TIME CONTAINER     COMMAND");
	for (size_t i = 0; i < l.n; i++)
		print(&l.all[i], width);
	if (!l.n)
		l.t.status = 1;
	free(l.all);
	return tool_end(&l.t, err);
}

const struct applet applet_ps = {
	.name = "ps",
	.purpose = "list processes, with their containers",
	.synopsis = "[-A] [-k KEY] [-C CONTAINER]",
	.usage = usage,
	.run = run,
};
