/* Results of all versions, read and written. */
#include "unit.h"

#include "base/buf.h"
#include "cni/cni-int.h"

static const char full[] =
	"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"br0\",\"mac\":\"aa:bb:cc:"
	"dd:ee:"
	"ff\",\"mtu\":1500},{\"name\":\"eth0\",\"mac\":\"02:00:00:00:00:01\",\"sandbox\":"
	"\"/"
	"ns\"}],\"ips\":[{\"interface\":1,\"address\":\"10.1.0.2/"
	"16\",\"gateway\":\"10.1.0.1\"}"
	",{\"interface\":1,\"address\":\"fd00::2/64\"}],\"routes\":[{\"dst\":\"0.0.0.0/"
	"0\","
	"\"gw\":\"10.1.0.1\"},{\"dst\":\"::/"
	"0\"}],\"dns\":{\"nameservers\":[\"10.1.0.1\"],"
	"\"domain\":\"d\",\"search\":[\"a\",\"b\"],\"options\":[\"ndots:5\"]}}";

static const char *convert(const char *text, enum cni_version version, struct buf *out)
{
	struct err err;

	buf_reset(out);
	if (res_convert(text, strlen(text), version, out, &err) < 0)
		FAIL("%s", err.msg);
	return buf_str(out);
}

TEST(same_version_is_kept_as_it_is)
{
	static const char odd[] = "{ \"cniVersion\": \"1.0.0\",  \"future\": [1, 2] }";
	BUF_AUTO b = {0};

	CHECK_STR(convert(odd, CNI_1_0_0, &b), odd);
	CHECK_STR(convert(full, CNI_1_1_0, &b), full);
}

TEST(converted_down)
{
	BUF_AUTO b = {0};

	CHECK_HAS(convert(full, CNI_1_0_0, &b), "\"cniVersion\":\"1.0.0\"");
	CHECK(!strstr(buf_str(&b), "mtu") && !strstr(buf_str(&b), "\"version\""));
	CHECK_HAS(convert(full, CNI_0_4_0, &b),
		  "{\"version\":\"4\",\"interface\":1,\"address\":\"10.1.0.2/16\"");
	CHECK_HAS(buf_str(&b),
		  "{\"version\":\"6\",\"interface\":1,\"address\":\"fd00::2/64\"}");
	CHECK_STR(convert(full, CNI_0_2_0, &b),
		  "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.1.0.2/"
		  "16\",\"gateway\":\"10.1."
		  "0.1\",\"routes\":[{\"dst\":\"0.0.0.0/"
		  "0\",\"gw\":\"10.1.0.1\"}]},\"ip6\":{"
		  "\"ip\":\"fd00::2/64\",\"routes\":[{\"dst\":\"::/0\"}]},\"dns\":{"
		  "\"nameservers\":[\"10.1.0.1\"],\"domain\":\"d\",\"search\":[\"a\","
		  "\"b\"],"
		  "\"options\":[\"ndots:5\"]}}");
}

TEST(converted_up)
{
	BUF_AUTO old = {0}, b = {0};

	convert(full, CNI_0_2_0, &old);
	CHECK_STR(
		convert(buf_str(&old), CNI_1_0_0, &b),
		"{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.0.2/16\","
		"\"gateway\":\"10.1.0.1\"},{\"address\":\"fd00::2/64\"}],\"routes\":[{"
		"\"dst\":\"0.0.0.0/0\",\"gw\":\"10.1.0.1\"},{\"dst\":\"::/0\"}],\"dns\":{"
		"\"nameservers\":[\"10.1.0.1\"],\"domain\":\"d\",\"search\":[\"a\",\"b\"]"
		","
		"\"options\":[\"ndots:5\"]}}");
}

TEST(public_form)
{
	static const char host_side[] =
		"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"br0\"},{\"name\":"
		"\"eth0\","
		"\"sandbox\":\"/x\"}],\"ips\":[{\"interface\":0,\"address\":\"10.0.0.1/"
		"8\"},{"
		"\"interface\":1,\"address\":\"10.0.0.2/8\"},{\"address\":\"10.0.0.3/"
		"8\"},{"
		"\"interface\":9,\"address\":\"10.0.0.4/8\"}]}";
	struct cni_result r;
	struct err err;

	CHECK(cni_result_parse(full, strlen(full), NULL, &r, &err) == 0);
	CHECK_INT(r.nips, 2);
	CHECK_STR(r.ips[0].address, "10.1.0.2");
	CHECK_INT(r.ips[0].prefix, 16);
	CHECK_STR(r.ips[0].gateway, "10.1.0.1");
	CHECK(!r.ips[0].v6 && r.ips[1].v6 && !r.ips[1].gateway);
	CHECK_STR(r.mac, "02:00:00:00:00:01");
	CHECK_INT(r.nroutes, 2);
	CHECK_STR(r.routes[0].gw, "10.1.0.1");
	CHECK_STR(r.dns_searches[1], "b");
	CHECK(!r.dns_searches[2]);
	CHECK_STR(r.json, full);
	cni_result_done(&r);

	/* the host's own address is not the pod's */
	CHECK(cni_result_parse(host_side, strlen(host_side), NULL, &r, &err) == 0);
	CHECK_INT(r.nips, 3);
	CHECK_STR(r.ips[0].address, "10.0.0.2");
	CHECK(!r.mac && r.dns_servers && !*r.dns_servers);
	cni_result_done(&r);
}

TEST(bad_results)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"ips\":[{\"address\":\"10.0.0.1\"}]}",
		"{\"ips\":[{}]}",
		"{\"ips\":[{\"address\":\"10.0.0.1/8\",\"gateway\":\"x\"}]}",
		"{\"routes\":[{\"dst\":\"1.2.3.4\"}]}",
		"{\"ip4\":{\"ip\":\"zero\"}}",
	};
	struct cni_result r = {.nips = 77};
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (cni_result_parse(bad[i], strlen(bad[i]), NULL, &r, &err) == 0)
			FAIL("%s was taken", bad[i]);
		CHECK(err.msg[0]);
		CHECK_INT(r.nips, 77);
	}
}

TEST(many_addresses_are_refused)
{
	struct cni_result r;
	struct err err;
	BUF_AUTO b = {0};

	buf_add_str(&b, "{\"ips\":[");
	for (int i = 0; i <= CNI_LIST_MAX; i++)
		buf_add_fmt(&b, "%s{\"address\":\"10.0.0.1/8\"}", i ? "," : "");
	buf_add_str(&b, "]}");
	CHECK(cni_result_parse((const char *)b.data, b.len, NULL, &r, &err) < 0);
	CHECK_INT(err.code, ERR_EXHAUSTED);
}

TEST(versions)
{
	enum cni_version v;
	struct err err;

	CHECK(cni_version_parse(NULL, &v, &err) == 0 && v == CNI_0_1_0);
	CHECK(cni_version_parse("1.1.0", &v, &err) == 0 && v == CNI_1_1_0);
	CHECK(cni_version_parse("1.1", &v, &err) < 0);
	CHECK(cni_version_parse("2.0.0", &v, &err) < 0);
}
