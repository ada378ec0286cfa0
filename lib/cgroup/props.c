/*
 * props: the properties of a transient unit: from resources (systemd.resource-control(5)),
 * and from a container's annotations.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/cgroup-int.h"
#include "cgroup/systemd-int.h"
#include "os/file.h"

/* Microseconds of systemd's default period, and what a quota per second is rounded up to. */
enum { PERIOD = 100000, SECOND = 1000000, ROUND = 10000 };

/* --- the list ----------------------------------------------------------------------- */

void props_done(struct props *p)
{
	arena_done(&p->arena);
	p->n = 0;
}

static struct prop *add(struct props *p, const char *name, const char *type)
{
	struct prop *at = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->list[i].name, name))
			at = &p->list[i];
	if (!at && p->n < ARRAY_LEN(p->list))
		at = &p->list[p->n++];
	if (!at) /* what is past the limit, which annotations alone can reach, is the last */
		at = &p->list[p->n - 1];
	*at = (struct prop){.name = name, .type = type};
	return at;
}

void props_num(struct props *p, const char *name, const char *type, uint64_t v,
	       bool optional)
{
	struct prop *at = add(p, name, type);

	at->n = v;
	at->optional = optional;
}

void props_str(struct props *p, const char *name, const char *v)
{
	add(p, name, "s")->s = v;
}

void props_strs(struct props *p, const char *name, const char *v)
{
	struct prop *at = add(p, name, "as");

	at->strs = arena_memdup(&p->arena, &v, sizeof(&v));
	at->count = 1;
}

static void put_value(const struct prop *p, struct dbus_out *o)
{
	size_t at;

	switch (*p->type) {
	case 'y':
		dbus_put_u8(o, (uint8_t)p->n);
		break;
	case 'n':
	case 'q':
		dbus_put_u16(o, (uint16_t)p->n);
		break;
	case 'b':
	case 'i':
	case 'u':
		dbus_put_u32(o, (uint32_t)p->n);
		break;
	case 's':
		dbus_put_str(o, p->s);
		break;
	case 'a':
		at = dbus_array(o, p->type[1]);
		if (p->type[1] == 'u')
			dbus_put_u32(o, (uint32_t)p->n);
		for (size_t i = 0; i < p->count; i++) {
			if (p->type[1] == '(' && i % 2 == 0)
				dbus_put_struct(o);
			if (p->type[1] == 'y')
				dbus_put_u8(o, p->bytes[i]);
			else
				dbus_put_str(o, p->strs[i]);
		}
		dbus_array_end(o, at, p->type[1]);
		break;
	default:
		dbus_put_u64(o, p->n);
	}
}

void props_put(const struct props *p, struct dbus_out *o)
{
	size_t at = dbus_array(o, '(');

	for (size_t i = 0; i < p->n; i++) {
		dbus_put_struct(o);
		dbus_put_str(o, p->list[i].name);
		dbus_put_sig(o, p->list[i].type);
		put_value(&p->list[i], o);
	}
	dbus_array_end(o, at, '(');
}

/* --- resources ---------------------------------------------------------------------- */

/* A limit that systemd has as "t"; -1 is infinity. Values below min are not for it. */
static void limit(struct props *p, const char *name, int64_t v, int64_t min)
{
	if (v == -1)
		props_num(p, name, "t", UINT64_MAX, false);
	else if (v >= min)
		props_num(p, name, "t", (uint64_t)v, false);
}

static void quota(struct props *p, bool has_quota, int64_t q, uint64_t period)
{
	uint64_t per_second = UINT64_MAX;

	if (period)
		props_num(p, "CPUQuotaPeriodUSec", "t", period, true);
	if (has_quota && q > 0) {
		if (!period)
			period = PERIOD;
		/* systemd counts in percents: ours is not to become less */
		per_second = (uint64_t)((double)q * SECOND / (double)period);
		per_second = (per_second + ROUND - 1) / ROUND * ROUND;
	}
	props_num(p, "CPUQuotaPerSecUSec", "t", per_second, false);
}

