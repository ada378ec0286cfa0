/* info: spec, features, plan: what needs no container. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum { MAX_CONFIG = 16 << 20 };

/* --- spec, plan --------------------------------------------------------------------- */

int cmd_spec(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"bundle", 1, NULL, 'b'},
					      {"file", 1, NULL, 'f'},
					      {"rootless", 2, NULL, 'r'},
					      {NULL, 0, NULL, 0}};
	const char *bundle = ".", *file = "config.json";
	bool rootless = false, overwrite = false, v2;
	struct cgroups *g;
	BUF_AUTO out = {0};
	struct err ignored;
	FD_AUTO dir = -1;
	FD_AUTO fd = -1;
	int f;

	(void)cli;
	while ((f = cli_flag(argc, argv, "+b:f:", flags, err)) != -1) {
		if (f == -2)
			return -1;
		if (f == 'b')
			bundle = optarg;
		else if (f == 'r')
			rootless = cli_switch(optarg);
		else
			file = optarg;
		overwrite |= f == 'f';
	}
	dir = file_open(AT_FDCWD, bundle, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	g = cgroups_open(&ignored);
	v2 = g && cgroups_mode(g) == CGROUPS_V2;
	cgroups_free(g);
	oci_spec_example(rootless, v2, geteuid(), getegid(), &out);
	fd = openat(dir, file,
		    O_WRONLY | O_CREAT | O_CLOEXEC | (overwrite ? O_TRUNC : O_EXCL),
		    0666);
	if (fd < 0)
		return errno == EEXIST ? err_set(err, ERR_EXISTS,
						 "File %s exists. Remove it first", file)
				       : err_sys(err, errno, "make %s", file);
	if (fd_write_all(fd, out.data, out.len) < 0)
		return err_sys(err, errno, "write %s", file);
	return 0;
}

int cmd_plan(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"bundle", 1, NULL, 'b'}, {"v1", 0, NULL, '1'}, {NULL, 0, NULL, 0}};
	struct oci_plan_how how = {0};
	const char *bundle = ".";
	struct oci_spec *spec;
	ARENA_AUTO a = {0};
	BUF_AUTO text = {0};
	BUF_AUTO out = {0};
	FD_AUTO dir = -1;
	int f;

	(void)cli;
	while ((f = cli_flag(argc, argv, "+b:", flags, err)) != -1) {
		if (f == -2)
			return -1;
		if (f == 'b')
			bundle = optarg;
		else
			how.cgroup_v1 = true;
	}
	if (optind < argc)
		bundle = argv[optind];
	dir = file_open(AT_FDCWD, bundle, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0 || file_read(dir, "config.json", MAX_CONFIG, &text, err) < 0 ||
	    oci_spec_parse(text.data, text.len, &a, &spec, err) < 0)
		return -1;
	how.console = oci_spec_process(spec) && oci_spec_process(spec)->terminal;
	oci_plan_print(oci_plan_new(spec, &how, &a), &out);
	return cli_print(&out, err);
}

/* --- features ----------------------------------------------------------------------- */

static void add_list(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		     const char *words)
{
	yyjson_mut_val *arr = json_add_arr(d, obj, key);

	while (*words) {
		size_t n = strcspn(words, " ");

		yyjson_mut_arr_add_strncpy(d, arr, words, n);
		words += n + strspn(words + n, " ");
	}
}

