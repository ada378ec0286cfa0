#include "cri/spec.h"

#include "cri/json.h"
#include "unit.h"

/* A request from its JSON as crictl has it. */
static const void *message(const ProtobufCMessageDescriptor *d, const char *text,
			   struct arena *a)
{
	struct err err;
	JSON_AUTO doc = json_parse(text, strlen(text), &err);
	ProtobufCMessage *msg;

	if (!doc ||
	    cri_json_read(yyjson_doc_get_root(doc), d, 0, a, NULL, &msg, &err) < 0)
		FAIL("%s: %s", text, err.msg);
	return msg;
}

/* What is at a path like "/ns/pid" of the result, as JSON; "" if there is nothing. */
static const char *at(yyjson_mut_doc *d, const char *path, struct arena *a)
{
	yyjson_mut_val *v = yyjson_mut_doc_ptr_get(d, path);
	JSON_MUT_AUTO copy = json_new();
	BUF_AUTO text = {0};

	if (!v)
		return "";
	yyjson_mut_doc_set_root(copy, yyjson_mut_val_mut_copy(copy, v));
	json_write(copy, false, &text);
	return arena_strdup(a, buf_str(&text));
}

#define META "\"metadata\":{\"name\":\"n\",\"namespace\":\"s\",\"uid\":\"u\"}"

static bool systemd; /* the cgroup driver */

static int pod(const char *members, yyjson_mut_doc *d, struct arena *a, struct err *err)
{
	const struct cri_defaults def = {.root = "/r", .systemd = systemd};
	const char *text = arena_fmt(a, "{\"config\":{%s}}", members);

	return cri_pod_spec(message(&cri__run_pod_sandbox_request__descriptor, text, a),
			    &def, d, yyjson_mut_doc_get_root(d), err);
}

static void pod_is(const char *members, const char *path, const char *want)
{
	ARENA_AUTO a = {0};
	JSON_MUT_AUTO d = json_new();
	struct err err;

	if (pod(members, d, &a, &err) < 0)
		FAIL("%s: %s", members, err.msg);
	CHECK_STR(at(d, path, &a), want);
}

static void pod_fails(const char *members, const char *why)
{
	ARENA_AUTO a = {0};
	JSON_MUT_AUTO d = json_new();
	struct err err = {0};

	if (pod(members, d, &a, &err) == 0)
		FAIL("accepted: %s", members);
	CHECK_INT(err.code, ERR_INVALID);
	CHECK_HAS(err.msg, why);
}

/* What a pod of Linux has: options in its security context. */
#define LINUX(text) META ",\"linux\":{" text "}"
#define NS(text) LINUX("\"security_context\":{\"namespace_options\":{" text "}}")

TEST(pods)
{
	pod_is(META, "/name", "\"n\"");
	pod_is(META, "/ns", "{\"network\":\"pod\",\"ipc\":\"pod\",\"pid\":\"pod\"}");
	pod_is(META, "/dns", "");
	pod_is(META ",\"dns_config\":{}", "/dns", "");
	pod_is(META ",\"dns_config\":{\"servers\":[\"::1\"]}", "/dns/servers",
	       "[\"::1\"]");
	pod_is(NS("\"pid\":1"), "/ns/pid", "\"container\"");
	pod_is(NS("\"network\":2,\"pid\":2,\"ipc\":2"), "/ns",
	       "{\"network\":\"node\",\"ipc\":\"node\",\"pid\":\"node\"}");
	pod_is(META ",\"port_mappings\":[{\"container_port\":80},"
		    "{\"protocol\":1,\"container_port\":53,\"host_port\":5353}]",
	       "/ports",
	       "[{\"protocol\":\"udp\",\"container_port\":53,\"host_port\":5353,"
	       "\"host_ip\":\"\"}]");
	pod_is(META ",\"annotations\":{\"a\\nb\":\"../\\u001b\"}", "/annotations",
	       "{\"a\\nb\":\"../\\u001B\"}");
}

TEST(pods_that_are_refused)
{
	pod_fails("", "metadata is missing");
	pod_fails("\"metadata\":{\"uid\":\"u\"}", "name is empty");
	pod_fails("\"metadata\":{\"name\":\"a\\nb\"}", "control character");
	pod_fails(META ",\"hostname\":\"a\\nb\"", "control character");
	pod_fails(META ",\"hostname\":\"../x\"", "hostname");
	pod_fails(META ",\"log_directory\":\"var\"", "log_directory");
	pod_fails(META ",\"log_directory\":\"/var/../etc\"", "log_directory");
	pod_fails(META ",\"log_directory\":\"/var/..\"", "log_directory");
	pod_fails(LINUX("\"cgroup_parent\":\"/a/../b\""), "cgroup_parent");
	pod_fails(LINUX("\"cgroup_parent\":\"kubepods.slice\""), "systemd");
	pod_fails(NS("\"network\":1"), "network");
	pod_fails(META ",\"port_mappings\":[{\"host_port\":65536,\"container_port\":1}]",
		  "port_mappings[0]");
	pod_fails(META ",\"port_mappings\":[{\"host_port\":80}]", "port_mappings[0]");
}

