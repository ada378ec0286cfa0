/* Configurations: finding the right one, what is refused, what plugins get; cache files. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "cni/cni-int.h"
#include "os/file.h"

static char dir[64];
static struct cni_dirs dirs;

static void begin(void)
{
	strcpy(dir, "/tmp/cni-unit-XXXXXX");
	CHECK(mkdtemp(dir));
	dirs = (struct cni_dirs){.conf_dir = dir,
				 .bin_dirs = dir,
				 .cache_dir = dir,
				 .subnet = "10.1.0.0/16"};
}

static void end(void)
{
	struct err err;

	CHECK(file_remove_tree(AT_FDCWD, dir, &err) == 0);
}

static void put(const char *name, const char *text, mode_t mode)
{
	char path[128];
	struct err err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	CHECK(file_replace(AT_FDCWD, path, text, strlen(text), mode, false, &err) == 0);
}

static const char list[] = "{\"cniVersion\":\"1.0.0\",\"name\":\"%s\",\"plugins\":[{"
			   "\"type\":\"bridge\"},{\"type\":\"x\"}]}";

static struct cni_net *parse(const char *text)
{
	struct cni_net *net = NULL;
	struct err err;

	if (conf_parse(text, strlen(text), NULL, &net, &err) < 0)
		FAIL("%s", err.msg);
	return net;
}

TEST(first_valid_file_by_name)
{
	CNI_NET_AUTO net = NULL;
	struct err err;
	char text[200], want[128];

	begin();
	snprintf(text, sizeof(text), list, "second");
	put("20-b.conflist", text, 0644);
	put("10-a.conflist", "{", 0644);
	put("05-c.txt", text, 0644);
	put(".01-hidden.conflist", text, 0644);
	CHECK(cni_load(&dirs, &net, &err) == 0);
	CHECK_STR(cni_net_name(net), "second");
	snprintf(want, sizeof(want), "%s/20-b.conflist", dir);
	CHECK_STR(cni_net_file(net), want);
	/* its plugin x is nowhere */
	CHECK(cni_ready(&dirs, &err) < 0);
	CHECK_HAS(err.msg, "plugin x is not in");
	put("x", "", 0644);
	CHECK(cni_ready(&dirs, &err) < 0);
	put("x", "", 0755);
	CHECK(cni_ready(&dirs, &err) == 0);
	end();
}

TEST(no_valid_file_names_the_first)
{
	CNI_NET_AUTO net = NULL;
	struct err err;

	begin();
	put("20-b.conf", "[]", 0644);
	put("10-a.json", "{\"name\": }", 0644);
	CHECK(cni_load(&dirs, &net, &err) < 0);
	CHECK_HAS(err.msg, "/10-a.json: JSON: line 1 column 10");
	CHECK(cni_ready(&dirs, &err) < 0);
	end();
}

TEST(built_in_network)
{
	CNI_NET_AUTO net = NULL;
	struct err err;

	begin();
	CHECK(cni_load(&dirs, &net, &err) == 0);
	CHECK_STR(cni_net_name(net), "cribox");
	CHECK(!cni_net_file(net));
	CHECK_HAS(net->text, "\"subnet\":\"10.1.0.0/16\"");
	CHECK(net->builtin_only);
	CHECK(cni_ready(&dirs, &err) == 0);
	dirs.conf_dir = "/nonexistent/net.d";
	CHECK(cni_ready(&dirs, &err) == 0);
	dirs.no_builtin = true;
	CHECK(cni_ready(&dirs, &err) < 0);
	CHECK_STR(err.msg, "no network configuration in /nonexistent/net.d");
	dirs.no_builtin = false;
	cni_net_free(&net);
	dirs.subnet = "10.1.0.0/16,fd00:1::/64";
	CHECK(cni_load(&dirs, &net, &err) == 0);
	CHECK_HAS(net->text, "\"dst\":\"::/0\"");
	cni_net_free(&net);
	for (int i = 0; i < 3; i++) {
		static const char *const bad[] = {"10.1.0.0", "10.1.0.0/16,10.2.0.0/16",
						  "10.1.0.0/16,"};

		dirs.subnet = bad[i];
		CHECK(cni_load(&dirs, &net, &err) < 0);
		CHECK_HAS(err.msg, bad[i]);
	}
	end();
}

TEST(a_single_plugin_is_a_list_of_one)
{
	CNI_NET_AUTO net = parse("{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"type\":"
				 "\"loopback\",\"a\":1}");

	CHECK_INT(net->version, CNI_0_3_1);
	CHECK_INT(yyjson_arr_size(net->plugins), 1);
	CHECK_HAS(net->text, "\"plugins\":[{");
}

TEST(newest_version_that_both_know)
{
	CNI_NET_AUTO net = parse("{\"cniVersion\":\"0.4.0\",\"cniVersions\":[\"0.4.0\","
				 "\"1.1.0\",\"7.0.0\"],\"name\":\"n\",\"plugins\":[{"
				 "\"type\":\"a\"}]}");

	CHECK_INT(net->version, CNI_1_1_0);
}

