/* service-int: the objects of the index. Internal to the service. */
#ifndef CRI_SERVICE_INT_H
#define CRI_SERVICE_INT_H

#include "base/list.h"
#include "base/map.h"
#include "cri/creation.h"
#include "cri/methods.h"
#include "cri/service.h"
#include "os/cgroup.h"
#include "rpc/chan.h"
#include "store/store.h"

enum { ID_LEN = 64 };

/* A gRPC call while it is handled. The arena lives until the handler returns. */
struct rpc {
	struct cri_service *svc;
	struct grpc_call *call;
	const ProtobufCMessage *req;
	const uint8_t *msg; /* req as it came */
	size_t len;
	struct arena arena;
};

/* A call that waits until the pod's shim has said what there is. */
struct held {
	struct list node;
	struct grpc_call *call;
	struct buf msg;
};

/* The last figure that a rate is made of. */
struct cpu_sample {
	int64_t when; /* 0: there was none */
	uint64_t total, rate;
	bool known; /* the rate */
};

struct pod {
	struct list node;
	struct cri_service *svc;
	char id[ID_LEN + 1];
	char *name;	    /* name_namespace_uid_attempt: the key of the reservation */
	struct buf request; /* packed RunPodSandboxRequest */
	yyjson_doc *doc;    /* POD of the shim's protocol; NULL before it was made */
	struct chan *chan;  /* to its shim; NULL: it has none */
	uint32_t serial;
	struct list pending; /* struct pending: requests to the shim */
	struct list ctrs;
	struct creation making;
	bool removing, gone;
	bool syncing;	   /* its shim was asked what there is */
	struct list held;  /* struct held, meanwhile */
	unsigned cleaning; /* clean-ups under way: the pod stays till they end */
	int64_t lost_at;   /* when its shim was found dead */
	yyjson_doc *usage; /* what the shim has said to pod.usage, or NULL */
	struct cpu_sample cpu;
};

struct ctr {
	struct list node;
	struct pod *pod;
	char id[ID_LEN + 1];
	char *name;	    /* name_pod_namespace_uid_attempt */
	struct buf request; /* packed CreateContainerRequest without sandbox_config */
	yyjson_doc *doc;    /* CTR of the shim's protocol; NULL before it was made */
	struct creation making;
	struct cpu_sample cpu;
};

/* A directory of a container that is not in the index: some shim's, or to be removed. */
struct orphan {
	struct list node;
	struct cri_service *svc;
	char *name; /* below containers/ */
	char *why;
};

/*
 * A request that a shim or worker works on. done gets the reply, or err; it
 * ends the call. The pod may be gone from the index only after its done.
 */
struct pending {
	struct list node;
	struct cri_service *svc;
	struct pod *pod;
	uint32_t serial;
	struct grpc_call *call; /* may be NULL */
	char id[ID_LEN + 1];	/* of the container, if it is about one */
	struct buf msg;		/* the call's request, if done needs it */
	void (*done)(struct pending *p, struct chan_msg *reply, const struct err *err);
};

struct cri_service {
	struct loop *loop;
	struct cri_options opt;
	const struct cri_host *host;
	void *host_arg;
	const struct log *log;
	int rootfd; /* the store's */
	struct list pods, pulls;
	struct list orphans;
	struct list gathers;	 /* calls of stats.c */
	uint64_t ngathers;	 /* so far */
	struct cgroups *cgroups; /* from the first of them on */
	unsigned syncing;	 /* pods that are, and load.c */
	bool damaged;		 /* a record: the shims write theirs anew */
	struct store *store;
	struct images images;
	bool gc_running, gc_again, closing;
	struct map pod_ids, ctr_ids;	 /* id -> struct pod, struct ctr */
	struct map pod_names, ctr_names; /* reserved name -> the same */
};

/* service.c */
void rpc_reply(struct rpc *r, const ProtobufCMessage *msg);
void rpc_fail(struct rpc *r, const struct err *err);
void call_reply(struct grpc_call *call, const ProtobufCMessage *msg);
/* Keeps a call until the pod's shim has answered. */
void rpc_hold(struct rpc *r, struct pod *p);
/* Handles the calls that were kept. */
void held_release(struct pod *p);
void new_id(char id[ID_LEN + 1]);
struct pod *pod_find(struct cri_service *s, const char *id, struct err *err);
struct ctr *ctr_find(struct cri_service *s, const char *id, struct err *err);

/*
 * Stop and Remove of what is not there are success, as they are retried: answers a call for
 * an object that was not found, for the reason in err, or whose id is missing.
 */
void rpc_absent(struct rpc *r, const char *id, const ProtobufCMessage *done,
		const struct err *err);

/* shims.c: the connections to the shims */
/* A request of the shim's protocol about a pod or container. */
yyjson_mut_doc *shim_op(const char *op, const char *id);
/*
 * Sends a request to the pod's shim; done is called exactly once. NULL if that was at once,
 * with an error.
 */
struct pending *shim_request(struct pod *p, struct grpc_call *call, const char *ctr_id,
			     yyjson_mut_doc *d, const struct buf *blob,
			     void (*done)(struct pending *p, struct chan_msg *reply,
					  const struct err *err));
