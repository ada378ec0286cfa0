/* exec: ExecSync, and the URLs of streaming sessions. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "cri/service-int.h"

static void add_cmd(yyjson_mut_doc *d, size_t n, const char *const *cmd)
{
	yyjson_mut_val *arr = json_add_arr(d, yyjson_mut_doc_get_root(d), "cmd");

	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_add_strcpy(d, arr, cmd[i]);
}

/* A running container whose shim can be asked. */
static struct ctr *find_running(struct rpc *r, const char *id, size_t n_cmd,
				struct err *err)
{
	struct ctr *c = ctr_find(r->svc, id, err);

	if (!c)
		return NULL;
	if (!n_cmd)
		err_set(err, ERR_INVALID, "cmd is empty");
	else if (ctr_state(c) != CRI__CONTAINER_STATE__CONTAINER_RUNNING)
		err_set(err, ERR_STATE, "container %s is not running", c->id);
	else
		return c;
	return NULL;
}

static void exec_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__ExecSyncResponse resp = CRI__EXEC_SYNC_RESPONSE__INIT;
	uint64_t out, e;

	if (err) {
		grpc_fail(q->call, err);
		return;
	}
	out = MIN(json_u64(m->json, "stdout", 0), (uint64_t)m->blob_len);
	e = MIN(json_u64(m->json, "stderr", 0), (uint64_t)m->blob_len - out);
	resp.exit_code = (int32_t)json_i64(m->json, "exit_code", 255);
	resp.stdout = (ProtobufCBinaryData){out, m->blob};
	resp.stderr = (ProtobufCBinaryData){e, m->blob ? m->blob + out : NULL};
	/* what both streams hold may not fit into one message: the end is cut */
	while (pb_size(&resp.base) > PB_MAX_WIRE) {
		ProtobufCBinaryData *big =
			resp.stdout.len > resp.stderr.len ? &resp.stdout : &resp.stderr;

		big->len -= MIN(big->len, pb_size(&resp.base) - PB_MAX_WIRE);
	}
	call_reply(q->call, &resp.base);
}

void do_ExecSync(struct rpc *r)
{
	const Cri__ExecSyncRequest *req = (const void *)r->req;
	JSON_MUT_AUTO d = NULL;
	struct err err;
	struct ctr *c = find_running(r, req->container_id, req->n_cmd, &err);

	if (!c)
		return rpc_fail(r, &err);
	d = shim_op("ctr.exec_sync", c->id);
	json_add_i64(d, yyjson_mut_doc_get_root(d), "timeout",
		     req->timeout < 0 ? 0 : req->timeout);
	add_cmd(d, req->n_cmd, (const char *const *)req->cmd);
	shim_request(c->pod, r->call, c->id, d, NULL, exec_done);
}

void exec_cancel(struct cri_service *s, struct grpc_call *call)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);

	list_each (n, &s->pods) {
		struct pod *p = container_of(n, struct pod, node);

		list_each (m, &p->pending) {
			struct pending *q = container_of(m, struct pending, node);

			if (q->call != call || q->done != exec_done || !p->chan)
				continue;
			json_add_str(d, root, "op", "ctr.exec_cancel");
			json_add_u64(d, root, "serial", q->serial);
			chan_send(p->chan, CHAN_REQUEST, ++p->serial, d, NULL, 0, NULL,
				  0);
			return;
		}
	}
}

void do_Exec(struct rpc *r)
{
	const Cri__ExecRequest *req = (const void *)r->req;
	Cri__ExecResponse resp = CRI__EXEC_RESPONSE__INIT;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	struct cri_stream stream = {.request = {0}};
	BUF_AUTO url = {0};
	struct err err;
	struct ctr *c = find_running(r, req->container_id, req->n_cmd, &err);

	if (!c)
		return rpc_fail(r, &err);
	if (!req->stdin && !req->stdout && !req->stderr) {
		err_set(&err, ERR_INVALID, "one of stdin, stdout and stderr is needed");
		return rpc_fail(r, &err);
	}
	if (req->tty && req->stderr) {
		err_set(&err, ERR_INVALID, "tty and stderr exclude each other");
		return rpc_fail(r, &err);
	}
	json_add_str(d, root, "op", "ctr.exec");
	json_add_str(d, root, "id", c->id);
	json_add_bool(d, root, "tty", req->tty);
	json_add_bool(d, root, "stdin", req->stdin);
	json_add_bool(d, root, "stdout", req->stdout);
	json_add_bool(d, root, "stderr", req->stderr);
	add_cmd(d, req->n_cmd, (const char *const *)req->cmd);
	json_write(d, false, &stream.request);
	str_copy(stream.pod_id, sizeof(stream.pod_id), c->pod->id);
	if (r->svc->host->stream_url(r->svc->host_arg, &stream, "exec", &url, &err) < 0) {
		buf_done(&stream.request);
		return rpc_fail(r, &err);
	}
	resp.url = buf_str(&url);
	rpc_reply(r, &resp.base);
}

int cri_stream_start(struct cri_service *s, const struct cri_stream *stream, int fd_taken,
		     const struct buf *raw, struct err *err)
{
	struct pod *p = map_get(&s->pod_ids, stream->pod_id);
	JSON_AUTO doc = json_parse(stream->request.data, stream->request.len, err);
	JSON_MUT_AUTO d = doc ? yyjson_doc_mut_copy(doc, NULL) : NULL;

	if (!d || !p || !p->chan) {
		close(fd_taken);
		return err_set(err, ERR_NOT_FOUND, "the pod is gone");
	}
	/* no answer is waited for: the shim tells the client itself */
	chan_send(p->chan, CHAN_REQUEST, ++p->serial, d, raw->data, raw->len, &fd_taken,
		  1);
	return 0;
}
