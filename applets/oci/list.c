/* list: state, list and ps: what there is. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum { MAX_PS = 16 << 20 };

/* "table" or "json". */
static int set_format(const char *text, bool *ret_json, struct err *err)
{
	*ret_json = str_eq(text, "json");
	if (!*ret_json && !str_eq(text, "table"))
		return err_set(err, ERR_INVALID, "invalid format option: %s", text);
	return 0;
}

/* --- state -------------------------------------------------------------------------- */

static void owner_name(uid_t uid, char *dst, size_t size)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		str_copy(dst, size, pw->pw_name);
	else
		snprintf(dst, size, "#%u", (unsigned)uid);
}

static void add_annotations(struct ctr *c, yyjson_mut_doc *d, yyjson_mut_val *root)
{
	const char *key, *value;
	yyjson_mut_val *v = NULL;
	struct err ignored;

	if (ctr_load_spec(c, &ignored) < 0)
		return;
	for (size_t i = 0; oci_spec_annotation(c->spec, i, &key, &value); i++) {
		if (!v)
			v = json_add_obj(d, root, "annotations");
		json_add_str(d, v, key, value);
	}
}

static void add_state(struct ctr *c, const struct cgroups *g, bool with_owner,
		      yyjson_mut_doc *d, yyjson_mut_val *v)
{
	enum ctr_status status = ctr_status(c, g);
	char created[TIME_TEXT], owner[32] = "";

	time_format(created, c->created);
	if (with_owner)
		owner_name(c->owner, owner, sizeof(owner));
	json_add_str(d, v, "ociVersion", *c->version ? c->version : OCI_VERSION);
	json_add_str(d, v, "id", c->id);
	json_add_i64(d, v, "pid", status == CTR_STOPPED ? 0 : c->pid);
	json_add_str(d, v, "status", ctr_status_names[status]);
	json_add_str(d, v, "bundle", c->bundle);
	json_add_str(d, v, "rootfs", c->rootfs);
	json_add_str(d, v, "created", created);
	add_annotations(c, d, v);
	json_add_str(d, v, "owner", owner);
	json_add_str(d, v, "systemd-scope", c->scope);
}

int cmd_state(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	BUF_AUTO out = {0};
	struct cgroups *g;
	struct err ignored;
	const char *id;
	struct ctr c;

	if (cli_no_flags(argc, argv, err) < 0)
		return -1;
	id = cli_id(argc, argv, err);
	if (!id || ctr_load(cli, &c, id, err) < 0)
		return -1;
	g = cgroups_open(&ignored);
	add_state(&c, g, false, d, yyjson_mut_doc_get_root(d));
	cgroups_free(g);
	ctr_done(&c);
	json_write(d, true, &out);
	buf_add_char(&out, '\n');
	return cli_print(&out, err);
}

/* --- list --------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The directories below the root, sorted. The number, or -1. */
static ssize_t read_names(const struct oci_cli *cli, struct arena *a, char ***ret,
			  struct err *err)
{
	DIR *d = opendir(cli->root);
	char **names = NULL;
	size_t n = 0, cap = 0;
	struct dirent *e;

	if (!d && errno == ENOENT && !cli->root_given)
		return 0;
	if (!d)
		return err_sys(err, errno, "open %s", cli->root);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || e->d_type != DT_DIR)
			continue;
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			names = xrealloc(names, cap * sizeof(*names));
		}
		names[n++] = arena_strdup(a, e->d_name);
	}
	closedir(d);
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	*ret = names;
	return (ssize_t)n;
}

enum { COLUMNS = 6 };

/* Columns as wide as their widest cell, at least 12, three blanks between. */
static void print_table(const char *const (*rows)[COLUMNS], size_t n, struct buf *out)
{
	int width[COLUMNS];

	for (unsigned k = 0; k < COLUMNS; k++) {
		width[k] = 12;
		for (size_t i = 0; i < n; i++)
			width[k] = MAX(width[k], (int)strlen(rows[i][k]));
	}
	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < COLUMNS; k++)
			if (k + 1 < COLUMNS)
				buf_add_fmt(out, "%-*s   ", width[k], rows[i][k]);
			else
				buf_add_fmt(out, "%s\n", rows[i][k]);
}

static void fill_row(struct ctr *c, const struct cgroups *g, struct arena *a,
		     const char *row[COLUMNS])
{
	enum ctr_status status = ctr_status(c, g);
	char created[TIME_TEXT], owner[32];

	time_format(created, c->created);
	owner_name(c->owner, owner, sizeof(owner));
	row[0] = arena_strdup(a, c->id);
	row[1] = arena_fmt(a, "%d", status == CTR_STOPPED ? 0 : (int)c->pid);
	row[2] = ctr_status_names[status];
	row[3] = arena_strdup(a, c->bundle);
	row[4] = arena_strdup(a, created);
	row[5] = arena_strdup(a, owner);
}

