/* shim: the parts of the pod supervisor. One process per pod, one thread, one loop. */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <sys/types.h>

#include "base/list.h"
#include "base/log.h"
#include "loop/accept.h"
#include "loop/loop.h"
#include "os/cgroup.h"
#include "rpc/chan.h"
#include "shim/protocol.h"

/* The namespaces that a pod's containers share. */
enum pod_ns {
	POD_NS_USER,
	POD_NS_NET,
	POD_NS_IPC,
	POD_NS_UTS,
	POD_NS_PID,
	POD_NS_MNT,
	POD_NS_COUNT
};

/* A child process that the shim waits for. */
struct child {
	struct list node;
	pid_t pid;
	/* status as from waitpid; the child is off the list and may be freed */
	void (*on_exit)(struct child *c, int status);
};

/* A client of the shim: crid. */
struct peer {
	struct list node;
	struct shim *shim;
	struct chan *chan;
	uint64_t id; /* never used again, as an address may be */
	bool events;
};

enum pod_state { POD_NEW, POD_READY, POD_NOTREADY };

struct pod {
	enum pod_state state;
	yyjson_doc *doc;   /* the pod.run request: owned */
	yyjson_val *spec;  /* its root */
	struct buf config; /* crid's record of it, should that be lost */
	int64_t created_at;
	int ns[POD_NS_COUNT]; /* -1: the host's (USER, NET...), or one per container */
	char *netns;	      /* path of the bound network namespace, or NULL */
	yyjson_doc *net;      /* what making it gave: "ips" []; owned, may be NULL */
	struct child pause;   /* pid 0: there is none */
	char *cgroup;	      /* parent of the containers' groups */
	bool own_cgroup;      /* nobody else made it */
	bool systemd;	      /* it is a slice, and the containers' are scopes */
	bool clean;	      /* taken down */
	bool unseen;	      /* who asked for it was gone when it was made */
};

/* The status of a child that was reaped before it was watched. */
enum { SHIM_EARLY = 16 };
struct early {
	pid_t pid;
	int status;
};

struct shim {
	struct loop *loop;
	struct log log;
	const char *id;
	const char *root;  /* directory of the records */
	const char *state; /* directory of the sockets */
	int rootfd, podfd; /* root, and pods/<id> below it */
	/* of a clean-up: when the containers ended, 0: now; the spec if there is none */
	int64_t when;
	const char *spec;
	struct cgroups *cgroups;
	char boot_id[40];
	uint64_t start_time;
	struct acceptor acceptor;
	struct list peers, children, containers;
	uint64_t npeers;   /* so far */
	struct list execs; /* exec_syncs under way */
	struct pod pod;
	bool busy;	  /* a pod.run, pod.stop or pod.remove is under way */
	unsigned workers; /* works under way */
	struct list
		stops; /* pod.stop and pod.remove requests that wait: struct pod_stop */
	struct early early[SHIM_EARLY];
	unsigned nearly;
	struct loop_later later;
};

/* A request that is answered later. The peer may be gone by then. */
struct reply {
	struct shim *shim;
	uint64_t peer; /* looked up: may be gone */
	uint32_t serial;
};

struct reply reply_to(struct shim *s, struct chan *c, const struct chan_msg *m);
void reply_json(const struct reply *r, const yyjson_mut_doc *d, const void *blob,
		size_t n);
void reply_ok(const struct reply *r);
void reply_error(const struct reply *r, const struct err *err);
/* Whether the one who asked is still there. */
bool reply_heard(const struct reply *r);

/* Tells every peer that wants events. */
void shim_event(struct shim *s, const yyjson_mut_doc *d);

/* Watches a child; c->pid and c->on_exit are set. */
void child_watch(struct shim *s, struct child *c);

/*
 * work: something that may block, done in a forked process. fn runs in the
 * child: it appends a result to out, may give up to 8 fds, and returns 0 or
 * -1 with err. done runs in the shim: err is NULL after success; the fds are
 * its own.
 */
