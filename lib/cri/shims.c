/* shims: the connections from the index to the pods' shims. */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cri/service-int.h"
#include "store/record.h"

enum { LOST_MAX = 32 };

static void on_event(struct pod *p, struct chan_msg *m)
{
	const char *event = str_or_empty(json_str(m->json, "event"));
	yyjson_val *v = json_obj(m->json, "container");
	struct ctr *c;
	struct err err;

	if (str_eq(event, "pod")) {
		pod_heard(p, json_obj(m->json, "pod"));
		return;
	}
	c = map_get(&p->svc->ctr_ids, str_or_empty(json_str(v ? v : m->json, "id")));
	/* the daemon before this one has asked for it */
	if (!c && str_eq(str_or_empty(json_str(v, "state")), "created"))
		ctr_adopt(p, v);
	if (!c || c->pod != p)
		return;
	if (str_eq(event, "container") && c->making.resumed) {
		ctr_resumed(c, v);
	} else if (str_eq(event, "container")) {
		ctr_set_doc(c, v);
	} else if (str_eq(event, "removed") && c->making.resumed) {
		chan_msg_error(m, &err);
		ctr_abandon(c, &err);
	} else if (str_eq(event, "removed") && !c->making.running) {
		ctr_free(c);
	}
}

static void finish(struct pending *q, struct chan_msg *m, const struct err *err)
{
	list_del(&q->node);
	q->done(q, m, err);
	buf_done(&q->msg);
	free(q);
}

static void on_msg(void *arg, struct chan *chan, struct chan_msg *m)
{
	struct pod *p = arg;
	struct err err;

	(void)chan;
	if (m->type == CHAN_EVENT) {
		on_event(p, m);
		return;
	}
	list_each (n, &p->pending) {
		struct pending *q = container_of(n, struct pending, node);

		if (q->serial != m->serial)
			continue;
		if (m->type == CHAN_ERROR) {
			chan_msg_error(m, &err);
			finish(q, m, &err);
		} else {
			finish(q, m, NULL);
		}
		return;
	}
}

static void on_end(void *arg, struct chan *chan, const struct err *err)
{
	struct pod *p = arg;

	(void)chan;
	shim_lost(p, err->code ? err->msg : "the pod's shim has ended");
}

static const struct chan_ops ops = {on_msg, on_end};

int shim_attach(struct pod *p, int fd_taken, struct err *err)
{
	p->chan = chan_new(p->svc->loop, fd_taken, &ops, p, err);
	return p->chan ? 0 : -1;
}

yyjson_mut_doc *shim_op(const char *op, const char *id)
{
	yyjson_mut_doc *d = json_new();

	json_add_str(d, yyjson_mut_doc_get_root(d), "op", op);
	json_add_str(d, yyjson_mut_doc_get_root(d), "id", id);
	return d;
}

static struct pending *pending_new(struct pod *p, struct grpc_call *call,
				   const char *ctr_id,
				   void (*done)(struct pending *q, struct chan_msg *reply,
						const struct err *err))
{
	struct pending *q = xcalloc(1, sizeof(*q));

	q->svc = p->svc;
	q->pod = p;
	q->call = call;
	q->done = done;
	if (ctr_id)
		str_copy(q->id, sizeof(q->id), ctr_id);
	list_init(&q->node);
	return q;
}

struct pending *shim_request(struct pod *p, struct grpc_call *call, const char *ctr_id,
			     yyjson_mut_doc *d, const struct buf *blob,
			     void (*done)(struct pending *q, struct chan_msg *reply,
					  const struct err *err))
{
	struct pending *q = pending_new(p, call, ctr_id, done);
	struct err err;

	q->serial = ++p->serial;
	list_add(&p->pending, &q->node);
	err.code = ERR_NONE;
	if (!p->chan)
		err_set(&err, ERR_UNAVAILABLE, "pod %s: its shim is gone", p->id);
	else if (chan_send(p->chan, CHAN_REQUEST, q->serial, d, blob ? blob->data : NULL,
			   blob ? blob->len : 0, NULL, 0) < 0)
		err_set(&err, ERR_EXHAUSTED, "the request is too large");
	if (!err.code)
		return q;
	finish(q, NULL, &err);
	return NULL;
}

