/* oci: the OCI runtime's command line, as runc and crun have it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "oci/cli.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/self.h"
#include "wire/json.h"

#ifndef CRIBOX_VERSION
#define CRIBOX_VERSION "unknown"
#endif

static const char bundle_flags[] =
	"  -b, --bundle DIR       directory with config.json (.)\n"
	"      --console-socket S unix socket that receives the terminal\n"
	"      --pid-file FILE    where the pid goes\n"
	"      --preserve-fds N   fds 3 to N+2 stay open\n"
	"      --no-new-keyring   keep the caller's session keyring\n"
	"      --no-pivot         accepted\n";

static const struct oci_cmd commands[] = {
	{"create", "[FLAGS] ID", "make a container; start runs its program", bundle_flags,
	 cmd_create, 0},
	{"delete", "[-f] ID", "remove a container that has stopped",
	 "  -f, --force            kill it first; a missing one is fine\n", cmd_delete,
	 0},
	{"exec", "[FLAGS] ID COMMAND [ARGUMENT]...",
	 "run one more program in a container",
	 "      --console-socket S unix socket that receives the terminal\n"
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
	 "      --cgroup PATH      below the container's cgroup\n"
	 "      --process-label, --apparmor LABEL\n"
	 "      --ignore-paused    also in a paused container\n",
	 cmd_exec, 255},
	{"features", "", "print what this runtime can do, as JSON", NULL, cmd_features,
	 0},
	{"kill", "ID [SIGNAL]", "send a signal (TERM) to a container's init",
	 "  -a, --all              to all of its processes; none is fine\n", cmd_kill, 0},
	{"list", "[FLAGS]", "list containers",
	 "  -q, --quiet            only ids\n"
	 "  -f, --format table|json\n",
	 cmd_list, 0},
	{"pause", "ID", "freeze a container's processes", NULL, cmd_pause, 0},
	{"plan", "[-b DIR] [--v1]", "print what create would do, without doing it",
	 "  -b, --bundle DIR       directory with config.json (.)\n"
	 "      --v1               as on a host with cgroup version 1\n",
	 cmd_plan, 0},
	{"ps", "[-f table|json] ID", "list a container's processes",
	 "  -f, --format table|json\n", cmd_ps, 0},
	{"resume", "ID", "thaw a container's processes", NULL, cmd_resume, 0},
	{"run", "[FLAGS] ID", "create and start a container, and wait for it",
	 "  -b, --bundle DIR       directory with config.json (.)\n"
	 "  -d, --detach           do not wait\n"
	 "      --keep             do not delete it in the end\n"
	 "      --console-socket S unix socket that receives the terminal\n"
	 "      --pid-file FILE    where the pid goes\n"
	 "      --preserve-fds N   fds 3 to N+2 stay open\n"
	 "      --no-new-keyring   keep the caller's session keyring\n"
	 "      --no-pivot, --no-subreaper  accepted\n",
	 cmd_run, 0},
	{"spec", "[-b DIR] [--rootless]", "write an example config.json",
	 "  -b, --bundle DIR       where (.)\n"
	 "      --rootless         for an ordinary user\n",
	 cmd_spec, 0},
	{"start", "ID", "run the program of a created container", NULL, cmd_start, 0},
	{"state", "ID", "print a container's state as JSON", NULL, cmd_state, 0},
};

static const char usage_text[] =
	"Flags:\n"
	"      --root DIR         states of containers (/run/cribox/oci; /run/runc, "
	"/run/crun\n"
	"                         when called so)\n"
	"      --log FILE         the error of a failure also goes here\n"
	"      --log-format text|json\n"
	"      --debug            more words\n"
	"      --rootless BOOL    accepted\n"
	"      --systemd-cgroup   systemd makes the cgroups (cgroupsPath "
	"slice:prefix:name)\n"
	"  -v, --version\n\n"
	"Commands (COMMAND --help says more):\n"
	"  create start run exec kill delete state list ps pause resume spec features "
	"plan\n";

int cli_flag(int argc, char **argv, const char *shorts, const struct option *longs,
	     struct err *err)
{
	int c;

	opterr = 0;
	c = getopt_long_only(argc, argv, shorts, longs, NULL);
	if (c == '?' || c == ':') {
		err_set(err, ERR_INVALID, "%s: flag %s: %s", argv[0],
			optind > 0 && argv[optind - 1] ? argv[optind - 1] : "",
			c == ':' ? "flag needs an argument" : "provided but not defined");
		return -2;
	}
	return c;
}

const char *cli_id(int argc, char **argv, struct err *err)
{
	if (optind >= argc) {
		err_set(err, ERR_INVALID,
			"%s: exactly 1 argument is needed: container id cannot be empty",
			argv[0]);
		return NULL;
	}
	return ctr_check_id(argv[optind], err) < 0 ? NULL : argv[optind];
}

void cli_warn(const struct buf *lines)
{
	if (lines->len && write(2, lines->data, lines->len) < 0)
		return;
}

/* --- errors ------------------------------------------------------------------------- */

