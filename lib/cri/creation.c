/*
 * creation: calls that make a pod or a container, and their retries. A kubelet whose
 * call was cut off asks again under the same name: it gets the same id.
 */
#include "cri/creation.h"

#include <stdlib.h>

#include "cri/service-int.h"

/* Another call that waits for a creation under way. */
struct waiter {
	struct list node;
	struct grpc_call *call;
};

void creation_init(struct creation *cr, const ProtobufCMessageDescriptor *response,
		   const char *id)
{
	*cr = (struct creation){.response = response, .id = id};
	list_init(&cr->waiters);
}

/* The answer of both calls is one field: the id. */
static void answer(const struct creation *cr, struct grpc_call *call,
		   const struct err *err)
{
	ARENA_AUTO arena = {0};
	void *m = pb_new(cr->response, &arena);

	*(const char **)(void *)((char *)m + cr->response->fields[0].offset) = cr->id;
	if (err)
		grpc_fail(call, err);
	else
		call_reply(call, m);
}

void creation_answer(struct creation *cr, struct grpc_call *call, const struct err *err)
{
	bool seen = call && !grpc_call_cancelled(call);

	if (call)
		answer(cr, call, err);
	list_each (n, &cr->waiters) {
		struct waiter *w = container_of(n, struct waiter, node);

		seen |= !grpc_call_cancelled(w->call);
		answer(cr, w->call, err);
		list_del(&w->node);
		free(w);
	}
	cr->unseen = !seen;
}

void creation_again(struct creation *cr, struct grpc_call *call, bool unused,
		    const char *what, const char *name)
{
	struct waiter *w;
	struct err err;

	if (cr->running) {
		w = xcalloc(1, sizeof(*w));
		w->call = call;
		list_add(&cr->waiters, &w->node);
	} else if (cr->unseen && unused) {
		cr->unseen = false;
		answer(cr, call, NULL);
	} else {
		err_set(&err, ERR_EXISTS, "%s name \"%s\" is held by %s %s", what, name,
			what, cr->id);
		grpc_fail(call, &err);
	}
}
