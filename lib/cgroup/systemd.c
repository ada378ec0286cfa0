/*
 * systemd: transient units by the manager's D-Bus interface (org.freedesktop.systemd1(5)).
 *
 * A start is one StartTransientUnit, the wait for its job, and one question for the group's
 * path. A connection to the manager's own socket costs nothing more; over a bus there are
 * two calls before, so that the end of the job is told at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cgroup/cgroup-int.h"
#include "cgroup/systemd-int.h"
#include "os/fd.h"
#include "os/ns.h"
#include "os/proc.h"

#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER SERVICE ".Manager"
#define PROPERTIES "org.freedesktop.DBus.Properties"

enum { DEADLINE_S = 30, MAX_NAME = 255, MAX_JOB = 128, MAX_RESULT = 32 };

struct systemd {
	struct bus bus;
	bool listening;	   /* the bus passes JobRemoved on to us */
	const char *unit;  /* whose job we wait for; NULL: none */
	char job[MAX_JOB]; /* that has ended, and how */
	char result[MAX_RESULT];
};

/* --- names -------------------------------------------------------------------------- */

/* What a unit's name can hold, beside the escapes (systemd.unit(5)). */
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-"

/* All else becomes \xNN. */
static const char *escape(struct arena *a, const char *s)
{
	BUF_AUTO b = {0};

	for (; *s; s++)
		if (strchr(NAME_CHARS, *s))
			buf_add_char(&b, *s);
		else
			buf_add_fmt(&b, "\\x%02x", (unsigned char)*s);
	return arena_strdup(a, buf_str(&b));
}

/* "a-b.slice", without an empty part; "-.slice" is the root. */
static bool is_slice(const char *s)
{
	size_t n = strlen(s);

	if (str_eq(s, "-.slice"))
		return true;
	return n > 6 && n <= MAX_NAME && str_ends(s, ".slice") && *s != '-' &&
	       s[n - 7] != '-' && !strstr(s, "--") && strspn(s, NAME_CHARS "\\") == n;
}

char *systemd_slice_path(const char *slice, struct err *err)
{
	BUF_AUTO path = {0};

	if (!is_slice(slice)) {
		err_set(err, ERR_INVALID, "\"%.200s\" is not a slice's name", slice);
		return NULL;
	}
	for (const char *dash = slice; !str_eq(slice, "-.slice") && dash;) {
		dash = strchr(dash + 1, '-');
		if (dash)
			buf_add_fmt(&path, "/%.*s.slice", (int)(dash - slice), slice);
		else
			buf_add_fmt(&path, "/%s", slice);
	}
	return buf_detach(&path);
}

int systemd_unit_parse(const char *cgroups_path, const char *id, bool user,
		       struct arena *a, struct systemd_unit *ret, struct err *err)
{
	const char *slice = user ? "user.slice" : "system.slice", *prefix = "runc";
	struct systemd_unit u = {0};
	const char *name = id;

	if (!str_empty(cgroups_path)) {
		const char *one = strchr(cgroups_path, ':');
		const char *two = one ? strchr(one + 1, ':') : NULL;

		if (!two || strchr(two + 1, ':'))
			return err_set(err, ERR_INVALID,
				       "expected cgroupsPath to be of format "
				       "\"slice:prefix:name\" for systemd cgroups, got "
				       "\"%.200s\" instead",
				       cgroups_path);
		if (one != cgroups_path)
			slice = arena_strndup(a, cgroups_path,
					      (size_t)(one - cgroups_path));
		prefix = arena_strndup(a, one + 1, (size_t)(two - one - 1));
		name = two[1] ? two + 1 : id;
	}
	if (!is_slice(slice))
		return err_set(err, ERR_INVALID,
			       "cgroupsPath: invalid slice name: %.200s", slice);
	u.slice = slice;
	if (is_slice(name))
		u.name = name;
	else
		u.name = arena_fmt(a, "%s%s%s.scope", escape(a, prefix),
				   *prefix ? "-" : "", escape(a, name));
	if (strlen(u.name) > MAX_NAME)
		return err_set(err, ERR_INVALID,
			       "cgroupsPath: \"%.80s...\" is too long for a unit's name",
			       u.name);
	*ret = u;
	return 0;
}

/* --- connection --------------------------------------------------------------------- */

bool systemd_booted(void)
{
	struct stat st;

	return lstat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode);
}

