/*
 * config: the node's one configuration. What it may hold is one table of keys, for every
 * source: built-in defaults, the image's /etc/cribox/config.toml with its drop-ins, the
 * state partition's copy of the two, and `cribox.KEY=VALUE` on the kernel's command line;
 * later sources win, key by key.
 *
 * Nothing in it is ever fatal: what is unknown or wrong becomes a complaint with its place
 * and a suggestion, and the value of the source before it, or the default, stands.
 */
#ifndef NODE_CONFIG_H
#define NODE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* Where the sources are. */
#define NODE_CONFIG_FILE "/etc/cribox/config.toml"
#define NODE_CONFIG_DIR "/etc/cribox/config.d"
#define NODE_STATE_DIR "/state" /* the state partition; /state/config.toml, config.d */
#define NODE_CMDLINE "/proc/cmdline"

/* The documented limits. What does not fit is complained about. */
enum {
	NODE_LIST = 8,	 /* elements of a list of strings */
	NODE_ELEM = 80,	 /* bytes of an element, NUL included */
	NODE_NAME = 32,	 /* bytes of the name of a service or an interface */
	NODE_LINKS = 16, /* [net.IFNAME] tables */
	NODE_SERVICES = 24,
	NODE_SYSCTLS = 64,
	NODE_MODULES = 32,
	NODE_COMPLAINTS = 12,
	NODE_CRID = 2048, /* bytes of crid's own settings */
};

struct node_strs {
	unsigned n;
	char v[NODE_LIST][NODE_ELEM];
};

enum node_flag { NODE_UNSET, NODE_NO, NODE_YES };

/* [net.NAME]; the name "*" is for every Ethernet interface that has no table. */
struct node_link {
	char name[NODE_NAME];
	struct node_strs address, dns;
	char gateway[48], gateway6[48];
	uint64_t mtu;	     /* 0: as it is */
	enum node_flag dhcp; /* unset: if there is no address */
	enum node_flag ra;   /* unset: yes */
};

enum node_console { NODE_STATUS, NODE_LOGIN, NODE_OPEN, NODE_OFF };
enum node_restart { NODE_ALWAYS, NODE_ON_FAILURE, NODE_NEVER };

/* [service.NAME], the built-in ones (network, crid, console, kubelet) included. */
struct node_service {
	char name[NODE_NAME];
	char argv[1024]; /* words, each ended by NUL; an empty one ends them */
	char env[512];	 /* "KEY=VALUE" likewise */
	struct node_strs after;
	enum node_restart restart;
	char ready[112];     /* "none", "notify", "unix:/path" */
	uint64_t memory_max; /* bytes; 0: no limit */
	int64_t oom_score_adj;
	char stop_signal[16];  /* "TERM" */
	uint64_t stop_timeout; /* seconds, then SIGKILL */
};

struct node_sysctl {
	char key[80], value[80];
};

struct node_complaint {
	char where[96]; /* "FILE:LINE" or "kernel command line" */
	char text
		[160]; /* "unknown key net.eth0.gatway, did you mean net.eth0.gateway?" */
};

/* All of it, without a pointer: init gets it as it is from the child that read it. */
struct node_config {
	char hostname[65];  /* "": none is configured */
	char password[128]; /* crypt(3) hash for console = "login"; "": none */
	enum node_console console;
	bool pods_load_modules; /* pods may keep CAP_SYS_MODULE and CAP_SYS_BOOT */

	struct node_strs dns, search, ntp;
	bool hostname_from_dhcp;
	unsigned nlinks;
	struct node_link links[NODE_LINKS];

	char state[128]; /* "LABEL=x", ..., "/dev/x"; "": none */
	bool state_required;
	char watchdog[64];	   /* device; "": none */
	uint64_t watchdog_timeout; /* seconds */
	bool time_ntp;

	unsigned nsysctls, nload, ndeny;
	struct node_sysctl sysctls[NODE_SYSCTLS];
	char load[NODE_MODULES][64], deny[NODE_MODULES][64];

	unsigned nservices;
	struct node_service services[NODE_SERVICES];

	char crid[NODE_CRID]; /* crid's keys, "KEY=VALUE" words each ended by NUL */

	unsigned ncomplaints; /* may be more than there is room for */
	struct node_complaint complaints[NODE_COMPLAINTS];
};

/* Where to read; NULL members are left out. */
struct node_sources {
	const char *file, *dir; /* the image's, or what --config names */
	const char *state;	/* directory of the state partition */
	const char *cmdline;	/* file with the kernel's command line */
};
extern const struct node_sources node_sources; /* those of a node */

/*
 * Reads and merges all sources. Never fails: *c is complete whatever they hold. A file that
 * does not exist is no complaint, unless must is set.
 */
void node_config_load(const struct node_sources *from, bool must, struct node_config *c);

/* The table of [net.NAME] that a link has: its own, that of "*", or NULL. */
const struct node_link *node_config_link(const struct node_config *c, const char *name);

/* True for a name of the file's top level that is the node's and none of crid's settings. */
bool node_config_names(const char *top);

/* One effective setting: for `cribox config show`. */
struct node_setting {
	const char *key, *value; /* the value as TOML */
	const char *origin;	 /* "built-in", "FILE:LINE", "kernel command line" */
	struct node_setting *next;
};

/* What node_config_load would take, sorted by key; all in the arena. */
const struct node_setting *node_config_show(const struct node_sources *from,
					    struct arena *a);

/* "status", "login", "open", "off" */
const char *node_console_name(enum node_console c);

#endif
