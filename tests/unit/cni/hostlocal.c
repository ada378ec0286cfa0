/* host-local: which addresses are given out, and the files that say so. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "cni/cni-int.h"
#include "os/file.h"

static char dir[64];

static void begin(void)
{
	strcpy(dir, "/tmp/cni-unit-XXXXXX");
	CHECK(mkdtemp(dir));
}

static void end(void)
{
	struct err err;

	CHECK(file_remove_tree(AT_FDCWD, dir, &err) == 0);
}

static const char *run(struct buf *out, const char *command, const char *id,
		       const char *ipam, const char *more)
{
	STR_AUTO conf =
		xasprintf("{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"ipam\":{\"type\":"
			  "\"host-local\",\"dataDir\":\"%s\",%s}%s}",
			  dir, ipam, more);
	struct cni_env env = {
		.command = command, .container_id = id, .netns = "/x", .ifname = "eth0"};

	buf_reset(out);
	cni_plugin_run("host-local", &env, conf, strlen(conf), out);
	return buf_str(out);
}

/* The address that ADD gives to id. */
static void add(const char *id, const char *ipam, const char *want)
{
	BUF_AUTO out = {0};
	STR_AUTO text = xasprintf("\"address\":\"%s\"", want);

	CHECK_HAS(run(&out, "ADD", id, ipam, ""), text);
}

static void del(const char *id, const char *ipam)
{
	BUF_AUTO out = {0};

	CHECK_STR(run(&out, "DEL", id, ipam, ""), "");
}

static const char *contents(struct buf *b, const char *name)
{
	STR_AUTO path = xasprintf("%s/n/%s", dir, name);
	struct err err;

	buf_reset(b);
	return file_read(AT_FDCWD, path, 1000, b, &err) < 0 ? NULL : buf_str(b);
}

static void put(const char *name, const char *text)
{
	STR_AUTO path = xasprintf("%s/n/%s", dir, name);
	struct err err;

	CHECK(file_replace(AT_FDCWD, path, text, strlen(text), 0600, false, &err) == 0);
}

static const char small[] = "\"subnet\":\"10.1.0.0/29\"";

TEST(in_turn)
{
	BUF_AUTO b = {0};

	begin();
	add("a", small, "10.1.0.2/29");
	CHECK_STR(contents(&b, "10.1.0.2"), "a\r\neth0");
	CHECK_STR(contents(&b, "last_reserved_ip.0"), "10.1.0.2");
	add("b", small, "10.1.0.3/29");
	del("a", small);
	CHECK(!contents(&b, "10.1.0.2"));
	add("c", small, "10.1.0.4/29");
	add("d", small, "10.1.0.5/29");
	add("e", small, "10.1.0.6/29");
	add("f", small, "10.1.0.2/29"); /* only now again */
	CHECK_HAS(run(&b, "ADD", "g", small, ""), "no free address");
	CHECK_HAS(run(&b, "ADD", "f", small, ""), "has an address");
	del("c", small);
	add("g", small, "10.1.0.4/29");
	del("nobody", small);
	end();
}

TEST(ranges)
{
	static const char two[] =
		"\"ranges\":[[{\"subnet\":\"10.1.0.0/24\",\"rangeStart\":\"10.1."
		"0.9\",\"rangeEnd\":\"10.1.0.10\",\"gateway\":\"10.1.0.10\"},{"
		"\"subnet\":\"10.2.0.0/24\",\"rangeEnd\":\"10.2.0.2\"}],[{"
		"\"subnet\":\"fd00::/64\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\","
		"\"gw\":\"10.1.0.10\"}]";
	BUF_AUTO b = {0};

	begin();
	CHECK_HAS(run(&b, "ADD", "a", two, ""),
		  "\"ips\":[{\"address\":\"10.1.0.9/24\",\"gateway\":"
		  "\"10.1.0.10\"},{\"address\":\"fd00::2/64\","
		  "\"gateway\":\"fd00::1\"}]");
	CHECK_HAS(buf_str(&b),
		  "\"routes\":[{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.1.0.10\"}]");
	CHECK_HAS(run(&b, "ADD", "b", two, ""), "10.2.0.2/24");
	/* the second set's address is given back when the first has none */
	CHECK_HAS(run(&b, "ADD", "c", two, ""), "no free address in range set 0");
	CHECK(!contents(&b, "fd00::4"));
	end();
}

