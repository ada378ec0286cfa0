/* pull: gets images from registries; crid runs it as a worker, people by hand */
#include "pull/pull.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "applet.h"
#include "base/str.h"

enum {
	OPT_ROOT = 256,
	OPT_CREDS,
	OPT_PLATFORM,
	OPT_DIR,
	OPT_PRELOAD,
	OPT_BUNDLE,
	OPT_WORKER
};

static const struct option options[] = {
	{"root", required_argument, NULL, OPT_ROOT},
	{"creds", required_argument, NULL, OPT_CREDS},
	{"platform", required_argument, NULL, OPT_PLATFORM},
	{"registry-dir", required_argument, NULL, OPT_DIR},
	{"preload-dir", required_argument, NULL, OPT_PRELOAD},
	{"bundle", required_argument, NULL, OPT_BUNDLE},
	{"worker", no_argument, NULL, OPT_WORKER},
	{"quiet", no_argument, NULL, 'q'},
	{NULL, 0, NULL, 0},
};

/* "user:password"; what is on the command line is taken away from ps(1). */
static int set_creds(char *arg, struct pull_options *o, struct err *err)
{
	char *copy = xstrdup(arg);
	char *colon = strchr(copy, ':');

	explicit_bzero(arg, strlen(arg));
	if (!colon)
		return err_set(err, ERR_INVALID, "--creds: not USER:PASSWORD");
	*colon = 0;
	o->auth.username = copy;
	o->auth.password = colon + 1;
	o->request.auth = &o->auth;
	return 0;
}

static int parse(int argc, char **argv, struct pull_options *o, bool *worker,
		 struct err *err)
{
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "+q", options, NULL)) != -1) {
		switch (c) {
		case OPT_ROOT:
			o->root = optarg;
			break;
		case OPT_CREDS:
			if (set_creds(optarg, o, err) < 0)
				return -1;
			break;
		case OPT_PLATFORM:
			o->request.platform = optarg;
			break;
		case OPT_DIR:
			o->request.registry_dir = optarg;
			break;
		case OPT_PRELOAD:
			o->request.preload_dir = optarg;
			break;
		case OPT_BUNDLE:
			o->bundle = optarg;
			break;
		case OPT_WORKER:
			*worker = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		default:
			return err_set(err, ERR_INVALID,
				       "unknown option, or one without its value: %s "
				       "(see --help)",
				       argv[optind - 1]);
		}
	}
	if (*worker ? optind != argc : optind + 1 != argc)
		return err_set(err, ERR_INVALID, "pull: which image? (see --help)");
	o->request.image = argv[optind];
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct pull_options o = {.root = "/var/lib/cribox"};
	bool worker = false;
	int r;

	if (parse(argc, argv, &o, &worker, err) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	/* the fetcher's lanes become ours when it is killed: none shall stay behind */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "become subreaper");
	r = worker ? pull_worker(o.root, err) : pull_command(&o, err);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return r;
}

const struct applet applet_pull = {
	.name = "pull",
	.purpose = "get an image from a registry",
	.synopsis = "[OPTIONS] IMAGE",
	.usage = "IMAGE is a name as for docker: busybox, quay.io/a/b:tag, "
		 "NAME@sha256:...\n\n"
		 "  --root DIR          the store (default /var/lib/cribox)\n"
		 "  --bundle DIR        make an OCI bundle in DIR instead, for oci run "
		 "-b DIR\n"
		 "  --creds USER:PASS   for the registry\n"
		 "  --platform OS/ARCH[/VARIANT]\n"
		 "  --registry-dir DIR  where HOST/hosts.toml is looked for\n"
		 "                      (default /etc/cribox/certs.d, "
		 "/etc/containerd/certs.d)\n"
		 "  --preload-dir DIR   OCI layouts below it come before registries\n"
		 "  -q, --quiet         print the image's id only\n",
	.run = run,
};
