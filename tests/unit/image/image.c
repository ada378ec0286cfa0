/* manifests, configs and platforms of images */
#include "image/image.h"

#include "base/str.h"
#include "unit.h"

static struct arena arena;
static struct err err;

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define OCI_M "application/vnd.oci.image.manifest.v1+json"
#define OCI_I "application/vnd.oci.image.index.v1+json"
#define OCI_L "application/vnd.oci.image.layer.v1.tar+gzip"
#define DOCKER_M "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_I "application/vnd.docker.distribution.manifest.list.v2+json"
#define DESC(type, digest) \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":7}"
#define CONFIG "\"config\":" DESC("x", D1)
#define LAYERS "\"layers\":[" DESC(OCI_L, D2) "]"

static struct image_manifest m;

static int manifest(const char *s, const char *type)
{
	arena_done(&arena);
	return image_manifest_parse(s, strlen(s), type, &arena, &m, &err);
}

TEST(oci_manifest)
{
	CHECK(manifest("{\"schemaVersion\":2,\"mediaType\":\"" OCI_M "\"," CONFIG
		       "," LAYERS "}",
		       OCI_M) == 0);
	CHECK_INT(m.kind, IMAGE_MANIFEST);
	CHECK_STR(m.media_type, OCI_M);
	CHECK_STR(m.config.digest, D1);
	CHECK_INT(m.n_layers, 1);
	CHECK_STR(m.layers[0].digest, D2);
	CHECK_INT(m.layers[0].size, 7);
	/* mediaType is optional in OCI manifests, a Content-Type may be generic */
	CHECK(manifest("{\"schemaVersion\":2," CONFIG "," LAYERS "}",
		       "application/json") == 0);
	CHECK_STR(m.media_type, OCI_M);
	CHECK(manifest("{\"schemaVersion\":2," CONFIG "," LAYERS "}", DOCKER_M) == 0);
	CHECK_STR(m.media_type, DOCKER_M);
	CHECK(manifest("{\"schemaVersion\":2," CONFIG "," LAYERS "}", NULL) == 0);
}

TEST(index)
{
	CHECK(manifest("{\"schemaVersion\":2,\"mediaType\":\"" DOCKER_I
		       "\",\"manifests\":[{\"mediaType\":\"" DOCKER_M
		       "\",\"digest\":\"" D1
		       "\",\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":"
		       "\"arm\",\"variant\":\"v7\"}}]}",
		       DOCKER_I) == 0);
	CHECK_INT(m.kind, IMAGE_INDEX);
	CHECK_INT(m.n_children, 1);
	CHECK_STR(m.children[0].platform.variant, "v7");
}

TEST(contradictions)
{
	/* GHSA-5j5w-g665-5m35: the same bytes as index and manifest */
	CHECK(manifest("{\"schemaVersion\":2,\"manifests\":[]," CONFIG "," LAYERS "}",
		       OCI_M) < 0);
	CHECK(manifest("{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", OCI_I) <
	      0);
	CHECK(manifest("{\"schemaVersion\":2,\"mediaType\":\"" OCI_I "\"," CONFIG
		       "," LAYERS "}",
		       OCI_I) < 0);
	CHECK(manifest("{\"schemaVersion\":2,\"mediaType\":\"" OCI_M "\"," CONFIG
		       "," LAYERS "}",
		       DOCKER_M) < 0);
	CHECK(manifest("{\"schemaVersion\":2," CONFIG "," LAYERS "}", OCI_I) < 0);
	CHECK(manifest("{\"schemaVersion\":2,\"manifests\":[]}", OCI_M) < 0);
	CHECK_INT(err.code, ERR_INVALID);
}

