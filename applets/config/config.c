/* config: what the node's configuration says, and what is wrong with it. */
#include <stdio.h>
#include <string.h>

#include "applet.h"
#include "base/arena.h"
#include "base/num.h"
#include "base/str.h"
#include "node/config.h"

static int check(const struct node_sources *from)
{
	static struct node_config c;

	node_config_load(from, from != &node_sources, &c);
	for (unsigned i = 0; i < MIN(c.ncomplaints, (unsigned)NODE_COMPLAINTS); i++)
		printf("%s: %s\n", c.complaints[i].where, c.complaints[i].text);
	if (c.ncomplaints > NODE_COMPLAINTS)
		printf("and %u more\n", c.ncomplaints - NODE_COMPLAINTS);
	return c.ncomplaints ? 1 : 0;
}

static int show(const struct node_sources *from, bool origin)
{
	ARENA_AUTO a = {0};

	for (const struct node_setting *s = node_config_show(from, &a); s; s = s->next) {
		printf("%s = %s", s->key, s->value);
		if (origin)
			printf("  # %s", s->origin);
		putchar('\n');
	}
	return 0;
}

static int run_config(int argc, char **argv, struct err *err)
{
	struct node_sources one = {0};
	bool origin = false;

	if (argc < 2)
		return err_set(err, ERR_INVALID, "check or show? (see --help)");
	for (int i = 2; i < argc; i++) {
		if (str_eq(argv[i], "--origin"))
			origin = true;
		else if (*argv[i] == '-' || one.file)
			return err_set(err, ERR_INVALID, "unexpected argument: %s",
				       argv[i]);
		else
			one.file = argv[i];
	}
	if (str_eq(argv[1], "check"))
		return check(one.file ? &one : &node_sources);
	if (str_eq(argv[1], "show"))
		return show(one.file ? &one : &node_sources, origin);
	return err_set(err, ERR_INVALID, "unknown verb: %s (check or show)", argv[1]);
}

const struct applet applet_config = {
	.name = "config",
	.purpose =
		"Check the node's configuration, or show what holds and where it is from",
	.synopsis = "check [FILE] | show [--origin] [FILE]",
	.usage =
		"Without FILE: /etc/cribox/config.toml and config.d, the same two of "
		"the\n"
		"state partition (/state), and cribox.KEY=VALUE on the kernel's command\n"
		"line; later ones win. check exits with 1 if anything is wrong; init "
		"takes\n"
		"defaults in the place of what is.\n",
	.run = run_config,
};
