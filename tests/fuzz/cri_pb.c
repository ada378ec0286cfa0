/*
 * Requests of the CRI off the wire: the first byte chooses the RPC, the rest is the message.
 * What is read must pack again, be writable as JSON in both forms, and read back from that.
 */
#include <stdlib.h>
#include <string.h>

#include "cri/json.h"
#include "cri/methods.h"
#include "cri/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void through_json(const ProtobufCMessage *msg, unsigned flags, struct arena *a)
{
	JSON_MUT_AUTO doc = json_new();
	BUF_AUTO text = {0};
	struct err err = {0};
	yyjson_mut_val *v;
	ProtobufCMessage *back;

	if (cri_json_write(msg, flags, doc, &v, &err) < 0)
		abort();
	yyjson_mut_doc_set_root(doc, v);
	json_write(doc, false, &text);
	JSON_AUTO read = json_parse(text.data, text.len, &err);

	if (!read || cri_json_read(yyjson_doc_get_root(read), msg->descriptor, flags, a,
				   NULL, &back, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};
	struct err err = {0};
	ProtobufCMessage *msg;
	const struct cri_method *m;

	if (size == 0)
		return 0;
	m = cri_method(data[0] % CRI_RPC_COUNT);
	if (pb_unpack(m->request, data + 1, size - 1, &a, &msg, &err) < 0) {
		if (err.code == ERR_NONE || !err.msg[0])
			abort();
		return 0;
	}
	if (pb_pack(msg, &out, &err) < 0)
		abort();
	through_json(msg, 0, &a);
	through_json(msg, CRI_JSON_GO, &a);
	return 0;
}
