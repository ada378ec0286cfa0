/* state, list, ps, spec, features, plan: what only reads. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "wire/json.h"

enum { MAX_CONFIG = 16 << 20 };

static int print(struct buf *out, struct err *err)
{
	if (fd_write_all(1, out->data, out->len) < 0)
		return err_sys(err, errno, "write to standard output");
	return 0;
}

static int no_flags(int argc, char **argv, struct err *err)
{
	static const struct option none[] = {{NULL, 0, NULL, 0}};

	return cli_flag(argc, argv, "+", none, err) == -2 ? -1 : 0;
}

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
	if (uid == 0)
		str_copy(dst, size, "root");
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
}

int cmd_state(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	BUF_AUTO out = {0};
	struct cgroups *g;
	struct err ignored;
	const char *id;
	struct ctr c;

	if (no_flags(argc, argv, err) < 0)
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
	return print(&out, err);
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

static void table_row(struct buf *out, struct ctr *c, const struct cgroups *g)
{
	enum ctr_status status = ctr_status(c, g);
	char created[TIME_TEXT], owner[32];

	time_format(created, c->created);
	owner_name(c->owner, owner, sizeof(owner));
	buf_add_fmt(out, "%-12s   %-12d   %-12s   %-24s   %-30s   %s\n", c->id,
		    status == CTR_STOPPED ? 0 : (int)c->pid, ctr_status_names[status],
		    c->bundle, created, owner);
}

int cmd_list(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"quiet", 0, NULL, 'q'}, {"format", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *arr = yyjson_mut_arr(d);
	struct cgroups *g;
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};
	bool json = false, quiet = false;
	char **names = NULL;
	struct err ignored;
	ssize_t n;
	int f;

	while ((f = cli_flag(argc, argv, "+qf:", flags, err)) != -1) {
		if (f == -2 || (f == 'f' && set_format(optarg, &json, err) < 0))
			return -1;
		quiet |= f == 'q';
	}
	n = read_names(cli, &a, &names, err);
	if (n < 0)
		return -1;
	yyjson_mut_doc_set_root(d, arr);
	g = cgroups_open(&ignored);
	if (!json && !quiet)
		buf_add_fmt(&out, "%-12s   %-12s   %-12s   %-24s   %-30s   %s\n", "ID",
			    "PID", "STATUS", "BUNDLE", "CREATED", "OWNER");
	for (ssize_t i = 0; i < n; i++) {
		struct ctr c;

		if (ctr_load(cli, &c, names[i], &ignored) < 0) {
			ctr_done(&c);
			continue; /* being made, or being removed */
		}
		if (quiet)
			buf_add_fmt(&out, "%s\n", c.id);
		else if (json)
			add_state(&c, g, true, d, yyjson_mut_arr_add_obj(d, arr));
		else
			table_row(&out, &c, g);
		ctr_done(&c);
	}
	free(names);
	cgroups_free(g);
	if (json && !quiet) {
		if (yyjson_mut_arr_size(arr))
			json_write(d, false, &out);
		else
			buf_add_str(&out, "null");
	}
	return print(&out, err);
}

/* --- ps ----------------------------------------------------------------------------- */

struct ps {
	struct buf *out;
	bool json;
	unsigned n;
};

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

static int ps_row(void *arg, pid_t pid)
{
	struct ps *ps = arg;
	BUF_AUTO status = {0};
	BUF_AUTO cmd = {0};

	if (ps->json) {
		buf_add_fmt(ps->out, "%s%d", ps->n++ ? "," : "", (int)pid);
		return 0;
	}
	read_short(pid, "status", &status);
	read_short(pid, "cmdline", &cmd);
	for (size_t i = 0; i < cmd.len; i++)
		if (!cmd.data[i])
			cmd.data[i] = ' ';
	if (!cmd.len)
		read_short(pid, "comm", &cmd);
	while (cmd.len && (cmd.data[cmd.len - 1] == ' ' || cmd.data[cmd.len - 1] == '\n'))
		cmd.len--;
	buf_add_fmt(ps->out, "%-8d %7d %7d ", status_field(buf_str(&status), "\nUid:\t"),
		    (int)pid, status_field(buf_str(&status), "\nPPid:\t"));
	str_escape(ps->out, buf_str(&cmd), cmd.len);
	buf_add_char(ps->out, '\n');
	return 0;
}

int cmd_ps(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"format", 1, NULL, 'f'},
					      {NULL, 0, NULL, 0}};
	BUF_AUTO out = {0};
	struct ps ps = {.out = &out};
	struct cgroups *g;
	const char *id;
	struct ctr c;
	int f, r;

	while ((f = cli_flag(argc, argv, "+f:", flags, err)) != -1)
		if (f == -2 || set_format(optarg, &ps.json, err) < 0)
			return -1;
	id = cli_id(argc, argv, err);
	if (!id || ctr_load(cli, &c, id, err) < 0)
		return -1;
	g = cgroups_open(err);
	buf_add_str(&out, ps.json ? "[" : "UID          PID    PPID CMD\n");
	r = g ? cgroup_pids(g, c.cgroup, ps_row, &ps, err) : -1;
	cgroups_free(g);
	ctr_done(&c);
	if (r < 0)
		return -1;
	buf_add_str(&out, ps.json ? "]\n" : "");
	return print(&out, err);
}

/* --- spec, plan --------------------------------------------------------------------- */