enum list_as { LIST_TABLE, LIST_QUIET, LIST_JSON };

static void list_all(const struct oci_cli *cli, char *const *names, size_t n,
		     enum list_as as, struct arena *a, struct buf *out)
{
	static const char *const runc[COLUMNS] = {"ID",	    "PID",     "STATUS",
						  "BUNDLE", "CREATED", "OWNER"};
	static const char *const crun[COLUMNS] = {"NAME",	 "PID",	    "STATUS",
						  "BUNDLE PATH", "CREATED", "OWNER"};
	const char *(*rows)[COLUMNS] = arena_array(a, n + 1, sizeof(*rows));
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *arr = yyjson_mut_arr(d);
	struct err err;
	struct cgroups *g = cgroups_open(&err);
	size_t nrows = 1;

	memcpy(rows[0], cli->like == LIKE_CRUN ? crun : runc, sizeof(rows[0]));
	yyjson_mut_doc_set_root(d, arr);
	for (size_t i = 0; i < n; i++) {
		struct ctr c;

		if (ctr_load(cli, &c, names[i], &err) < 0) {
			if (err.code != ERR_NOT_FOUND) /* being made, or removed */
				fprintf(stderr, "load container %s: %s\n", names[i],
					err.msg);
			ctr_done(&c);
			continue;
		}
		if (as == LIST_QUIET)
			buf_add_fmt(out, "%s\n", c.id);
		else if (as == LIST_JSON)
			add_state(&c, g, true, d, yyjson_mut_arr_add_obj(d, arr));
		else
			fill_row(&c, g, a, rows[nrows++]);
		ctr_done(&c);
	}
	cgroups_free(g);
	if (as == LIST_TABLE)
		print_table((const char *const(*)[COLUMNS])rows, nrows, out);
	else if (as == LIST_JSON && yyjson_mut_arr_size(arr))
		json_write(d, false, out);
	else if (as == LIST_JSON)
		buf_add_str(out, cli->like == LIKE_CRUN ? "[]" : "null");
}

int cmd_list(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"quiet", 2, NULL, 'q'}, {"format", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
	enum list_as as = LIST_TABLE;
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};
	bool json = false;
	char **names = NULL;
	ssize_t n;
	int f;

	while ((f = cli_flag(argc, argv, "qf:", flags, err)) != -1) {
		if (f == -2 || (f == 'f' && set_format(optarg, &json, err) < 0))
			return -1;
		if (f == 'q' && cli_switch(optarg))
			as = LIST_QUIET;
	}
	if (json && as != LIST_QUIET)
		as = LIST_JSON;
	n = read_names(cli, &a, &names, err);
	if (n < 0)
		return -1;
	list_all(cli, names, (size_t)n, as, &a, &out);
	free(names);
	return cli_print(&out, err);
}

/* --- ps ----------------------------------------------------------------------------- */

struct pids {
	pid_t *list;
	size_t n, cap;
};

static int add_pid(void *arg, pid_t pid)
{
	struct pids *p = arg;

	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->list = xrealloc(p->list, p->cap * sizeof(*p->list));
	}
	p->list[p->n++] = pid;
	return 0;
}

static bool has_pid(const struct pids *p, uint64_t pid)
{
	for (size_t i = 0; i < p->n; i++)
		if ((uint64_t)p->list[i] == pid)
			return true;
	return false;
}

/* --- a table of our own ------------------------------------------------------------- */

static void read_short(pid_t pid, const char *file, struct buf *b)
{
	char path[64];
	struct err ignored;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (file_read(AT_FDCWD, path, 1 << 20, b, &ignored) < 0)
		buf_reset(b);
}

static int status_field(const char *status, const char *key)
{
	const char *p = strstr(status, key);

	return p ? atoi(p + strlen(key)) : 0;
}

static void add_row(struct buf *out, pid_t pid)
{
	BUF_AUTO status = {0};
	BUF_AUTO cmd = {0};

	read_short(pid, "status", &status);
	read_short(pid, "cmdline", &cmd);
	for (size_t i = 0; i < cmd.len; i++)
		if (!cmd.data[i])
			cmd.data[i] = ' ';
	if (!cmd.len)
		read_short(pid, "comm", &cmd);
	while (cmd.len && (cmd.data[cmd.len - 1] == ' ' || cmd.data[cmd.len - 1] == '\n'))
		cmd.len--;
	buf_add_fmt(out, "%-8d %7d %7d ", status_field(buf_str(&status), "\nUid:\t"),
		    (int)pid, status_field(buf_str(&status), "\nPPid:\t"));
	str_escape(out, buf_str(&cmd), cmd.len);
	buf_add_char(out, '\n');
}