TEST(what_a_plugin_gets)
{
	CNI_NET_AUTO net = parse("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{"
				 "\"type\":\"a\",\"name\":"
				 "\"other\",\"prevResult\":5,\"own\":{\"x\":[1]},"
				 "\"capabilities\":{\"portMappings\":"
				 "true,\"ips\":false,\"dns\":true}}]}");
	JSON_AUTO caps = NULL;
	struct err err;
	BUF_AUTO prev = {0}, out = {0};
	static const char given[] = "{\"portMappings\":[1],\"ips\":[2],\"bandwidth\":{}}";

	caps = json_parse(given, strlen(given), &err);
	buf_add_str(&prev, "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.1/8\"}}");
	CHECK(conf_for_plugin(net, yyjson_arr_get(net->plugins, 0),
			      yyjson_doc_get_root(caps), &prev, &out, &err) == 0);
	CHECK_STR(
		buf_str(&out),
		"{\"type\":\"a\",\"own\":{\"x\":[1]},\"capabilities\":{\"portMappings\":"
		"true,"
		"\"ips\":false,\"dns\":true},\"cniVersion\":\"1.0.0\",\"name\":\"n\","
		"\"runtimeConfig\":{\"portMappings\":[1]},\"prevResult\":{\"cniVersion\":"
		"\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"}],\"dns\":{}}}");
}

TEST(refused_names)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "-a", "_a", "a b", "a\n"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!conf_name_ok(bad[i]));
	CHECK(conf_name_ok("a") && conf_name_ok("0-a_b.c"));
	CHECK(!exec_type_ok("") && !exec_type_ok("..") && !exec_type_ok("../../bin/sh"));
	CHECK(!exec_find("../sh", "/bin/x") && !exec_find("sh", "bin") &&
	      !exec_find("sh", ""));
}

struct found {
	int n;
	char path[200], ifname[40];
};

static int note(void *arg, const char *path, const char *ifname, struct err *err)
{
	struct found *f = arg;

	(void)err;
	f->n++;
	str_copy(f->ifname, sizeof(f->ifname), ifname);
	str_copy(f->path, sizeof(f->path), path);
	return 0;
}

TEST(cache_round_trip)
{
	CNI_NET_AUTO net =
		parse("{\"cniVersion\":\"1.0.0\",\"name\":\"my-net\",\"plugins\":[{"
		      "\"type\":\"a\"}]}");
	struct cache_entry e;
	struct found found = {0};
	struct err err;
	BUF_AUTO result = {0};
	JSON_AUTO caps = json_parse("{\"x\":[1]}", 9, &err);
	struct cache_write w = {.net = net,
				.container_id = "id-1",
				.ifname = "eth0",
				.netns = "/run/netns/x",
				.args = "IgnoreUnknown=1;EMPTY=;A=b",
				.caps = yyjson_doc_get_root(caps)};

	begin();
	CHECK(cache_write(&dirs, &w, &err) == 0);
	CHECK(cache_each(&dirs, "id-1", NULL, note, &found, &err) == 0);
	CHECK_INT(found.n, 1);
	CHECK_HAS(found.path, "/results/my-net-id-1-eth0");
	CHECK_STR(found.ifname, "eth0");
	CHECK(cache_read(found.path, &e, &err) == 0);
	CHECK_INT(e.result.len, 0);
	CHECK_STR(e.args, w.args);
	cache_entry_done(&e);

	buf_add_str(&result, "{\"cniVersion\":\"1.0.0\"}");
	w.result = &result;
	CHECK(cache_write(&dirs, &w, &err) == 0);
	CHECK(cache_read(found.path, &e, &err) == 0);
	CHECK_STR(buf_str(&e.result), buf_str(&result));
	CHECK_STR(e.container_id, "id-1");
	CHECK_STR(e.netns, w.netns);
	CHECK_STR(cni_net_name(e.net), "my-net");
	CHECK(yyjson_arr_size(json_arr(e.caps, "x")) == 1);
	cache_entry_done(&e);

	CHECK(cache_each(&dirs, "id-1", "eth1", note, &found, &err) == 0);
	CHECK(cache_each(&dirs, "other", NULL, note, &found, &err) == 0);
	CHECK_INT(found.n, 1);
	end();
}

/* What a process that died has left goes, but nothing that may be of another pod. */
TEST(cache_temporary_files)
{
	struct found found = {0};
	struct err err;
	char ours[128], others[128];

	begin();
	snprintf(ours, sizeof(ours), "%s/results", dir);
	CHECK(mkdir(ours, 0700) == 0);
	put("results/.net-id-eth0.77", "half", 0600);
	put("results/.net-id-1-eth0.77", "half", 0600);
	CHECK(cache_each(&dirs, "id", NULL, note, &found, &err) == 0);
	CHECK_INT(found.n, 0);
	snprintf(ours, sizeof(ours), "%s/results/.net-id-eth0.77", dir);
	snprintf(others, sizeof(others), "%s/results/.net-id-1-eth0.77", dir);
	CHECK(access(ours, F_OK) < 0);
	CHECK(access(others, F_OK) == 0);
	end();
}

TEST(damaged_cache)
{
	static const char *const bad[] = {"", "{}", "{\"kind\":\"other\"}",
					  "{\"kind\":\"cniCacheV1\",\"containerId\":"
					  "\"a\",\"ifName\":\"b\",\"config\":\"!\"}",
					  "{\"kind\":\"cniCacheV1\",\"containerId\":"
					  "\"a\",\"ifName\":\"b\",\"config\":\"e30=\"}"};
	struct cache_entry e;
	struct err err;
	char path[128];

	begin();
	snprintf(path, sizeof(path), "%s/f", dir);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put("f", bad[i], 0600);
		CHECK(cache_read(path, &e, &err) < 0);
		CHECK_HAS(err.msg, path);
	}
	end();
}