/* "0-3,8" as bits, the lowest first. */
static int set_bits(struct props *p, const char *name, const char *list, struct err *err)
{
	uint8_t *bits = arena_alloc(&p->arena, CPUSET_MAX / 8);
	struct prop *at;

	if (cpuset_parse(list, bits) < 0)
		return err_set(err, ERR_INVALID, "%s: \"%.80s\" is not a list", name,
			       list);
	at = add(p, name, "ay");
	at->bytes = bits;
	at->count = CPUSET_MAX / 8;
	while (at->count && !bits[at->count - 1])
		at->count--;
	at->optional = true;
	return 0;
}

static int memory(struct props *p, const struct resources *r, bool v2, struct err *err)
{
	int64_t swap;

	if (r->has_limit)
		limit(p, "MemoryMax", r->limit, 1);
	if (!v2)
		return 0;
	if (r->has_reservation)
		limit(p, "MemoryLow", r->reservation, 0);
	if (r->has_swap || (r->has_limit && r->limit == -1)) {
		if (res_swap_max(r->limit, r->has_swap ? r->swap : 0, &swap, err) < 0)
			return -1;
		limit(p, "MemorySwapMax", swap, 0);
	}
	return 0;
}

static void cpu(struct props *p, const struct resources *r, bool v2)
{
	if (r->has_shares && r->shares && !v2)
		props_num(p, "CPUShares", "t", MAX(r->shares, 2), false);
	if (r->has_shares && r->shares && v2)
		props_num(p, "CPUWeight", "t", res_cpu_weight(r->shares), false);
	if (r->has_idle && r->idle == 1 && v2)
		props_num(p, "CPUWeight", "t", 0, true); /* "idle", since 252 */
	if (r->has_quota || r->has_period)
		quota(p, r->has_quota, r->quota, r->has_period ? r->period : 0);
}

/* "max" or a number; what is neither is left to the file, which will say so. */
static bool number(const char *text, uint64_t *ret)
{
	if (str_eq(text, "max"))
		*ret = UINT64_MAX;
	else if (num_u64(text, 0, UINT64_MAX, ret) < 0)
		return false;
	return true;
}

static int unified(struct props *p, const struct res_pair *u, struct err *err)
{
	static const struct {
		const char *key, *name;
		uint64_t min;
	} numbers[] = {
		{"cpu.weight", "CPUWeight", 1}, {"memory.min", "MemoryMin", 0},
		{"memory.low", "MemoryLow", 0}, {"memory.high", "MemoryHigh", 1},
		{"memory.max", "MemoryMax", 1}, {"memory.swap.max", "MemorySwapMax", 0},
		{"pids.max", "TasksMax", 1},	{"io.weight", "IOWeight", 1},
	};
	uint64_t v, period = 0;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (str_eq(u->key, numbers[i].key) && number(u->value, &v) &&
		    v >= numbers[i].min)
			props_num(p, numbers[i].name, "t", v, false);
	if (str_eq(u->key, "cpuset.cpus"))
		return set_bits(p, "AllowedCPUs", u->value, err);
	if (str_eq(u->key, "cpuset.mems"))
		return set_bits(p, "AllowedMemoryNodes", u->value, err);
	if (str_eq(u->key, "cpu.max")) {
		size_t n = strcspn(u->value, " ");
		char *q = arena_strndup(&p->arena, u->value, n);

		if (number(q, &v) && (!u->value[n] || number(u->value + n + 1, &period)))
			quota(p, v <= INT64_MAX, (int64_t)v, period);
	}
	return 0;
}

/* --- devices ------------------------------------------------------------------------ */

