/* What config.json may not say, and the name of the field in the answer. */
#include "unit.h"

#include "base/str.h"
#include "oci/oci-int.h"

/* A good one, with one member of the top, of process and of linux to be set. */
static int parse(struct arena *a, const char *top, const char *process, const char *lin,
		 struct oci_spec **ret, struct err *err)
{
	STR_AUTO text =
		xasprintf("{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
			  "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"%s%s},"
			  "\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":"
			  "\"pid\"}]%s%s}%s%s}",
			  *process ? "," : "", process, *lin ? "," : "", lin,
			  *top ? "," : "", top);

	return oci_spec_parse(text, strlen(text), a, ret, err);
}

static void refused(const char *top, const char *process, const char *lin,
		    const char *why)
{
	ARENA_AUTO a = {0};
	struct oci_spec *s = NULL;
	struct err err = {0};

	if (parse(&a, top, process, lin, &s, &err) == 0)
		FAIL("accepted: %s%s%s", top, process, lin);
	CHECK_HAS(err.msg, why);
	CHECK(err.code == ERR_INVALID || err.code == ERR_UNIMPLEMENTED);
}

TEST(accepts_the_smallest)
{
	ARENA_AUTO a = {0};
	struct oci_spec *s = NULL;
	struct err err;

	CHECK_INT(parse(&a, "", "", "", &s, &err), 0);
	CHECK_STR(oci_spec_root(s), "rootfs");
	CHECK(oci_spec_has_ns(s, OCI_NS_PID) && !oci_spec_has_ns(s, OCI_NS_NET));
	CHECK_STR(oci_spec_process(s)->args[0], "sh");
}

TEST(names_the_field)
{
	refused("", "\"terminal\":1", "", "process.terminal");
	refused("", "\"env\":[\"A=1\",2]", "", "process.env[1]");
	refused("", "\"env\":[\"A\"]", "", "process.env[0]");
	refused("", "\"user\":{\"uid\":-1}", "", "process.user.uid");
	refused("", "\"user\":{\"uid\":4294967295}", "", "process.user.uid");
	refused("", "\"user\":{\"additionalGids\":[0,\"x\"]}", "",
		"process.user.additionalGids[1]");
	refused("", "\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]", "",
		"process.rlimits[0].type");
	refused("",
		"\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},"
		"{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1}]",
		"", "given twice");
	refused("", "\"oomScoreAdj\":1001", "", "process.oomScoreAdj");
	refused("", "\"capabilities\":{\"bounding\":[\"CAP_NOPE\"]}", "",
		"process.capabilities.bounding[0]: unknown capability \"CAP_NOPE\"");
	refused("\"mounts\":[{\"type\":\"tmpfs\"}]", "", "", "mounts[0].destination");
	refused("\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\"}]", "", "",
		"mounts[0].source");
	refused("\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/b\","
		"\"options\":[\"bind\",\"size=1\"]}]",
		"", "", "mounts[0].options: \"size=1\"");
	refused("\"annotations\":{\"a\":1}", "", "", "annotations.a");
}

TEST(refuses_contradictions)
{
	refused("\"hostname\":\"h\"", "", "", "hostname");
	refused("\"domainname\":\"h\"", "", "", "domainname");
	refused("", "", "\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]",
		"mappings without a user namespace");
	refused("", "", "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}",
		"net.ipv4.ip_forward");
	refused("\"domainname\":\"h\"", "", "\"sysctl\":{\"kernel.domainname\":\"g\"}",
		"kernel.domainname: conflicts with domainname");
	refused("", "", "\"sysctl\":{\"kernel.panic\":\"1\"}", "kernel.panic");
	refused("", "", "\"sysctl\":{\"kernel/../../x\":\"1\"}", "bad name");
	refused("", "", "\"rootfsPropagation\":\"sometimes\"", "rootfsPropagation");
	refused("", "", "\"maskedPaths\":[\"proc\"]", "linux.maskedPaths[0]");
	refused("", "", "\"resources\":{\"memory\":{\"limit\":100,\"swap\":50}}",
		"linux.resources.memory.swap");
	refused("", "", "\"resources\":{\"unified\":{\"../x\":\"1\"}}", "unified");
	refused("", "", "\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"x\"}]}",
		"linux.resources.devices[0].access");
}

TEST(hooks)
{
	refused("\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}", "", "",
		"hooks.prestart[0].path");
	refused("\"hooks\":{\"poststop\":{}}", "", "", "hooks.poststop: not an array");
	refused("\"hooks\":{\"poststart\":[{\"path\":\"/x\",\"timeout\":0}]}", "", "",
		"hooks.poststart[0].timeout");
	refused("\"hooks\":{\"createRuntime\":[{\"path\":\"/x\",\"env\":[\"A\"]}]}", "",
		"", "hooks.createRuntime[0].env[0]");
}

