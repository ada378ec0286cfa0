/* crid: the parts of the CRI daemon. It routes; the index and verbs are lib/cri. */
#ifndef CRID_CRID_H
#define CRID_CRID_H

#include "base/arena.h"
#include "base/log.h"
#include "cri/service.h"
#include "loop/loop.h"
#include "rpc/http_server.h"

enum { CRID_MAX_LISTEN = 8 };

/* The daemon's settings: defaults, then the config files, then the command line. */
struct settings {
	struct arena arena; /* of the strings */
	const char *config;
	const char *root, *state;
	const char *listen[CRID_MAX_LISTEN]; /* "unix:///path" */
	unsigned nlisten;
	const char *registry_dir;
	const char *preload_dir;
	const char *cni_conf_dir, *cni_bin_dir, *cni_cache_dir, *cni_subnet;
	const char *cni_builtin;   /* "auto", or "never": wait for a configuration */
	const char *cgroup_driver; /* "cgroupfs", "systemd" */
	enum log_level level;
	bool check, print_unit;
};

/* Reads arguments and config files. 0 or -1 naming the option or the file's line. */
int settings_read(struct settings *st, int argc, char **argv, struct err *err);

/* The settings as JSON, for a verbose Status. In the arena. */
const char *settings_json(struct settings *st);

/* Prints the systemd unit on standard output. */
int print_unit(struct err *err);

/* A child of crid: a shim's first process, a clean-up, a pull worker. */
struct crid;

struct crid {
	struct settings st;
	struct log log;
	struct loop *loop;
	struct grpc_server *grpc;
	struct cri_service *svc;
	struct list children;
	struct streams *streams;
	int lock; /* of the root directory */
	bool stopping;
	struct loop_timer patience; /* with calls under way, when it stops */
};

/* children.c: struct cri_host's processes */
int child_spawn_shim(void *arg, const char *pod_id, struct err *err);
int child_spawn_cleanup(void *arg, const char *pod_id, const char *ctr_id, bool remove,
			int64_t when, void (*done)(void *data, const struct err *err),
			void *data, struct err *err);
int child_spawn_pull(void *arg, struct err *err);
void children_reap(struct crid *d);

/* streams.c: one-time URLs, and the loopback port that serves them */
struct streams *streams_new(struct crid *d);
void streams_free(struct streams *s);
int streams_url(void *arg, struct cri_stream *stream, const char *kind,
		struct buf *ret_url, struct err *err);

#endif