struct work_result {
	struct buf out;
	int fds[8];
	unsigned nfds;
};
typedef int work_fn(void *arg, struct work_result *res, struct err *err);
typedef void work_done(void *arg, struct work_result *res, const struct err *err);
int work_start(struct shim *s, work_fn *fn, work_done *done, void *arg, struct err *err);

/* pod.c */
void pod_run(struct shim *s, struct chan *c, struct chan_msg *m);
void pod_stop(struct shim *s, struct chan *c, struct chan_msg *m);
void pod_remove(struct shim *s, struct chan *c, struct chan_msg *m);
void pod_sync(struct shim *s, struct chan *c, struct chan_msg *m);
/* Called when a container has ended or gone: a pod that stops may go on. */
void pod_progress(struct shim *s);
/* The pod cannot go on: it is NOTREADY from now on. */
void pod_fail(struct shim *s);
yyjson_mut_val *pod_json(struct shim *s, yyjson_mut_doc *d);
int pod_save(struct shim *s, struct err *err);
/* A member of the pod.run request; "" if it is missing. */
const char *pod_str(const struct shim *s, const char *key);
/* Removes the records and the socket. */
int pod_forget(struct shim *s, struct err *err);

/* update.c */
void ctr_update(struct shim *s, struct chan *c, struct chan_msg *m);

/* usage.c */
void pod_usage(struct shim *s, struct chan *c, struct chan_msg *m);

/* files.c: what is written into a pod's directory for its containers */
int pod_files(int podfd, yyjson_val *spec, struct err *err);

/* ns.c: makes the namespaces that spec asks for; fds into ret_ns, -1 where none. */
int pod_make_ns(yyjson_val *spec, int ret_ns[POD_NS_COUNT], struct err *err);
/* Binds a namespace to a path below /run/netns. 0 or -1. */
int netns_bind(int nsfd, const char *path, struct err *err);
/* Unmounts and removes; a missing one is success. */
int netns_unbind(const char *path, struct err *err);

/* Writes a document as a record. */
int shim_record(int dirfd, const char *name, const char *kind, yyjson_doc *doc,
		struct err *err);

/* container.c */
struct container;
void ctr_create(struct shim *s, struct chan *c, struct chan_msg *m);
void ctr_start(struct shim *s, struct chan *c, struct chan_msg *m);
void ctr_stop(struct shim *s, struct chan *c, struct chan_msg *m);
void ctr_remove(struct shim *s, struct chan *c, struct chan_msg *m);
void ctr_reopen_log(struct shim *s, struct chan *c, struct chan_msg *m);
struct container *ctr_by_id(struct shim *s, const char *id, struct err *err);
/* CTR of the protocol, for a node of s->containers. */
yyjson_mut_val *ctr_json_of(struct list *node, yyjson_mut_doc *d);
/* Kills what runs and removes every container's directory; true when none is left. */
bool ctr_kill_all(struct shim *s);
/* Writes the records of all containers anew. */
void ctr_save_all(struct shim *s);
int ctr_remove_all(struct shim *s, struct err *err);

/* exec.c */
void ctr_exec_sync(struct shim *s, struct chan *c, struct chan_msg *m);
/* Nobody waits for an exec_sync any more: it is killed. */
void ctr_exec_cancel(struct shim *s, struct chan *c, struct chan_msg *m);
void ctr_exec(struct shim *s, struct chan *c, struct chan_msg *m);

/* place.c: where the pod's processes and our own are */
/* Puts the shim into a group of its own. */
int place_shim(struct shim *s, struct err *err);
/* Leaves it and removes it. */
void place_leave(struct shim *s);
/* In a clean-up: kills what a dead shim left in its group, and removes it. */
int place_clean(struct shim *s, struct err *err);
/* Sets the paths of pod.netns and pod.cgroup by pod.spec. */
void place_pod(struct shim *s);
/* In a worker or clean-up. Removes the pod's group if it is ours. */
int place_remove(struct shim *s, struct err *err);

/*
 * cleanup.c: what is left of a pod whose shim died, in a process of its own
 * (--cleanup). With ctr_id only that container's records are removed.
 */
int cleanup_pod(struct shim *s, const char *ctr_id, bool remove, struct err *err);

#endif
