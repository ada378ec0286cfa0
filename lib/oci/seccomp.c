/* seccomp: linux.seccomp to BPF through libseccomp (config-linux.md, Seccomp). */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "oci/oci-int.h"

struct name_value {
	const char *name;
	uint32_t value;
};

static const struct name_value actions[] = {
	{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
	{"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG},
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
};

static const struct name_value operators[] = {
	{"SCMP_CMP_NE", SCMP_CMP_NE},
	{"SCMP_CMP_LT", SCMP_CMP_LT},
	{"SCMP_CMP_LE", SCMP_CMP_LE},
	{"SCMP_CMP_EQ", SCMP_CMP_EQ},
	{"SCMP_CMP_GE", SCMP_CMP_GE},
	{"SCMP_CMP_GT", SCMP_CMP_GT},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

static const struct name_value archs[] = {
	{"SCMP_ARCH_X86", SCMP_ARCH_X86},
	{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
	{"SCMP_ARCH_X32", SCMP_ARCH_X32},
	{"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
	{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
	{"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
	{"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
	{"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
	{"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
	{"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
	{"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
	{"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
	{"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
	{"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
	{"SCMP_ARCH_S390", SCMP_ARCH_S390},
	{"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
	{"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
	{"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
	{"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
	{"SCMP_ARCH_LOONGARCH64", SCMP_ARCH_LOONGARCH64},
	{"SCMP_ARCH_M68K", SCMP_ARCH_M68K},
	{"SCMP_ARCH_SH", SCMP_ARCH_SH},
	{"SCMP_ARCH_SHEB", SCMP_ARCH_SHEB},
};

static int lookup(const struct name_value *list, size_t n, const char *name,
		  const char *where, uint32_t *ret, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i].name, name)) {
			*ret = list[i].value;
			return 0;
		}
	return err_set(err, ERR_INVALID, "%s: unknown \"%s\"", where, name);
}

static int parse_action(yyjson_val *obj, const char *where, const char *key,
			const char *errno_key, uint32_t *ret, struct err *err)
{
	const char *name = NULL;
	uint64_t number = EPERM;

	if (json_want_str(obj, where, key, &name, err) < 0 ||
	    json_opt_u64(obj, where, errno_key, 4095, &number, NULL, err) < 0)
		return -1;
	if (str_eq(name, "SCMP_ACT_NOTIFY"))
		return err_set(err, ERR_UNIMPLEMENTED,
			       "%s.%s: SCMP_ACT_NOTIFY is not supported yet", where, key);
	if (lookup(actions, ARRAY_LEN(actions), name, where, ret, err) < 0)
		return -1;
	if (str_eq(name, "SCMP_ACT_ERRNO"))
		*ret = SCMP_ACT_ERRNO(number);
	if (str_eq(name, "SCMP_ACT_TRACE"))
		*ret = SCMP_ACT_TRACE(number);
	return 0;
}

static int parse_args(yyjson_val *obj, const char *where, struct arena *a,
		      struct oci_seccomp_rule *r, struct err *err)
{
	struct oci_seccomp_arg *args;
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "args", &arr, err) < 0)
		return -1;
	args = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*args));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.args[%zu]", where, r->nargs);
		struct oci_seccomp_arg *arg = &args[r->nargs++];
		const char *op = NULL;
		uint64_t index = 0;
		uint32_t value;

		if (json_opt_u64(v, at, "index", 5, &index, NULL, err) < 0 ||
		    json_opt_u64(v, at, "value", UINT64_MAX, &arg->value, NULL, err) <
			    0 ||
		    json_opt_u64(v, at, "valueTwo", UINT64_MAX, &arg->value_two, NULL,
				 err) < 0 ||
		    json_want_str(v, at, "op", &op, err) < 0 ||
		    lookup(operators, ARRAY_LEN(operators), op, at, &value, err) < 0)
			return -1;
		arg->index = (unsigned)index;
		arg->op = (int)value;
	}
	r->args = args;
	return 0;
}

static int parse_rules(yyjson_val *obj, const char *where, struct arena *a,
		       struct oci_seccomp *s, struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "syscalls", &arr, err) < 0)
		return -1;
	s->rules = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*s->rules));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.syscalls[%zu]", where, s->nrules);
		struct oci_seccomp_rule *r = &s->rules[s->nrules++];

		if (json_opt_strs(v, at, "names", a, &r->names, &r->nnames, err) < 0 ||
		    parse_action(v, at, "action", "errnoRet", &r->action, err) < 0 ||
		    parse_args(v, at, a, r, err) < 0)
			return -1;
		if (!r->nnames)
			return err_set(err, ERR_INVALID, "%s.names: empty", at);
	}
	return 0;
}

static int parse_flags(yyjson_val *obj, const char *where, struct arena *a,
		       struct oci_seccomp *s, struct err *err)
{
	const char *const *names = NULL;
	size_t n = 0;

	if (json_opt_strs(obj, where, "flags", a, &names, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (str_eq(names[i], "SECCOMP_FILTER_FLAG_LOG"))
			s->log = true;
		else if (!str_eq(names[i], "SECCOMP_FILTER_FLAG_TSYNC") &&
			 !str_eq(names[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW") &&
			 !str_eq(names[i], "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
			return err_set(err, ERR_INVALID, "%s.flags[%zu]: unknown \"%s\"",
				       where, i, names[i]);
	}
	return 0;
}

int oci_parse_seccomp(yyjson_val *obj, const char *where, struct arena *a,
		      struct oci_seccomp **ret, struct err *err)
{
	struct oci_seccomp *s = arena_alloc(a, sizeof(*s));
	const char *const *names = NULL;
	uint32_t *list;
	size_t n = 0;

	if (parse_action(obj, where, "defaultAction", "defaultErrnoRet", &s->action,
			 err) < 0 ||
	    json_opt_strs(obj, where, "architectures", a, &names, &n, err) < 0 ||
	    parse_flags(obj, where, a, s, err) < 0 ||
	    parse_rules(obj, where, a, s, err) < 0)
		return -1;
	if (json_get(obj, "listenerPath"))
		return err_set(err, ERR_UNIMPLEMENTED,
			       "%s.listenerPath: not supported yet", where);
	list = arena_array(a, n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		if (lookup(archs, ARRAY_LEN(archs), names[i],
			   arena_fmt(a, "%s.architectures[%zu]", where, i), &list[i],
			   err) < 0)
			return -1;
	s->archs = list;
	s->narchs = n;
	*ret = s;
	return 0;
}

int oci_spec_seccomp_parse(struct oci_spec *s, const void *json, size_t n,
			   struct arena *a, struct err *err)
{
	JSON_AUTO doc = json_parse(json, n, err);

	if (!doc)
		return err_wrap(err, "seccomp profile");
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		return err_set(err, ERR_INVALID, "seccomp profile: not an object");
	return oci_parse_seccomp(yyjson_doc_get_root(doc), "seccomp", a, &s->seccomp,
				 err);
}

void oci_spec_seccomp_default(struct oci_spec *s, struct arena *a)
{
	s->seccomp = oci_seccomp_default(s->process ? s->process->caps.bounding : 0, a);
}

/* --- compiling ---------------------------------------------------------------------- */

/* One call of one rule. Names that this libseccomp or architecture lacks are skipped. */
static int add_call(scmp_filter_ctx ctx, const struct oci_seccomp *s,
		    const struct oci_seccomp_rule *r, const char *name, struct err *err)
{
	int nr = seccomp_syscall_resolve_name(name), rc = 0;
	struct scmp_arg_cmp args[6];
	bool repeated = false;

	if (nr == __NR_SCMP_ERROR || r->action == s->action)
		return 0;
	for (size_t i = 0; i < r->nargs && i < ARRAY_LEN(args); i++) {
		args[i] = (struct scmp_arg_cmp){.arg = r->args[i].index,
						.op = (enum scmp_compare)r->args[i].op,
						.datum_a = r->args[i].value,
						.datum_b = r->args[i].value_two};
		for (size_t j = 0; j < i; j++)
			repeated |= args[j].arg == args[i].arg;
	}
	/*
	 * libseccomp refuses two conditions on one argument; the peers make each a rule
	 * of its own, and profiles are written for that.
	 */
	for (size_t i = 0; repeated && rc == 0 && i < r->nargs; i++)
		rc = seccomp_rule_add_array(ctx, r->action, nr, 1, &args[i]);
	if (!repeated)
		rc = seccomp_rule_add_array(ctx, r->action, nr, (unsigned)r->nargs, args);
	if (rc < 0 && rc != -EDOM && rc != -EFAULT && rc != -EEXIST)
		return err_sys(err, -rc, "seccomp: rule for %s", name);
	return 0;
}

static int add_archs(scmp_filter_ctx ctx, const struct oci_seccomp *s, struct err *err)
{
	for (size_t i = 0; i < s->narchs; i++) {
		int rc = seccomp_arch_add(ctx, s->archs[i]);

		if (rc < 0 && rc != -EEXIST && rc != -EDOM)
			return err_sys(err, -rc, "seccomp: architecture %x", s->archs[i]);
	}
	return 0;
}

/* The filter's text, out of libseccomp's hands. */
static int export(scmp_filter_ctx ctx, struct buf *ret, struct err *err)
{
	size_t n = 0;
	int rc = seccomp_export_bpf_mem(ctx, NULL, &n);

	if (rc < 0)
		return err_sys(err, -rc, "seccomp: export");
	rc = seccomp_export_bpf_mem(ctx, buf_reserve(ret, n), &n);
	if (rc < 0)
		return err_sys(err, -rc, "seccomp: export");
	ret->len += n;
	return 0;
}

static int build(scmp_filter_ctx ctx, const struct oci_seccomp *s, struct err *err)
{
	if (add_archs(ctx, s, err) < 0)
		return -1;
	/* a tree instead of a list: what a call costs no longer grows with the profile */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	/* calls that this libseccomp does not know answer as on an older kernel */
	seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	for (size_t i = 0; i < s->nrules; i++)
		for (size_t j = 0; j < s->rules[i].nnames; j++)
			if (add_call(ctx, s, &s->rules[i], s->rules[i].names[j], err) < 0)
				return -1;
	return 0;
}

/* The highest number that the profile's names have on an architecture. */
static int newest(const struct oci_seccomp *s, uint32_t arch)
{
	int max = 0;

	for (size_t i = 0; i < s->nrules; i++)
		for (size_t j = 0; j < s->rules[i].nnames; j++) {
			int nr = seccomp_syscall_resolve_name_arch(arch,
								   s->rules[i].names[j]);

			if (nr > max)
				max = nr;
		}
	return max;
}

/*
 * Calls that are newer than all that the profile knows answer ENOSYS instead of its
 * default: programs fall back on ENOSYS, and not on EPERM. Put before libseccomp's own
 * program, which loads all that it needs itself.
 */
static void add_enosys(const struct oci_seccomp *s, uint32_t arch, struct buf *ret)
{
	enum { X32_BIT = 0x40000000 }; /* same architecture, numbers of their own */
	const struct sock_filter stub[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)newest(s, arch), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	buf_add(ret, stub, sizeof(stub));
}

static void add_all_enosys(const struct oci_seccomp *s, struct buf *ret)
{
	uint32_t native = seccomp_arch_native();

	add_enosys(s, native, ret);
	for (size_t i = 0; i < s->narchs; i++)
		if (s->archs[i] != native && s->archs[i] != SCMP_ARCH_X32)
			add_enosys(s, s->archs[i], ret);
}

/* True if a failing default answers with an errno: then new calls shall say ENOSYS. */
static bool default_is_errno(const struct oci_seccomp *s)
{
	return (s->action & 0xffff0000U) == (SCMP_ACT_ERRNO(0) & 0xffff0000U);
}

int oci_seccomp_compile(const struct oci_spec *spec, struct buf *ret, struct err *err)
{
	const struct oci_seccomp *s = spec->seccomp;
	scmp_filter_ctx ctx;
	int r;

	if (!s)
		return 0;
	ctx = seccomp_init(s->action);
	if (!ctx)
		return err_set(err, ERR_INTERNAL, "seccomp: no filter");
	r = build(ctx, s, err);
	if (r == 0 && default_is_errno(s))
		add_all_enosys(s, ret);
	if (r == 0)
		r = export(ctx, ret, err);
	seccomp_release(ctx);
	return r;
}
