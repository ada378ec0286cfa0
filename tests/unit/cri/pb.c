#include "cri/pb.h"

#include "cri/types.h"
#include "cri/methods.h"
#include "fill.h"
#include "unit.h"

static int unpack(const ProtobufCMessageDescriptor *d, const char *bytes, size_t n,
		  struct err *err)
{
	ARENA_AUTO a = {0};
	ProtobufCMessage *msg = NULL;
	int r = pb_unpack(d, bytes, n, &a, &msg, err);

	if (r < 0)
		CHECK(!msg);
	return r;
}

static void round_trip(const ProtobufCMessageDescriptor *d)
{
	ARENA_AUTO a = {0};
	BUF_AUTO first = {0};
	BUF_AUTO second = {0};
	unsigned seed = 0;
	struct err err = {0};
	ProtobufCMessage *copy;

	CHECK(pb_pack(fill_message(d, &a, &seed), &first, &err) == 0);
	if (pb_unpack(d, first.data, first.len, &a, &copy, &err) < 0)
		FAIL("%s: %s", d->name, err.msg);
	CHECK(pb_pack(copy, &second, &err) == 0);
	CHECK_INT(second.len, first.len);
	CHECK_MEM(second.data, first.data, first.len);
}

TEST(pb_round_trip_of_every_message)
{
	for (unsigned i = 0; i < CRI_RPC_COUNT; i++) {
		round_trip(cri_method((enum cri_rpc)i)->request);
		round_trip(cri_method((enum cri_rpc)i)->response);
	}
}

TEST(pb_empty_message)
{
	ARENA_AUTO a = {0};
	struct err err = {0};
	ProtobufCMessage *msg;
	Cri__VersionRequest *v;

	CHECK(pb_unpack(&cri__version_request__descriptor, NULL, 0, &a, &msg, &err) == 0);
	v = (Cri__VersionRequest *)msg;
	CHECK_STR(v->version, "");
	CHECK_INT(pb_size(msg), 0);
}

TEST(pb_refuses_what_is_no_text)
{
	struct err err = {0};

	/* PodSandboxConfig { hostname: "\xff" } in RunPodSandboxRequest.config */
	CHECK(unpack(&cri__run_pod_sandbox_request__descriptor, "\x0a\x03\x12\x01\xff", 5,
		     &err) < 0);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK_STR(err.msg,
		  "RunPodSandboxRequest: config: hostname: a string is not UTF-8");
	CHECK(unpack(&cri__version_request__descriptor,
		     "\x0a\x03"
		     "a\0b",
		     5, &err) < 0);
	CHECK_STR(err.msg, "VersionRequest: version: a string holds a NUL");
}

TEST(pb_refuses_malformed)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\x0a", 1},	   /* no length */
		{"\x0a\x05xx", 4}, /* shorter than it says */
		{"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12},
		{"\x02", 1},	     /* field number 0 */
		{"\x0b", 1},	     /* a group */
		{"\x08\x01", 2},     /* a number where a string belongs */
		{"\x80", 1},	     /* a tag that ends early */
		{"\x11\x01\x02", 3}, /* an unknown fixed64 cut short */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {0};

		if (unpack(&cri__version_request__descriptor, bad[i].bytes, bad[i].n,
			   &err) == 0)
			FAIL("number %zu was read", i);
		CHECK_INT(err.code, ERR_INVALID);
	}
}

TEST(pb_unknown_fields_survive)
{
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};
	struct err err = {0};
	static const char wire[] = "\x0a\x01v\xa2\x06\x02hi"; /* field 100 */
	ProtobufCMessage *msg;

	CHECK(pb_unpack(&cri__version_request__descriptor, wire, sizeof(wire) - 1, &a,
			&msg, &err) == 0);
	CHECK_INT(msg->n_unknown_fields, 1);
	CHECK(pb_pack(msg, &out, &err) == 0);
	CHECK_INT(out.len, sizeof(wire) - 1);
	CHECK_MEM(out.data, wire, sizeof(wire) - 1);
}

TEST(pb_wire_limit)
{
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};
	struct err err = {0};
	Cri__ExecSyncResponse *r = pb_new(&cri__exec_sync_response__descriptor, &a);

	r->stdout.len = PB_MAX_WIRE;
	r->stdout.data = arena_alloc(&a, PB_MAX_WIRE);
	CHECK(pb_pack(&r->base, &out, &err) < 0);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	r->stdout.len = PB_MAX_WIRE - 5;
	CHECK(pb_pack(&r->base, &out, &err) == 0);
	CHECK_INT(out.len, PB_MAX_WIRE);
	CHECK(unpack(r->base.descriptor, (char *)out.data, out.len, &err) == 0);
	buf_add_char(&out, 0);
	CHECK(unpack(r->base.descriptor, (char *)out.data, out.len, &err) < 0);
	CHECK_INT(err.code, ERR_EXHAUSTED);
}

/* Two bytes on the wire are an empty message of 200 in memory. */
TEST(pb_memory_limit)
{
	ARENA_AUTO a = {0};
	BUF_AUTO wire = {0};
	struct err err = {0};
	ProtobufCMessage *msg = NULL;

	while (wire.len < 8 << 20)
		buf_add(&wire, "\x0a\x00", 2);
	CHECK(pb_unpack(&cri__list_containers_response__descriptor, wire.data, wire.len,
			&a, &msg, &err) < 0);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	CHECK(!msg);
	CHECK(a.total <= PB_MAX_DECODED + PB_MAX_DECODED / 4);
}

TEST(pb_map_get_takes_the_last)
{
	Cri__PodSandboxConfig__LabelsEntry e[3];
	const Cri__PodSandboxConfig__LabelsEntry *entries[] = {&e[0], &e[1], &e[2]};

	for (unsigned i = 0; i < 3; i++)
		cri__pod_sandbox_config__labels_entry__init(&e[i]);
	e[0].key = e[2].key = "app";
	e[0].value = "old";
	e[2].value = "new";
	CHECK_STR(pb_map_get(entries, 3, "app"), "new");
	CHECK_STR(pb_map_get(entries, 3, ""), "");
	CHECK(!pb_map_get(entries, 3, "tier"));
	CHECK(!pb_map_get(NULL, 0, "app"));
}

TEST(pb_copy_is_deep)
{
	ARENA_AUTO a = {0};
	ARENA_AUTO b = {0};
	struct err err = {0};
	unsigned seed = 0;
	ProtobufCMessage *copy;
	Cri__Mount *m = fill_message(&cri__mount__descriptor, &a, &seed), *c;

	CHECK(pb_copy(&m->base, &b, &copy, &err) == 0);
	c = (Cri__Mount *)copy;
	CHECK(c->host_path != m->host_path);
	CHECK_STR(c->host_path, m->host_path);
	CHECK_INT(c->n_uidmappings, 2);
	CHECK_INT(c->uidmappings[1]->host_id, m->uidmappings[1]->host_id);
}
