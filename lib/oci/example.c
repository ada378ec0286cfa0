/* example: the configuration that "spec" writes. */
#include <string.h>

#include "base/str.h"
#include "oci/oci-int.h"

static void add_words(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		      const char *words)
{
	yyjson_mut_val *arr = json_add_arr(d, obj, key);

	while (*words) {
		size_t n = strcspn(words, " ");

		yyjson_mut_arr_add_strncpy(d, arr, words, n);
		words += n + strspn(words + n, " ");
	}
}

static void add_process(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	static const char caps[] = "CAP_AUDIT_WRITE CAP_KILL CAP_NET_BIND_SERVICE";
	yyjson_mut_val *p = json_add_obj(d, root, "process"), *v;

	json_add_bool(d, p, "terminal", true);
	v = json_add_obj(d, p, "user");
	json_add_u64(d, v, "uid", 0);
	json_add_u64(d, v, "gid", 0);
	add_words(d, p, "args", "sh");
	add_words(d, p, "env",
		  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
		  "TERM=xterm");
	json_add_str(d, p, "cwd", "/");
	v = json_add_obj(d, p, "capabilities");
	add_words(d, v, "bounding", caps);
	add_words(d, v, "effective", caps);
	add_words(d, v, "permitted", caps);
	v = yyjson_mut_arr_add_obj(d, json_add_arr(d, p, "rlimits"));
	json_add_str(d, v, "type", "RLIMIT_NOFILE");
	json_add_u64(d, v, "hard", 1024);
	json_add_u64(d, v, "soft", 1024);
	json_add_bool(d, p, "noNewPrivileges", true);
}

static const struct {
	const char *destination, *type, *source, *options;
	bool root_only, rootless_only;
} mounts[] = {
	{"/proc", "proc", "proc", "", false, false},
	{"/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k", false,
	 false},
	{"/dev/pts", "devpts", "devpts",
	 "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5", true, false},
	{"/dev/pts", "devpts", "devpts",
	 "nosuid noexec newinstance ptmxmode=0666 mode=0620", false, true},
	{"/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k", false,
	 false},
	{"/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev", false, false},
	{"/sys", "sysfs", "sysfs", "nosuid noexec nodev ro", true, false},
	{"/sys", "none", "/sys", "rbind nosuid noexec nodev ro", false, true},
	{"/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro", false,
	 false},
};

static void add_mounts(yyjson_mut_doc *d, yyjson_mut_val *root, bool rootless)
{
	yyjson_mut_val *arr = json_add_arr(d, root, "mounts");

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		yyjson_mut_val *m;

		if (rootless ? mounts[i].root_only : mounts[i].rootless_only)
			continue;
		m = yyjson_mut_arr_add_obj(d, arr);
		json_add_str(d, m, "destination", mounts[i].destination);
		json_add_str(d, m, "type", mounts[i].type);
		json_add_str(d, m, "source", mounts[i].source);
		if (*mounts[i].options)
			add_words(d, m, "options", mounts[i].options);
	}
}

static void add_map(yyjson_mut_doc *d, yyjson_mut_val *lin, const char *key, uint64_t id)
{
	yyjson_mut_val *m = yyjson_mut_arr_add_obj(d, json_add_arr(d, lin, key));

	json_add_u64(d, m, "containerID", 0);
	json_add_u64(d, m, "hostID", id);
	json_add_u64(d, m, "size", 1);
}

static void add_namespaces(yyjson_mut_doc *d, yyjson_mut_val *lin, const char *types)
{
	yyjson_mut_val *arr = json_add_arr(d, lin, "namespaces");

	while (*types) {
		size_t n = strcspn(types, " ");
		STR_AUTO type = xstrndup(types, n);

		json_add_str(d, yyjson_mut_arr_add_obj(d, arr), "type", type);
		types += n + strspn(types + n, " ");
	}
}

void oci_spec_example(bool rootless, bool cgroup_v2, uid_t uid, gid_t gid,
		      struct buf *out)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *v, *lin;

	json_add_str(d, root, "ociVersion", OCI_VERSION);
	add_process(d, root);
	v = json_add_obj(d, root, "root");
	json_add_str(d, v, "path", "rootfs");
	json_add_bool(d, v, "readonly", true);
	json_add_str(d, root, "hostname", "cribox");
	add_mounts(d, root, rootless);
	lin = json_add_obj(d, root, "linux");
	if (rootless) {
		add_map(d, lin, "uidMappings", uid);
		add_map(d, lin, "gidMappings", gid);
		add_namespaces(d, lin,
			       cgroup_v2 ? "pid ipc uts mount user cgroup"
					 : "pid ipc uts mount user");
	} else {
		v = yyjson_mut_arr_add_obj(
			d, json_add_arr(d, json_add_obj(d, lin, "resources"), "devices"));
		json_add_bool(d, v, "allow", false);
		json_add_str(d, v, "access", "rwm");
		add_namespaces(d, lin,
			       cgroup_v2 ? "pid network ipc uts mount cgroup"
					 : "pid network ipc uts mount");
	}
	add_words(d, lin, "maskedPaths",
		  "/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats "
		  "/proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi "
		  "/sys/firmware /sys/devices/virtual/powercap");
	add_words(d, lin, "readonlyPaths",
		  "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger");
	json_write(d, true, out);
	buf_add_char(out, '\n');
}
