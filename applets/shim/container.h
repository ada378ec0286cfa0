/* container: one container of the pod. */
#ifndef SHIM_CONTAINER_H
#define SHIM_CONTAINER_H

#include "shim/logger.h"
#include "shim/shim.h"

enum ctr_state { CTR_CREATED, CTR_RUNNING, CTR_EXITED };

/* One output of the container on its way to the log. */
struct ctr_output {
	struct loop_fd src; /* fd -1: closed */
	struct container *ct;
	struct logger_stream line;
};

struct container {
	struct list node;
	struct shim *shim;
	char *id;
	char *request; /* text of the ctr.create request; parsed, it takes four times the room */
	/* of the request, for as long as the container is there */
	yyjson_doc *meta; /* may be NULL */
	char *log_path;
	int stop_signal;
	bool tty, has_stdin;
	yyjson_doc *user; /* {uid gid groups} */
	enum ctr_state state;
	int64_t created_at, started_at, finished_at;
	int exit_code;
	const char *reason; /* static text */
	char *message;	    /* may be NULL */
	char *cgroup;	    /* path below the hierarchies' roots */
	pid_t pid;
	int pidfd;
	struct child child;
	struct logger log;
	struct ctr_output out[2]; /* stdout (or the terminal), stderr */
	int stdin_fd;		  /* write end, or -1 */
	int console;		  /* pty master, or -1; owned by out[0] */
	struct reply start;
	bool making;   /* it is not one yet */
	bool unseen;   /* who asked for it was gone when it was made */
	bool starting; /* something is under way */
	bool removing, exited, signalled;
	struct list stops;	 /* struct ctr_stop */
	struct loop_timer kill;	 /* the end of a stop's patience */
	struct loop_timer drain; /* the end of waiting for output */
	struct list removes;	 /* struct ctr_stop */
};

struct container *ctr_by_id(struct shim *s, const char *id, struct err *err);
/* The request by which the container was made; the caller frees it. */
yyjson_doc *container_request(const struct container *ct);
int ctr_signal(struct container *ct, int sig);
yyjson_mut_val *ctr_json(struct container *ct, yyjson_mut_doc *d);

#endif