int shim_attach(struct pod *p, int fd_taken, struct err *err);
/* The pod is NOTREADY and its containers have ended: in the index only. */
void shim_without(struct pod *p, const char *why);
/* The connection has ended: the same, and what is left of the pod is cleaned up. */
void shim_lost(struct pod *p, const char *why);
/* Ends all requests to the pod's shim: there will be no answer. */
void shim_answer_all(struct pod *p, const char *why);
/*
 * For a pod without a shim: cleans up and then calls done as shim_request
 * does, with no reply. ctr_id: only that container's records are removed.
 */
void shim_cleanup(struct pod *p, struct grpc_call *call, const char *ctr_id, bool remove,
		  void (*done)(struct pending *p, struct chan_msg *reply,
			       const struct err *err));

/* pods.c */
void pod_free(struct pod *p);
/* Takes it out of the index; it is freed when no clean-up works on it. */
void pod_gone(struct pod *p);
struct pod *pod_new(struct cri_service *s, const char *id, const char *name);
/* Takes the packed request (and leaves request empty): what the pod is, and its name. */
int pod_set_request(struct pod *p, struct buf *request, struct err *err);
/* Writes the pod's record: its request. */
int pod_keep(const struct pod *p, struct err *err);
char *pod_name_key(const Cri__PodSandboxMetadata *m);
void pod_set_doc(struct pod *p, yyjson_val *v);
/*
 * What the pod's shim says of it. Ends a creation that has outlived the crid
 * that began it.
 */
void pod_heard(struct pod *p, yyjson_val *v);
/* A creation has failed and its clean-up begins: the name is free, who waits gets err. */
void pod_abandon(struct pod *p, const struct err *err);
/* A clean-up that no call waits for has ended: one that was being made is gone. */
void pod_cleaned(struct pending *q, struct chan_msg *m, const struct err *err);
const Cri__RunPodSandboxRequest *pod_request(const struct pod *p, struct arena *a,
					     struct err *err);
bool pod_ready(const struct pod *p);

/* containers.c */
void ctr_free(struct ctr *c);
struct ctr *ctr_new(struct pod *p, const char *id, const char *name);
char *ctr_name_key(const Cri__ContainerMetadata *m, const Cri__PodSandboxMetadata *pod);
void ctr_set_doc(struct ctr *c, yyjson_val *v);
const Cri__CreateContainerRequest *ctr_request(const struct ctr *c, struct arena *a,
					       struct err *err);
Cri__ContainerState ctr_state(const struct ctr *c);

/* images.c */
const struct image *image_find(struct cri_service *s, const char *ref, struct err *err);
int image_config_of(struct cri_service *s, const struct image *im, struct arena *a,
		    struct image_config *ret, struct err *err);
char *image_id_text(const struct image *im, struct arena *a);
int images_reload(struct cri_service *s, struct err *err);
void pull_cancel(struct cri_service *s, struct grpc_call *call);
/* Frees what no image and no container uses any more, in a worker; again if it runs. */
void images_gc(struct cri_service *s);
/* After a container has gone: its image may have gone before it. */
void images_unused(struct cri_service *s, const char *image_id);

/* exec.c */
void exec_cancel(struct cri_service *s, struct grpc_call *call);

/*
 * load.c: a container of the shim's (CTR) that is not in the index: takes it in, or
 * has the shim remove it if it cannot be.
 */
void ctr_adopt(struct pod *p, yyjson_val *v);
/* What the shim says of one whose creation outlived the crid that began it. */
void ctr_resumed(struct ctr *c, yyjson_val *v);
/* A resumed creation has failed. */
void ctr_abandon(struct ctr *c, const struct err *err);
void orphans_free(struct cri_service *s);
/* The container's "ctr.create" request as the shim keeps it, or NULL. */
yyjson_doc *ctr_spec_load(struct cri_service *s, const struct ctr *c);

/* Handlers: one per RPC that works. They end the call or leave it pending. */
#define CRI_HANDLERS(X)             \
	X(Version)                  \
	X(Status)                   \
	X(RuntimeConfig)            \
	X(RunPodSandbox)            \
	X(StopPodSandbox)           \
	X(RemovePodSandbox)         \
	X(PodSandboxStatus)         \
	X(ListPodSandbox)           \
	X(CreateContainer)          \
	X(StartContainer)           \
	X(StopContainer)            \
	X(RemoveContainer)          \
	X(ContainerStatus)          \
	X(ListContainers)           \
	X(ExecSync)                 \
	X(Exec)                     \
	X(UpdateContainerResources) \
	X(ReopenContainerLog)       \
	X(ContainerStats)           \
	X(ListContainerStats)       \
	X(PodSandboxStats)          \
	X(ListPodSandboxStats)      \
	X(PullImage)                \
	X(ListImages)               \
	X(ImageStatus)              \
	X(RemoveImage)              \
	X(ImageFsInfo)              \
	X(UpdateRuntimeConfig)      \
	X(UpdatePodSandboxResources)
#define X(name) void do_##name(struct rpc *r);
CRI_HANDLERS(X)
#undef X

#endif
