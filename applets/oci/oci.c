/* oci: the OCI runtime's command line, as runc and crun have it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "oci/cli.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/self.h"
#include "wire/json.h"

#ifndef CRIBOX_VERSION
#define CRIBOX_VERSION "unknown"
#endif

#define CREATE_FLAGS                                                        \
	"  -b, --bundle DIR       directory with config.json (.)\n"         \
	"  -f, --config FILE      its name there (config.json)\n"           \
	"      --console-socket S unix socket that receives the terminal\n" \
	"      --pidfd-socket S   unix socket that receives a pidfd\n"      \
	"      --pid-file FILE    where the pid goes\n"                     \
	"      --preserve-fds N   fds 3 to N+2 stay open\n"                 \
	"      --no-new-keyring   keep the caller's session keyring\n"      \
	"      --no-pivot         chroot, for a root that is an initramfs\n"

#define CRIU_FLAGS                                                   \
	"      --image-path DIR   where the image is (checkpoint)\n" \
	"      --work-path DIR    where criu writes its logs\n"      \
	"      --tcp-established  keep open connections\n"           \
	"      --ext-unix-sk      keep sockets to outside\n"         \
	"      --shell-job        with a terminal of outside\n"      \
	"      --file-locks       keep file locks\n"                 \
	"      --manage-cgroups-mode soft|full|strict|ignore\n"      \
	"      --empty-ns network do not keep the network\n"         \
	"      --auto-dedup       free what a parent image has\n"    \
	"      --lazy-pages       memory comes when it is used\n"    \
	"      --network-lock iptables|nftables|skip\n"

static const struct oci_cmd commands[] = {
	{"checkpoint", "[FLAGS] ID", "write a running container to an image (criu)",
	 CRIU_FLAGS "      --parent-path DIR  the image before\n"
		    "      --pre-dump         only memory, and go on\n"
		    "      --leave-running    go on afterwards\n"
		    "      --page-server ADDRESS:PORT  where memory goes\n"
		    "      --status-fd FD     a byte when lazy pages are ready\n"
		    "      --link-remap       keep deleted files that are open\n"
		    "      --tcp-skip-in-flight\n",
	 cmd_checkpoint, 0},
	{"create", "[FLAGS] ID", "make a container; start runs its program", CREATE_FLAGS,
	 cmd_create, 0},
	{"delete", "[-f] ID", "remove a container that has stopped",
	 "  -f, --force            kill it first; a missing one is fine\n", cmd_delete,
	 0},
	{"events", "[FLAGS] ID", "print use and events as JSON, one a line",
	 "      --interval TIME    between statistics (5s)\n"
	 "      --stats            statistics once\n",
	 cmd_events, 0},
	{"exec", "[FLAGS] ID COMMAND [ARGUMENT]...",
	 "run one more program in a container",
	 "      --console-socket S unix socket that receives the terminal\n"
	 "      --pidfd-socket S   unix socket that receives a pidfd\n"
	 "      --cwd DIR          working directory\n"
	 "  -e, --env KEY=VALUE    add to the environment\n"
	 "  -t, --tty              with a terminal\n"
	 "  -u, --user UID[:GID]   user\n"
	 "  -g, --additional-gids GID\n"
	 "  -p, --process FILE     process as JSON\n"
	 "  -d, --detach           do not wait\n"
	 "      --pid-file FILE    where the pid goes\n"
	 "      --no-new-privs     set no_new_privs\n"
	 "  -c, --cap CAP          add a capability\n"
	 "      --preserve-fds N   fds 3 to N+2 stay open\n"
	 "      --cgroup [CONTROLLER[,...]:]PATH  below the container's cgroup\n"
	 "      --process-label, --apparmor LABEL\n"
	 "      --ignore-paused    also in a paused container\n",
	 cmd_exec, 255},
	{"features", "", "print what this runtime can do, as JSON", NULL, cmd_features,
	 0},
	{"kill", "[-a] ID [SIGNAL]", "send a signal (TERM) to a container's init",
	 "  -a, --all              to all of its processes; none is fine\n", cmd_kill, 0},
	{"list", "[FLAGS]", "list containers",
	 "  -q, --quiet            only ids\n"
	 "  -f, --format table|json\n",
	 cmd_list, 0},
	{"pause", "ID", "freeze a container's processes", NULL, cmd_pause, 0},
	{"plan", "[--v1] [DIR]", "print what create would do, without doing it",
	 "  -b, --bundle DIR       directory with config.json (.)\n"
	 "      --v1               as on a host with cgroup version 1\n",
	 cmd_plan, 0},
	{"ps", "[-f table|json] ID [PS OPTION]...", "list a container's processes",
	 "  -f, --format table|json\n", cmd_ps, 0},
	{"restore", "[FLAGS] ID", "a container from an image (criu)",
	 CREATE_FLAGS CRIU_FLAGS "  -d, --detach           do not wait\n"
				 "      --lsm-profile TYPE:NAME\n"
				 "      --lsm-mount-context CONTEXT\n"
				 "      --tcp-close        drop open connections\n"
				 "      --no-subreaper\n",
	 cmd_restore, 0},
	{"resume", "ID", "thaw a container's processes", NULL, cmd_resume, 0},
	{"run", "[FLAGS] ID", "create and start a container, and wait for it",
	 CREATE_FLAGS "  -d, --detach           do not wait\n"
		      "      --keep             do not delete it in the end\n"
		      "      --no-subreaper     leave orphans to others\n",
	 cmd_run, 0},
	{"spec", "[-b DIR] [--rootless]", "write an example config.json",
	 "  -b, --bundle DIR       where (.)\n"
	 "  -f, --file FILE        its name there; it may exist\n"
	 "      --rootless         for an ordinary user\n",
	 cmd_spec, 0},
	{"start", "ID", "run the program of a created container", NULL, cmd_start, 0},
	{"state", "ID", "print a container's state as JSON", NULL, cmd_state, 0},
	{"update", "[FLAGS] ID", "change a container's limits",
	 "  -r, --resources FILE   resources as JSON; -: from standard input\n"
	 "      --blkio-weight, --cpu-burst, --cpu-idle, --cpu-period, --cpu-quota,\n"
	 "      --cpu-rt-period, --cpu-rt-runtime, --cpu-share, --cpuset-cpus,\n"
	 "      --cpuset-mems, --memory, --memory-reservation, --memory-swap,\n"
	 "      --pids-limit, --l3-cache-schema, --mem-bw-schema VALUE\n"
	 "      --kernel-memory, --kernel-memory-tcp  have no effect\n",
	 cmd_update, 0},
};

static const char usage_text[] =
	"Flags:\n"
	"      --root DIR         states of containers (/run/cribox/oci; /run/runc, "
	"/run/crun\n"
	"                         when called so; a user's: below $XDG_RUNTIME_DIR)\n"
	"      --log FILE         the error of a failure also goes here\n"
	"      --log-format text|json\n"
	"      --log-level LEVEL, --debug  more words\n"
	"      --rootless true|false|auto  whether cgroups can be missed\n"
	"      --systemd-cgroup   systemd makes the cgroups (cgroupsPath "
	"slice:prefix:name)\n"
	"      --cgroup-manager cgroupfs|systemd|disabled\n"
	"      --criu PROGRAM     for checkpoint and restore (criu)\n"
	"  -v, --version\n\n"
	"Commands (COMMAND --help says more):\n"
	"  create start run exec kill delete state list ps pause resume update events\n"
	"  checkpoint restore spec features plan\n";

/* --- errors ------------------------------------------------------------------------- */

