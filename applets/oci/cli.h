/* cli: the parts of the OCI runtime's command line. */
#ifndef APPLETS_OCI_CLI_H
#define APPLETS_OCI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "cgroup/cgroup.h"
#include "oci/oci.h"
#include "os/cgroup.h"

/* What we are called decides the version line, the root directory and flags. */
enum oci_like { LIKE_CRIBOX, LIKE_RUNC, LIKE_CRUN };

enum oci_driver { DRIVER_CGROUPFS, DRIVER_SYSTEMD, DRIVER_NONE };

/* Compiled filters, below the root; no container's name begins so (list leaves it out). */
#define OCI_SECCOMP_CACHE ".seccomp"

/* What the flags before the command say. */
struct oci_cli {
	const char *name; /* as called: "runc", "crun", or "cribox oci" */
	enum oci_like like;
	const char *root; /* directory of the states; absolute */
	bool root_given;
	const char *log; /* file; NULL: none */
	bool log_json;
	bool debug;
	bool rootless; /* cgroups that we have no rights to can be missed */
	enum oci_driver driver;
	const char *criu; /* program */
};

/* A command. run gets its arguments, argv[0] is its name. Exit status or -1. */
struct oci_cmd {
	const char *name;
	const char *synopsis, *purpose, *flags; /* flags: for --help */
	int (*run)(const struct oci_cli *cli, int argc, char **argv, struct err *err);
	int failed; /* exit status when run returns -1; 0: 1 */
};

