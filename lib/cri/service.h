/*
 * service: the kubelet's API. The index of pods, containers and images in
 * memory, and the verbs on it. Lists and status are answered from the index;
 * everything else is forwarded to the pod's shim or to a pull worker. What
 * needs a process or a socket is asked from the host (applets/crid).
 */
#ifndef CRI_SERVICE_H
#define CRI_SERVICE_H

#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "cri/spec.h"
#include "loop/loop.h"
#include "rpc/grpc_server.h"

struct cri_service;

/* A streaming session that somebody may connect to: what crid hands to the shim. */
struct cri_stream {
	char pod_id[65];
	struct buf request; /* JSON of "ctr.exec" */
};

/* What the service cannot do itself. All return 0 or an owned fd; -1 with err. */
struct cri_host {
	/* Starts the shim of a pod; returns its end of the channel. */
	int (*spawn_shim)(void *arg, const char *pod_id, struct err *err);
	/*
	 * Cleans up after a pod whose shim is gone, in a process of its own: kills
	 * what is left, takes the network down, says so in the records. With
	 * remove the records go too; with ctr_id it is only that container's that
	 * goes. when: the time of the containers' end (ns since 1970), 0: now. done
	 * is called once, later (err NULL: success), unless -1 is returned.
	 */
	int (*spawn_cleanup)(void *arg, const char *pod_id, const char *ctr_id,
			     bool remove, int64_t when,
			     void (*done)(void *data, const struct err *err), void *data,
			     struct err *err);
	/* Starts a pull worker; returns its socket. Closing it cancels the work. */
	int (*spawn_pull)(void *arg, struct err *err);
	/* A one-time URL for a session; takes what is in stream. */
	int (*stream_url)(void *arg, struct cri_stream *stream, const char *kind,
			  struct buf *ret_url, struct err *err);
	/* 0 if pods can have a network; else -1 and why. */
	int (*network_ready)(void *arg, struct err *err);
};

struct cri_options {
	struct cri_defaults def;
	const char *state;	  /* --state */
	const char *registry_dir; /* may be NULL */
	const char *preload_dir;  /* OCI layouts that come before registries; or NULL */
	const char *version;
	const char *config_json; /* for verbose Status: the daemon's settings */
};

struct cri_service *cri_service_new(struct loop *l, const struct cri_options *opt,
				    const struct cri_host *host, void *arg,
				    const struct log *log, struct err *err);
void cri_service_free(struct cri_service *s);

/*
 * Reads the records below the root and connects to the shims that live. Pods
 * without one are cleaned up. Damaged records are reported and left out.
 */
int cri_service_load(struct cri_service *s, struct err *err);

/* grpc_server_ops.on_call and on_cancel; arg is the service. */
void cri_service_call(void *arg, struct grpc_call *call, const char *path,
		      const uint8_t *msg, size_t len);
void cri_service_cancel(void *arg, struct grpc_call *call);

/* Hands a client's socket (taken) and what was read from it to the pod's shim. */
int cri_stream_start(struct cri_service *s, const struct cri_stream *stream, int fd_taken,
		     const struct buf *raw, struct err *err);

/* Numbers for the log and for crid's idle checks. */
unsigned cri_service_pods(const struct cri_service *s);

#endif
