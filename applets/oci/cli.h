/* cli: the parts of the OCI runtime's command line. */
#ifndef APPLETS_OCI_CLI_H
#define APPLETS_OCI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "oci/oci.h"
#include "os/cgroup.h"

/* What the flags before the command say. */
struct oci_cli {
	const char *name; /* as called: "runc", "crun", or "cribox oci" */
	const char *root; /* directory of the states */
	bool root_given;
	const char *log; /* file; NULL: none */
	bool log_json;
	bool debug;
	bool systemd; /* makes the control groups */
};

/* A command. run gets its arguments, argv[0] is its name. Exit status or -1. */
struct oci_cmd {
	const char *name;
	const char *synopsis, *purpose, *flags; /* flags: for --help */
	int (*run)(const struct oci_cli *cli, int argc, char **argv, struct err *err);
	int failed; /* exit status when run returns -1; 0: 1 */
};

int cmd_create(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_run(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_start(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_exec(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_state(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_list(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_ps(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_kill(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_delete(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_pause(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_resume(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_spec(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_features(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_plan(const struct oci_cli *cli, int argc, char **argv, struct err *err);

/*
 * The next flag as getopt_long_only returns it (runc's callers write -flag, too), or -1
 * at the first argument that is none, with optind there. -2 with err for an unknown one.
 */
int cli_flag(int argc, char **argv, const char *shorts, const struct option *longs,
	     struct err *err);
/* The one argument that a command takes: the id, at optind. NULL with err. */
const char *cli_id(int argc, char **argv, struct err *err);
/* A warning on stderr. */
void cli_warn(const struct buf *lines);

/* --- state.c ------------------------------------------------------------------------ */

enum ctr_status { CTR_CREATING, CTR_CREATED, CTR_RUNNING, CTR_PAUSED, CTR_STOPPED };
extern const char *const ctr_status_names[];

/* A container's directory below the root, and what its state file says. */
struct ctr {
	int dir; /* -1: not open */
	struct arena arena;
	const char *id, *bundle, *rootfs, *version, *cgroup;
	const char *scope; /* systemd's unit that the cgroup is; NULL: ours */
	bool user_systemd; /* the unit is of the user's manager */
	bool made_cgroup;
	int64_t created; /* ns since 1970 */
	uint64_t start_time;
	pid_t pid;     /* 0: none yet */
	bool own_pids; /* init of a pid namespace */
	uid_t owner;
	struct oci_spec *spec; /* of the copy of config.json; NULL if not loaded */
};

/* 0 if it may be a container's id. */
int ctr_check_id(const char *id, struct err *err);
/* Makes the directory. ERR_EXISTS if there is one. */
int ctr_make(const struct oci_cli *cli, struct ctr *c, const char *id, struct err *err);
/* Reads it. ERR_NOT_FOUND: "container does not exist". */
int ctr_load(const struct oci_cli *cli, struct ctr *c, const char *id, struct err *err);
int ctr_load_spec(struct ctr *c, struct err *err);
int ctr_save(struct ctr *c, struct err *err);
/* Removes the directory. */
int ctr_forget(const struct oci_cli *cli, const char *id, struct err *err);
void ctr_done(struct ctr *c);
enum ctr_status ctr_status(const struct ctr *c, const struct cgroups *g);
/* True if its init is there and is no zombie. */
bool ctr_alive(const struct ctr *c);
/* A pidfd of its init, verified by its start time. ERR_STATE: "container not running". */
int ctr_pidfd(const struct ctr *c, struct err *err);

/* --- group.c ------------------------------------------------------------------------ */

struct resources;

/*
 * Makes the container's group by the driver of cli, with its limits; c->made_cgroup says
 * whether there is something to remove. *ret_holder is to be given to systemd_release()
 * when the container's process is in the group. 0 or -1.
 */
int group_make(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
	       int *ret_holder, struct err *err);
/* Changes limits of a group in use. 0 or -1. */
int group_update(const struct ctr *c, const struct cgroups *g, const struct resources *r,
		 struct err *err);
/* Kills what is in it and removes it. 0 or -1. */
int group_remove(const struct ctr *c, const struct cgroups *g, struct err *err);

/* --- kill.c ------------------------------------------------------------------------- */

/* Ends what is left of a container and removes it. */
int ctr_destroy(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		struct err *err);

/* --- wait.c ------------------------------------------------------------------------- */

/*
 * Waits for a child of ours, passing signals on to it. With a terminal (master >= 0) it
 * is connected to ours. The exit status (128 + signal), or -1.
 */
int wait_child(pid_t pid, int pidfd, int master, struct err *err);
/* A socket pair, over which a terminal's master comes. */
int wait_master(int sock, struct err *err);

#endif
