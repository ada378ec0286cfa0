/* call: connections, and RPCs as JSON. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cri/json.h"
#include "ctl.h"
#include "rpc/grpc_client.h"

static const char *const defaults[] = {
	"unix:///run/cribox/crid.sock",
	"unix:///run/containerd/containerd.sock",
	"unix:///run/crio/crio.sock",
	"unix:///var/run/cri-dockerd.sock",
};

/* Calls may take long on a busy node; these are for a server that hangs. */
enum { QUICK_SECONDS = 30, LONG_SECONDS = 240, CONNECT_SECONDS = 2 };

static void pause_ns(int64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_SEC),
			      .tv_nsec = (long)(ns % NS_PER_SEC)};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* An endpoint that the user named may be starting: wait for it, a little longer each time. */
static struct grpc_client *connect_to(struct ctl *c, const char *endpoint,
				      struct err *err)
{
	int64_t delay = 500 * NS_PER_MS;

	for (int64_t tried = 0;; tried++) {
		struct grpc_client *client;

		log_debug(&c->log, "connect to %s", endpoint);
		client = grpc_client_new(endpoint, c->timeout, err);
		if (client)
			return client;
		if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT &&
		    err->code != ERR_NOT_FOUND)
			return NULL;
		if (c->max_retries >= 0 && tried >= c->max_retries)
			return NULL;
		log_debug(&c->log, "%s; trying again", err->msg);
		pause_ns(delay);
		delay = MIN(delay * 2, 5 * NS_PER_SEC);
	}
}

static struct grpc_client *connect_default(struct ctl *c, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		struct grpc_client *client;

		if (access(defaults[i] + strlen("unix://"), F_OK) < 0)
			continue;
		log_debug(&c->log, "connect to %s", defaults[i]);
		client = grpc_client_new(defaults[i], c->timeout, err);
		if (client)
			return client;
		log_warn(&c->log, "%s", err->msg);
	}
	err_set(err, ERR_UNAVAILABLE,
		"no runtime answers at the default sockets (%s, ...): say where with "
		"--runtime-endpoint",
		defaults[0]);
	return NULL;
}

static struct grpc_client *client_of(struct ctl *c, enum cri_rpc rpc, struct err *err)
{
	bool image = str_starts(cri_method(rpc)->path, "/runtime.v1.ImageService/");

	if (image && c->image_endpoint) {
		if (!c->image)
			c->image = connect_to(c, c->image_endpoint, err);
		return c->image;
	}
	if (!c->runtime)
		c->runtime = c->runtime_endpoint ? connect_to(c, c->runtime_endpoint, err)
						 : connect_default(c, err);
	return c->runtime;
}

void ctl_disconnect(struct ctl *c)
{
	grpc_client_free(c->image);
	grpc_client_free(c->runtime);
	c->image = c->runtime = NULL;
}

static int64_t deadline(const struct ctl *c, enum ctl_wait wait, int64_t timeout)
{
	if (timeout > 0)
		return timeout;
	if (wait == WAIT_FOREVER)
		return -1;
	if (c->timeout_given)
		return c->timeout * (wait == WAIT_LONG ? 2 : 1);
	return (wait == WAIT_LONG ? LONG_SECONDS : QUICK_SECONDS) * NS_PER_SEC;
}

/* The JSON of a request as protobuf's bytes. */
static int encode(struct ctl *c, enum cri_rpc rpc, yyjson_mut_doc *request,
		  struct buf *out, struct err *err)
{
	ARENA_AUTO a = {0};
	BUF_AUTO unknown = {0};
	JSON_AUTO doc = NULL;
	ProtobufCMessage *msg;

	if (!request)
		return 0;
	doc = yyjson_mut_doc_imut_copy(request, NULL);
	if (!doc)
		err_oom(0);
	if (cri_json_read(yyjson_doc_get_root(doc), cri_method(rpc)->request, CRI_JSON_GO,
			  &a, &unknown, &msg, err) < 0)
		return err_wrap(err, "%s", cri_method_name(rpc));
	for (const char *p = buf_str(&unknown); *p; p += strcspn(p, "\n") + 1)
		log_warn(&c->log, "unknown key %.*s is ignored", (int)strcspn(p, "\n"),
			 p);
	return pb_pack(msg, out, err);
}

int ctl_call_raw(struct ctl *c, enum cri_rpc rpc, yyjson_mut_doc *request,
		 enum ctl_wait wait, int64_t timeout, struct buf *ret, struct err *err)
{
	BUF_AUTO bytes = {0};
	struct grpc_client *client;

	if (encode(c, rpc, request, &bytes, err) < 0)
		return -1;
	client = client_of(c, rpc, err);
	if (!client)
		return -1;
	log_debug(&c->log, "call %s", cri_method(rpc)->path);
	if (grpc_client_call(client, cri_method(rpc)->path, bytes.data, bytes.len,
			     deadline(c, wait, timeout), ret, err) < 0)
		return err_wrap(err, "%s: %s", cri_method_name(rpc), err_name(err->code));
	log_debug(&c->log, "%s: %zu bytes", cri_method_name(rpc), ret->len);
	return 0;
}

yyjson_doc *ctl_decode(enum cri_rpc rpc, const struct buf *raw, unsigned form,
		       struct err *err)
{
	ARENA_AUTO a = {0};
	JSON_MUT_AUTO mut = json_new();
	ProtobufCMessage *msg;
	yyjson_mut_val *v;
	yyjson_doc *doc;

	if (pb_unpack(cri_method(rpc)->response, raw->data, raw->len, &a, &msg, err) <
		    0 ||
	    cri_json_write(msg, form, mut, &v, err) < 0) {
		err_wrap(err, "%s: answer", cri_method_name(rpc));
		return NULL;
	}
	doc = yyjson_mut_val_imut_copy(v, NULL);
	if (!doc)
		err_oom(0);
	return doc;
}

yyjson_doc *ctl_call(struct ctl *c, enum cri_rpc rpc, yyjson_mut_doc *request,
		     enum ctl_wait wait, int64_t timeout, struct err *err)
{
	BUF_AUTO raw = {0};

	if (ctl_call_raw(c, rpc, request, wait, timeout, &raw, err) < 0)
		return NULL;
	return ctl_decode(rpc, &raw, 0, err);
}

yyjson_mut_doc *ctl_request(const char *key, const char *value)
{
	yyjson_mut_doc *d = json_new();

	json_add_str(d, yyjson_mut_doc_get_root(d), key, value);
	return d;
}