TEST(malformed_manifests)
{
#define M(config, layers) \
	"{\"schemaVersion\":2,\"config\":" config ",\"layers\":" layers "}"
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"schemaVersion\":2}",
		"{\"schemaVersion\":3," CONFIG "," LAYERS "}",
		"{\"schemaVersion\":\"2\"," CONFIG "," LAYERS "}",
		"{\"schemaVersion\":2,\"mediaType\":5," CONFIG "," LAYERS "}",
		"{\"schemaVersion\":2,\"schemaVersion\":2," CONFIG "," LAYERS "}",
		"\xef\xbb\xbf{\"schemaVersion\":2," CONFIG "," LAYERS "}",
		M("5", "[]"),
		M("{}", "[]"),
		M(DESC("x", D1), "{}"),
		M(DESC("x", D1), "[5]"),
		M(DESC("x", "sha256:../../x"), "[]"),
		M(DESC("x", "md5:d41d8cd98f00b204e9800998ecf8427e"), "[]"),
		M(DESC("x", ""), "[]"),
		M("{\"digest\":\"" D1 "\"}", "[]"),
		M("{\"digest\":\"" D1 "\",\"size\":-1}", "[]"),
		M("{\"digest\":\"" D1 "\",\"size\":9223372036854775808}", "[]"),
		M("{\"digest\":\"" D1 "\",\"size\":1.5}", "[]"),
		M("{\"digest\":\"" D1 "\",\"size\":\"7\"}", "[]"),
		M("{\"digest\":5,\"size\":7}", "[]"),
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (manifest(bad[i], NULL) == 0)
			FAIL("%s was accepted", bad[i]);
		CHECK_INT(err.code, ERR_INVALID);
		CHECK_HAS(err.msg, "manifest: ");
	}
	CHECK(manifest("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL) < 0);
	CHECK_INT(err.code, ERR_UNIMPLEMENTED);
}

TEST(limits)
{
	BUF_AUTO b = {0};

	buf_add_str(&b, "{\"schemaVersion\":2," CONFIG ",\"layers\":[");
	for (int i = 0; i < IMAGE_MAX_LAYERS; i++)
		buf_add_str(&b, i ? "," DESC(OCI_L, D2) : DESC(OCI_L, D2));
	buf_add_str(&b, "]}");
	CHECK(manifest(buf_str(&b), NULL) == 0);
	CHECK_INT(m.n_layers, IMAGE_MAX_LAYERS);
	b.len -= 2;
	buf_add_str(&b, "," DESC(OCI_L, D2) "]}");
	CHECK(manifest(buf_str(&b), NULL) < 0);
	CHECK_HAS(err.msg, "at most 256");
	buf_reset(&b);
	buf_reserve(&b, IMAGE_MAX_DOC + 1);
	memset(b.data, ' ', IMAGE_MAX_DOC + 1);
	b.len = IMAGE_MAX_DOC + 1;
	CHECK(image_manifest_parse(b.data, b.len, NULL, &arena, &m, &err) < 0);
	CHECK_HAS(err.msg, "larger than");
}

static struct image_config c;

static int config(const char *s)
{
	arena_done(&arena);
	return image_config_parse(s, strlen(s), &arena, &c, &err);
}

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}"

TEST(config_fields)
{
	CHECK(config("{\"os\":\"linux\",\"architecture\":\"arm64\",\"config\":{"
		     "\"User\":\"1000:users\",\"Env\":[\"A=b\",\"SECRET\",\"=x\",\"C=\"],"
		     "\"Entrypoint\":[\"/bin/sh\",\"-c\"],\"Cmd\":null,\"WorkingDir\":\"/"
		     "w\","
		     "\"Volumes\":{\"/data\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
		     "\"StopSignal\":\"SIGINT\",\"Labels\":{\"a\":\"b\","
		     "\"io.kubernetes.x\":\"y\",\"containerd.io/"
		     "z\":\"\",\"io.cri-o.q\":\"1\"}}," ROOTFS "}") == 0);
	CHECK_STR(c.user, "1000:users");
	CHECK_INT(c.env.n, 2);
	CHECK_STR(c.env.v[0], "A=b");
	CHECK_STR(c.env.v[1], "C=");
	CHECK(!c.env.v[2]);
	CHECK_INT(c.entrypoint.n, 2);
	CHECK(!c.entrypoint.v[2]);
	CHECK_INT(c.cmd.n, 0);
	CHECK_STR(c.working_dir, "/w");
	CHECK_STR(c.volumes.v[0], "/data");
	CHECK_STR(c.exposed_ports.v[0], "80/tcp");
	CHECK_STR(c.stop_signal, "SIGINT");
	CHECK_INT(c.n_labels, 1);
	CHECK_STR(c.labels[0].key, "a");
	CHECK_STR(c.platform.architecture, "arm64");
	CHECK_INT(c.diff_ids.n, 2);
}

TEST(config_without_config)
{
	CHECK(config("{" ROOTFS "}") == 0);
	CHECK_STR(c.user, "");
	CHECK_INT(c.env.n, 0);
	CHECK(config("{\"config\":null," ROOTFS "}") == 0);
}