TEST(requested_addresses)
{
	BUF_AUTO b = {0};

	begin();
	CHECK_HAS(run(&b, "ADD", "a", small,
		      ",\"runtimeConfig\":{\"ips\":[\"10.1.0.5\"]}"),
		  "10.1.0.5/29");
	CHECK_HAS(run(&b, "ADD", "b", small,
		      ",\"runtimeConfig\":{\"ips\":[\"10.1.0.5\"]}"),
		  "is taken");
	CHECK_HAS(run(&b, "ADD", "b", small,
		      ",\"args\":{\"cni\":{\"ips\":[\"10.1.0.1\"]}}"),
		  "is the gateway's");
	CHECK_HAS(run(&b, "ADD", "b", small,
		      ",\"runtimeConfig\":{\"ips\":[\"10.9.0.5\"]}"),
		  "in none of the ranges");
	CHECK(!contents(&b, "10.1.0.6"));
	end();
}

/* As containerd's Go library writes it: field names without tags. */
TEST(ranges_of_the_runtime)
{
	BUF_AUTO b = {0};

	begin();
	CHECK_HAS(run(&b, "ADD", "a", "\"x\":1",
		      ",\"runtimeConfig\":{\"ipRanges\":[[{\"Subnet\":\"10.5.0.0/24\","
		      "\"RangeStart\":\"10.5.0.7\"}]]}"),
		  "10.5.0.7/24");
	end();
}

TEST(leases_of_others)
{
	BUF_AUTO b = {0};

	begin();
	add("a", small, "10.1.0.2/29");
	put("10.1.0.3", "b");	       /* of a plugin before 0.7 */
	put("10.1.0.4", "c\r\neth1");  /* another interface */
	put("10.1.0.5", "");	       /* of one that crashed: nobody's */
	put("10.1.0.6", "aa\r\neth0"); /* a longer name */
	put(".10.1.0.7.99", "a");      /* ours, half written */
	put("README", "a\r\neth0");
	del("b", small);
	CHECK(!contents(&b, "10.1.0.3"));
	del("c", small);
	CHECK(contents(&b, "10.1.0.4"));
	del("a", small);
	CHECK(!contents(&b, "10.1.0.2"));
	CHECK(contents(&b, "10.1.0.5") && contents(&b, "10.1.0.6") &&
	      contents(&b, "README"));
	CHECK(!contents(&b, ".10.1.0.7.99"));
	end();
}

TEST(check_and_gc)
{
	BUF_AUTO b = {0};

	begin();
	CHECK_HAS(run(&b, "CHECK", "a", small, ""), "\"code\"");
	CHECK_STR(run(&b, "GC", "", small, ""), "");
	add("a", small, "10.1.0.2/29");
	add("b", small, "10.1.0.3/29");
	CHECK_STR(run(&b, "CHECK", "a", small, ""), "");
	CHECK_STR(run(&b, "GC", "", small,
		      ",\"cni.dev/valid-attachments\":[{\"containerID\":\"b\",\"ifname\":"
		      "\"eth0\"}]"),
		  "");
	CHECK(!contents(&b, "10.1.0.2") && contents(&b, "10.1.0.3"));
	end();
}

TEST(bad_configurations)
{
	static const char *const bad[] = {
		"\"x\":1",
		"\"subnet\":\"10.1.0.0\"",
		"\"subnet\":\"10.1.0.1/24\"",
		"\"subnet\":\"10.1.0.0/31\"",
		"\"subnet\":\"10.1.0.0/24\",\"gateway\":\"10.2.0.1\"",
		"\"subnet\":\"10.1.0.0/"
		"24\",\"rangeStart\":\"10.1.0.9\",\"rangeEnd\":\"10.1.0.8\"",
		"\"ranges\":[[]]",
		"\"ranges\":[[{\"subnet\":\"10.1.0.0/24\"},{\"subnet\":\"fd00::/64\"}]]",
		"\"subnet\":\"10.1.0.0/24\",\"routes\":[{\"dst\":\"x\"}]",
		"\"subnet\":\"10.1.0.0/24\",\"resolvConf\":\"/nonexistent\"",
	};
	BUF_AUTO b = {0};

	begin();
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!strstr(run(&b, "ADD", "a", bad[i], ""), "\"msg\""))
			FAIL("%s was taken: %s", bad[i], buf_str(&b));
	end();
}

TEST(resolv_conf)
{
	BUF_AUTO b = {0};
	STR_AUTO ipam = NULL;

	begin();
	add("x", small, "10.1.0.2/29");
	put("resolv",
	    "# hello\nnameserver 10.0.0.53\nsearch a.b  c\noptions ndots:5 edns0\n"
	    "domain d\nnameserver ::1");
	ipam = xasprintf("%s,\"resolvConf\":\"%s/n/resolv\"", small, dir);
	CHECK_HAS(run(&b, "ADD", "a", ipam, ""),
		  "\"dns\":{\"nameservers\":[\"10.0.0.53\",\"::1\"],\"domain\":\"d\","
		  "\"search\":["
		  "\"a.b\",\"c\"],\"options\":[\"ndots:5\",\"edns0\"]}");
	end();
}