/* --- the table of ps(1) ------------------------------------------------------------- */

/* The output of the host's ps. 0, or -1 if there is none. */
static int run_ps(char *const *args, struct buf *ret, struct err *err)
{
	char ps[] = "ps", all[] = "-ef";
	char *const def[] = {all, NULL};
	char *argv[64] = {ps};
	int ends[2], status = 0, r;
	pid_t pid;

	if (!*args)
		args = def;
	for (size_t i = 0; args[i] && i < ARRAY_LEN(argv) - 2; i++)
		argv[i + 1] = args[i];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		execvp("ps", argv);
		_exit(127);
	}
	fd_close(&ends[1]);
	r = pid < 0 ? -1 : fd_read_all(ends[0], MAX_PS, ret, err);
	fd_close(&ends[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status != 0)
		return err_set(err, ERR_NOT_FOUND, "ps: status %d", WEXITSTATUS(status));
	return r;
}

/* Which of a line's words is called PID. -1: none. */
static int pid_column(const char *line)
{
	for (int i = 0; *(line += strspn(line, " ")) && *line != '\n'; i++) {
		size_t n = strcspn(line, " \n");

		if (n == 3 && memcmp(line, "PID", 3) == 0)
			return i;
		line += n;
	}
	return -1;
}

static bool line_pid(const char *line, int column, uint64_t *ret)
{
	char word[24];
	size_t n;

	for (line += strspn(line, " "); column > 0; column--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	n = strcspn(line, " \n");
	if (!n || n >= sizeof(word))
		return false;
	memcpy(word, line, n);
	word[n] = 0;
	return num_u64(word, 1, INT32_MAX, ret) == 0;
}

/* The lines of ps about these processes, and its first one. 0 or -1. */
static int filter_ps(struct buf *text, const struct pids *pids, struct buf *out,
		     struct err *err)
{
	const char *line = buf_str(text);
	int column = pid_column(line);

	if (column < 0)
		return err_set(err, ERR_INVALID, "couldn't find PID field in ps output");
	for (bool first = true; *line; first = false) {
		size_t n = strcspn(line, "\n");
		uint64_t pid;

		if (first || (line_pid(line, column, &pid) && has_pid(pids, pid)))
			buf_add_fmt(out, "%.*s\n", (int)n, line);
		line += n + (line[n] == '\n');
	}
	return 0;
}

/* --- ps ----------------------------------------------------------------------------- */

static int table(const struct oci_cli *cli, char *const *args, const struct pids *pids,
		 struct buf *out, struct err *err)
{
	BUF_AUTO text = {0};

	if (cli->like == LIKE_CRUN) {
		buf_add_str(out, "PID\n");
		for (size_t i = 0; i < pids->n; i++)
			buf_add_fmt(out, "%d\n", (int)pids->list[i]);
		return 0;
	}
	if (run_ps(args, &text, err) == 0)
		return filter_ps(&text, pids, out, err);
	if (*args)
		return -1;
	buf_add_str(out, "UID          PID    PPID CMD\n");
	for (size_t i = 0; i < pids->n; i++)
		add_row(out, pids->list[i]);
	return 0;
}

/* Without a cgroup, init is the one process that we know of. */
static int collect(const struct ctr *c, const struct cgroups *g, struct pids *pids,
		   struct err *err)
{
	if (g && *c->cgroup)
		return cgroup_pids(g, c->cgroup, add_pid, pids, err);
	return ctr_alive(c) ? add_pid(pids, c->pid) : 0;
}

int cmd_ps(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"format", 1, NULL, 'f'},
					      {NULL, 0, NULL, 0}};
	struct pids pids = {0};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	BUF_AUTO out = {0};
	bool json = false;
	int f, r = -1;

	while ((f = cli_flag(argc, argv, "+f:", flags, err)) != -1)
		if (f == -2 || set_format(optarg, &json, err) < 0)
			return -1;
	if (ctr_open(cli, cli_up_to_id(argc), argv, &c, &g, err) == 0 &&
	    collect(&c, g, &pids, err) == 0)
		r = json ? 0 : table(cli, argv + optind + 1, &pids, &out, err);
	for (size_t i = 0; json && i < pids.n; i++)
		buf_add_fmt(&out, "%c%d", i ? ',' : '[', (int)pids.list[i]);
	if (json)
		buf_add_str(&out, pids.n ? "]\n" : "[]\n");
	free(pids.list);
	ctr_close(&c, g);
	return r < 0 ? -1 : cli_print(&out, err);
}
