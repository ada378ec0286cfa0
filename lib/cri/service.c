#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cri/service-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

static void (*const handlers[CRI_RPC_COUNT])(struct rpc *r) = {
#define X(name) [CRI_RPC_##name] = do_##name,
	CRI_HANDLERS(X)
#undef X
};

void cri_service_call(void *arg, struct grpc_call *call, const char *path,
		      const uint8_t *msg, size_t len)
{
	enum cri_rpc rpc = cri_method_find(path);
	struct rpc r = {.svc = arg, .call = call};
	ProtobufCMessage *req;
	struct err err;

	if (rpc == CRI_RPC_COUNT) {
		err_set(&err, ERR_UNIMPLEMENTED, "unknown method %.200s", path);
		grpc_fail(call, &err);
		return;
	}
	if (!handlers[rpc]) {
		err_set(&err, ERR_UNIMPLEMENTED, "%s is not implemented yet",
			cri_method_name(rpc));
		grpc_fail(call, &err);
		return;
	}
	if (pb_unpack(cri_method(rpc)->request, msg, len, &r.arena, &req, &err) < 0) {
		err_wrap(&err, "%s request", cri_method_name(rpc));
		grpc_fail(call, &err);
	} else {
		r.req = req;
		handlers[rpc](&r);
	}
	arena_done(&r.arena);
}

void cri_service_cancel(void *arg, struct grpc_call *call)
{
	/* what a shim does goes on: a retry finds it. A pull or an exec ends. */
	pull_cancel(arg, call);
	exec_cancel(arg, call);
}

void call_reply(struct grpc_call *call, const ProtobufCMessage *msg)
{
	BUF_AUTO out = {0};
	struct err err;

	if (pb_pack(msg, &out, &err) < 0)
		grpc_fail(call, &err);
	else
		grpc_reply(call, out.data ? out.data : (const uint8_t *)"", out.len);
}

void rpc_reply(struct rpc *r, const ProtobufCMessage *msg)
{
	call_reply(r->call, msg);
}

void rpc_fail(struct rpc *r, const struct err *err)
{
	grpc_fail(r->call, err);
}

void new_id(char id[ID_LEN + 1])
{
	unsigned char bytes[ID_LEN / 2];

	proc_random(bytes, sizeof(bytes));
	str_hex(id, bytes, sizeof(bytes));
}

/* The only value whose key begins with the prefix; NULL if none or several. */
static void *find_prefix(const struct map *m, const char *prefix, bool *ret_many)
{
	const struct map_slot *slot;
	void *found = NULL;
	size_t at = 0;

	*ret_many = false;
	if (!*prefix)
		return NULL;
	while ((slot = map_next(m, &at)))
		if (str_starts(slot->key, prefix)) {
			if (found) {
				*ret_many = true;
				return NULL;
			}
			found = slot->value;
		}
	return found;
}

static void *find(const struct map *m, const char *id, const char *what, struct err *err)
{
	void *v = map_get(m, id);
	bool many = false;

	if (!v)
		v = find_prefix(m, id, &many);
	if (!v && many)
		err_set(err, ERR_INVALID, "%s id %.80s is ambiguous", what, id);
	else if (!v)
		err_set(err, ERR_NOT_FOUND, "%s \"%.80s\" not found", what, id);
	return v;
}

struct pod *pod_find(struct cri_service *s, const char *id, struct err *err)
{
	struct pod *p = find(&s->pod_ids, id, "pod", err);

	if (p && p->creating && !p->doc) {
		err_set(err, ERR_NOT_FOUND, "pod \"%s\" is still being made", id);
		return NULL;
	}
	return p;
}

struct ctr *ctr_find(struct cri_service *s, const char *id, struct err *err)
{
	struct ctr *c = find(&s->ctr_ids, id, "container", err);

	if (c && !c->doc) {
		err_set(err, ERR_NOT_FOUND, "container \"%s\" is still being made", id);
		return NULL;
	}
	return c;
}

struct cri_service *cri_service_new(struct loop *l, const struct cri_options *opt,
				    const struct cri_host *host, void *arg,
				    const struct log *log, struct err *err)
{
	struct cri_service *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->opt = *opt;
	s->host = host;
	s->host_arg = arg;
	s->log = log;
	list_init(&s->pods);
	list_init(&s->pulls);
	s->rootfd = -1;
	s->store = store_open(opt->def.root, err);
	if (!s->store || (s->rootfd = store_fd(s->store, STORE_ROOT)) < 0) {
		cri_service_free(s);
		return NULL;
	}
	return s;
}

void cri_service_free(struct cri_service *s)
{
	if (!s)
		return;
	s->closing = true;
	list_each (n, &s->pods)
		pod_free(container_of(n, struct pod, node));
	images_done(&s->images);
	store_free(s->store);
	map_done(&s->pod_ids);
	map_done(&s->ctr_ids);
	map_done(&s->pod_names);
	map_done(&s->ctr_names);
	free(s);
}

unsigned cri_service_pods(const struct cri_service *s)
{
	return (unsigned)s->pod_ids.len;
}