TEST(tuning)
{
	refused("", "\"scheduler\":{}", "", "process.scheduler.policy");
	refused("", "\"scheduler\":{\"policy\":\"SCHED_NONE\"}", "", "\"SCHED_NONE\"");
	refused("", "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}", "",
		"process.scheduler.nice");
	refused("", "\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}", "",
		"SCHED_FIFO or SCHED_RR");
	refused("", "\"scheduler\":{\"policy\":\"SCHED_RR\",\"runtime\":1}", "",
		"SCHED_DEADLINE");
	refused("", "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":8}", "",
		"process.ioPriority.priority");
	refused("", "\"execCPUAffinity\":{\"initial\":\"3-1\"}", "",
		"process.execCPUAffinity.initial");
	refused("", "\"execCPUAffinity\":{\"final\":\"0,a\"}", "",
		"process.execCPUAffinity.final");
	refused("", "", "\"personality\":{\"domain\":\"LINUX64\"}",
		"linux.personality.domain");
	refused("", "", "\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"X\"]}",
		"linux.personality.flags");
	refused("", "", "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}",
		"linux.memoryPolicy.nodes: missing");
	refused("", "", "\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}",
		"linux.memoryPolicy.nodes");
	refused("", "",
		"\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":["
		"\"MPOL_F_STATIC_NODES\",\"MPOL_F_RELATIVE_NODES\"]}",
		"exclude each other");
	refused("", "", "\"intelRdt\":{\"closID\":\"a/b\"}", "linux.intelRdt.closID");
}

TEST(time_and_devices_need_their_namespaces)
{
	refused("", "", "\"timeOffsets\":{\"monotonic\":{\"secs\":1}}",
		"linux.timeOffsets");
	refused("", "", "\"timeOffsets\":{\"realtime\":{}}",
		"unknown clock \"realtime\"");
	refused("", "", "\"netDevices\":{\"eth0\":{}}", "private NET namespace");
	refused("", "", "\"netDevices\":{\"a/b\":{}}", "\"a/b\" cannot be");
	refused("", "", "\"netDevices\":{\"a\":{\"name\":\"x%d\"}}", "\"x%d\" cannot be");
	refused("", "", "\"netDevices\":{\"a\":{\"name\":\"x\"},\"x\":{}}",
		"given twice");
}

static void refused_text(const char *text, const char *why)
{
	ARENA_AUTO a = {0};
	struct oci_spec *s = NULL;
	struct err err = {0};

	CHECK_INT(oci_spec_parse(text, strlen(text), &a, &s, &err), -1);
	CHECK_HAS(err.msg, why);
}

TEST(refuses_what_is_no_spec)
{
	refused_text("", "config.json");
	refused_text("[]", "not an object");
	refused_text("{}", "ociVersion");
	refused_text("{\"ociVersion\":\"2.0.0\"}", "unknown version \"2.0.0\"");
	refused_text("{\"ociVersion\":\"1.0.0\"}", "root: missing");
	refused_text("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"}}",
		     "linux: missing");
	refused_text("{\"ociVersion\":\"1.0.0\",\"ociVersion\":\"1.0.0\"}", "twice");
	refused_text("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"linux\":{"
		     "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"mount\"}]}}",
		     "duplicated ns");
	refused_text("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"linux\":{"
		     "\"namespaces\":[{\"type\":\"nope\"}]}}",
		     "linux.namespaces[0].type");
}

TEST(process_for_exec)
{
	static const char text[] =
		"{\"args\":[\"a\"],\"cwd\":\"/tmp\",\"user\":{\"uid\":5}}";
	struct oci_process *p = NULL, base = {.has_caps = true, .no_new_privs = true};
	ARENA_AUTO a = {0};
	struct err err;

	base.caps.bounding = 7;
	CHECK_INT(oci_process_parse(text, strlen(text), &base, &a, &p, &err), 0);
	CHECK_INT(p->caps.bounding, 7);
	CHECK(!p->no_new_privs); /* what the file does not say is off */
	oci_process_setenv(p, &a, "A", "1");
	oci_process_setenv(p, &a, "B", "2");
	oci_process_setenv(p, &a, "A", "3");
	CHECK_STR(p->env[0], "A=3");
	CHECK_STR(p->env[1], "B=2");
	CHECK(!p->env[2]);
}