static void quote(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *s == '\n' ? ' ' : *s);
	}
}

static void text_line(const char *msg, struct buf *out)
{
	char when[TIME_TEXT];

	time_format(when, time_real());
	buf_add_fmt(out, "time=\"%.19sZ\" level=error msg=\"", when);
	quote(out, msg);
	buf_add_str(out, "\"\n");
}

static void json_line(const char *msg, struct buf *out)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	char when[TIME_TEXT];

	time_format(when, time_real());
	json_add_str(d, root, "level", "error");
	json_add_str(d, root, "msg", msg);
	json_add_str(d, root, "time", when);
	json_write(d, false, out);
	buf_add_char(out, '\n');
}

/* One line to the log, one to stderr, each in one write: callers read them so. */
static void report(const struct oci_cli *cli, const char *msg)
{
	BUF_AUTO clean = {0};
	BUF_AUTO line = {0};
	FD_AUTO log = -1;

	str_escape(&clean, msg, strlen(msg));
	if (cli->log) {
		log = open(cli->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
			   0644);
		if (cli->log_json)
			json_line(buf_str(&clean), &line);
		else
			text_line(buf_str(&clean), &line);
		if (log >= 0 && fd_write_all(log, line.data, line.len) < 0)
			fd_close(&log);
		buf_reset(&line);
	}
	text_line(buf_str(&clean), &line);
	if (write(2, line.data, line.len) < 0)
		return;
}

/* --- dispatch ----------------------------------------------------------------------- */

static const char *default_root(const char *name)
{
	return str_eq(name, "runc")   ? "/run/runc"
	       : str_eq(name, "crun") ? "/run/crun"
				      : "/run/cribox/oci";
}

/* Callers choose what they may ask for by the name in the first line. */
static void print_version(const struct oci_cli *cli)
{
	if (str_eq(cli->name, "runc"))
		puts("runc version 1.3.0+cribox-" CRIBOX_VERSION);
	else if (str_eq(cli->name, "crun"))
		puts("crun version 1.20+cribox-" CRIBOX_VERSION);
	else
		puts("cribox oci version " CRIBOX_VERSION);
	printf("commit: %s\n", CRIBOX_VERSION);
	if (str_eq(cli->name, "crun"))
		printf("rundir: %s\n", cli->root);
	puts("spec: " OCI_VERSION);
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
	FLAG_DEBUG,
	FLAG_SYSTEMD,
	FLAG_MANAGER,
	FLAG_IGNORED
};

static const struct option global_flags[] = {
	{"root", 1, NULL, FLAG_ROOT},
	{"log", 1, NULL, FLAG_LOG},
	{"log-format", 1, NULL, FLAG_FORMAT},
	{"log-level", 1, NULL, FLAG_IGNORED},
	{"debug", 0, NULL, FLAG_DEBUG},
	{"systemd-cgroup", 0, NULL, FLAG_SYSTEMD},
	{"cgroup-manager", 1, NULL, FLAG_MANAGER},
	{"rootless", 1, NULL, FLAG_IGNORED},
	{"criu", 1, NULL, FLAG_IGNORED},
	{"help", 0, NULL, 'h'},
	{"version", 0, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

/* The flags before the command. Returns 1 if the command is next, 0 if all is done. */
static int parse(struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	int c;

	optind = 1;
	while ((c = cli_flag(argc, argv, "+hv", global_flags, err)) != -1) {
		switch (c) {
		case FLAG_ROOT:
			cli->root = optarg;
			cli->root_given = true;
			break;
		case FLAG_LOG:
			cli->log = optarg;
			break;
		case FLAG_FORMAT:
			cli->log_json = str_eq(optarg, "json");
			if (!cli->log_json && !str_eq(optarg, "text"))
				return err_set(err, ERR_INVALID, "invalid log-format: %s",
					       optarg);
			break;
		case FLAG_DEBUG:
			cli->debug = true;
			break;
		case FLAG_SYSTEMD:
			cli->systemd = true;
			break;
		case FLAG_MANAGER:
			cli->systemd = str_eq(optarg, "systemd");
			if (!cli->systemd && !str_eq(optarg, "cgroupfs"))
				return err_set(err, ERR_INVALID,
					       "unknown cgroup manager: %s", optarg);
			break;
		case 'h':
			return help(cli, NULL);
		case 'v':
			print_version(cli);
			return 0;
		case -2:
			return -1;
		default:
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

static int run(int argc, char **argv, struct err *err)
{
	const char *slash = strrchr(argv[0], '/');
	const char *base = slash ? slash + 1 : argv[0];
	struct oci_cli cli = {.name = str_eq(base, "oci") ? "cribox oci" : base,
			      .root = default_root(base)};
	const struct oci_cmd *cmd;
	char *const *all = argv;
	int r;

	r = parse(&cli, argc, argv, err);
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
};
