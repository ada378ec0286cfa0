/* job-int: a job, between the files that make it. */
#ifndef APPLETS_PULL_JOB_INT_H
#define APPLETS_PULL_JOB_INT_H

#include "pull/job.h"
#include "pull/known.h"
#include "rpc/chan.h"
#include "unpack/unpack.h"

struct pull_layer {
	struct pull_job *job;
	const struct image_desc *desc;
	struct digest digest, diff_id, chain;
	enum pull_state state;
	struct layer hold;
	struct unpack unpack;
	struct loop_fd src; /* unpack.sock */
	uint64_t done;
	bool fetched;	 /* the fetcher has said its last word about it */
	bool retried;	 /* with another host */
	bool more_hosts; /* others than the one that sent it can be asked */
	uint32_t skip_hosts;
	struct err unpack_err; /* code ERR_NONE: none */
};

struct pull_job {
	struct loop *loop;
	struct store *store;
	const struct pull_request *req;
	const struct pull_ops *ops;
	void *arg;

	struct ref ref;
	struct arena arena;
	struct image_platform platform;
	struct resolved docs;
	struct known known;
	struct digest id;
	char *digest_name; /* "name@digest" */

	pid_t fetcher; /* 0: none */
	int fetcher_pidfd;
	struct chan *chan;
	struct loop_fd jobs; /* fd -1: closed */

	struct pull_layer *layers;
	size_t n;
	size_t next;	/* the first that was not begun */
	size_t ready;	/* as many from the bottom are in the store */
	size_t loading; /* are being downloaded */
	struct loop_timer busy, last_word;
	struct loop_later step, end;
	struct err err; /* why it failed */
	bool ended;
};

/* --- job.c --- */

/* Ends the job from the loop, once: callers further up still look at it. */
void job_finish(struct pull_job *j);
void job_fail(struct pull_job *j, const struct err *e);
void job_fail_layer(struct pull_layer *l, const struct err *e);

/*
 * The blob came whole, and was not what it should be: a mirror may be wrong.
 * The hosts behind it are asked, once. 0, or -1 if that makes no sense.
 */
int job_retry(struct pull_layer *l);

/* Does what has become possible. */
void job_advance(struct pull_job *j);

/* What the job's reference means, for the caller. */
void job_set_result(struct pull_job *j, const struct digest *id, const char *digest);

/* --- job_fetch.c --- */

/* Starts the fetcher and sends it the request. 0 or -1. */
int job_start_fetcher(struct pull_job *j, struct err *err);

#endif
