/* fetch: the process that talks to a registry; see fetch.h */
#include "fetch/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applet.h"
#include "base/str.h"
#include "base/time.h"
#include "fetch/confine.h"
#include "fetch/layout.h"
#include "os/fd.h"
#include "os/sock.h"
#include "pull/resolve.h"
#include "registry/registry.h"
#include "rpc/chan.h"

#ifndef CRIBOX_VERSION
#define CRIBOX_VERSION "0"
#endif

enum { PARENT = 3 };

/* Time between two reports of progress. */
static const int64_t REPORT_EVERY = 250 * NS_PER_MS;

struct fetcher;

/* A blob on its way to the parent. */
struct download {
	int jobs;
	struct fetch_event event;
	int64_t reported;
};

/* Where an image comes from. */
struct source {
	struct resolve_source docs; /* its arg: the fetcher */
	/* What the reference means there; "" if that is not known yet. */
	void (*digest)(struct fetcher *f, char digest[REF_DIGEST]);
	int (*stream)(struct fetcher *f, const struct fetch_job *job, int pipe,
		      struct download *d);
};

struct fetcher {
	struct ref ref;
	struct registry_auth auth;
	struct registry_options options;
	struct registry *registry;
	struct image_platform platform;
	struct arena arena;
	int jobs;
	int preload;	      /* directory of image layouts; -1: none */
	struct layout layout; /* the one that has the image */
	struct source source;
};

static void send_event(struct download *d, enum fetch_what what)
{
	d->event.what = what;
	/* the parent may have gone; then so shall we */
	if (send(d->jobs, &d->event, sizeof(d->event), MSG_NOSIGNAL) < 0)
		_exit(1);
}

static void on_progress(void *arg, uint64_t done)
{
	struct download *d = arg;
	int64_t now = time_mono();

	d->event.done = done;
	if (now - d->reported < REPORT_EVERY)
		return;
	d->reported = now;
	send_event(d, FETCH_PROGRESS);
}

/* --- sources ------------------------------------------------------------------------------- */

static int from_registry_manifest(void *arg, const char *name, struct buf *out,
				  char **ret_type, struct err *err)
{
	struct fetcher *f = arg;

	return registry_manifest(f->registry, name, out, ret_type, err);
}

static int from_registry_config(void *arg, const struct image_desc *d, struct buf *out,
				struct err *err)
{
	struct fetcher *f = arg;

	return registry_blob(f->registry, d->digest, d->size, out, err);
}

static void from_registry_digest(struct fetcher *f, char digest[REF_DIGEST])
{
	registry_digest(f->registry, f->ref.digest[0] ? f->ref.digest : f->ref.tag,
			digest);
}

static int from_registry_stream(struct fetcher *f, const struct fetch_job *job, int pipe,
				struct download *d)
{
	struct registry_transfer t = {.digest = job->digest,
				      .size = job->size,
				      .pipe = pipe,
				      .skip_hosts = job->skip_hosts,
				      .progress = on_progress,
				      .arg = d};
	int r = registry_blob_stream(f->registry, &t, &d->event.err);

	d->event.host = (uint32_t)t.host;
	d->event.more_hosts = t.more_hosts;
	return r;
}

static int from_layout_manifest(void *arg, const char *name, struct buf *out,
				char **ret_type, struct err *err)
{
	const struct layout *l = &((struct fetcher *)arg)->layout;

	/* the media type of what an index names is in the index */
	if (!ref_is_digest(name) || str_eq(name, l->digest)) {
		name = l->digest;
		*ret_type = xstrdup(l->type);
	}
	return layout_blob(l, name, IMAGE_MAX_DOC, out, err);
}

static int from_layout_config(void *arg, const struct image_desc *d, struct buf *out,
			      struct err *err)
{
	struct fetcher *f = arg;

	return layout_blob(&f->layout, d->digest, IMAGE_MAX_DOC, out, err);
}

static void from_layout_digest(struct fetcher *f, char digest[REF_DIGEST])
{
	str_copy(digest, REF_DIGEST, f->layout.digest);
}

static int from_layout_stream(struct fetcher *f, const struct fetch_job *job, int pipe,
			      struct download *d)
{
	return layout_stream(&f->layout, job->digest, job->size, pipe, on_progress, d,
			     &d->event.err);
}

/* A layout that has the image, or a registry. */
static struct source choose_source(struct fetcher *f)
{
	if (f->preload >= 0 && layout_find(f->preload, &f->ref, &f->layout))
		return (struct source){{from_layout_manifest, from_layout_config, f},
				       from_layout_digest,
				       from_layout_stream};
	return (struct source){{from_registry_manifest, from_registry_config, f},
			       from_registry_digest,
			       from_registry_stream};
}

/* --- the request --------------------------------------------------------------------------- */