static void quote(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *s == '\n' ? ' ' : *s);
	}
}

static void text_line(const char *level, const char *msg, struct buf *out)
{
	char when[TIME_TEXT];

	time_format(when, time_real());
	buf_add_fmt(out, "time=\"%.19sZ\" level=%s msg=\"", when, level);
	quote(out, msg);
	buf_add_str(out, "\"\n");
}

static void json_line(const char *level, const char *msg, struct buf *out)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	char when[TIME_TEXT];

	time_format(when, time_real());
	json_add_str(d, root, "level", level);
	json_add_str(d, root, "msg", msg);
	json_add_str(d, root, "time", when);
	json_write(d, false, out);
	buf_add_char(out, '\n');
}

/* To the log, if there is one; in one write: callers read them so. */
static void to_log(const struct oci_cli *cli, const char *level, const char *msg)
{
	BUF_AUTO line = {0};
	FD_AUTO log = -1;

	if (!cli->log)
		return;
	log = open(cli->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (cli->log_json)
		json_line(level, msg, &line);
	else
		text_line(level, msg, &line);
	if (log >= 0 && fd_write_all(log, line.data, line.len) < 0)
		fd_close(&log);
}

static void to_stderr(const char *level, const char *msg)
{
	BUF_AUTO line = {0};

	text_line(level, msg, &line);
	if (write(2, line.data, line.len) < 0)
		return;
}

static void report(const struct oci_cli *cli, const char *msg)
{
	BUF_AUTO clean = {0};

	str_escape(&clean, msg, strlen(msg));
	to_log(cli, "error", buf_str(&clean));
	to_stderr("error", buf_str(&clean));
}

void cli_debug(const struct oci_cli *cli, struct buf *lines)
{
	char *at = cli->debug ? (char *)(uintptr_t)buf_str(lines) : NULL, *line;

	while (at && (line = strsep(&at, "\n"))) {
		BUF_AUTO clean = {0};

		str_escape(&clean, line, strlen(line));
		if (*line && cli->log)
			to_log(cli, "debug", buf_str(&clean));
		else if (*line)
			to_stderr("debug", buf_str(&clean));
	}
}

/* --- dispatch ----------------------------------------------------------------------- */

/*
 * /run/NAME, or $XDG_RUNTIME_DIR/NAME of an ordinary user; crun takes that for root, too.
 */
static const char *default_root(const struct oci_cli *cli, struct arena *a)
{
	static const char *const names[] = {
		[LIKE_CRIBOX] = "cribox/oci", [LIKE_RUNC] = "runc", [LIKE_CRUN] = "crun"};
	const char *dir = getenv("XDG_RUNTIME_DIR"), *user = getenv("USER");
	bool ordinary =
		geteuid() != 0 || (cli->rootless && !str_eq(str_or_empty(user), "root"));

	if (str_empty(dir) || (!ordinary && cli->like != LIKE_CRUN))
		dir = "/run";
	return arena_fmt(a, "%s/%s", dir, names[cli->like]);
}

/* Callers choose what they may ask for by the name in the first line. */
static void print_version(const struct oci_cli *cli)
{
	if (cli->like == LIKE_RUNC)
		puts("runc version 1.3.0+cribox-" CRIBOX_VERSION);
	else if (cli->like == LIKE_CRUN)
		puts("crun version 1.20+cribox-" CRIBOX_VERSION);
	else
		puts("cribox oci version " CRIBOX_VERSION);
	printf("commit: %s\n", CRIBOX_VERSION);
	if (cli->like == LIKE_CRUN)
		printf("rundir: %s\n", cli->root);
	puts("spec: " OCI_VERSION);
	if (cli->like == LIKE_CRUN)
		puts("+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU");
}

static const struct oci_cmd *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eq(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int help(const struct oci_cli *cli, const struct oci_cmd *cmd)
{
	if (cmd)
		printf("usage: %s %s %s\n\n%s\n\n%s", cli->name, cmd->name, cmd->synopsis,
		       cmd->purpose, str_or_empty(cmd->flags));
	else
		printf("usage: %s [FLAGS] COMMAND [ARGUMENT]...\n\n%s", cli->name,
		       usage_text);
	return fflush(stdout) == EOF;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && *argv[i] == '-'; i++)
		if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h"))
			return true;
	return false;
}

enum {
	FLAG_ROOT = 256,
	FLAG_LOG,
	FLAG_FORMAT,
	FLAG_LEVEL,
	FLAG_DEBUG,
	FLAG_SYSTEMD,
	FLAG_MANAGER,
	FLAG_ROOTLESS,
	FLAG_CRIU
};

static const struct option global_flags[] = {
	{"root", 1, NULL, FLAG_ROOT},
	{"log", 1, NULL, FLAG_LOG},
	{"log-format", 1, NULL, FLAG_FORMAT},
	{"log-level", 1, NULL, FLAG_LEVEL},
	{"debug", 2, NULL, FLAG_DEBUG},
	{"systemd-cgroup", 2, NULL, FLAG_SYSTEMD},
	{"cgroup-manager", 1, NULL, FLAG_MANAGER},
	{"rootless", 1, NULL, FLAG_ROOTLESS},
	{"criu", 1, NULL, FLAG_CRIU},
	{"help", 0, NULL, 'h'},
	{"version", 0, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

static int set_root(struct oci_cli *cli, const char *dir, struct arena *a,
		    struct err *err)
{
	char here[PATH_MAX];

	if (*dir != '/' && !getcwd(here, sizeof(here)))
		return err_sys(err, errno, "current directory");
	cli->root = *dir == '/' ? dir : arena_fmt(a, "%s/%s", here, dir);
	cli->root_given = true;
	if (!cli->root[strspn(cli->root, "/")])
		return err_set(err, ERR_INVALID,
			       "root directory: \"/\" cannot be used as --root");
	return 0;
}

/* crun's callers write file:PATH, and may want the journal, which stderr stands for. */
static void set_log(struct oci_cli *cli, const char *text)
{
	cli->log = text;
	if (cli->like != LIKE_CRUN)
		return;
	if (str_starts(text, "file:"))
		cli->log = text + strlen("file:");
	else if (str_starts(text, "journald:") || str_starts(text, "syslog:"))
		cli->log = NULL;
}

static int set_word(struct oci_cli *cli, int flag, const char *text, struct err *err)
{
	switch (flag) {
	case FLAG_FORMAT:
		cli->log_json = str_eq(text, "json");
		return cli->log_json || str_eq(text, "text")
			       ? 0
			       : err_set(err, ERR_INVALID, "invalid log-format: %s",
					 text);
	case FLAG_LEVEL:
		cli->debug = str_eq(text, "debug");
		return 0;
	case FLAG_ROOTLESS:
		if (str_eq(text, "auto"))
			return 0;
		cli->rootless = cli_switch(text);
		return cli->rootless || str_eq(text, "false")
			       ? 0
			       : err_set(err, ERR_INVALID, "invalid rootless: %s", text);
	default:
		cli->driver = str_eq(text, "systemd")	 ? DRIVER_SYSTEMD
			      : str_eq(text, "disabled") ? DRIVER_NONE
							 : DRIVER_CGROUPFS;
		return cli->driver != DRIVER_CGROUPFS || str_eq(text, "cgroupfs")
			       ? 0
			       : err_set(err, ERR_INVALID, "unknown cgroup manager: %s",
					 text);
	}
}

/* The flags before the command. Returns 1 if the command is next, 0 if all is done. */
static int parse(struct oci_cli *cli, int argc, char **argv, struct arena *a,
		 struct err *err)
{
	int c;

	optind = 1;
	while ((c = cli_flag(argc, argv, "+hvV", global_flags, err)) != -1) {
		switch (c) {
		case FLAG_ROOT:
			if (set_root(cli, optarg, a, err) < 0)
				return -1;
			break;
		case FLAG_LOG:
			set_log(cli, optarg);
			break;
		case FLAG_DEBUG:
			cli->debug = cli_switch(optarg);
			break;
		case FLAG_SYSTEMD:
			if (cli_switch(optarg))
				cli->driver = DRIVER_SYSTEMD;
			break;
		case FLAG_CRIU:
			cli->criu = optarg;
			break;
		case 'h':
			return help(cli, NULL);
		case 'v':
		case 'V':
			print_version(cli);
			return 0;
		case -2:
			return -1;
		default:
			if (set_word(cli, c, optarg, err) < 0)
				return -1;
			break;
		}
	}
	return 1;
}

/* Commands that fork into containers run from a copy that nothing inside can write to. */
static bool enters(const struct oci_cmd *cmd)
{
	return cmd->run == cmd_create || cmd->run == cmd_run || cmd->run == cmd_exec;
}

static enum oci_like who(const char *base)
{
	return str_eq(base, "runc")   ? LIKE_RUNC
	       : str_eq(base, "crun") ? LIKE_CRUN
				      : LIKE_CRIBOX;
}

static int run(int argc, char **argv, struct err *err)
{
	const char *slash = strrchr(argv[0], '/');
	const char *base = slash ? slash + 1 : argv[0];
	struct oci_cli cli = {.name = str_eq(base, "oci") ? "cribox oci" : base,
			      .like = who(base),
			      .rootless = geteuid() != 0 || proc_in_userns(),
			      .criu = "criu"};
	const struct oci_cmd *cmd;
	char *const *all = argv;
	ARENA_AUTO a = {0};
	int r;

	cli.root = default_root(&cli, &a);
	r = parse(&cli, argc, argv, &a, err);
	if (r < 0)
		return report(&cli, err->msg), 1;
	if (r == 0)
		return 0;
	if (optind >= argc)
		return help(&cli, NULL);
	argc -= optind;
	argv += optind;
	cmd = str_eq(argv[0], "help") ? NULL : find(argv[0]);
	if (!cmd && !str_eq(argv[0], "help")) {
		err_set(err, ERR_INVALID, "no command \"%s\" (see --help)", argv[0]);
		return report(&cli, err->msg), 1;
	}
	if (!cmd || wants_help(argc, argv))
		return help(&cli, cmd);
	if (enters(cmd) && self_protect(all, err) < 0)
		return report(&cli, err->msg), 1;
	optind = 1;
	r = cmd->run(&cli, argc, argv, err);
	if (r >= 0)
		return r;
	report(&cli, err->msg);
	return cmd->failed ? cmd->failed : 1;
}

const struct applet applet_oci = {
	.name = "oci",
	.alias = "runc crun",
	.purpose = "OCI runtime: runs containers from bundles, as runc and crun do",
	.synopsis = "[FLAGS] COMMAND [ARGUMENT]...",
	.usage = usage_text,
	.run = run,
	.brief = true,
};
