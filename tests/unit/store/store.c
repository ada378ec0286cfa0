#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/record.h"
#include "store/store.h"

static char root[64];
static struct store *s;

static void begin(void)
{
	struct err err;

	strcpy(root, "/tmp/store-XXXXXX");
	CHECK(mkdtemp(root));
	s = store_open(root, &err);
	CHECK(s);
}

static void finish(void)
{
	struct err err;

	store_free(s);
	CHECK_INT(file_remove_tree(AT_FDCWD, root, &err), 0);
}

static struct digest of(const char *text)
{
	struct digest d;

	digest_of(text, strlen(text), &d);
	return d;
}

static bool there(const char *fmt, const struct digest *d)
{
	char hex[DIGEST_HEX], path[300];

	digest_hex(hex, d);
	snprintf(path, sizeof(path), "%s/%s/%s", root, fmt, hex);
	return access(path, F_OK) == 0;
}

/* Makes a layer; it stays held. */
static void make_layer(const char *name, struct layer *l)
{
	struct layer_info info = {.bytes = 4096, .inodes = 2, .compressed = 99};
	struct digest chain = of(name);
	struct err err;

	CHECK_INT(layer_begin(s, &chain, l, &err), LAYER_MINE);
	CHECK_INT(mkdirat(l->fd, "fs", 0755), 0);
	CHECK_INT(layer_commit(s, l, &info, &err), 0);
}

static void put(const char *config, const char *tag, const struct digest *layers,
		size_t nlayers)
{
	char digest[200] = "example.com/a@";
	struct digest manifest = of("manifest");
	struct image_new n = {.manifest = "manifest",
			      .manifest_len = 8,
			      .config = config,
			      .config_len = strlen(config),
			      .id = of(config),
			      .manifest_digest = manifest,
			      .tag = tag,
			      .digest = digest,
			      .layers = layers,
			      .nlayers = nlayers,
			      .size = 1234};
	struct err err = {0};

	digest_format(digest + strlen(digest), &manifest);
	if (image_put(s, &n, &err) < 0)
		FAIL("image_put: %s", err.msg);
}

