#include "cri/json.h"

#include "cri/types.h"
#include "cri/methods.h"
#include "fill.h"
#include "unit.h"

static const char *text_of(const void *msg, unsigned flags, struct arena *a)
{
	JSON_MUT_AUTO doc = json_new();
	BUF_AUTO out = {0};
	yyjson_mut_val *v;
	struct err err = {0};

	if (cri_json_write(msg, flags, doc, &v, &err) < 0)
		FAIL("%s", err.msg);
	yyjson_mut_doc_set_root(doc, v);
	json_write(doc, false, &out);
	return arena_strdup(a, buf_str(&out));
}

static int read_text(const char *text, const ProtobufCMessageDescriptor *d,
		     unsigned flags, struct buf *unknown, struct arena *a, void *ret_msg,
		     struct err *err)
{
	JSON_AUTO doc = json_parse(text, strlen(text), err);
	ProtobufCMessage *msg;

	if (!doc)
		FAIL("%s: %s", text, err->msg);
	if (cri_json_read(yyjson_doc_get_root(doc), d, flags, a, unknown, &msg, err) < 0)
		return -1;
	memcpy(ret_msg, &msg, sizeof(msg));
	return 0;
}

/* Checks that text is refused, with exactly this message. */
static void refused(const ProtobufCMessageDescriptor *d, const char *text,
		    const char *why)
{
	ARENA_AUTO a = {0};
	struct err err = {0};
	void *msg;

	if (read_text(text, d, 0, NULL, &a, &msg, &err) == 0)
		FAIL("%s was read", text);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK_STR(err.msg, why);
}

static void round_trip(const ProtobufCMessageDescriptor *d, unsigned flags)
{
	ARENA_AUTO a = {0};
	BUF_AUTO before = {0};
	BUF_AUTO after = {0};
	struct err err = {0};
	unsigned seed = 0;
	ProtobufCMessage *msg = fill_message(d, &a, &seed), *back;
	const char *text = text_of(msg, flags, &a);

	if (read_text(text, d, flags, NULL, &a, &back, &err) < 0)
		FAIL("%s: %s", text, err.msg);
	CHECK_STR(text_of(back, flags, &a), text);
	CHECK(pb_pack(msg, &before, &err) == 0 && pb_pack(back, &after, &err) == 0);
	CHECK_INT(after.len, before.len);
	CHECK_MEM(after.data, before.data, before.len);
}

TEST(json_round_trip_of_every_message)
{
	for (unsigned i = 0; i < CRI_RPC_COUNT; i++) {
		const struct cri_method *m = cri_method((enum cri_rpc)i);

		round_trip(m->request, 0);
		round_trip(m->request, CRI_JSON_GO);
		round_trip(m->response, 0);
		round_trip(m->response, CRI_JSON_GO);
	}
}

TEST(json_defaults_as_crictl_prints_them)
{
	ARENA_AUTO a = {0};

	CHECK_STR(text_of(pb_new(&cri__container_status__descriptor, &a), 0, &a),
		  "{\"id\":\"\",\"state\":\"CONTAINER_CREATED\",\"createdAt\":\"0\","
		  "\"startedAt\":\"0\",\"finishedAt\":\"0\",\"exitCode\":0,"
		  "\"imageRef\":\"\",\"reason\":\"\",\"message\":\"\",\"labels\":{},"
		  "\"annotations\":{},\"mounts\":[],\"logPath\":\"\",\"imageId\":\"\","
		  "\"stopSignal\":\"RUNTIME_DEFAULT\"}");
	CHECK_STR(text_of(pb_new(&cri__psi_data__descriptor, &a), 0, &a),
		  "{\"Total\":\"0\",\"Avg10\":0,\"Avg60\":0,\"Avg300\":0}");
	CHECK_STR(text_of(pb_new(&cri__container_config__descriptor, &a), CRI_JSON_GO,
			  &a),
		  "{}");
}

TEST(json_names_of_fields)
{
	ARENA_AUTO a = {0};
	unsigned seed = 0;
	const char *text;

	text = text_of(fill_message(&cri__container_config__descriptor, &a, &seed), 0,
		       &a);
	CHECK_HAS(text, "\"CDIDevices\":[");
	CHECK_HAS(text, "\"uidMappings\":[");
	CHECK_HAS(text, "\"stopSignal\":\"SIGRTMAX\"");
	CHECK_HAS(text, "\"memoryLimitInBytes\":\"");
	text = text_of(fill_message(&cri__container_config__descriptor, &a, &seed),
		       CRI_JSON_GO, &a);
	CHECK_HAS(text, "\"CDI_devices\":[");
	CHECK_HAS(text, "\"uidMappings\":[");
	CHECK_HAS(text, "\"stop_signal\":65");
	CHECK_HAS(text, "\"memory_limit_in_bytes\":9223372036854");
}

