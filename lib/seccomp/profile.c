/* profile: a seccomp profile from JSON (config-linux.md, Seccomp), and as text. */
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#include "base/str.h"
#include "seccomp/seccomp-int.h"
#include "wire/json_opt.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1U << 5)
#endif

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
	{"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
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

/* TSYNC is for threads: we have none, and with a listener it changes the answer. */
static const struct name_value flags[] = {
	{"SECCOMP_FILTER_FLAG_TSYNC", 0},
	{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	 SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

static int lookup(const struct name_value *list, size_t n, const char *name,
		  const char *where, const char *key, uint32_t *ret, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i].name, name)) {
			*ret = list[i].value;
			return 0;
		}
	return err_set(err, ERR_INVALID, "%s%s%s: unknown \"%.80s\"", where,
		       *key ? "." : "", key, name);
}

/* An action with its errno; actions that have none must not be given one. */
static int parse_action(yyjson_val *obj, const char *where, const char *key,
			const char *errno_key, uint32_t *ret, struct err *err)
{
	const char *name = NULL;
	uint64_t number = EPERM;
	bool given = false;

	if (json_want_str(obj, where, key, &name, err) < 0 ||
	    json_opt_u64(obj, where, errno_key, 4095, &number, &given, err) < 0)
		return -1;
	if (lookup(actions, ARRAY_LEN(actions), name, where, key, ret, err) < 0)
		return -1;
	if (str_eq(name, "SCMP_ACT_ERRNO"))
		*ret = SCMP_ACT_ERRNO(number);
	else if (str_eq(name, "SCMP_ACT_TRACE"))
		*ret = SCMP_ACT_TRACE(number);
	else if (given)
		return err_set(err, ERR_INVALID, "%s.%s: %s has no errno", where,
			       errno_key, name);
	return 0;
}

static int parse_args(yyjson_val *obj, const char *where, struct arena *a,
		      struct seccomp_rule *r, struct err *err)
{
	struct seccomp_arg *args;
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "args", &arr, err) < 0)
		return -1;
	args = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*args));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.args[%zu]", where, r->nargs);
		struct seccomp_arg *arg = &args[r->nargs++];
		const char *op = NULL;
		uint64_t index = 0;
		uint32_t value;

		if (json_opt_u64(v, at, "index", 5, &index, NULL, err) < 0 ||
		    json_opt_u64(v, at, "value", UINT64_MAX, &arg->value, NULL, err) <
			    0 ||
		    json_opt_u64(v, at, "valueTwo", UINT64_MAX, &arg->value_two, NULL,
				 err) < 0 ||
		    json_want_str(v, at, "op", &op, err) < 0 ||
		    lookup(operators, ARRAY_LEN(operators), op, at, "op", &value, err) <
			    0)
			return -1;
		arg->index = (unsigned)index;
		arg->op = (int)value;
	}
	r->args = args;
	return 0;
}

static int parse_rules(yyjson_val *obj, const char *where, struct arena *a,
		       struct seccomp_profile *s, struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "syscalls", &arr, err) < 0)
		return -1;
	s->rules = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*s->rules));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.syscalls[%zu]", where, s->nrules);
		struct seccomp_rule *r = &s->rules[s->nrules++];

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
		       struct seccomp_profile *s, struct err *err)
{
	const char *const *names = NULL;
	uint32_t flag;
	size_t n = 0;

	/* as the peers have it: the program chose a filter, not its slow mitigations */
	if (!json_get(obj, "flags"))
		s->flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	if (json_opt_strs(obj, where, "flags", a, &names, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (lookup(flags, ARRAY_LEN(flags), names[i],
			   arena_fmt(a, "%s.flags[%zu]", where, i), "", &flag, err) < 0)
			return -1;
		s->flags |= flag;
	}
	return 0;
}

static int parse_archs(yyjson_val *obj, const char *where, struct arena *a,
		       struct seccomp_profile *s, struct err *err)
{
	const char *const *names = NULL;
	uint32_t *list;
	size_t n = 0;

	if (json_opt_strs(obj, where, "architectures", a, &names, &n, err) < 0)
		return -1;
	list = arena_array(a, n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		if (lookup(archs, ARRAY_LEN(archs), names[i],
			   arena_fmt(a, "%s.architectures[%zu]", where, i), "", &list[i],
			   err) < 0)
			return -1;
	s->archs = list;
	s->narchs = n;
	return 0;
}

/* Who asks about calls must be able to hear of them, and must not be asked how to say so. */
static int parse_listener(yyjson_val *obj, const char *where, struct arena *a,
			  struct seccomp_profile *s, struct err *err)
{
	bool notify = false;