int cmd_checkpoint(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_create(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_delete(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_events(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_exec(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_features(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_kill(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_list(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_pause(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_plan(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_ps(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_restore(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_resume(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_run(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_spec(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_start(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_state(const struct oci_cli *cli, int argc, char **argv, struct err *err);
int cmd_update(const struct oci_cli *cli, int argc, char **argv, struct err *err);

/* --- flags.c ------------------------------------------------------------------------ */

/*
 * The next flag as getopt_long_only returns it (runc's callers write -flag, too), or -1 with
 * optind at the first argument that is none: the first of all if shorts begins with '+', else
 * flags may come behind arguments. -2 with err for an unknown one.
 */
int cli_flag(int argc, char **argv, const char *shorts, const struct option *longs,
	     struct err *err);
/* For a command without flags. 0 or -1. */
int cli_no_flags(int argc, char **argv, struct err *err);
/* A switch, which may have a value: --tty, --tty=false. */
bool cli_switch(const char *arg);
/* A number of fds to preserve. 0 or -1. */
int cli_count(const char *flag, const char *arg, int *ret, struct err *err);
/* The one argument that a command takes: the id, at optind. NULL with err. */
const char *cli_id(int argc, char **argv, struct err *err);
/* The argc for cli_id of a command that takes more arguments behind it. */
int cli_up_to_id(int argc);
/* With --debug: lines to the log, or to stderr if there is none. They are written to. */
void cli_debug(const struct oci_cli *cli, struct buf *lines);
/* A warning on stderr. */
void cli_warn(const struct buf *lines);
/* Writes to standard output. 0 or -1. */
int cli_print(const struct buf *out, struct err *err);
/* Writes a pid file, if there is one to write: whole or not at all. 0 or -1. */
int cli_write_pid(const char *path, pid_t pid, struct err *err);
/* Sends a pidfd to a socket that waits for one (NULL: none). 0 or -1. */
int cli_send_pidfd(const char *socket, const char *what, int pidfd, struct err *err);

/* --- state.c ------------------------------------------------------------------------ */

enum ctr_status { CTR_CREATING, CTR_CREATED, CTR_RUNNING, CTR_PAUSED, CTR_STOPPED };
extern const char *const ctr_status_names[];

/*
 * The fifos through which start says go (under its first name as long as the container is being
 * made), and is told how that went.
 */
#define CTR_GO_EARLY ".exec.fifo"
#define CTR_GO "exec.fifo"
#define CTR_OUTCOME "outcome.fifo"

/* A container's directory below the root, and what its state file says. */
struct ctr {
	int dir; /* -1: not open */
	struct arena arena;
	const char *id, *bundle, *rootfs, *version;
	const char *cgroup; /* "": none */
	const char *scope;  /* systemd's unit that the cgroup is; NULL: ours */
	bool user_systemd;  /* the unit is of the user's manager */
	int64_t created;    /* ns since 1970 */
	uint64_t start_time;
	pid_t pid;     /* 0: none yet */
	bool own_pids; /* init of a pid namespace */
	bool rdt_made; /* its resctrl group is ours */
	uid_t owner;
	const char *stdio[3];  /* what its fds 0 to 2 were: /proc/PID/fd's texts */
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
/* One id after flags: the container, and the host's cgroups (NULL: none). 0 or -1. */
int ctr_open(const struct oci_cli *cli, int argc, char **argv, struct ctr *c,
	     struct cgroups **ret_g, struct err *err);
void ctr_close(struct ctr *c, struct cgroups *g);
/* The hooks of one kind of a container whose spec is loaded. pid 0: stopped. 0 or -1. */
int ctr_run_hooks(const struct ctr *c, enum oci_hook_kind kind, pid_t pid,
		  struct buf *warnings, struct err *err);

/* --- group.c ------------------------------------------------------------------------ */

/* The group of a container that is being made. */
struct group {
	struct cgroups *cgroups; /* NULL: the host has none */
	int holder;		 /* what keeps systemd's scope alive; -1 */
	bool made;
};

/*
 * Opens the host's cgroups and says in c where the container's group will be. Nothing is
 * made yet: what is saved now is enough to remove it. 0 or -1.
 */
int group_choose(const struct oci_cli *cli, struct group *gr, struct ctr *c,
		 struct err *err);
/* Makes it, with the limits of the spec. 0 or -1. */
int group_make(const struct oci_cli *cli, struct group *gr, struct ctr *c,
	       struct err *err);
/* The container's processes are in it now. */
void group_filled(struct group *gr);
void group_done(struct group *gr);
/* Limits of a container's group are changed. 0 or -1. */
int group_update(const struct ctr *c, const struct cgroups *g, const struct resources *r,
		 struct err *err);
/* Kills what is left in a container's group and removes it. 0 or -1. */
int group_remove(const struct ctr *c, const struct cgroups *g, struct err *err);

/* --- create.c ----------------------------------------------------------------------- */

struct create {
	const struct oci_cli *cli;
	const char *id, *bundle, *config, *console_socket, *pid_file, *pidfd_socket;
	int preserve;
	bool run, detach, keep, no_keyring, no_pivot, no_subreaper;
	struct group group;
	struct ctr ctr;
	struct buf warnings;
	struct buf text; /* config.json */
};

/* Reads the bundle, makes the state and the group. Nothing runs yet. 0 or -1. */
int create_prepare(struct create *c, struct err *err);
/* From the bundle to a container that waits for its start. terminal: a socket, or -1. */
int create_container(struct create *c, int terminal, struct oci_started *ret,
		     struct err *err);
/* The process is there: it is written down where delete and callers look. 0 or -1. */
int create_started(struct create *c, pid_t pid, struct err *err);
/* A create that failed leaves nothing. */
void create_undo(struct create *c);
void create_done(struct create *c);
/* The flags of create, run and restore, and what one of them says. 0 or -1. */
enum {
	CREATE_SOCKET = 256,
	CREATE_PID_FILE,
	CREATE_PRESERVE,
	CREATE_KEEP,
	CREATE_PIVOT,
	CREATE_REAPER,
	CREATE_KEYRING,
	CREATE_PIDFD
};
#define CREATE_OPTIONS                                                              \
	{"bundle", 1, NULL, 'b'}, {"config", 1, NULL, 'f'},                         \
		{"console-socket", 1, NULL, CREATE_SOCKET},                         \
		{"pidfd-socket", 1, NULL, CREATE_PIDFD},                            \
		{"pid-file", 1, NULL, CREATE_PID_FILE},                             \
		{"preserve-fds", 1, NULL, CREATE_PRESERVE},                         \
		{"no-pivot", 2, NULL, CREATE_PIVOT},                                \
		{"no-new-keyring", 2, NULL, CREATE_KEYRING},                        \
		{"no-subreaper", 2, NULL, CREATE_REAPER}, {"detach", 2, NULL, 'd'}, \
	{                                                                           \
		"keep", 2, NULL, CREATE_KEEP                                        \
	}
int create_flag(struct create *c, int f, const char *arg, struct err *err);
int create_parse(struct create *c, int argc, char **argv, struct err *err);
/* What died before its program ran, for lack of memory, says so. */
void create_explain(const struct create *c, struct err *err);

/* --- delete.c ----------------------------------------------------------------------- */

/* Ends what is left of a container and removes it; its hooks' complaints to warnings. */
int ctr_destroy(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		struct buf *warnings, struct err *err);

/* --- notify.c ----------------------------------------------------------------------- */

/* Directory of a container's notify socket, inside the container. */
#define NOTIFY_DIR "/run/notify"

/*
 * If $NOTIFY_SOCKET is set: makes the container's directory for it and adds its mount and
 * variable to the configuration's text. 0 or -1.
 */
int notify_setup(const struct oci_cli *cli, const struct ctr *c, struct buf *config,
		 struct err *err);
/* Before the program runs: a socket where it sends; -1: nobody wants to know. 0 or -1. */
int notify_listen(const struct ctr *c, int *ret_sock, struct err *err);
/* Waits for READY=1 or the end of the program, and tells the host's manager. 0 or -1. */
int notify_wait(int sock, const struct ctr *c, int pidfd, struct err *err);

/* --- wait.c ------------------------------------------------------------------------- */

/*
 * Waits for a child of ours, passing signals on to it. With a terminal (master >= 0) it
 * is connected to ours. The exit status (128 + signal), or -1.
 */
int wait_child(pid_t pid, int pidfd, int master, struct err *err);
/* Its terminal, if it gets one, is as large as ours, and ours adds the carriage returns. */
void wait_as_ours(struct oci_process *p);
/* A socket pair, over which a terminal's master comes. */
int wait_master(int sock, struct err *err);

#endif