int cmd_spec(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"bundle", 1, NULL, 'b'}, {"rootless", 0, NULL, 'r'}, {NULL, 0, NULL, 0}};
	const char *bundle = ".";
	bool rootless = false, v2;
	struct cgroups *g;
	BUF_AUTO out = {0};
	struct err ignored;
	FD_AUTO dir = -1;
	FD_AUTO fd = -1;
	int f;

	(void)cli;
	while ((f = cli_flag(argc, argv, "+b:", flags, err)) != -1) {
		if (f == -2)
			return -1;
		if (f == 'b')
			bundle = optarg;
		else
			rootless = true;
	}
	dir = file_open(AT_FDCWD, bundle, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	g = cgroups_open(&ignored);
	v2 = g && cgroups_mode(g) == CGROUPS_V2;
	cgroups_free(g);
	oci_spec_example(rootless, v2, geteuid(), getegid(), &out);
	fd = openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return errno == EEXIST
			       ? err_set(err, ERR_EXISTS,
					 "File config.json exists. Remove it first")
			       : err_sys(err, errno, "make config.json");
	if (fd_write_all(fd, out.data, out.len) < 0)
		return err_sys(err, errno, "write config.json");
	return 0;
}

int cmd_plan(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"bundle", 1, NULL, 'b'}, {"v1", 0, NULL, '1'}, {NULL, 0, NULL, 0}};
	struct oci_plan_how how = {0};
	const char *bundle = ".";
	struct oci_spec *spec;
	ARENA_AUTO a = {0};
	BUF_AUTO text = {0};
	BUF_AUTO out = {0};
	FD_AUTO dir = -1;
	int f;

	(void)cli;
	while ((f = cli_flag(argc, argv, "+b:", flags, err)) != -1) {
		if (f == -2)
			return -1;
		if (f == 'b')
			bundle = optarg;
		else
			how.cgroup_v1 = true;
	}
	if (optind < argc)
		bundle = argv[optind];
	dir = file_open(AT_FDCWD, bundle, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0 || file_read(dir, "config.json", MAX_CONFIG, &text, err) < 0 ||
	    oci_spec_parse(text.data, text.len, &a, &spec, err) < 0)
		return -1;
	how.console = oci_spec_process(spec) && oci_spec_process(spec)->terminal;
	oci_plan_print(oci_plan_new(spec, &how, &a), &out);
	return print(&out, err);
}

/* --- features ----------------------------------------------------------------------- */

static void add_list(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		     const char *words)
{
	yyjson_mut_val *arr = json_add_arr(d, obj, key);

	while (*words) {
		size_t n = strcspn(words, " ");

		yyjson_mut_arr_add_strncpy(d, arr, words, n);
		words += n + strspn(words + n, " ");
	}
}

static void add_linux(yyjson_mut_doc *d, yyjson_mut_val *lin)
{
	yyjson_mut_val *v = json_add_arr(d, lin, "capabilities"), *o;

	for (unsigned i = 0; caps_name(i); i++)
		yyjson_mut_arr_add_strcpy(d, v, caps_name(i));
	v = json_add_obj(d, lin, "cgroup");
	json_add_bool(d, v, "v1", true);
	json_add_bool(d, v, "v2", true);
	json_add_bool(d, v, "systemd", true);
	json_add_bool(d, v, "systemdUser", true);
	json_add_bool(d, v, "rdma", false);
	v = json_add_obj(d, lin, "seccomp");
	json_add_bool(d, v, "enabled", true);
	add_list(d, v, "actions",
		 "SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS "
		 "SCMP_ACT_KILL_THREAD SCMP_ACT_LOG SCMP_ACT_TRACE SCMP_ACT_TRAP");
	add_list(d, v, "operators",
		 "SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_LE SCMP_CMP_LT "
		 "SCMP_CMP_MASKED_EQ SCMP_CMP_NE");
	add_list(d, v, "archs",
		 "SCMP_ARCH_AARCH64 SCMP_ARCH_ARM SCMP_ARCH_PPC64LE SCMP_ARCH_S390 "
		 "SCMP_ARCH_S390X SCMP_ARCH_X32 SCMP_ARCH_X86 SCMP_ARCH_X86_64");
	add_list(d, v, "knownFlags",
		 "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_SPEC_ALLOW "
		 "SECCOMP_FILTER_FLAG_LOG");
	add_list(d, v, "supportedFlags",
		 "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_SPEC_ALLOW");
	json_add_bool(d, json_add_obj(d, lin, "apparmor"), "enabled", true);
	json_add_bool(d, json_add_obj(d, lin, "selinux"), "enabled", true);
	json_add_bool(d, json_add_obj(d, lin, "intelRdt"), "enabled", false);
	o = json_add_obj(d, json_add_obj(d, lin, "mountExtensions"), "idmap");
	json_add_bool(d, o, "enabled", true);
	add_list(d, lin, "namespaces", "cgroup ipc mount network pid user uts");
}

int cmd_features(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	BUF_AUTO out = {0};

	(void)cli;
	if (no_flags(argc, argv, err) < 0)
		return -1;
	json_add_str(d, root, "ociVersionMin", "1.0.0");
	json_add_str(d, root, "ociVersionMax", OCI_VERSION);
	json_add_arr(d, root, "hooks");
	add_list(d, root, "mountOptions",
		 "async atime bind defaults dev diratime dirsync exec idmap lazytime "
		 "noatime nodev nodiratime noexec norelatime nostrictatime nosuid "
		 "nosymfollow private ratime rbind rdev rdiratime relatime rexec ridmap "
		 "rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid "
		 "rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime "
		 "rsuid rsymfollow runbindable rw shared silent slave strictatime suid "
		 "symfollow sync tmpcopyup unbindable");
	add_linux(d, json_add_obj(d, root, "linux"));
	json_add_str(d, json_add_obj(d, root, "annotations"),
		     "io.github.seccomp.libseccomp.version", "2.6.0");
	json_write(d, true, &out);
	buf_add_char(&out, '\n');
	return print(&out, err);
}