TEST(layer_life)
{
	struct layer a = {.fd = -1}, b = {.fd = -1};
	struct layer_info info;
	struct digest chain = of("layer");
	struct err err;
	int fd;

	begin();
	CHECK_INT(layer_open(s, &chain, &a, NULL, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_INT(layer_begin(s, &chain, &a, &err), LAYER_MINE);
	CHECK_INT(layer_begin(s, &chain, &b, &err), LAYER_BUSY);
	CHECK_INT(mkdirat(a.fd, "fs", 0755), 0);
	layer_end(s, &a); /* given up: the next one starts from nothing */
	CHECK_INT(layer_begin(s, &chain, &a, &err), LAYER_MINE);
	CHECK_INT(faccessat(a.fd, "fs", F_OK, 0), -1);
	CHECK_INT(mkdirat(a.fd, "fs", 0755), 0);
	info = (struct layer_info){.bytes = 7, .inodes = 3, .diff_id = of("diff")};
	CHECK_INT(layer_commit(s, &a, &info, &err), 0);
	CHECK_INT(layer_begin(s, &chain, &b, &err), LAYER_THERE);
	layer_end(s, &b);
	CHECK_INT(layer_open(s, &chain, &b, &info, &err), 0);
	CHECK_INT(info.bytes, 7);
	CHECK(digest_equal(&info.chain_id, &chain));
	fd = layer_fs(&b, &err);
	CHECK(fd >= 0);
	close(fd);
	layer_end(s, &b);
	layer_end(s, &a);
	finish();
}

TEST(layer_left_by_a_dead_process_is_cleared)
{
	struct layer a = {.fd = -1};
	struct digest chain = of("layer");
	struct err err;

	begin();
	CHECK_INT(layer_begin(s, &chain, &a, &err), LAYER_MINE);
	CHECK_INT(mkdirat(a.fd, "fs", 0755), 0);
	CHECK_INT(mkdirat(a.fd, "staged", 0755), 0);
	CHECK_INT(mkdirat(a.fd, ".record.123", 0755), 0);
	fd_close(&a.fd); /* dies: the lock goes, the directory stays */
	CHECK_INT(layer_begin(s, &chain, &a, &err), LAYER_MINE);
	CHECK_INT(faccessat(a.fd, "fs", F_OK, 0), -1);
	CHECK_INT(faccessat(a.fd, ".record.123", F_OK, 0), -1);
	fd_close(&a.fd);
	CHECK_INT(store_gc(s, &err), 0);
	CHECK(!there("tmp", &chain));
	finish();
}

TEST(gc_clears_temporary_records)
{
	struct digest id = of("config");
	char hex[DIGEST_HEX], path[300];
	struct err err;

	begin();
	put("config", "x:1", NULL, 0);
	digest_hex(hex, &id);
	snprintf(path, sizeof(path), "images/%s/.record.123", hex);
	CHECK_INT(mknodat(store_fd(s, STORE_ROOT), path, S_IFREG | 0600, 0), 0);
	CHECK_INT(store_gc(s, &err), 0);
	CHECK_INT(faccessat(store_fd(s, STORE_ROOT), path, F_OK, 0), -1);
	CHECK(there("images", &id));
	finish();
}

TEST(gc_spares_what_is_named_or_held)
{
	struct layer a = {.fd = -1}, b = {.fd = -1}, c = {.fd = -1}, d = {.fd = -1};
	struct digest named = of("named"), held = of("held"), idle = of("idle");
	struct digest used = of("used");
	char text[DIGEST_TEXT], json[300];
	struct err err;

	begin();
	make_layer("named", &a);
	make_layer("held", &b);
	make_layer("idle", &c);
	make_layer("used", &d);
	put("config", NULL, &named, 1);
	digest_format(text, &used);
	snprintf(json, sizeof(json), "{\"layers\":[\"%s\"]}", text);
	CHECK_INT(mkdirat(store_fd(s, STORE_CONTAINERS), "x", 0700), 0);
	CHECK_INT(record_write(store_fd(s, STORE_CONTAINERS), "x/record", "container",
			       json, strlen(json), false, &err),
		  0);
	layer_end(s, &a);
	layer_end(s, &c);
	layer_end(s, &d);
	CHECK_INT(store_gc(s, &err), 0);
	CHECK(there("layers", &named));
	CHECK(there("layers", &held));
	CHECK(there("layers", &used));
	CHECK(!there("layers", &idle));
	layer_end(s, &b);
	CHECK_INT(image_remove(s, &(struct digest){0}, &err), 0);
	named = of("config");
	CHECK_INT(image_remove(s, &named, &err), 0);
	CHECK_INT(store_gc(s, &err), 0);
	named = of("named");
	CHECK(!there("layers", &named));
	CHECK(!there("layers", &held));
	finish();
}

TEST(images_names_and_prefixes)
{
	struct images all;
	const struct image *im;
	struct digest id = of("config1");
	BUF_AUTO b = {0};
	struct err err;
	char hex[DIGEST_HEX];

	begin();
	put("config1", "docker.io/library/a:1", NULL, 0);
	put("config2", "docker.io/library/b:1", NULL, 0);
	CHECK_INT(image_tag(s, &id, "docker.io/library/a:2", &err), 0);
	CHECK_INT(images_load(s, &all, &err), 0);
	CHECK_INT(all.n, 2);
	CHECK_INT(all.damaged.len, 0);
	im = image_resolve(&all, "docker.io/library/a:2", &err);
	CHECK(im && digest_equal(&im->id, &id));
	CHECK_INT(im->size, 1234);
	CHECK_STR(im->tags[0], "docker.io/library/a:1");
	CHECK_HAS(im->digests[0], "example.com/a@sha256:");
	digest_hex(hex, &id);
	hex[12] = 0;
	CHECK(image_resolve(&all, hex, &err) == im);
	CHECK(!image_resolve(&all, "a:2", &err));
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK(!image_resolve(&all, "../x", &err));
	CHECK_INT(image_read_config(s, im, &b, &err), 0);
	CHECK_STR(buf_str(&b), "config1");
	CHECK_INT(image_read_manifest(s, im, &b, &err), 0);
	CHECK_STR(buf_str(&b), "config1manifest");
	images_done(&all);
	finish();
}

TEST(a_tag_belongs_to_one_image)
{
	struct images all;
	const struct image *im;
	struct digest one = of("config1"), two = of("config2");
	struct err err;

	begin();
	put("config1", "x:1", NULL, 0);
	put("config2", "x:1", NULL, 0);
	CHECK_INT(images_load(s, &all, &err), 0);
	im = image_resolve(&all, "x:1", &err);
	CHECK(im && digest_equal(&im->id, &two));
	CHECK_INT(all.n, 2); /* the other one still has its digest */
	images_done(&all);
	CHECK_INT(image_tag(s, &one, "x:1", &err), 0);
	CHECK_INT(images_load(s, &all, &err), 0);
	im = image_resolve(&all, "x:1", &err);
	CHECK(im && digest_equal(&im->id, &one));
	images_done(&all);
	CHECK_INT(image_untag(s, &one, "x:1", &err), 0);
	CHECK_INT(images_load(s, &all, &err), 0);
	CHECK_INT(all.n, 2);
	CHECK(!image_resolve(&all, "x:1", &err));
	{ /* with its last name it goes */
		STR_AUTO last = xstrdup(all.v[0]->digests[0]);

		CHECK_INT(image_untag(s, &one, last, &err), 0);
	}
	images_done(&all);
	CHECK_INT(images_load(s, &all, &err), 0);
	CHECK_INT(all.n, 1);
	images_done(&all);
	finish();
}

TEST(pulled_again_keeps_its_names)
{
	struct images all;
	struct digest layer = of("layer");
	struct layer l;
	struct err err;

	begin();
	make_layer("layer", &l);
	put("config", "x:1", &layer, 1);
	put("config", "y:1", &layer, 1);
	layer_end(s, &l);
	CHECK_INT(images_load(s, &all, &err), 0);
	CHECK_INT(all.n, 1);
	CHECK(image_resolve(&all, "x:1", &err));
	CHECK(image_resolve(&all, "y:1", &err));
	CHECK_INT(all.v[0]->nlayers, 1);
	CHECK_STR(all.v[0]->digests[1], NULL);
	images_done(&all);
	CHECK_INT(store_gc(s, &err), 0);
	CHECK(there("layers", &layer));
	finish();
}

TEST(a_damaged_image_costs_only_itself)
{
	struct images all;
	struct digest id = of("config1");
	char hex[DIGEST_HEX], path[300];
	struct err err;
	FD_AUTO fd = -1;

	begin();
	put("config1", "x:1", NULL, 0);
	put("config2", "y:1", NULL, 0);
	digest_hex(hex, &id);
	snprintf(path, sizeof(path), "images/%s/record", hex);
	fd = openat(store_fd(s, STORE_ROOT), path, O_WRONLY | O_CLOEXEC);
	CHECK_INT(pwrite(fd, "#", 1, 100), 1);
	CHECK_INT(mkdirat(store_fd(s, STORE_IMAGES), "stray", 0700), 0);
	CHECK_INT(images_load(s, &all, &err), 0);
	CHECK_INT(all.n, 1);
	CHECK_HAS(buf_str(&all.damaged), hex);
	CHECK_HAS(buf_str(&all.damaged), "checksum does not match");
	CHECK_HAS(buf_str(&all.damaged), "images/stray");
	images_done(&all);
	CHECK(!there("images", &id)); /* out of the way: the next one is clean */
	CHECK_INT(images_load(s, &all, &err), 0);
	CHECK_INT(all.damaged.len, 0);
	images_done(&all);
	CHECK_INT(store_gc(s, &err), 0);
	put("config1", "x:1", NULL, 0);
	CHECK(there("images", &id));
	finish();
}

/* Layers of another boot count only if an image names them. */
TEST(layers_of_an_unfinished_pull_are_not_trusted_after_a_reboot)
{
	struct layer a, b;
	struct digest named = of("named"), lost = of("lost");
	struct err err;

	begin();
	make_layer("named", &a);
	make_layer("lost", &b);
	put("config", NULL, &named, 1);
	layer_end(s, &a);
	layer_end(s, &b);
	for (int i = 0; i < 2; i++) {
		const struct digest *d = i ? &lost : &named;
		char hex[DIGEST_HEX], path[300], boot[] = "boot-id-of-another-boot";
		BUF_AUTO old = {0};
		BUF_AUTO text = {0};
		uint32_t crc;

		digest_hex(hex, d);
		snprintf(path, sizeof(path), "%s/record", hex);
		CHECK_INT(record_read(store_fd(s, STORE_LAYERS), path, "layer", 10000,
				      &old, &err),
			  0);
		buf_add_fmt(&text, "cribox-record 1 layer %s %zu ", boot, old.len);
		crc = num_crc32c(num_crc32c(0, text.data, text.len), old.data, old.len);
		buf_add_fmt(&text, "%08x\n", crc);
		buf_add(&text, old.data, old.len);
		CHECK_INT(file_replace(store_fd(s, STORE_LAYERS), path, text.data,
				       text.len, 0600, false, &err),
			  0);
	}
	CHECK_INT(layer_open(s, &named, &a, NULL, &err), 0);
	layer_end(s, &a);
	CHECK_INT(layer_open(s, &lost, &a, NULL, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
	CHECK_INT(layer_begin(s, &lost, &a, &err), LAYER_MINE);
	layer_end(s, &a);
	finish();
}
