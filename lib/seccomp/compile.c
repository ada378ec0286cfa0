/* compile: a profile to BPF through libseccomp, and into the kernel. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "seccomp/seccomp-int.h"
#include "wire/digest.h"

/* One call of one rule. Names that this libseccomp or architecture lacks are skipped. */
static int add_call(scmp_filter_ctx ctx, const struct seccomp_profile *s,
		    const struct seccomp_rule *r, const char *name, struct err *err)
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

static int add_archs(scmp_filter_ctx ctx, const struct seccomp_profile *s,
		     struct err *err)
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

static int build(scmp_filter_ctx ctx, const struct seccomp_profile *s, struct err *err)
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
static int newest(const struct seccomp_profile *s, uint32_t arch)
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
static void add_enosys(const struct seccomp_profile *s, uint32_t arch, struct buf *ret)
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

static void add_all_enosys(const struct seccomp_profile *s, struct buf *ret)
{
	uint32_t native = seccomp_arch_native();

	add_enosys(s, native, ret);
	for (size_t i = 0; i < s->narchs; i++)
		if (s->archs[i] != native && s->archs[i] != SCMP_ARCH_X32)
			add_enosys(s, s->archs[i], ret);
}

/* True if a failing default answers with an errno: then new calls shall say ENOSYS. */
static bool default_is_errno(const struct seccomp_profile *s)
{
	return (s->action & 0xffff0000U) == (SCMP_ACT_ERRNO(0) & 0xffff0000U);
}

static int compile(const struct seccomp_profile *s, struct buf *ret, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(s->action);
	int r;

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

/* --- the cache's key ---------------------------------------------------------------- */

static void add_u64(struct buf *out, uint64_t v)
{
	buf_add_be32(out, (uint32_t)(v >> 32));
	buf_add_be32(out, (uint32_t)v);
}

static void add_text(struct buf *out, const char *s)
{
	buf_add(out, s, strlen(s) + 1);
}

void seccomp_profile_serialize(const struct seccomp_profile *p, struct buf *out)
{
	/*
	 * What this file makes of a profile has a version, too. Nothing of the library is
	 * called: with a cached filter its pages are not even looked at. The number of the
	 * call is another on each architecture.
	 */
	add_text(out, "cribox filter 1");
	buf_add_fmt(out, "%d.%d.%d %d %x ", SCMP_VER_MAJOR, SCMP_VER_MINOR,
		    SCMP_VER_MICRO, SYS_seccomp, p->action);
	add_u64(out, p->narchs);
	for (size_t i = 0; i < p->narchs; i++)
		buf_add_be32(out, p->archs[i]);
	for (size_t i = 0; i < p->nrules; i++) {
		const struct seccomp_rule *r = &p->rules[i];

		buf_add_be32(out, r->action);
		add_u64(out, r->nnames);
		for (size_t j = 0; j < r->nnames; j++)
			add_text(out, r->names[j]);
		add_u64(out, r->nargs);
		for (size_t j = 0; j < r->nargs; j++) {
			add_u64(out, r->args[j].index);
			add_u64(out, (uint64_t)r->args[j].op);
			add_u64(out, r->args[j].value);
			add_u64(out, r->args[j].value_two);
		}
	}
}

int seccomp_compile(const struct seccomp_profile *p, const char *cache, struct buf *ret,
		    struct err *err)
{
	uint8_t key[SECCOMP_KEY];
	size_t before = ret->len;
	BUF_AUTO text = {0};

	if (!cache)
		return compile(p, ret, err);
	seccomp_profile_serialize(p, &text);
	sha256_of(text.data, text.len, key);
	if (seccomp_cache_get(cache, key, ret))
		return 0;
	if (compile(p, ret, err) < 0)
		return -1;
	seccomp_cache_put(cache, key, ret->data + before, ret->len - before);
	return 0;
}

/* --- loading ------------------------------------------------------------------------ */

int seccomp_filter_load(const struct buf *bpf, unsigned flags, struct err *err)
{
	struct sock_fprog prog = {
		.len = (unsigned short)(bpf->len / sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)bpf->data};
	long fd;

	if (bpf->len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return err_set(err, ERR_INVALID,
			       "seccomp: the filter has more than %d instructions",
			       BPF_MAXINSNS);
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (fd < 0)
		return err_sys(err, errno, "load the seccomp filter%s",
			       errno == EINVAL && flags
				       ? " (does this kernel know its flags?)"
				       : "");
	return (int)fd;
}