static int read_request(struct fetcher *f, struct chan_msg *m, struct err *err)
{
	yyjson_val *auth = json_obj(m->json, "auth");
	const char *image = json_str(m->json, "image");
	const char *platform = json_str(m->json, "platform");
	const char *preload = json_str(m->json, "preload_dir");

	if (m->type != CHAN_REQUEST || !image || m->nfds != 1)
		return err_set(err, ERR_INVALID, "malformed request to the fetcher");
	f->jobs = fd_take(&m->fds[0]);
	if (preload) /* may be missing: then there is nothing in it */
		f->preload = open(preload, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (ref_parse(image, &f->ref, err) < 0)
		return -1;
	image_platform_host(&f->platform);
	if (platform && image_platform_parse(platform, &f->arena, &f->platform, err) < 0)
		return -1;
	f->auth = (struct registry_auth){
		.username = json_str(auth, "username"),
		.password = json_str(auth, "password"),
		.auth = json_str(auth, "auth"),
		.server_address = json_str(auth, "server_address"),
		.identity_token = json_str(auth, "identity_token"),
		.registry_token = json_str(auth, "registry_token"),
	};
	f->options = (struct registry_options){
		.ref = &f->ref,
		.auth = auth ? &f->auth : NULL,
		.dir = json_str(m->json, "registry_dir"),
		.accept = image_accept,
		.user_agent = "cribox/" CRIBOX_VERSION,
		.stall = json_i64(m->json, "stall_ms", 300000) * NS_PER_MS,
	};
	return 0;
}

static int reply(uint32_t serial, const struct resolved *r, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *docs = json_add_arr(d, yyjson_mut_doc_get_root(d), "docs");
	BUF_AUTO blob = {0};

	for (size_t i = 0; i < r->n; i++) {
		yyjson_mut_val *doc = yyjson_mut_arr_add_obj(d, docs);

		json_add_u64(d, doc, "len", r->docs[i].len);
		json_add_str(d, doc, "type", r->docs[i].type);
		buf_add(&blob, r->docs[i].data, r->docs[i].len);
	}
	return chan_write(PARENT, CHAN_REPLY, serial, d, blob.data, blob.len, NULL, 0,
			  err);
}

/* --- lanes: processes that download blobs -------------------------------------------------- */

static void do_job(struct fetcher *f, const struct fetch_job *job, int pipe)
{
	struct download d = {.jobs = f->jobs, .event = {.index = job->index}};
	int r = f->source.stream(f, job, pipe, &d);

	send_event(&d, r < 0 ? FETCH_FAILED : FETCH_DONE);
}

/* Serves jobs until there are no more. Which lane gets one is the kernel's choice. */
static void lane(struct fetcher *f)
{
	for (;;) {
		struct fetch_job job;
		int pipe = -1;
		size_t nfds = 1;
		ssize_t n = sock_recv_fds(f->jobs, &job, sizeof(job), &pipe, &nfds);

		if (n != sizeof(job) || nfds != 1)
			_exit(n == 0 ? 0 : 1);
		job.digest[REF_DIGEST - 1] = 0;
		do_job(f, &job, pipe);
		fd_close(&pipe);
	}
}

static int start_lanes(struct fetcher *f, size_t layers, struct err *err)
{
	pid_t self = getpid();

	for (size_t i = 0; i < FETCH_LANES && i < layers; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return err_sys(err, errno, "fork");
		if (pid)
			continue;
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != self)
			_exit(1);
		/* the first lane goes on with our connection */
		if (i > 0)
			registry_drop_connections(f->registry);
		close(PARENT);
		lane(f);
	}
	registry_drop_connections(f->registry);
	fd_close(&f->jobs);
	return 0;
}

/* A lane that dies of a signal takes the others along: the parent sees the end of fd 3. */
static int watch_lanes(struct err *err)
{
	int status;

	while (wait(&status) > 0) {
		if (WIFSIGNALED(status))
			return err_set(err, ERR_INTERNAL,
				       "the downloading process died of signal %d",
				       WTERMSIG(status));
		if (WEXITSTATUS(status))
			return err_set(err, ERR_INTERNAL,
				       "the downloading process gave up");
	}
	return 0;
}

/* The image that the caller has already, if the reference still means it. True: answered. */
static bool still_the_same(struct fetcher *f, const struct chan_msg *m)
{
	yyjson_val *have = json_arr(m->json, "have"), *v;
	JSON_MUT_AUTO d = json_new();
	char digest[REF_DIGEST];
	struct err ignored;

	if (!yyjson_arr_size(have))
		return false;
	f->source.digest(f, digest);
	json_each (v, have) {
		if (!digest[0] || !yyjson_equals_str(v, digest))
			continue;
		json_add_str(d, yyjson_mut_doc_get_root(d), "same", digest);
		return chan_write(PARENT, CHAN_REPLY, m->serial, d, NULL, 0, NULL, 0,
				  &ignored) == 0;
	}
	return false;
}

static int serve(struct fetcher *f, struct chan_msg *m, struct err *err)
{
	struct resolved r;

	if (read_request(f, m, err) < 0)
		return -1;
	f->registry = registry_open(&f->options, err);
	if (!f->registry || fetch_confine(f->preload, err) < 0)
		return -1;
	f->source = choose_source(f);
	if (still_the_same(f, m))
		return 0;
	if (resolve_image(&f->source.docs, &f->ref, &f->platform, &f->arena, &r, err) < 0)
		return -1;
	if (reply(m->serial, &r, err) < 0)
		return -1;
	if (start_lanes(f, r.manifest.n_layers, err) < 0)
		return -1;
	return watch_lanes(err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct fetcher f = {.jobs = -1, .preload = -1};
	struct chan_msg m = {0};
	struct err ignored;
	int r;

	(void)argv;
	if (argc != 1)
		return err_set(err, ERR_INVALID, "fetch is started by pull only");
	signal(SIGPIPE, SIG_IGN);
	r = chan_read(PARENT, &m, err);
	if (r <= 0)
		return r;
	r = serve(&f, &m, err);
	if (r < 0)
		chan_write_error(PARENT, m.serial, err, &ignored);
	/* the parent reports it */
	_exit(r < 0);
}

const struct applet applet_fetch = {
	.name = "fetch",
	.run = run,
};
