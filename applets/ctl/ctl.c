/*
 * ctl: a client of the Kubernetes Container Runtime Interface, with crictl's commands,
 * options and output.
 */
#include "ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "applets.h"
#include "base/str.h"
#include "base/time.h"
#include "config.h"
#include "print.h"

#ifndef CRIBOX_VERSION
#define CRIBOX_VERSION "unknown"
#endif

static const char usage[] =
	"Commands (COMMAND --help tells more):\n"
	"  pods         runp pods inspectp stopp rmp\n"
	"  containers   create run start ps inspect exec logs stop rm\n"
	"  images       pull images inspecti rmi imagefsinfo\n"
	"  the runtime  version info runtime-config config\n"
	"\n"
	"Options before the command:\n"
	"  -r, --runtime-endpoint URL  unix:///PATH (CONTAINER_RUNTIME_ENDPOINT); else "
	"the first\n"
	"                              that answers of cribox's, containerd's and "
	"CRI-O's\n"
	"  -i, --image-endpoint URL    if images are elsewhere (IMAGE_SERVICE_ENDPOINT)\n"
	"  -t, --timeout TIME          to connect in (2s), and for each call if given\n"
	"  -c, --config FILE           /etc/crictl.yaml (CRI_CONFIG_FILE)\n"
	"  -D, --debug                 say what is done\n"
	"      --max-retries N         of connecting (3; 0: none, negative: for ever)\n"
	"  -v, --version\n"
	"  -h, --help\n";

static const struct command *const commands[] = {
	&ctl_config,
	&ctl_create,
	&ctl_exec,
	&ctl_images,
	&ctl_imagefsinfo,
	&ctl_info,
	&ctl_inspect,
	&ctl_inspecti,
	&ctl_inspectp,
	&ctl_logs,
	&ctl_pods,
	&ctl_ps,
	&ctl_pull,
	&ctl_rm,
	&ctl_rmi,
	&ctl_rmp,
	&ctl_run,
	&ctl_runp,
	&ctl_runtime_config,
	&ctl_start,
	&ctl_stop,
	&ctl_stopp,
	&ctl_version,
};

/* crictl has these too. */
static const char *const missing[] = {
	"attach",
	"checkpoint",
	"completion",
	"events",
	"metricdescs",
	"metricsp",
	"port-forward",
	"stats",
	"statsp",
	"update",
	"update-runtime-config",
};

static bool is_named(const struct command *cmd, const char *name)
{
	size_t n = strlen(name);

	if (str_eq(cmd->name, name))
		return true;
	for (const char *p = str_or_empty(cmd->alias); *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");

		if (len == n && memcmp(p, name, n) == 0)
			return true;
		p += len;
	}
	return false;
}

static const struct command *find(const char *name, struct err *err)
{
	const char *best = NULL;
	unsigned least = 3;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		unsigned d = str_distance(name, commands[i]->name);

		if (is_named(commands[i], name))
			return commands[i];
		if (d < least) {
			least = d;
			best = commands[i]->name;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(missing); i++)
		if (str_eq(missing[i], name)) {
			err_set(err, ERR_UNIMPLEMENTED, "%s: not there yet", name);
			return NULL;
		}
	if (best)
		err_set(err, ERR_INVALID, "no such command: %.100s (did you mean '%s'?)",
			name, best);
	else
		err_set(err, ERR_INVALID, "no such command: %.100s (see --help)", name);
	return NULL;
}

int ctl_help(struct ctl *c, const struct command *cmd, struct err *err)
{
	buf_add_fmt(&c->out, "usage: %s %s%s%s%s\n\n%s\n", c->name, cmd->name,
		    cmd->opts ? " [OPTIONS]" : "", cmd->synopsis ? " " : "",
		    str_or_empty(cmd->synopsis), cmd->purpose);
	if (cmd->alias)
		buf_add_fmt(&c->out, "Also called: %s\n", cmd->alias);
	if (cmd->opts) {
		buf_add_fmt(&c->out, "\nOptions:\n%s", cmd->opts);
	}
	if (cmd->notes)
		buf_add_fmt(&c->out, "\n%s", cmd->notes);
	return ctl_flush(c, err);
}

static bool wants_help(const struct command *cmd, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (str_eq(argv[i], "--") || (cmd->ordered && argv[i][0] != '-'))
			return false;
		if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h"))
			return true;
	}
	return false;
}

/* argv[0] is the command. */
static int run_command(struct ctl *c, int argc, char **argv, struct err *err)
{
	const struct command *cmd = find(argv[0], err);
	struct opts o;

	if (!cmd)
		return -1;
	if (wants_help(cmd, argc - 1, argv + 1))
		return ctl_help(c, cmd, err);
	if (opts_parse(&o, cmd->opts, cmd->ordered, argc - 1, argv + 1, &c->arena, err) <
	    0)
		return err_wrap(err, "%s", cmd->name);
	if (o.argc < cmd->min)
		return err_set(err, ERR_INVALID, "%s: %s is missing (see %s %s --help)",
			       cmd->name, cmd->synopsis, c->name, cmd->name);
	if (cmd->max >= 0 && o.argc > cmd->max)
		return err_set(err, ERR_INVALID, "%s: one argument too many: %.100s",
			       cmd->name, o.argv[cmd->max]);
	return cmd->run(c, &o, err);
}

static int show_usage(struct ctl *c, struct err *err)
{
	buf_add_fmt(&c->out, "usage: %s %s\n\n%s\n\n%s", c->name, applet_ctl.synopsis,
		    applet_ctl.purpose, applet_ctl.usage);
	return ctl_flush(c, err);
}

static int start(struct ctl *c, int argc, char **argv, struct err *err)
{
	struct opts o;

	if (opts_parse(&o, usage, true, argc - 1, argv + 1, &c->arena, err) < 0)
		return -1;
	if (opts_flag(&o, "version")) {
		buf_add_fmt(&c->out, "%s version %s (cribox)\n", c->name, CRIBOX_VERSION);
		return ctl_flush(c, err);
	}
	if (o.argc == 0 || opts_flag(&o, "help") ||
	    (o.argc == 1 && str_eq(o.argv[0], "help")))
		return show_usage(c, err);
	if (str_eq(o.argv[0], "help")) {
		const struct command *cmd = find(o.argv[1], err);

		return cmd ? ctl_help(c, cmd, err) : -1;
	}
	if (config_apply(c, &o, err) < 0)
		return -1;
	return run_command(c, o.argc, o.argv, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct err late = {0};
	struct ctl c = {.log = {.fd = STDERR_FILENO, .level = LOG_LEVEL_WARN}};
	const char *slash = strrchr(argv[0], '/');
	int status;

	c.name = c.log.name = slash ? slash + 1 : argv[0];
	status = start(&c, argc, argv, err);
	if (c.out.len && ctl_flush(&c, &late) < 0 && status == 0) {
		*err = late;
		status = -1;
	}
	ctl_disconnect(&c);
	buf_done(&c.out);
	arena_done(&c.arena);
	return status;
}

const struct applet applet_ctl = {
	.name = "ctl",
	.alias = "crictl",
	.purpose = "Control a container runtime through CRI, as crictl does",
	.synopsis = "[OPTIONS] COMMAND [ARGUMENTS]...",
	.usage = usage,
	.run = run,
};
