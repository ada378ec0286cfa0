/* command: a pull for a person, into the store or as a bundle */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "pull/pull.h"

struct command {
	const struct pull_options *o;
	struct loop *loop;
	struct store *store;
	struct pull_job *job;
	struct show *show;
	struct err *err;
	int bundle; /* directory, or -1 */
};

static void on_layers(void *arg, struct pull_job *j)
{
	struct command *c = arg;

	if (!c->o->quiet)
		c->show = show_new(j, c->loop);
}

static void print_id(const struct pull_job *j)
{
	char id[DIGEST_TEXT];

	digest_format(id, pull_id(j));
	puts(id);
}

static void on_end(void *arg, struct pull_job *j, const struct err *err)
{
	struct command *c = arg;
	int r = 0;

	show_free(c->show);
	c->show = NULL;
	if (err) {
		*c->err = *err;
		r = -1;
	} else if (c->bundle >= 0) {
		r = bundle_make(j, c->bundle, c->err);
	}
	if (r == 0 && !c->o->quiet)
		fprintf(stderr, "%s\n", pull_digest_name(j));
	if (r == 0)
		print_id(j);
	loop_stop(c->loop, r);
}

static const struct pull_ops ops = {on_layers, on_end};

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	struct command *c = arg;

	err_set(c->err, ERR_CANCELLED, "the pull was cancelled (%s)",
		strsignal((int)si->ssi_signo));
	loop_stop(c->loop, -1);
}

static int run(struct command *c, struct err *err)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};
	struct err ignored;
	int r;

	if (loop_signals(c->loop, sigs, ARRAY_LEN(sigs), on_signal, c, err) < 0)
		return -1;
	c->job = pull_start(c->loop, c->store, &c->o->request, &ops, c, err);
	if (!c->job)
		return -1;
	r = loop_run(c->loop, err);
	show_free(c->show);
	pull_free(c->job);
	store_gc(c->store, &ignored);
	return r;
}

static int with_store(const struct pull_options *o, const char *root, int bundle,
		      struct err *err)
{
	struct command c = {.o = o, .err = err, .bundle = bundle};
	int r = -1;

	c.loop = loop_new(err);
	if (c.loop)
		c.store = store_open(root, err);
	if (c.store)
		r = run(&c, err);
	store_free(c.store);
	loop_free(c.loop);
	return r;
}

/* The layers of a bundle are unpacked in a store of its own, and moved out of it. */
static int make_bundle(const struct pull_options *o, struct err *err)
{
	bool made = mkdir(o->bundle, 0755) == 0;
	STR_AUTO root = xasprintf("%s/.store", o->bundle);
	FD_AUTO dir = -1;
	struct err cleanup;
	int r;

	if (!made && errno != EEXIST)
		return err_sys(err, errno, "%s", o->bundle);
	dir = file_open(AT_FDCWD, o->bundle, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	if (faccessat(dir, "rootfs", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	    faccessat(dir, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, ERR_EXISTS, "%s: there is a bundle already",
			       o->bundle);
	r = with_store(o, root, dir, err);
	if (file_remove_tree(dir, ".store", &cleanup) < 0 && r == 0) {
		*err = cleanup;
		r = -1;
	}
	if (r == 0)
		return 0;
	file_remove_tree(dir, "rootfs", &cleanup);
	unlinkat(dir, "config.json", 0);
	if (made)
		rmdir(o->bundle);
	return r;
}

int pull_command(const struct pull_options *o, struct err *err)
{
	return o->bundle ? make_bundle(o, err) : with_store(o, o->root, -1, err);
}
