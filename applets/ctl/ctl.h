/* ctl: what the commands of the CRI client share. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "cri/methods.h"
#include "opts.h"
#include "wire/json.h"

struct grpc_client;

/* One run of the program. */
struct ctl {
	const char *name; /* as the user called us */
	const char *config_file;
	bool config_given;
	const char *runtime_endpoint; /* NULL: the first default that answers */
	const char *image_endpoint;   /* NULL: the runtime's */
	int64_t timeout; /* ns: of connecting, and of a call if timeout_given */
	bool timeout_given;
	int64_t max_retries; /* of connecting; negative: no limit */
	bool pull_on_create, no_pull_on_run;
	struct grpc_client *runtime,
		*image; /* owned; NULL until used; image may be runtime */
	struct log log;
	struct arena arena; /* for all of the run */
	struct buf out;	    /* for standard output, see ctl_flush */
	int failed;	    /* exit status when some of several targets failed */
};

struct command {
	const char *name;
	const char *alias;    /* other names, separated by blanks; may be NULL */
	const char *synopsis; /* of the arguments */
	const char *purpose;
	const char *opts;  /* their help, which is the table (opts.h); may be NULL */
	int min, max;	   /* number of arguments; max -1: no limit */
	bool ordered;	   /* options end at the first argument */
	const char *notes; /* lines at the end of the help; may be NULL */
	/* Returns the exit status, or -1 with err. */
	int (*run)(struct ctl *c, const struct opts *o, struct err *err);
};

extern const struct command ctl_config, ctl_version, ctl_info, ctl_runtime_config;
extern const struct command ctl_runp, ctl_pods, ctl_inspectp, ctl_stopp, ctl_rmp;
extern const struct command ctl_create, ctl_run, ctl_start, ctl_stop, ctl_rm;
extern const struct command ctl_ps, ctl_inspect, ctl_exec, ctl_logs;
extern const struct command ctl_pull, ctl_images, ctl_inspecti, ctl_rmi, ctl_imagefsinfo;

/* Shows a command's help on standard output. Returns 0 or -1. */
int ctl_help(struct ctl *c, const struct command *cmd, struct err *err);

/* --- calls (call.c) --------------------------------------------------------------------- */

/* How long a call may take beyond what was asked for with --timeout, ns. */
enum ctl_wait { WAIT_QUICK, WAIT_LONG, WAIT_FOREVER };

/*
 * Calls rpc with the message that request's root says (NULL: an empty one; keys as in the
 * .proto file or in lowerCamelCase). timeout: ns, or 0: by wait. The answer is decoded in
 * protobuf's JSON form (cri/json.h) and freed with json_free.
 */
yyjson_doc *ctl_call(struct ctl *c, enum cri_rpc rpc, yyjson_mut_doc *request,
		     enum ctl_wait wait, int64_t timeout, struct err *err);

/* The two halves of it, for an answer that is wanted in more than one form. */
int ctl_call_raw(struct ctl *c, enum cri_rpc rpc, yyjson_mut_doc *request,
		 enum ctl_wait wait, int64_t timeout, struct buf *ret, struct err *err);
yyjson_doc *ctl_decode(enum cri_rpc rpc, const struct buf *raw, unsigned form,
		       struct err *err);

/* A request of one string: {key: value}. */
yyjson_mut_doc *ctl_request(const char *key, const char *value);

/* Closes the connections. */
void ctl_disconnect(struct ctl *c);

/* --- what the API's objects are made of (resolve.c) ------------------------------------- */

/*
 * The full id that a prefix stands for; the id itself if nothing begins so (the server
 * will say that it does not know it). ERR_INVALID if it is not unique. In the arena.
 */
const char *ctl_container_id(struct ctl *c, const char *id, struct err *err);
const char *ctl_pod_id(struct ctl *c, const char *id, struct err *err);

/* Reads a pod's or container's file (YAML or JSON) and checks what crictl checks. */
yyjson_doc *ctl_read_pod(struct ctl *c, const char *path, struct err *err);
yyjson_doc *ctl_read_container(struct ctl *c, const char *path, struct err *err);

/* Adds "k=v" labels as the object `key` of obj, if there are any. */
int ctl_add_labels(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		   const struct opt_value *labels, struct err *err);

/*
 * A copy of v in d. For a uint64 or int64 in protobuf's JSON form, which is text:
 * ctl_i64.
 */
int64_t ctl_i64(yyjson_val *obj, const char *key);

/*
 * Runs fn for each id, goes on after a failure, says each but the only one on stderr, and
 * returns the exit status, or -1 with err if the only one failed.
 */
int ctl_each(struct ctl *c, const char *const *ids, size_t n,
	     int (*fn)(struct ctl *c, const struct opts *o, const char *id,
		       struct err *err),
	     const struct opts *o, struct err *err);

#endif