static void on_signal(void *arg, const struct dbus_msg *m)
{
	struct systemd *s = arg;
	struct dbus_view v = m->body;
	const char *job, *unit;

	if (!s->unit || !str_eq(m->member, "JobRemoved") ||
	    !str_eq(m->interface, MANAGER) || !str_eq(m->signature, "uoss"))
		return;
	dbus_get_u32(&v);
	job = dbus_get_str(&v);
	unit = dbus_get_str(&v);
	if (!str_eq(unit, s->unit))
		return;
	str_copy(s->job, sizeof(s->job), job);
	str_copy(s->result, sizeof(s->result), dbus_get_str(&v));
}

/* Tries one place; adds to what has been tried. */
static bool try(struct systemd *s, const char *path, bool direct, struct buf *tried)
{
	struct err err;

	if (bus_connect(&s->bus, path, direct, &err) == 0)
		return true;
	buf_add_fmt(tried, "%s%s", tried->len ? "; " : "", err.msg);
	return false;
}

static bool try_address(struct systemd *s, const char *variable, struct buf *tried)
{
	const char *address = getenv(variable);
	BUF_AUTO path = {0};

	return address && dbus_address(address, &path) == 0 &&
	       try(s, buf_str(&path), false, tried);
}

static bool connect_user(struct systemd *s, struct buf *tried)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	STR_AUTO own = str_empty(dir) ? xasprintf("/run/user/%u", (unsigned)geteuid())
				      : xstrdup(dir);
	STR_AUTO direct = xasprintf("%s/systemd/private", own);
	STR_AUTO bus = xasprintf("%s/bus", own);

	return try(s, direct, true, tried) ||
	       try_address(s, "DBUS_SESSION_BUS_ADDRESS", tried) ||
	       try(s, bus, false, tried);
}

static bool connect_system(struct systemd *s, struct buf *tried)
{
	return (geteuid() == 0 && try(s, "/run/systemd/private", true, tried)) ||
	       try_address(s, "DBUS_SYSTEM_BUS_ADDRESS", tried) ||
	       try(s, "/run/dbus/system_bus_socket", false, tried);
}

static void start_clock(struct systemd *s)
{
	s->bus.deadline = time_mono() + DEADLINE_S * NS_PER_SEC;
}

struct systemd *systemd_open(bool user, struct err *err)
{
	struct systemd *s = xcalloc(1, sizeof(*s));
	BUF_AUTO tried = {0};

	s->bus = (struct bus){.fd = -1, .signal = on_signal, .arg = s};
	start_clock(s);
	if (user ? connect_user(s, &tried) : connect_system(s, &tried))
		return s;
	err_set(err, ERR_UNAVAILABLE, "cannot reach the %s's systemd: %s",
		user ? "user" : "system", buf_str(&tried));
	systemd_free(s);
	return NULL;
}

void systemd_free(struct systemd *s)
{
	if (!s)
		return;
	bus_done(&s->bus);
	free(s);
}

/* --- calls -------------------------------------------------------------------------- */

/* A call of the manager's with a unit's name first. */
static void begin(struct systemd *s, struct dbus_out *o, struct buf *out,
		  const char *method, const char *signature, const char *unit)
{
	bus_begin(&s->bus, o, out, SERVICE, OBJECT, MANAGER, method, signature);
	if (*signature == 's')
		dbus_put_str(o, unit);
}

static int call(struct systemd *s, struct dbus_out *o, struct err *err)
{
	struct dbus_msg ignored;

	return bus_call(&s->bus, o, &ignored, err);
}

/* A bus tells nobody of signals who has not asked for them, and neither does systemd. */
static int listen_to_jobs(struct systemd *s, struct err *err)
{
	struct dbus_out o;
	BUF_AUTO out = {0};

	if (s->listening || s->bus.direct)
		return 0;
	bus_begin(&s->bus, &o, &out, "org.freedesktop.DBus", "/org/freedesktop/DBus",
		  "org.freedesktop.DBus", "AddMatch", "s");
	dbus_put_str(&o, "type='signal',sender='" SERVICE "',path='" OBJECT
			 "',interface='" MANAGER "',member='JobRemoved'");
	if (call(s, &o, err) < 0)
		return -1;
	buf_reset(&out);
	begin(s, &o, &out, "Subscribe", "", "");
	if (call(s, &o, err) < 0)
		return -1;
	s->listening = true;
	return 0;
}