TEST(json_map_sorted_last_wins)
{
	ARENA_AUTO a = {0};
	Cri__PodSandboxConfig__LabelsEntry e[3], *entries[] = {&e[0], &e[1], &e[2]};
	Cri__PodSandboxConfig *c = pb_new(&cri__pod_sandbox_config__descriptor, &a);

	for (unsigned i = 0; i < 3; i++)
		cri__pod_sandbox_config__labels_entry__init(&e[i]);
	e[0].key = e[2].key = "b";
	e[0].value = "old";
	e[2].value = "new";
	e[1].key = "a";
	c->n_labels = 3;
	c->labels = entries;
	CHECK_STR(text_of(c, CRI_JSON_GO, &a), "{\"labels\":{\"a\":\"\",\"b\":\"new\"}}");
}

TEST(json_environment_value)
{
	ARENA_AUTO a = {0};
	struct err err = {0};
	Cri__KeyValue *kv = pb_new(&cri__key_value__descriptor, &a);

	kv->key = "K";
	kv->value.data = (uint8_t *)arena_strdup(&a, "a\xff\xc3\xa9\xc3");
	kv->value.len = 5;
	CHECK_STR(text_of(kv, 0, &a), "{\"key\":\"K\",\"value\":\"Yf/DqcM=\"}");
	CHECK_STR(text_of(kv, CRI_JSON_GO, &a),
		  "{\"key\":\"K\",\"value\":\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\"}");
	CHECK(read_text("{\"key\":\"K\",\"value\":\"true\"}", &cri__key_value__descriptor,
			CRI_JSON_GO, NULL, &a, &kv, &err) == 0);
	CHECK_INT(kv->value.len, 4);
	CHECK_MEM(kv->value.data, "true", 4);
	CHECK(read_text("{\"value\":\"dHJ1ZQ==\"}", &cri__key_value__descriptor, 0, NULL,
			&a, &kv, &err) == 0);
	CHECK_MEM(kv->value.data, "true", 4);
}

TEST(json_unknown_enum_number)
{
	ARENA_AUTO a = {0};
	Cri__PodSandboxStateValue *v =
		pb_new(&cri__pod_sandbox_state_value__descriptor, &a);

	memcpy(&v->state, &(int){77}, sizeof(int));
	CHECK_STR(text_of(v, 0, &a), "{\"state\":77}");
}

TEST(json_write_refuses_bad_text)
{
	JSON_MUT_AUTO doc = json_new();
	ARENA_AUTO a = {0};
	struct err err = {0};
	yyjson_mut_val *v = NULL;
	Cri__DNSConfig *dns = pb_new(&cri__dnsconfig__descriptor, &a);
	const char *servers[] = {"ok", "\xff"};

	dns->n_servers = 2;
	dns->servers = servers;
	CHECK(cri_json_write(&dns->base, 0, doc, &v, &err) < 0);
	CHECK_STR(err.msg, "DNSConfig: servers[1]: not UTF-8");
	CHECK(!v);
}

/* The forms in which the same container file is met. */
TEST(json_reads_both_forms)
{
	static const char *const texts[] = {
		"{\"log_path\":\"x\",\"linux\":{\"security_context\":{\"run_as_user\":"
		"{\"value\":1000},\"namespace_options\":{\"pid\":2}}}}",
		"{\"logPath\":\"x\",\"linux\":{\"securityContext\":{\"runAsUser\":"
		"{\"value\":\"1000\"},\"namespaceOptions\":{\"pid\":\"NODE\"}}}}",
		"{\"Log_Path\":\"x\",\"LINUX\":{\"security_context\":{\"run_as_user\":"
		"{\"value\":1e3},\"namespace_options\":{\"pid\":\"2\"}}},\"tty\":null}",
	};
	ARENA_AUTO a = {0};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct err err = {0};
		Cri__ContainerConfig *c;

		if (read_text(texts[i], &cri__container_config__descriptor, CRI_JSON_GO,
			      NULL, &a, &c, &err) < 0)
			FAIL("%zu: %s", i, err.msg);
		CHECK_STR(c->log_path, "x");
		CHECK_INT(c->linux->security_context->run_as_user->value, 1000);
		CHECK_INT(c->linux->security_context->namespace_options->pid,
			  CRI__NAMESPACE_MODE__NODE);
	}
}

