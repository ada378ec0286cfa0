/* devices: the rules of the device controller, and the lists of version 1. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/cgroup-int.h"
#include "os/fd.h"
#include "os/proc.h"

/*
 * What every container may use (config-linux.md, Default Devices), after the spec's rules:
 * any node may be made, the usual ones, terminals and /dev/ptmx may be opened.
 */
static const struct device_rule always[] = {
	{true, 'c', -1, -1, DEVICE_MKNOD}, {true, 'b', -1, -1, DEVICE_MKNOD},
	{true, 'c', 1, 3, DEVICE_ALL},	   {true, 'c', 1, 5, DEVICE_ALL},
	{true, 'c', 1, 7, DEVICE_ALL},	   {true, 'c', 1, 8, DEVICE_ALL},
	{true, 'c', 1, 9, DEVICE_ALL},	   {true, 'c', 5, 0, DEVICE_ALL},
	{true, 'c', 5, 2, DEVICE_ALL},	   {true, 'c', 136, -1, DEVICE_ALL},
};

struct device_rule *device_rules(const struct resources *r, size_t *ret_n)
{
	struct device_rule *all =
		xmalloc((1 + r->nrules + ARRAY_LEN(always)) * sizeof(*all));
	size_t n = 0;

	/* version 1 begins with what the parent allows */
	all[n++] = (struct device_rule){false, 'a', -1, -1, DEVICE_ALL};
	for (size_t i = 0; i < r->nrules; i++)
		all[n++] = r->rules[i];
	memcpy(all + n, always, sizeof(always));
	*ret_n = n + ARRAY_LEN(always);
	return all;
}

/* "c 1:3 rwm" */
static void rule_text(const struct device_rule *d, char type, char *dst, size_t size)
{
	char major[24] = "*", minor[24] = "*";

	if (d->major >= 0)
		snprintf(major, sizeof(major), "%lld", (long long)d->major);
	if (d->minor >= 0)
		snprintf(minor, sizeof(minor), "%lld", (long long)d->minor);
	snprintf(dst, size, "%c %s:%s %s%s%s", type, major, minor,
		 d->access & DEVICE_READ ? "r" : "", d->access & DEVICE_WRITE ? "w" : "",
		 d->access & DEVICE_MKNOD ? "m" : "");
}

void device_rules_print(const struct resources *r, struct buf *out)
{
	char text[80];

	for (size_t i = 0; i < r->nrules; i++) {
		rule_text(&r->rules[i], r->rules[i].type, text, sizeof(text));
		buf_add_fmt(out, "cgroup-device %s %s\n",
			    r->rules[i].allow ? "allow" : "deny", text);
	}
}

/* --- version 1 ---------------------------------------------------------------------- */

static bool is_all(const struct device_rule *d)
{
	return d->type == 'a' && d->major < 0 && d->minor < 0 && d->access == DEVICE_ALL;
}

static bool overlap(const struct device_rule *a, const struct device_rule *b)
{
	return (a->type == b->type || a->type == 'a' || b->type == 'a') &&
	       (a->major == b->major || a->major < 0 || b->major < 0) &&
	       (a->minor == b->minor || a->minor < 0 || b->minor < 0) &&
	       (a->access & b->access);
}

static bool same_devices(const struct device_rule *a, const struct device_rule *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

/*
 * The kernel keeps a default and a list of exceptions. An exception is taken away only by
 * a rule for the very same devices; a rule that agrees with the default does nothing else.
 */
int device_rules_check_v1(const struct device_rule *rules, size_t n, struct err *err)
{
	size_t first = 0;
	bool def = true;

	for (size_t i = 0; i < n; i++) {
		char a[80], b[80];

		if (is_all(&rules[i])) {
			def = rules[i].allow;
			first = i + 1;
			continue;
		}
		for (size_t j = first; !def && !rules[i].allow && j < i; j++) {
			if (!rules[j].allow || !overlap(&rules[i], &rules[j]) ||
			    same_devices(&rules[i], &rules[j]))
				continue;
			rule_text(&rules[i], rules[i].type, a, sizeof(a));
			rule_text(&rules[j], rules[j].type, b, sizeof(b));
			return err_set(err, ERR_INVALID,
				       "cgroup version 1 cannot deny \"%s\" where \"%s\" "
				       "is allowed",
				       a, b);
		}
	}
	return 0;
}

/* The files that rules are written to: a write each. */
struct v1_files {
	int deny, allow;
};

static int write_text(const struct v1_files *f, bool allow, const char *text,
		      struct err *err)
{
	size_t n = strlen(text);

	if (write(allow ? f->allow : f->deny, text, n) == (ssize_t)n)
		return 0;
	return err_sys(err, errno, "write \"%s\" to devices.%s", text,
		       allow ? "allow" : "deny");
}

static int write_rule(const struct v1_files *f, const struct device_rule *d,
		      struct err *err)
{
	char text[80];

	if (is_all(d))
		return write_text(f, d->allow, "a", err);
	/* to the kernel, 'a' is everything, whatever stands behind it */
	for (const char *type = "bc"; *type; type++)
		if (d->type == *type || d->type == 'a') {
			rule_text(d, *type, text, sizeof(text));
			if (write_text(f, d->allow, text, err) < 0)
				return -1;
		}
	return 0;
}

static int apply_v1(const struct cgroups *g, const char *path,
		    const struct device_rule *rules, size_t n, struct err *err)
{
	FD_AUTO deny = -1;
	FD_AUTO allow = -1;

	if (device_rules_check_v1(rules, n, err) < 0)
		return -1;
	deny = cgroup_open(g, "devices", path, "devices.deny", O_WRONLY, err);
	if (deny < 0)
		return -1;
	allow = cgroup_open(g, "devices", path, "devices.allow", O_WRONLY, err);
	if (allow < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (write_rule(&(struct v1_files){deny, allow}, &rules[i], err) < 0)
			return err_wrap(err, "cgroup %s", path);
	return 0;
}

/* --- both --------------------------------------------------------------------------- */

int device_rules_apply(const struct cgroups *g, const char *path,
		       const struct resources *r, struct err *err)
{
	size_t n, first = 0;
	struct device_rule *rules = device_rules(r, &n);
	int rc = -1;

	/* what stands before a rule for everything does not matter */
	for (size_t i = 0; i < n; i++)
		if (is_all(&rules[i]))
			first = i;
	if (cgroups_has(g, "devices")) {
		rc = apply_v1(g, path, rules + first, n - first, err);
	} else if (cgroups_has(g, "")) {
		FD_AUTO dir = cgroup_open(g, "", path, ".", O_RDONLY | O_DIRECTORY, err);

		rc = dir < 0 ? -1 : device_attach(dir, rules + first, n - first, err);
		/* an ordinary user cannot, and needs not: nodes of his give nothing */
		if (rc < 0 && err->sys == EPERM && (geteuid() != 0 || proc_in_userns()))
			rc = 0;
	} else {
		err_set(err, ERR_INVALID, "this host has no device controller");
	}
	free(rules);
	return rc < 0 ? err_wrap(err, "linux.resources.devices") : 0;
}
