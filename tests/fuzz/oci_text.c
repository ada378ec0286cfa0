/*
 * Texts that the OCI runtime reads besides JSON, by the first byte: l: lists of CPUs and nodes;
 * u: "user:group" against a fixed passwd and group; p, g: a passwd or group file; o: mount
 * options, separated by commas.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int rootfs = -1;
static char top[] = "/tmp/cribox-fuzz-XXXXXX";

static void clean(void)
{
	struct err err;

	file_remove_tree(AT_FDCWD, top, &err);
}

static void put(const char *path, const void *data, size_t n)
{
	struct err err;

	if (file_replace(rootfs, path, data, n, 0644, false, &err) < 0)
		abort();
}

static void make_root(void)
{
	static const char passwd[] = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:\n";
	static const char group[] = "root:x:0:\nvideo:x:44:app\n";

	if (rootfs < 0) {
		if (!mkdtemp(top))
			abort();
		atexit(clean);
		rootfs = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (rootfs < 0 || mkdirat(rootfs, "etc", 0755) < 0)
			abort();
	}
	put("etc/passwd", passwd, sizeof(passwd) - 1);
	put("etc/group", group, sizeof(group) - 1);
}

static void resolve(const char *user)
{
	struct oci_user_query q = {.user = user};
	struct oci_user u = {0};
	struct err err = {0};
	ARENA_AUTO a = {0};

	if (oci_user_resolve(rootfs, &q, &a, &u, &err) < 0) {
		if (!*err.msg)
			abort();
		return;
	}
	/* digits are never looked up, and nothing else becomes a number */
	if (u.uid == (uid_t)-1 || u.gid == (gid_t)-1 || !u.ngroups ||
	    u.groups[0] != u.gid)
		abort();
}

static void use_options(const char *text)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *m, *arr;
	struct oci_mount mount = {0};
	BUF_AUTO json = {0};
	ARENA_AUTO a = {0};
	struct err err = {0};

	m = json_add_obj(d, root, "m");
	json_add_str(d, m, "destination", "/d");
	json_add_str(d, m, "source", "/s");
	json_add_str(d, m, "type", "tmpfs");
	arr = json_add_arr(d, m, "options");
	while (*text) {
		size_t n = strcspn(text, ",");

		if (str_is_utf8(text, n))
			yyjson_mut_arr_add_strncpy(d, arr, text, n);
		text += n + (text[n] != 0);
	}
	json_write(d, false, &json);
	{
		JSON_AUTO doc = json_parse(json.data, json.len, &err);

		if (!doc)
			abort();
		if (oci_parse_mount(json_get(yyjson_doc_get_root(doc), "m"), "m", &a,
				    &mount, &err) < 0 &&
		    !str_starts(err.msg, "m"))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_bits bits;
	struct err err = {0};
	STR_AUTO text = NULL;

	if (!size)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	make_root();
	switch (data[0]) {
	case 'l':
		if (oci_parse_list(text, "list", &bits, &err) < 0 &&
		    !strstr(err.msg, "list"))
			abort();
		break;
	case 'u':
		resolve(text);
		break;
	case 'p':
	case 'g':
		put(data[0] == 'p' ? "etc/passwd" : "etc/group", data + 1, size - 1);
		resolve("app");
		resolve("1000:video");
		break;
	default:
		use_options(text);
		break;
	}
	return 0;
}