/* Sends a call that is answered with a job, and waits for the job's end. */
static int call_job(struct systemd *s, struct dbus_out *o, const char *unit,
		    struct err *err)
{
	struct dbus_msg m;
	char job[MAX_JOB] = "";
	int r = 0;

	s->unit = unit;
	s->job[0] = 0;
	if (bus_call(&s->bus, o, &m, err) < 0)
		r = -1;
	else if (!str_eq(m.signature, "o") ||
		 str_copy(job, sizeof(job), dbus_get_str(&m.body)) < 0)
		r = err_set(err, ERR_INTERNAL, "the answer is not a job");
	while (r == 0 && !str_eq(s->job, job))
		r = bus_wait(&s->bus, err);
	s->unit = NULL;
	if (r == 0 && !str_eq(s->result, "done"))
		r = err_set(err, ERR_STATE, "the job's result is \"%s\"", s->result);
	return r;
}

static void reset_failed(struct systemd *s, const char *unit)
{
	struct dbus_out o;
	struct err ignored;
	BUF_AUTO out = {0};

	begin(s, &o, &out, "ResetFailedUnit", "s", unit);
	call(s, &o, &ignored); /* what has not failed is not reset */
}

/* Drops an optional property that an error names: an older systemd does not know it. */
static bool drop_unknown(struct props *p, const struct err *err)
{
	if (err->code != ERR_INVALID && err->code != ERR_UNKNOWN)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i].optional && strstr(err->msg, p->list[i].name)) {
			p->n--;
			memmove(&p->list[i], &p->list[i + 1],
				(p->n - i) * sizeof(p->list[0]));
			return true;
		}
	return false;
}

char *systemd_group(struct systemd *s, const char *unit, struct err *err)
{
	const char *kind = is_slice(unit) ? "Slice" : "Scope";
	struct dbus_out o;
	struct dbus_msg m;
	const char *path;
	BUF_AUTO out = {0};
	BUF_AUTO object = {0};
	STR_AUTO interface = xasprintf(SERVICE ".%s", kind);

	buf_add_str(&object, OBJECT "/unit/");
	dbus_label(&object, unit);
	bus_begin(&s->bus, &o, &out, SERVICE, buf_str(&object), PROPERTIES, "Get", "ss");
	dbus_put_str(&o, interface);
	dbus_put_str(&o, "ControlGroup");
	if (bus_call(&s->bus, &o, &m, err) < 0)
		return NULL;
	if (str_eq(m.signature, "v") && str_eq(dbus_get_sig(&m.body), "s")) {
		path = dbus_get_str(&m.body);
		if (*path == '/' && path[1])
			return xstrdup(path);
	}
	err_set(err, ERR_INTERNAL, "it has no control group");
	return NULL;
}

/* --- start -------------------------------------------------------------------------- */

/* A process that keeps a scope alive until the container's is in it. */
static pid_t hold(int *ret_pidfd, struct err *err)
{
	pid_t parent = getpid(), pid = ns_clone(0, ret_pidfd, err);

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	syscall(SYS_close_range, 0U, ~0U, 0U); /* nobody's pipe is held open */
	for (;;)
		pause();
}

void systemd_release(int *holder)
{
	if (*holder < 0)
		return;
	proc_kill(*holder, SIGKILL);
	waitid(P_PIDFD, (id_t)*holder, NULL, WEXITED);
	fd_close(holder);
}

/* Properties in the order in which later ones win. */
static int collect(struct props *p, const struct systemd_start *how, pid_t pid,
		   struct err *err)
{
	bool slice = is_slice(how->unit.name);

	props_str(p, "Description", how->description);
	if (slice) {
		props_strs(p, "Wants", how->unit.slice);
	} else {
		props_str(p, "Slice", how->unit.slice);
		props_num(p, "Delegate", "b", true, false);
		props_num(p, "PIDs", "au", (uint64_t)pid, false);
	}
	props_num(p, "DefaultDependencies", "b", false, false);
	props_num(p, "MemoryAccounting", "b", true, false);
	props_num(p, "CPUAccounting", "b", true, false);
	props_num(p, how->v2 ? "IOAccounting" : "BlockIOAccounting", "b", true, false);
	props_num(p, "TasksAccounting", "b", true, false);
	props_str(p, "CollectMode", "inactive-or-failed"); /* nothing stays behind */
	if (how->resources && props_resources(p, how->resources, how->v2, true, err) < 0)
		return -1;
	for (size_t i = 0; i < how->nproperties; i++)
		if (props_annotation(p, &how->properties[i], err) < 0)
			return -1;
	return 0;
}