TEST(parents_that_are_slices)
{
	systemd = true;
	pod_is(LINUX("\"cgroup_parent\":\"a-b.slice\""), "/cgroup_parent",
	       "\"a-b.slice\"");
	pod_is(LINUX("\"cgroup_parent\":\"/a.slice/a-b.slice\""), "/cgroup_parent",
	       "\"a-b.slice\"");
	pod_is(META, "/cgroup_parent", "\"system.slice\"");
	pod_fails(LINUX("\"cgroup_parent\":\"/kubepods/pod1\""), "not a slice");
	systemd = false;
	pod_is(LINUX("\"cgroup_parent\":\"/a.slice/b.slice\""), "/cgroup_parent",
	       "\"/a.slice/b.slice\"");
}

TEST(sysctls)
{
	pod_is(LINUX("\"sysctls\":{\"net.ipv4.ip_forward\":\"1\"}"),
	       "/sysctls/net.ipv4.ip_forward", "\"1\"");
	pod_is(NS("\"network\":2"), "/sysctls", "{}");
	pod_fails(LINUX("\"sysctls\":{\"kernel.core_pattern\":\"|/x\"}"), "namespace");
	pod_fails(LINUX("\"sysctls\":{\"net.../../kernel.core_pattern\":\"x\"}"), "");
	pod_fails(LINUX("\"sysctls\":{\"net./../kernel/core_pattern\":\"x\"}"), "");
	pod_fails(LINUX("\"sysctls\":{\"net.a\":\"1\\n2\"}"), "control character");
	pod_fails(
		LINUX("\"sysctls\":{\"net.ipv4.ip_forward\":\"1\"},\"security_context\":"
		      "{\"namespace_options\":{\"network\":2}}"),
		"namespace");
}

#define MAP(c, h, n) "[{\"container_id\":" c ",\"host_id\":" h ",\"length\":" n "}]"
#define USER(u, g) NS("\"userns_options\":{\"mode\":0,\"uids\":" u ",\"gids\":" g "}")

TEST(user_namespaces)
{
	pod_is(USER(MAP("0", "65536", "65536"), MAP("0", "65536", "65536")),
	       "/ns/user/uids", "[{\"container\":0,\"host\":65536,\"size\":65536}]");
	pod_fails(USER("[]", MAP("0", "65536", "65536")), "uids");
	pod_fails(USER(MAP("0", "65536", "65536"), MAP("1", "65536", "65536")), "gids");
	pod_fails(USER(MAP("0", "65536", "0"), MAP("0", "65536", "1")), "length");
	pod_fails(USER(MAP("0", "4294967295", "2"), MAP("0", "65536", "1")), "length");
	pod_fails(NS("\"userns_options\":{\"mode\":1}"), "CONTAINER");
}

/* --- containers ----------------------------------------------------------------------- */

static const char *entry[] = {"/entry", "e"};
static const char *words[] = {"cmd"};
static const char *env[] = {"A=image", "NOVALUE", "B=x=y"};

static int ctr(const char *members, const char *pod_members, yyjson_mut_doc *d,
	       struct arena *a, struct err *err)
{
	static const struct cri_defaults def = {.root = "/r"};
	const char *text = arena_fmt(a, "{\"metadata\":{\"name\":\"c\"}%s%s}",
				     *members ? "," : "", members);
	const char *pod_text = arena_fmt(a, "{%s}", pod_members);
	struct image_config image = {.user = "app",
				     .working_dir = "/w",
				     .stop_signal = "SIGUSR1",
				     .entrypoint = {entry, 2},
				     .cmd = {words, 1},
				     .env = {env, 3}};
	struct cri_ctr_source src = {
		.id = "ID", .pod_id = "PID", .image = &image, .def = &def};

	src.config = message(&cri__container_config__descriptor, text, a);
	src.pod = message(&cri__pod_sandbox_config__descriptor, pod_text, a);
	return cri_ctr_spec(&src, d, yyjson_mut_doc_get_root(d), err);
}