TEST(malformed_configs)
{
	static const char *const bad[] = {
		"",
		"5",
		"{}",
		"{\"config\":{}}",
		"{\"rootfs\":{\"type\":\"other\",\"diff_ids\":[]}}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[5]}}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":{}}}",
		"{\"config\":5," ROOTFS "}",
		"{\"config\":{\"User\":5}," ROOTFS "}",
		"{\"config\":{\"Env\":\"A=b\"}," ROOTFS "}",
		"{\"config\":{\"Env\":[1]}," ROOTFS "}",
		"{\"config\":{\"Volumes\":[]}," ROOTFS "}",
		"{\"config\":{\"Labels\":{\"a\":1}}," ROOTFS "}",
		"{\"config\":{\"User\":\"a\\u0000b\"}," ROOTFS "}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (config(bad[i]) == 0)
			FAIL("%s was accepted", bad[i]);
		CHECK_INT(err.code, ERR_INVALID);
		CHECK_HAS(err.msg, "image config: ");
	}
}

TEST(manifest_and_config_belong_together)
{
	struct image_desc layers[2] = {{.media_type = OCI_L, .digest = D1},
				       {.media_type = OCI_L, .digest = D2}};
	struct image_manifest two = {.layers = layers, .n_layers = 2};

	CHECK(config("{" ROOTFS "}") == 0);
	CHECK(image_check(&two, &c, &err) == 0);
	two.n_layers = 1;
	CHECK(image_check(&two, &c, &err) < 0);
	CHECK_HAS(err.msg, "1 layers, the config 2 diff ids");
	two.n_layers = 0;
	CHECK(image_check(&two, &c, &err) < 0);
	CHECK_HAS(err.msg, "no layers");
	two.n_layers = 2;
	layers[1].media_type = "application/octet-stream";
	CHECK(image_check(&two, &c, &err) < 0);
	CHECK_INT(err.code, ERR_UNIMPLEMENTED);
}

TEST(chain_ids)
{
	const char **ids;

	/* computed with sha256sum(1) from "D1 D2" */
	CHECK(config("{" ROOTFS "}") == 0);
	ids = image_chain_ids(&c.diff_ids, &arena);
	CHECK_STR(ids[0], D1);
	CHECK_STR(ids[1],
		  "sha256:"
		  "9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5");
}

static unsigned match(const char *want, const char *have)
{
	struct image_platform w, h;

	CHECK(image_platform_parse(want, &arena, &w, &err) == 0);
	CHECK(image_platform_parse(have, &arena, &h, &err) == 0);
	return image_platform_match(&w, &h);
}

TEST(platforms)
{
	struct image_platform p;

	CHECK(match("linux/amd64", "linux/amd64"));
	CHECK(match("linux/x86_64", "linux/amd64"));
	CHECK(match("linux/arm64", "linux/arm64/v8"));
	CHECK(match("linux/arm64/v8", "linux/aarch64"));
	CHECK(!match("linux/amd64", "linux/arm64"));
	CHECK(!match("linux/amd64", "windows/amd64"));
	CHECK(!match("linux/amd64", "linux/amd64/v3"));
	CHECK(match("linux/amd64/v3", "linux/amd64"));
	CHECK(match("linux/amd64/v3", "linux/amd64/v2") >
	      match("linux/amd64/v3", "linux/amd64"));
	CHECK(match("linux/arm/v7", "linux/arm/v6"));
	CHECK(!match("linux/arm/v6", "linux/arm/v7"));
	CHECK(match("linux/s390x", "linux/s390x"));
	CHECK(image_platform_parse("linux", &arena, &p, &err) < 0);
	CHECK(image_platform_parse("linux/", &arena, &p, &err) < 0);
	CHECK(image_platform_parse("a/b/c/d", &arena, &p, &err) < 0);
	CHECK(image_platform_parse("linux/AMD64", &arena, &p, &err) < 0);
	CHECK_INT(err.code, ERR_INVALID);
}

TEST(choice)
{
	struct image_desc d[] = {
		{.digest = "0", .platform = {"unknown", "unknown", ""}},
		{.digest = "1", .platform = {"linux", "arm", "v6"}},
		{.digest = "2", .platform = {"linux", "arm", "v7"}},
		{.digest = "3", .platform = {"linux", "arm", "v7"}},
	};
	struct image_manifest index = {.children = d, .n_children = ARRAY_LEN(d)};
	struct image_platform want = {"linux", "arm", "v7"};
	const struct image_desc *got;

	CHECK(image_choose(&index, &want, &got, &err) == 0);
	CHECK_STR(got->digest, "2");
	want.architecture = "s390x";
	CHECK(image_choose(&index, &want, &got, &err) < 0);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_HAS(err.msg, "linux/s390x/v7, only for linux/arm/v6");
	index.n_children = 0;
	CHECK(image_choose(&index, &want, &got, &err) < 0);
	d[0].platform = (struct image_platform){"", "", ""};
	index.n_children = 1;
	CHECK(image_choose(&index, &want, &got, &err) == 0);
	arena_done(&arena);
}