static void cleaned(void *data, const struct err *err)
{
	struct pending *q = data;
	struct pod *p = q->pod;

	if (err)
		log_error(q->svc->log, "pod %s: clean up: %s", p->id, err->msg);
	finish(q, NULL, err);
	p->cleaning--;
	if (p->gone && !p->cleaning)
		pod_free(p);
}

void shim_cleanup(struct pod *p, struct grpc_call *call, const char *ctr_id, bool remove,
		  void (*done)(struct pending *q, struct chan_msg *reply,
			       const struct err *err))
{
	struct pending *q = pending_new(p, call, ctr_id, done); /* not of p->pending */
	struct err err;

	p->cleaning++;
	if (p->svc->host->spawn_cleanup(p->svc->host_arg, p->id, ctr_id, remove,
					p->lost_at, cleaned, q, &err) < 0)
		cleaned(q, &err);
}

/* A container of a pod whose shim died: it was killed too, and nobody saw its status. */
static void mark_lost(struct ctr *c)
{
	Cri__ContainerState state = ctr_state(c);
	bool ran = state == CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	STR_AUTO members = NULL;
	yyjson_doc *doc;

	if (!c->doc || state == CRI__CONTAINER_STATE__CONTAINER_EXITED)
		return;
	members = xasprintf(
		"{\"state\":\"exited\",\"pid\":0,\"finished_at\":%lld,"
		"\"exit_code\":%d,\"reason\":\"%s\",\"message\":"
		"\"the pod's supervisor was killed, and the container with it\"}",
		(long long)c->pod->lost_at, ran ? 137 : 255, ran ? "Error" : "Unknown");
	doc = json_merge(yyjson_doc_get_root(c->doc), members);
	json_free(&c->doc);
	c->doc = doc;
}

/*
 * When the shim was found dead: what the containers' end is told to be. It is kept, as the
 * next crid may come before the clean-up has said it in their records.
 */
static void set_lost_at(struct pod *p)
{
	STR_AUTO path = xasprintf("pods/%s/lost", p->id);
	BUF_AUTO text = {0};
	struct err err;
	uint64_t when;

	if (record_read(p->svc->rootfd, path, "lost", LOST_MAX, &text, &err) == 0 &&
	    num_u64(buf_str(&text), 1, INT64_MAX, &when) == 0) {
		p->lost_at = (int64_t)when;
		return;
	}
	p->lost_at = time_real();
	buf_reset(&text);
	buf_add_fmt(&text, "%lld", (long long)p->lost_at);
	/* without it the time changes with a restart, that is all */
	record_write(p->svc->rootfd, path, "lost", text.data, text.len, false, &err);
}

void shim_without(struct pod *p, const char *why)
{
	yyjson_doc *doc;

	log_warn(p->svc->log, "pod %s: %s", p->id, why);
	set_lost_at(p);
	list_each (n, &p->ctrs)
		mark_lost(container_of(n, struct ctr, node));
	if (p->doc) {
		doc = json_merge(yyjson_doc_get_root(p->doc),
				 "{\"state\":\"notready\",\"shim_pid\":0}");
		json_free(&p->doc);
		p->doc = doc;
	}
}

void shim_answer_all(struct pod *p, const char *why)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "pod %s: %s", p->id, why);
	while (!list_empty(&p->pending))
		finish(container_of(p->pending.next, struct pending, node), NULL, &err);
}

void shim_lost(struct pod *p, const char *why)
{
	struct err err;

	chan_free(p->chan);
	p->chan = NULL;
	shim_without(p, why);
	err_set(&err, ERR_UNAVAILABLE, "pod %s: %s", p->id, why);
	list_each (n, &p->ctrs)
		if (container_of(n, struct ctr, node)->making.resumed)
			ctr_abandon(container_of(n, struct ctr, node), &err);
	if (p->making.running)
		pod_abandon(p, &err);
	p->cleaning++; /* those who wait may be done with the pod: it stays till here */
	shim_cleanup(p, NULL, NULL, p->making.running, pod_cleaned);
	shim_answer_all(p, why);
	p->cleaning--;
	if (p->gone && !p->cleaning)
		pod_free(p);
}