static void add_seccomp(yyjson_mut_doc *d, yyjson_mut_val *lin)
{
	yyjson_mut_val *v = json_add_obj(d, lin, "seccomp");

	json_add_bool(d, v, "enabled", true);
	add_list(d, v, "actions",
		 "SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_KILL_PROCESS "
		 "SCMP_ACT_KILL_THREAD SCMP_ACT_LOG SCMP_ACT_NOTIFY SCMP_ACT_TRACE "
		 "SCMP_ACT_TRAP");
	add_list(d, v, "operators",
		 "SCMP_CMP_EQ SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_LE SCMP_CMP_LT "
		 "SCMP_CMP_MASKED_EQ SCMP_CMP_NE");
	add_list(d, v, "archs",
		 "SCMP_ARCH_AARCH64 SCMP_ARCH_ARM SCMP_ARCH_PPC64LE SCMP_ARCH_S390 "
		 "SCMP_ARCH_S390X SCMP_ARCH_X32 SCMP_ARCH_X86 SCMP_ARCH_X86_64");
	add_list(d, v, "knownFlags",
		 "SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW "
		 "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
	add_list(d, v, "supportedFlags",
		 "SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW "
		 "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV");
}

static void add_linux(yyjson_mut_doc *d, yyjson_mut_val *lin)
{
	yyjson_mut_val *v = json_add_arr(d, lin, "capabilities"), *o;

	add_list(d, lin, "namespaces", "cgroup ipc mount network pid time user uts");
	for (unsigned i = 0; caps_name(i); i++)
		yyjson_mut_arr_add_strcpy(d, v, caps_name(i));
	v = json_add_obj(d, lin, "cgroup");
	json_add_bool(d, v, "v1", true);
	json_add_bool(d, v, "v2", true);
	json_add_bool(d, v, "systemd", true);
	json_add_bool(d, v, "systemdUser", true);
	json_add_bool(d, v, "rdma", true);
	add_seccomp(d, lin);
	json_add_bool(d, json_add_obj(d, lin, "apparmor"), "enabled", true);
	json_add_bool(d, json_add_obj(d, lin, "selinux"), "enabled", true);
	v = json_add_obj(d, lin, "intelRdt");
	json_add_bool(d, v, "enabled", true);
	json_add_bool(d, v, "schemata", true);
	json_add_bool(d, v, "monitoring", true);
	v = json_add_obj(d, lin, "memoryPolicy");
	add_list(d, v, "modes",
		 "MPOL_BIND MPOL_DEFAULT MPOL_INTERLEAVE MPOL_LOCAL MPOL_PREFERRED "
		 "MPOL_PREFERRED_MANY MPOL_WEIGHTED_INTERLEAVE");
	add_list(d, v, "flags",
		 "MPOL_F_NUMA_BALANCING MPOL_F_RELATIVE_NODES MPOL_F_STATIC_NODES");
	o = json_add_obj(d, json_add_obj(d, lin, "mountExtensions"), "idmap");
	json_add_bool(d, o, "enabled", true);
	json_add_bool(d, json_add_obj(d, lin, "netDevices"), "enabled", true);
}

int cmd_features(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *v;
	BUF_AUTO out = {0};

	(void)cli;
	if (cli_no_flags(argc, argv, err) < 0)
		return -1;
	json_add_str(d, root, "ociVersionMin", "1.0.0");
	json_add_str(d, root, "ociVersionMax", OCI_VERSION);
	v = json_add_arr(d, root, "hooks");
	for (unsigned i = 0; i < OCI_HOOK_COUNT; i++)
		yyjson_mut_arr_add_str(d, v, oci_hook_names[i]);
	add_list(d, root, "mountOptions",
		 "async atime bind copy-symlink defaults dest-nofollow dev diratime "
		 "dirsync "
		 "exec idmap iversion "
		 "lazytime loud mand noatime nodev nodiratime noexec noiversion "
		 "nolazytime nomand norelatime nostrictatime nosuid nosymfollow private "
		 "ratime rbind rdev rdiratime relatime remount rexec ridmap rnoatime "
		 "rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid "
		 "rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime "
		 "rsuid rsymfollow runbindable rw shared silent slave src-nofollow "
		 "strictatime suid "
		 "symfollow sync tmpcopyup unbindable");
	add_linux(d, json_add_obj(d, root, "linux"));
	v = json_add_obj(d, root, "annotations");
	json_add_str(d, v, "io.github.seccomp.libseccomp.version", "2.6.0");
	json_add_str(d, v, "org.opencontainers.runc.checkpoint.enabled", "true");
	add_list(d, root, "potentiallyUnsafeConfigAnnotations",
		 "bundle org.systemd.property. run.oci.keep_original_groups");
	json_write(d, true, &out);
	buf_add_char(&out, '\n');
	return cli_print(&out, err);
}
