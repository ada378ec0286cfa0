#include "node/config.h"

#include <string.h>

#include "base/str.h"

const struct node_sources node_sources = {
	.file = NODE_CONFIG_FILE,
	.dir = NODE_CONFIG_DIR,
	.state = NODE_STATE_DIR,
	.cmdline = NODE_CMDLINE,
};

static const char *const consoles[] = {
	[NODE_STATUS] = "status",
	[NODE_LOGIN] = "login",
	[NODE_OPEN] = "open",
	[NODE_OFF] = "off",
};

const char *node_console_name(enum node_console c)
{
	return (unsigned)c < ARRAY_LEN(consoles) ? consoles[c] : "?";
}

void node_config_load(const struct node_sources *from, bool must, struct node_config *c)
{
	(void)from;
	(void)must;
	memset(c, 0, sizeof(*c));
	c->time_ntp = true;
	c->hostname_from_dhcp = true;
}

const struct node_link *node_config_link(const struct node_config *c, const char *name)
{
	const struct node_link *any = NULL;

	for (unsigned i = 0; i < c->nlinks; i++) {
		if (str_eq(c->links[i].name, name))
			return &c->links[i];
		if (str_eq(c->links[i].name, "*"))
			any = &c->links[i];
	}
	return any;
}

bool node_config_names(const char *top)
{
	static const char *const tops[] = {"hostname", "console", "password", "net",
					   "storage",  "sysctl",  "modules",  "service",
					   "watchdog", "time",	  "security"};

	for (size_t i = 0; i < ARRAY_LEN(tops); i++)
		if (str_eq(tops[i], top))
			return true;
	return false;
}

const struct node_setting *node_config_show(const struct node_sources *from,
					    struct arena *a)
{
	(void)from;
	(void)a;
	return NULL;
}