/* The name of a driver by its major number, as DeviceAllow= has it; NULL: unknown. */
static const char *driver(struct props *p, char type, int64_t major)
{
	const char *want = type == 'c' ? "Character devices:" : "Block devices:";
	BUF_AUTO text = {0};
	struct err ignored;
	bool here = false;
	char *at, *line;

	if (file_read(AT_FDCWD, "/proc/devices", 1 << 16, &text, &ignored) < 0)
		return NULL;
	buf_str(&text);
	for (at = (char *)text.data; (line = strsep(&at, "\n"));) {
		char *name;
		uint64_t n;

		if (strchr(line, ':'))
			here = str_eq(line, want);
		line += strspn(line, " ");
		name = strchr(line, ' ');
		if (!here || !name)
			continue;
		*name++ = 0;
		if (num_u64(line, 0, INT32_MAX, &n) == 0 && (int64_t)n == major)
			return arena_fmt(&p->arena, "%s-%s",
					 type == 'c' ? "char" : "block", name);
	}
	return NULL;
}

/* A rule's device as DeviceAllow= has it; NULL: it cannot be said there. */
static const char *device(struct props *p, const struct device_rule *d)
{
	const char *kind = d->type == 'c' ? "char" : "block";

	if (d->major < 0)
		return d->minor < 0 ? arena_fmt(&p->arena, "%s-*", kind) : NULL;
	if (d->minor < 0)
		return driver(p, d->type, d->major);
	/* systemd takes the numbers: no such file is needed */
	return arena_fmt(&p->arena, "/dev/%s/%lld:%lld", kind, (long long)d->major,
			 (long long)d->minor);
}

/*
 * DevicePolicy= strict and what is allowed, if the rules come down to that. Otherwise it is
 * the group's own program alone that decides, which resources_apply() attaches.
 */
static void devices(struct props *p, const struct device_rule *rules, size_t n)
{
	const char **pairs = arena_array(&p->arena, 2 * n, sizeof(*pairs));
	size_t count = 0;
	struct prop *at;
	bool all = false, fits = true;

	for (size_t i = 0; i < n; i++) {
		const struct device_rule *d = &rules[i];
		bool any = d->type == 'a' && d->major < 0 && d->minor < 0 &&
			   d->access == DEVICE_ALL;

		if (any) {
			all = d->allow;
			count = 0;
			fits = true;
		} else if (d->type == 'a' || !d->allow) {
			fits = fits && !d->allow && !all && !count;
		} else if (!all) {
			pairs[count] = device(p, d);
			pairs[count + 1] = arena_fmt(&p->arena, "%s%s%s",
						     d->access & DEVICE_READ ? "r" : "",
						     d->access & DEVICE_WRITE ? "w" : "",
						     d->access & DEVICE_MKNOD ? "m" : "");
			fits = fits && pairs[count];
			count += 2;
		}
	}
	fits = fits && !all;
	props_str(p, "DevicePolicy", fits ? "strict" : "auto");
	at = add(p, "DeviceAllow", "a(ss)");
	at->strs = pairs;
	at->count = fits ? count : 0;
}

int props_resources(struct props *p, const struct resources *r, bool v2,
		    bool with_devices, struct err *err)
{
	if (memory(p, r, v2, err) < 0)
		return -1;
	cpu(p, r, v2);
	if (r->weight)
		props_num(p, v2 ? "IOWeight" : "BlockIOWeight", "t",
			  v2 ? res_io_weight(r->weight) : r->weight, false);
	if (r->has_pids)
		limit(p, "TasksMax", r->pids < 1 ? -1 : r->pids, 1);
	if (!str_empty(r->cpus) && set_bits(p, "AllowedCPUs", r->cpus, err) < 0)
		return -1;
	if (!str_empty(r->mems) && set_bits(p, "AllowedMemoryNodes", r->mems, err) < 0)
		return -1;
	for (size_t i = 0; v2 && i < r->nunified; i++)
		if (unified(p, &r->unified[i], err) < 0)
			return -1;
	if (with_devices) {
		size_t n;
		struct device_rule *rules = device_rules(r, &n);

		devices(p, rules, n);
		free(rules);
	}
	return 0;
}

/* --- annotations -------------------------------------------------------------------- */

static const char *const no_value =
	"not a value: uint64 5, 'text', true, ['a', 'b'] (GVariant text format)";