static void ctr_is(const char *members, const char *pod_members, const char *path,
		   const char *want)
{
	ARENA_AUTO a = {0};
	JSON_MUT_AUTO d = json_new();
	struct err err;

	if (ctr(members, pod_members, d, &a, &err) < 0)
		FAIL("%s: %s", members, err.msg);
	CHECK_STR(at(d, path, &a), want);
}

static void ctr_fails(const char *members, const char *pod_members, const char *why)
{
	ARENA_AUTO a = {0};
	JSON_MUT_AUTO d = json_new();
	struct err err = {0};

	if (ctr(members, pod_members, d, &a, &err) == 0)
		FAIL("accepted: %s", members);
	CHECK_HAS(err.msg, why);
}

TEST(commands)
{
	const char *args = "/spec/process/args";

	ctr_is("", META, args, "[\"/entry\",\"e\",\"cmd\"]");
	ctr_is("\"args\":[\"x\"]", META, args, "[\"/entry\",\"e\",\"x\"]");
	ctr_is("\"command\":[\"c\"]", META, args, "[\"c\"]");
	ctr_is("\"command\":[\"c\"],\"args\":[\"x\"]", META, args, "[\"c\",\"x\"]");
	ctr_is("", META, "/spec/process/cwd", "\"/w\"");
	ctr_is("", META, "/stop_signal", "10");
	ctr_fails("\"working_dir\":\"rel\"", META, "not absolute");
	ctr_fails("\"command\":[\"\"]", META, "no command");
}

/* R15: an image's variable without a value is not looked up anywhere. */
TEST(environment)
{
	ctr_is("\"envs\":[{\"key\":\"A\",\"value\":\"bWluZQ==\"}]", META,
	       "/spec/process/env",
	       "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\","
	       "\"A=mine\",\"B=x=y\"]");
	ctr_is("\"envs\":[{\"key\":\"R\",\"value\":\"//8=\"}]", META, "/raw_env",
	       "[{\"key\":\"R\",\"value\":\"//8=\"}]");
	ctr_fails("\"envs\":[{\"key\":\"A=B\"}]", META, "envs[0].key");
	ctr_fails("\"envs\":[{\"key\":\"A\",\"value\":\"YQBi\"}]", META, "NUL");
}

#define LOGS META ",\"log_directory\":\"/logs\""

TEST(log_paths)
{
	ctr_is("\"log_path\":\"c/0.log\"", LOGS, "/log_path", "\"/logs/c/0.log\"");
	ctr_is("\"log_path\":\"..c/x..\"", LOGS, "/log_path", "\"/logs/..c/x..\"");
	ctr_is("", LOGS, "/log_path", "\"\"");
	ctr_fails("\"log_path\":\"../x\"", LOGS, "log_path");
	ctr_fails("\"log_path\":\"..\"", LOGS, "log_path");
	ctr_fails("\"log_path\":\"a/../../x\"", LOGS, "log_path");
	ctr_fails("\"log_path\":\"a/..\"", LOGS, "log_path");
	ctr_fails("\"log_path\":\"/etc/passwd\"", LOGS, "log_path");
}

#define SEC(text) "\"linux\":{\"security_context\":{" text "}}"
#define CAPS(text) SEC("\"capabilities\":{" text "}")
#define PRIVILEGED_POD LINUX("\"security_context\":{\"privileged\":true}")

TEST(capabilities)
{
	const char *path = "/spec/process/capabilities/effective";

	ctr_is(CAPS("\"drop_capabilities\":[\"ALL\"]"), META, path, "[]");
	ctr_is(CAPS("\"drop_capabilities\":[\"all\"],\"add_capabilities\":[\"net_raw\"]"),
	       META, path, "[\"CAP_NET_RAW\"]");
	ctr_is("", META, "/spec/process/capabilities/inheritable", "[]");
	ctr_is("", META, "/spec/process/capabilities/ambient", "[]");
	ctr_fails(CAPS("\"add_capabilities\":[\"NO_SUCH\"]"), META, "NO_SUCH");
	ctr_fails(CAPS("\"drop_capabilities\":[\"NO_SUCH\"]"), META, "NO_SUCH");
}

TEST(identity)
{
	ctr_is("", META, "/user/image_user", "\"app\"");
	ctr_is(SEC("\"run_as_user\":{\"value\":4294967294}"), META, "/user/uid",
	       "4294967294");
	ctr_fails(SEC("\"run_as_user\":{\"value\":4294967295}"), META, "out of range");
	ctr_fails(SEC("\"run_as_user\":{\"value\":-1}"), META, "out of range");
	ctr_fails(SEC("\"run_as_group\":{\"value\":5}"), META, "run_as_group");
	ctr_fails(SEC("\"supplemental_groups\":[-1]"), META, "supplemental_groups[0]");
}