TEST(json_scalars_become_text)
{
	ARENA_AUTO a = {0};
	struct err err = {0};
	Cri__ContainerConfig *c;

	CHECK(read_text("{\"command\":[\"sleep\",60,-1,1.5,true,18446744073709551615],"
			"\"annotations\":{\"a\":1,\"b\":null}}",
			&cri__container_config__descriptor, CRI_JSON_GO, NULL, &a, &c,
			&err) == 0);
	CHECK_INT(c->n_command, 6);
	CHECK_STR(c->command[1], "60");
	CHECK_STR(c->command[2], "-1");
	CHECK_STR(c->command[3], "1.5");
	CHECK_STR(c->command[4], "true");
	CHECK_STR(c->command[5], "18446744073709551615");
	CHECK_STR(pb_map_get(c->annotations, c->n_annotations, "a"), "1");
	CHECK_STR(pb_map_get(c->annotations, c->n_annotations, "b"), "");
}

TEST(json_unknown_keys_are_listed)
{
	ARENA_AUTO a = {0};
	BUF_AUTO unknown = {0};
	struct err err = {0};
	Cri__ContainerConfig *c;
	static const char text[] =
		"{\"nmae\":1,\"mounts\":[{},{\"hostpaht\":{\"x\":1}}],"
		"\"linux\":{\"resources\":{\"cpus\":2}},\"labels\":{\"free\":\"text\"}}";

	CHECK(read_text(text, &cri__container_config__descriptor, 0, &unknown, &a, &c,
			&err) == 0);
	CHECK_STR(buf_str(&unknown), "nmae\nmounts[1].hostpaht\nlinux.resources.cpus\n");
	CHECK_INT(c->n_mounts, 2);
	refused(&cri__container_config__descriptor, text, "nmae: unknown field");
}

TEST(json_refuses_with_path)
{
	const ProtobufCMessageDescriptor *d = &cri__container_config__descriptor;

	refused(d, "[]", "expected an object, got array");
	refused(d, "{\"mounts\":{}}", "mounts: expected a list, got object");
	refused(d, "{\"labels\":[]}", "labels: expected an object, got array");
	refused(d, "{\"mounts\":[{},{\"readonly\":1}]}",
		"mounts[1].readonly: expected true or false, got uint");
	refused(d, "{\"stdin\":\"true\"}", "stdin: expected true or false, got string");
	refused(d, "{\"stop_signal\":\"SIGFOO\"}",
		"stop_signal: \"SIGFOO\" is no Signal");
	refused(d, "{\"metadata\":{\"attempt\":-1}}",
		"metadata.attempt: -1 is out of range");
	refused(d, "{\"metadata\":{\"attempt\":4294967296}}",
		"metadata.attempt: 4294967296 is out of range");
	refused(d, "{\"metadata\":{\"attempt\":1.5}}",
		"metadata.attempt: not an integer in range");
	refused(d, "{\"linux\":{\"resources\":{\"cpu_quota\":\"1s\"}}}",
		"linux.resources.cpu_quota: not an integer in range: \"1s\"");
	refused(d, "{\"log_path\":\"a\",\"logPath\":\"b\"}", "logPath: given twice");
	refused(d, "{\"envs\":[{\"value\":\"*\"}]}", "envs[0].value: not base64");
	refused(d, "{\"command\":[null]}", "command[0]: expected a string, got null");
	refused(d, "{\"labels\":{\"a\":[]}}", "labels.a: expected a string, got array");
}

static void no_twins(const ProtobufCMessageDescriptor *d, unsigned depth);

static bool same_letters(const char *a, const char *b)
{
	for (; *a || *b; a++, b++) {
		while (*a == '_')
			a++;
		while (*b == '_')
			b++;
		if ((*a | 32) != (*b | 32))
			return false;
		if (!*a)
			return true;
	}
	return true;
}

static void no_twins(const ProtobufCMessageDescriptor *d, unsigned depth)
{
	for (unsigned i = 0; i < d->n_fields; i++) {
		for (unsigned j = 0; j < i; j++)
			if (same_letters(d->fields[i].name, d->fields[j].name))
				FAIL("%s.%s", d->name, d->fields[i].name);
		if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE && depth < 32)
			no_twins(d->fields[i].descriptor, depth + 1);
	}
}

/* Names are compared without case and underscores: no two of a message may then be one. */
TEST(json_field_names_stay_apart)
{
	for (unsigned i = 0; i < CRI_RPC_COUNT; i++) {
		no_twins(pb_link(cri_method((enum cri_rpc)i)->request), 0);
		no_twins(pb_link(cri_method((enum cri_rpc)i)->response), 0);
	}
}