/* 'text' or "text" at *at, which is past it then; NULL: it is none. */
static const char *quoted(struct props *p, const char **at)
{
	const char *s = *at;
	char quote = *s, *out, *to;

	if (quote != '\'' && quote != '"')
		return NULL;
	out = to = arena_alloc(&p->arena, strlen(s) + 1);
	for (s++; *s && *s != quote; s++) {
		if (*s == '\\' && s[1])
			s++;
		*to++ = *s;
	}
	if (!*s)
		return NULL;
	*at = s + 1;
	return out;
}

static const char *past_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/* ['a', 'b'] */
static int text_array(struct props *p, const char *name, const char *s, struct err *err)
{
	const char **list = arena_array(&p->arena, strlen(s), sizeof(*list));
	struct prop *at;
	size_t n = 0;

	s = past_blanks(s + 1);
	while (*s && *s != ']') {
		list[n] = quoted(p, &s);
		if (!list[n++])
			return err_set(err, ERR_INVALID, "%s", no_value);
		s = past_blanks(s);
		if (*s == ',')
			s = past_blanks(s + 1);
		else if (*s != ']')
			return err_set(err, ERR_INVALID, "%s", no_value);
	}
	if (*s != ']' || *past_blanks(s + 1))
		return err_set(err, ERR_INVALID, "%s", no_value);
	at = add(p, name, "as");
	at->strs = list;
	at->count = n;
	return 0;
}

/* "uint64 5", "-1" (an int32, as GVariant has it), "true". 0, or -1 if it is none. */
static int scalar(const char *s, const char **ret_type, uint64_t *ret)
{
	static const struct {
		const char *name, *type;
		int64_t min;
		uint64_t max;
	} types[] = {
		{"byte ", "y", 0, UINT8_MAX},	 {"int16 ", "n", INT16_MIN, INT16_MAX},
		{"uint16 ", "q", 0, UINT16_MAX}, {"int32 ", "i", INT32_MIN, INT32_MAX},
		{"uint32 ", "u", 0, UINT32_MAX}, {"int64 ", "x", INT64_MIN, INT64_MAX},
		{"uint64 ", "t", 0, UINT64_MAX}, {"", "i", INT32_MIN, INT32_MAX},
	};
	int64_t v;

	*ret_type = "b";
	*ret = str_eq(s, "true");
	if (*ret || str_eq(s, "false"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const char *digits = s + strlen(types[i].name);

		if (!str_starts(s, types[i].name))
			continue;
		*ret_type = types[i].type;
		digits = past_blanks(digits);
		if (*digits != '-')
			return num_u64(digits, 0, types[i].max, ret);
		if (num_i64(digits, types[i].min, 0, &v) < 0)
			return -1;
		*ret = (uint64_t)v;
		return 0;
	}
	return -1;
}

static bool is_name(const char *s)
{
	return strlen(s) >= 3 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
		       strlen(s);
}

int props_annotation(struct props *p, const struct systemd_property *a, struct err *err)
{
	const char *s = past_blanks(a->value), *type, *text;
	size_t n = strlen(a->name);
	uint64_t v;

	if (!is_name(a->name))
		return err_set(err, ERR_INVALID,
			       "annotation org.systemd.property.%.80s: not a name",
			       a->name);
	if (*s == '[') {
		if (text_array(p, a->name, s, err) < 0)
			goto bad;
		return 0;
	}
	text = quoted(p, &s);
	if (text && !*past_blanks(s)) {
		props_str(p, a->name, text);
		return 0;
	}
	if (text || scalar(s, &type, &v) < 0) {
		err_set(err, ERR_INVALID, "%s", no_value);
		goto bad;
	}
	/* systemd itself knows only microseconds */
	if (str_ends(a->name, "Sec") && !str_ends(a->name, "USec") && *type != 'b') {
		if (v > UINT64_MAX / SECOND) {
			err_set(err, ERR_INVALID, "too long, or negative");
			goto bad;
		}
		props_num(p, arena_fmt(&p->arena, "%.*sUSec", (int)n - 3, a->name), "t",
			  v * SECOND, false);
		return 0;
	}
	props_num(p, a->name, type, v, false);
	return 0;
bad:
	return err_wrap(err, "annotation org.systemd.property.%.80s", a->name);
}