TEST(confinement)
{
	ctr_is(SEC("\"seccomp\":{\"profile_type\":0}"), META, "/seccomp", "\"default\"");
	ctr_is(SEC("\"seccomp\":{\"profile_type\":1}"), META, "/seccomp", "");
	ctr_fails(SEC("\"seccomp\":{\"profile_type\":2}"), META, "localhost_ref");
	ctr_fails(SEC("\"privileged\":true"), META, "privileged pod");
	ctr_is(SEC("\"privileged\":true,\"masked_paths\":[\"/x\"]"), PRIVILEGED_POD,
	       "/spec/linux/maskedPaths", "");
	ctr_is(SEC("\"privileged\":true"), PRIVILEGED_POD, "/host_devices", "true");
	ctr_is("", META, "/spec/linux/resources/devices",
	       "[{\"allow\":false,\"access\":\"rwm\"}]");
	ctr_is(SEC("\"readonly_rootfs\":true"), META, "/spec/root/readonly", "true");
	ctr_is(SEC("\"no_new_privs\":true"), META, "/spec/process/noNewPrivileges",
	       "true");
}

TEST(namespaces)
{
	ctr_is("", META, "/pid", "\"pod\"");
	ctr_is(SEC("\"namespace_options\":{\"pid\":1}"), META, "/pid", "\"container\"");
	ctr_fails(SEC("\"namespace_options\":{\"pid\":3}"), META, "target_id");
	ctr_is(SEC("\"namespace_options\":{\"pid\":3,\"target_id\":\"T\"}"), META,
	       "/pid_target", "\"T\"");
	ctr_fails(
		SEC("\"namespace_options\":{\"userns_options\":{\"mode\":0,\"uids\":" MAP(
			"0", "1", "1") ",\"gids\":" MAP("0", "1", "1") "}}"),
		META, "differ from those of the pod");
}

#define MOUNT(text) "\"mounts\":[{" text "}]"

TEST(mounts)
{
	ctr_is(MOUNT("\"container_path\":\"/a\",\"host_path\":\"/h\",\"readonly\":true"),
	       META, "/spec/mounts/10",
	       "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/h\","
	       "\"options\":[\"rbind\",\"rprivate\",\"ro\"]}");
	/* the request's own hosts file replaces the pod's */
	ctr_is(MOUNT("\"container_path\":\"/etc/hosts/\",\"host_path\":\"/h\""), META,
	       "/spec/mounts/10", "");
	ctr_fails(MOUNT("\"container_path\":\"a\",\"host_path\":\"/h\""), META,
		  "mounts[0].container_path");
	ctr_fails(MOUNT("\"container_path\":\"/a\",\"host_path\":\"h\""), META,
		  "mounts[0].host_path");
	ctr_fails(MOUNT("\"container_path\":\"/a\",\"host_path\":\"/h\","
			"\"recursive_read_only\":true"),
		  META, "needs readonly");
}

#define RES(text) "\"linux\":{\"resources\":{" text "}}"

TEST(resources)
{
	ctr_is(RES("\"memory_limit_in_bytes\":1000"), META,
	       "/spec/linux/resources/memory", "{\"limit\":1000,\"swap\":1000}");
	ctr_is(RES("\"cpu_shares\":2,\"cpu_quota\":-1"), META,
	       "/spec/linux/resources/cpu", "{\"shares\":2,\"quota\":-1}");
	ctr_is(RES("\"oom_score_adj\":-998"), META, "/spec/process/oomScoreAdj", "-998");
	ctr_fails(RES("\"oom_score_adj\":1001"), META, "oom_score_adj");
	ctr_fails(RES("\"memory_limit_in_bytes\":-2"), META, "negative");
	ctr_fails(RES("\"cpuset_cpus\":\"0;1\""), META, "cpuset");
	ctr_fails(RES("\"memory_limit_in_bytes\":2,\"memory_swap_limit_in_bytes\":1"),
		  META, "swap");
}

TEST(devices)
{
	ctr_fails("\"devices\":[{\"host_path\":\"dev\",\"container_path\":\"/d\"}]", META,
		  "devices[0]");
	ctr_fails("\"devices\":[{\"host_path\":\"/d\",\"container_path\":\"/d\","
		  "\"permissions\":\"rx\"}]",
		  META, "permissions");
	ctr_is("\"devices\":[{\"host_path\":\"/d\",\"container_path\":\"/e\"}]", META,
	       "/devices",
	       "[{\"path\":\"/e\",\"host_path\":\"/d\",\"permissions\":\"rwm\"}]");
}