static int start_once(struct systemd *s, const char *unit, const struct props *p,
		      struct err *err)
{
	struct dbus_out o;
	BUF_AUTO out = {0};

	begin(s, &o, &out, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit);
	dbus_put_str(&o, "replace");
	props_put(p, &o);
	dbus_array_end(&o, dbus_array(&o, '('), '(');
	return call_job(s, &o, unit, err);
}

/* With what this systemd knows; a failed one of this name is not in the way. */
static int start(struct systemd *s, const char *unit, struct props *p, struct err *err)
{
	bool again = true;

	while (start_once(s, unit, p, err) < 0) {
		if (again && err->code == ERR_EXISTS)
			reset_failed(s, unit);
		else if (!drop_unknown(p, err))
			return -1;
		again = again && err->code != ERR_EXISTS;
	}
	return 0;
}

int systemd_start(struct systemd *s, const struct systemd_start *how, char **ret_group,
		  int *ret_holder, struct err *err)
{
	const char *unit = how->unit.name;
	struct props *p = xcalloc(1, sizeof(*p));
	char *group = NULL;
	pid_t pid = 0;
	int holder = -1;

	start_clock(s);
	if (!is_slice(unit))
		pid = hold(&holder, err);
	if (pid >= 0 && collect(p, how, pid, err) == 0 && listen_to_jobs(s, err) == 0 &&
	    start(s, unit, p, err) == 0) {
		group = systemd_group(s, unit, err);
		if (!group) {
			struct err ignored;

			systemd_stop(s, unit, &ignored);
		}
	}
	props_done(p);
	free(p);
	if (!group) {
		systemd_release(&holder);
		return err_wrap(err, "systemd: unit %s", unit);
	}
	*ret_group = group;
	*ret_holder = holder;
	return 0;
}

/* --- the others --------------------------------------------------------------------- */

int systemd_attach(struct systemd *s, const char *unit, pid_t pid, struct err *err)
{
	struct dbus_out o;
	BUF_AUTO out = {0};
	size_t at;

	start_clock(s);
	begin(s, &o, &out, "AttachProcessesToUnit", "ssau", unit);
	dbus_put_str(&o, "");
	at = dbus_array(&o, 'u');
	dbus_put_u32(&o, (uint32_t)pid);
	dbus_array_end(&o, at, 'u');
	if (call(s, &o, err) < 0)
		return err_wrap(err, "systemd: unit %s: attach process %d", unit,
				(int)pid);
	return 0;
}

int systemd_update(struct systemd *s, const char *unit, const struct cgroups *g,
		   const char *path, const struct resources *r, struct err *err)
{
	struct resources whole = *r;
	struct props *p = xcalloc(1, sizeof(*p));
	struct dbus_out o;
	BUF_AUTO out = {0};
	int rc;

	start_clock(s);
	rc = resources_complete(g, path, &whole, err);
	if (rc == 0)
		rc = props_resources(p, &whole, cgroups_mode(g) == CGROUPS_V2, false,
				     err);
	while (rc == 0 && p->n) {
		buf_reset(&out);
		begin(s, &o, &out, "SetUnitProperties", "sba(sv)", unit);
		dbus_put_bool(&o, true); /* until it ends */
		props_put(p, &o);
		if (call(s, &o, err) == 0)
			break;
		if (!drop_unknown(p, err))
			rc = -1;
	}
	props_done(p);
	free(p);
	return rc < 0 ? err_wrap(err, "systemd: unit %s", unit) : 0;
}

int systemd_stop(struct systemd *s, const char *unit, struct err *err)
{
	struct dbus_out o;
	BUF_AUTO out = {0};

	start_clock(s);
	if (listen_to_jobs(s, err) < 0)
		return err_wrap(err, "systemd: unit %s: stop", unit);
	begin(s, &o, &out, "StopUnit", "ss", unit);
	dbus_put_str(&o, "replace");
	if (call_job(s, &o, unit, err) < 0 && err->code != ERR_NOT_FOUND)
		return err_wrap(err, "systemd: unit %s: stop", unit);
	reset_failed(s, unit);
	return 0;
}