	if (json_opt_str(obj, where, "listenerPath", a, &s->listener, err) < 0 ||
	    json_opt_str(obj, where, "listenerMetadata", a, &s->metadata, err) < 0)
		return -1;
	if (str_empty(s->listener))
		s->listener = NULL;
	if (!str_empty(s->metadata) && !s->listener)
		return err_set(err, ERR_INVALID,
			       "%s.listenerMetadata: without a listenerPath", where);
	if (s->action == SCMP_ACT_NOTIFY)
		return err_set(err, ERR_INVALID,
			       "%s.defaultAction: SCMP_ACT_NOTIFY cannot be the default",
			       where);
	for (size_t i = 0; i < s->nrules; i++) {
		const struct seccomp_rule *r = &s->rules[i];

		if (r->action != SCMP_ACT_NOTIFY)
			continue;
		notify = true;
		for (size_t j = 0; j < r->nnames; j++)
			if (str_eq(r->names[j], "write"))
				return err_set(err, ERR_INVALID,
					       "%s.syscalls[%zu]: SCMP_ACT_NOTIFY cannot "
					       "be used for the write syscall",
					       where, i);
	}
	if (notify && !s->listener)
		return err_set(err, ERR_INVALID,
			       "%s.listenerPath: missing, and SCMP_ACT_NOTIFY is used",
			       where);
	if (notify)
		s->flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	else /* means nothing, and the kernel refuses it */
		s->flags &= ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return 0;
}

int seccomp_profile_parse(yyjson_val *obj, const char *where, struct arena *a,
			  struct seccomp_profile **ret, struct err *err)
{
	struct seccomp_profile *s = arena_alloc(a, sizeof(*s));

	if (parse_action(obj, where, "defaultAction", "defaultErrnoRet", &s->action,
			 err) < 0 ||
	    parse_archs(obj, where, a, s, err) < 0 ||
	    parse_flags(obj, where, a, s, err) < 0 ||
	    parse_rules(obj, where, a, s, err) < 0 ||
	    parse_listener(obj, where, a, s, err) < 0)
		return -1;
	*ret = s;
	return 0;
}

int seccomp_profile_read(const void *json, size_t n, struct arena *a,
			 struct seccomp_profile **ret, struct err *err)
{
	JSON_AUTO doc = json_parse(json, n, err);

	if (!doc)
		return err_wrap(err, "seccomp profile");
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		return err_set(err, ERR_INVALID, "seccomp profile: not an object");
	return seccomp_profile_parse(yyjson_doc_get_root(doc), "seccomp", a, ret, err);
}

unsigned seccomp_profile_flags(const struct seccomp_profile *p)
{
	return p->flags;
}

const char *seccomp_profile_listener(const struct seccomp_profile *p,
				     const char **ret_metadata)
{
	if (!(p->flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return NULL;
	*ret_metadata = p->metadata;
	return p->listener;
}

/* --- printing ----------------------------------------------------------------------- */

static const char *name_of(const struct name_value *list, size_t n, uint32_t value)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].value == value)
			return strchr(strchr(list[i].name, '_') + 1, '_') + 1;
	return "?";
}

static void print_action(uint32_t action, struct buf *out)
{
	uint32_t kind = action & 0x7fff0000U;

	if (kind == (SCMP_ACT_ERRNO(0) & 0x7fff0000U))
		buf_add_fmt(out, "ERRNO(%u)", action & 0xffff);
	else if (kind == (SCMP_ACT_TRACE(0) & 0x7fff0000U))
		buf_add_fmt(out, "TRACE(%u)", action & 0xffff);
	else
		buf_add_str(out, name_of(actions + 1, ARRAY_LEN(actions) - 1, action));
}

static void print_rule(const struct seccomp_rule *r, struct buf *out)
{
	buf_add_str(out, "seccomp-rule ");
	print_action(r->action, out);
	for (size_t i = 0; i < r->nnames; i++) {
		buf_add_char(out, i ? ',' : ' ');
		str_escape(out, r->names[i], strlen(r->names[i]));
	}
	for (size_t i = 0; i < r->nargs; i++) {
		const struct seccomp_arg *arg = &r->args[i];

		buf_add_fmt(out, " %u:%s:%llu", arg->index,
			    name_of(operators, ARRAY_LEN(operators), (uint32_t)arg->op),
			    (unsigned long long)arg->value);
		if (arg->value_two)
			buf_add_fmt(out, ":%llu", (unsigned long long)arg->value_two);
	}
	buf_add_char(out, '\n');
}

void seccomp_profile_print(const struct seccomp_profile *p, struct buf *out)
{
	buf_add_str(out, "seccomp default=");
	print_action(p->action, out);
	buf_add_fmt(out, " rules=%zu", p->nrules);
	if (p->builtin) { /* its rules and architectures are those of the machine */
		buf_add_str(out, " built-in\n");
		return;
	}
	for (size_t i = 0; i < p->narchs; i++)
		buf_add_fmt(out, "%s%s", i ? "," : " archs=",
			    name_of(archs, ARRAY_LEN(archs), p->archs[i]));
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].value & p->flags)
			buf_add_fmt(out, " flag=%s",
				    flags[i].name + strlen("SECCOMP_FILTER_FLAG_"));
	if (p->flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) {
		buf_add_str(out, " listener=");
		str_escape(out, p->listener, strlen(p->listener));
	}
	buf_add_char(out, '\n');
	for (size_t i = 0; i < p->nrules; i++)
		print_rule(&p->rules[i], out);
}
