/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd driver: names, properties, and calls to a peer that answers as systemd does,
 * on a socket of its own and behind a real dbus-daemon, which checks every message.
 */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cgroup/systemd-int.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"

/* --- names -------------------------------------------------------------------------- */

TEST(names_of_units)
{
	static const struct {
		const char *path, *id;
		bool user;
		const char *name, *slice;
	} t[] = {
		{"", "c1", false, "runc-c1.scope", "system.slice"},
		{NULL, "c1", true, "runc-c1.scope", "user.slice"},
		{"::", "c1", false, "c1.scope", "system.slice"},
		{"machine.slice:libpod:abc", "c1", false, "libpod-abc.scope",
		 "machine.slice"},
		{"a-b-c.slice:p:n", "x", false, "p-n.scope", "a-b-c.slice"},
		{"-.slice:p:n", "x", false, "p-n.scope", "-.slice"},
		{":crio:n", "x", true, "crio-n.scope", "user.slice"},
		{"a.slice:p:b.slice", "x", false, "b.slice", "a.slice"},
		{"a.slice:p:a+b c", "x", false, "p-a\\x2bb\\x20c.scope", "a.slice"},
	};
	static const char *const bad[] = {
		"/a/b",		  "a.slice:p",	  "a.slice:p:n:x",
		"a:p:n",	  ".slice:p:n",	  "a/b.slice:p:n",
		"a--b.slice:p:n", "-a.slice:p:n", "a-.slice:p:n",
	};
	struct systemd_unit u;
	struct err err;

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		ARENA_AUTO a = {0};

		CHECK_INT(systemd_unit_parse(t[i].path, t[i].id, t[i].user, &a, &u, &err),
			  0);
		CHECK_STR(u.name, t[i].name);
		CHECK_STR(u.slice, t[i].slice);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ARENA_AUTO a = {0};

		if (systemd_unit_parse(bad[i], "c1", false, &a, &u, &err) == 0)
			FAIL("accepted: %s", bad[i]);
		CHECK_INT(err.code, ERR_INVALID);
	}
}

TEST(paths_of_slices)
{
	static const struct {
		const char *slice, *path;
	} t[] = {
		{"a.slice", "/a.slice"},
		{"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
		{"-.slice", ""},
		{"a", NULL},
		{"a--b.slice", NULL},
		{"a/b.slice", NULL},
		{"a b.slice", NULL},
		{".slice", NULL},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		STR_AUTO path = systemd_slice_path(t[i].slice, &err);

		CHECK_STR(path, t[i].path);
	}
}

/* --- properties --------------------------------------------------------------------- */

/* As busctl writes them: "Name sig value\n", sorted as they were put. */
static void print_value(struct buf *b, const struct prop *p)
{
	if (strcmp(p->type, "s") == 0)
		buf_add_str(b, p->s);
	else if (*p->type != 'a')
		buf_add_fmt(b, "%" PRIu64, p->n);
	for (size_t i = 0; i < p->count; i++)
		if (p->type[1] == 'y')
			buf_add_fmt(b, "%s%u", i ? " " : "", p->bytes[i]);
		else
			buf_add_fmt(b, "%s%s", i ? " " : "", p->strs[i]);
}

/* The properties of a resources object, one a line. */
static const char *lines(struct buf *b, const char *json, bool v2, bool devices)
{
	struct resources r = {0};
	struct props p = {0};
	struct err err;
	ARENA_AUTO a = {0};

	buf_reset(b);
	if (resources_parse(json, strlen(json), &a, &r, &err) < 0 ||
	    props_resources(&p, &r, v2, devices, &err) < 0) {
		buf_add_str(b, err.msg);
	} else {
		for (size_t i = 0; i < p.n; i++) {
			buf_add_fmt(b, "%s %s ", p.list[i].name, p.list[i].type);
			print_value(b, &p.list[i]);
			buf_add_char(b, '\n');
		}
	}
	props_done(&p);
	return buf_str(b);
}

#define INFINITY_T "18446744073709551615"

TEST(properties_of_resources)
{
	BUF_AUTO b = {0};

	CHECK_STR(lines(&b,
			"{\"memory\": {\"limit\": 1000000, \"reservation\": 500000, "
			"\"swap\": 3000000}, \"cpu\": {\"shares\": 1024, \"quota\": "
			"20000, \"period\": 50000, \"cpus\": \"0-2,8\", \"mems\": "
			"\"0\"}, \"pids\": {\"limit\": 99}, \"blockIO\": "
			"{\"weight\": 10}}",
			true, false),
		  "MemoryMax t 1000000\nMemoryLow t 500000\nMemorySwapMax t 2000000\n"
		  "CPUWeight t 100\nCPUQuotaPeriodUSec t 50000\n"
		  "CPUQuotaPerSecUSec t 400000\nIOWeight t 1\nTasksMax t 99\n"
		  "AllowedCPUs ay 7 1\nAllowedMemoryNodes ay 1\n");
	CHECK_STR(lines(&b,
			"{\"memory\": {\"limit\": -1}, \"cpu\": {\"quota\": -1}, "
			"\"pids\": {\"limit\": -1}}",
			true, false),
		  "MemoryMax t " INFINITY_T "\nMemorySwapMax t " INFINITY_T
		  "\nCPUQuotaPerSecUSec t " INFINITY_T "\nTasksMax t " INFINITY_T "\n");
	/* a third of a processor is not to become less */
	CHECK_STR(lines(&b, "{\"cpu\": {\"quota\": 33333}}", true, false),
		  "CPUQuotaPerSecUSec t 340000\n");
	CHECK_STR(lines(&b,
			"{\"cpu\": {\"shares\": 512}, \"memory\": {\"limit\": 5, "
			"\"reservation\": 3}}",
			false, false),
		  "MemoryMax t 5\nCPUShares t 512\n");
	CHECK_STR(lines(&b, "{}", true, false), "");
}

TEST(properties_of_unified)
{
	BUF_AUTO b = {0};

	CHECK_STR(lines(&b,
			"{\"unified\": {\"memory.high\": \"max\", \"memory.min\": "
			"\"7\", \"cpu.weight\": \"3\", \"cpu.max\": \"1000 10000\", "
			"\"pids.max\": \"12\", \"cpuset.cpus\": \"1\", "
			"\"memory.oom.group\": \"1\", \"io.weight\": \"77\"}}",
			true, false),
		  "MemoryHigh t " INFINITY_T "\nMemoryMin t 7\nCPUWeight t 3\n"
		  "CPUQuotaPeriodUSec t 10000\nCPUQuotaPerSecUSec t 100000\n"
		  "TasksMax t 12\nAllowedCPUs ay 2\nIOWeight t 77\n");
	/* the one that comes later wins */
	CHECK_STR(lines(&b,
			"{\"pids\": {\"limit\": 5}, \"unified\": {\"pids.max\": "
			"\"6\"}}",
			true, false),
		  "TasksMax t 6\n");
}

TEST(properties_of_devices)
{
	static const char always[] =
		" char-* m block-* m /dev/char/1:3 rwm /dev/char/1:5 rwm /dev/char/1:7 "
		"rwm "
		"/dev/char/1:8 rwm /dev/char/1:9 rwm /dev/char/5:0 rwm /dev/char/5:2 rwm "
		"char-pts rwm\n";
	BUF_AUTO b = {0};

	lines(&b,
	      "{\"devices\": [{\"allow\": false, \"access\": \"rwm\"}, {\"allow\": true, "
	      "\"type\": \"c\", \"major\": 10, \"minor\": 229, \"access\": \"rw\"}]}",
	      true, true);
	CHECK_HAS(buf_str(&b), "DevicePolicy s strict\n");
	CHECK_HAS(buf_str(&b), "DeviceAllow a(ss) /dev/char/10:229 rw");
	CHECK_HAS(buf_str(&b), always);
	/* everything is allowed, but one: that is for the program alone */
	lines(&b,
	      "{\"devices\": [{\"allow\": true, \"access\": \"rwm\"}, {\"allow\": false, "
	      "\"type\": \"c\", \"major\": 10, \"minor\": 229, \"access\": \"rw\"}]}",
	      true, true);
	CHECK_STR(buf_str(&b), "DevicePolicy s auto\nDeviceAllow a(ss) \n");
	lines(&b,
	      "{\"devices\": [{\"allow\": false, \"access\": \"rwm\"}, {\"allow\": true, "
	      "\"type\": \"b\", \"major\": 4000, \"access\": \"rw\"}]}",
	      true, true);
	CHECK_STR(buf_str(&b), "DevicePolicy s auto\nDeviceAllow a(ss) \n");
}

TEST(annotations)
{
	static const struct {
		const char *name, *value, *want;
	} t[] = {
		{"TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec t 123456789"},
		{"TimeoutStopSec", "12", "TimeoutStopUSec t 12000000"},
		{"CollectMode", "'inactive-or-failed'",
		 "CollectMode s inactive-or-failed"},
		{"CollectMode", "\"a\\\"b\"", "CollectMode s a\"b"},
		{"SendSIGHUP", "true", "SendSIGHUP b 1"},
		{"SendSIGHUP", " false", "SendSIGHUP b 0"},
		{"Nice", "-5", "Nice i 18446744073709551611"},
		{"Nice", "int64 -5", "Nice x 18446744073709551611"},
		{"After", "['a.service', \"b.service\"]", "After as a.service b.service"},
		{"After", "[]", "After as "},
		{"Nice", "text", NULL},
		{"Nice", "5x", NULL},
		{"Nice", "byte 256", NULL},
		{"Nice", "2147483648", NULL},
		{"Nice", "", NULL},
		{"Nice", "'a", NULL},
		{"Nice", "'a' b", NULL},
		{"After", "['a'", NULL},
		{"After", "['a' 'b']", NULL},
		{"After", "['a'] b", NULL},
		{"TimeoutStopSec", "-1", NULL},
		{"TimeoutStopSec", "uint64 18446744073709551615", NULL},
		{"a b", "1", NULL},
		{"ab", "1", NULL},
		{"", "1", NULL},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct systemd_property a = {t[i].name, t[i].value};
		struct props p = {0};
		struct err err = {0};
		BUF_AUTO b = {0};

		if (props_annotation(&p, &a, &err) == 0) {
			CHECK_INT(p.n, 1);
			buf_add_fmt(&b, "%s %s ", p.list[0].name, p.list[0].type);
			print_value(&b, &p.list[0]);
			CHECK_STR(buf_str(&b), t[i].want);
		} else {
			CHECK_STR(NULL, t[i].want);
			CHECK_INT(err.code, ERR_INVALID);
			CHECK_HAS(err.msg, t[i].name);
		}
		props_done(&p);
	}
}

/* --- a peer ------------------------------------------------------------------------- */

/* What the peer does with a call. */
struct act {
	const char *method;
	const char *error;  /* name of the error to answer with */
	const char *text;   /* its message */
	const char *result; /* of the job; NULL: no job */
	bool early;	    /* the job's end comes before the answer */
	const char *want;   /* must be found in the message's bytes */
	const char *absent; /* must not */
};

static char dir[64], path[128];

static void send_message(int fd, struct dbus_out *o)
{
	dbus_end(o);
	if (fd_write_all(fd, o->buf->data, o->buf->len) < 0)
		_exit(9);
}

static void send_removed(int fd, const char *unit, const char *job, const char *result)
{
	struct dbus_msg m = {.type = DBUS_SIGNAL,
			     .serial = 1000,
			     .path = "/org/freedesktop/systemd1",
			     .interface = "org.freedesktop.systemd1.Manager",
			     .member = "JobRemoved",
			     .signature = "uoss"};
	BUF_AUTO b = {0};
	struct dbus_out o = {.buf = &b};

	dbus_begin(&o, &m);
	dbus_put_u32(&o, 7);
	dbus_put_str(&o, job);
	dbus_put_str(&o, unit);
	dbus_put_str(&o, result);
	send_message(fd, &o);
}

static void answer(int fd, const struct dbus_msg *call, const struct act *act, bool big)
{
	struct dbus_msg m = {.type = act->error ? DBUS_ERROR : DBUS_RETURN,
			     .serial = 500,
			     .reply_serial = call->serial,
			     .destination = call->sender,
			     .error = act->error,
			     .signature = ""};
	struct dbus_view v = call->body;
	const char *unit = *call->signature == 's' ? dbus_get_str(&v) : "";
	BUF_AUTO b = {0};
	struct dbus_out o = {.buf = &b, .big = big};
	bool group = strcmp(act->method, "Get") == 0;

	if (act->result) {
		send_removed(fd, "other.scope", "/org/freedesktop/systemd1/job/7",
			     "failed");
		send_removed(fd, unit, "/org/freedesktop/systemd1/job/6", "failed");
	}
	if (act->result && act->early)
		send_removed(fd, unit, "/org/freedesktop/systemd1/job/7", act->result);
	m.signature = act->error && act->text ? "s"
		      : act->result	      ? "o"
		      : group		      ? "v"
					      : "";
	dbus_begin(&o, &m);
	if (act->error && act->text)
		dbus_put_str(&o, act->text);
	else if (act->result)
		dbus_put_str(&o, "/org/freedesktop/systemd1/job/7");
	if (group) {
		dbus_put_sig(&o, "s");
		dbus_put_str(&o, act->text);
	}
	send_message(fd, &o);
	if (act->result && !act->early)
		send_removed(fd, unit, "/org/freedesktop/systemd1/job/7", act->result);
}

/* The next call; its bytes are in b. False at the end. */
static bool read_call(int fd, struct buf *b, struct dbus_msg *m)
{
	struct err err;
	size_t n;

	buf_reset(b);
	do {
		uint8_t c;

		if (read(fd, &c, 1) != 1)
			return false;
		buf_add(b, &c, 1);
		if (dbus_length(b->data, b->len, &n, &err) < 0)
			_exit(8);
	} while (!n || b->len < n);
	if (dbus_parse(b->data, n, m, &err) < 0)
		_exit(7);
	return true;
}

/* Does these in this order; the exit status says which was not as it should be. */
static void serve(int fd, const struct act *acts, size_t n, bool big)
{
	struct dbus_msg m;
	BUF_AUTO b = {0};
	size_t i = 0;

	while (read_call(fd, &b, &m)) {
		if (m.type != DBUS_CALL)
			continue; /* a bus has signals of its own */
		if (i == n || strcmp(m.member, acts[i].method) != 0)
			_exit(20 + (int)i);
		if ((acts[i].want &&
		     !memmem(b.data, b.len, acts[i].want, strlen(acts[i].want))) ||
		    (acts[i].absent &&
		     memmem(b.data, b.len, acts[i].absent, strlen(acts[i].absent))))
			_exit(40 + (int)i);
		answer(fd, &m, &acts[i++], big);
	}
	_exit(i == n ? 0 : 60 + (int)i);
}

/* One line of the authentication. */
static void expect(int fd, const char *want, const char *reply)
{
	char got[64] = "";

	for (size_t i = 0; i + 1 < sizeof(got) && !strstr(got, "\r\n"); i++)
		if (read(fd, got + i, 1) != 1)
			_exit(5);
	if (strncmp(got, want, strlen(want)) != 0 ||
	    fd_write_all(fd, reply, strlen(reply)) < 0)
		_exit(6);
}

static void make_place(void)
{
	strcpy(dir, "/tmp/systemd-test.XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/systemd", dir);
	CHECK_INT(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/systemd/private", dir);
	CHECK_INT(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	CHECK_INT(unsetenv("DBUS_SESSION_BUS_ADDRESS"), 0);
}

static void remove_place(void)
{
	unlink(path);
	snprintf(path, sizeof(path), "%s/bus", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/systemd", dir);
	rmdir(path);
	rmdir(dir);
}

/* A child that answers as a user's manager on its private socket. */
static pid_t direct_peer(const struct act *acts, size_t n, bool big, bool old)
{
	struct err err;
	pid_t pid;
	int sock;

	make_place();
	sock = sock_listen_unix(path, 0600, &err);
	CHECK(sock >= 0);
	fd_set_nonblock(sock, false);
	pid = fork();
	if (pid == 0) {
		char nul;
		int fd = accept(sock, NULL, NULL);

		alarm(20);
		if (fd < 0 || read(fd, &nul, 1) != 1 || nul)
			_exit(4);
		expect(fd, "AUTH EXTERNAL\r\n",
		       old ? "OK 0123456789abcdef\r\n" : "DATA\r\n");
		expect(fd, "DATA\r\n",
		       old ? "ERROR Unknown command\r\n" : "OK 0123456789abcdef\r\n");
		expect(fd, "BEGIN\r\n", "");
		serve(fd, acts, n, big);
	}
	close(sock);
	return pid;
}

static int end_peer(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	remove_place();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const struct systemd_start scope = {
	.unit = {"runc-c1.scope", "system.slice"},
	.description = "a test",
	.v2 = true,
};

static int run_scope(struct systemd *s, const struct systemd_start *how, char **group,
		     struct err *err)
{
	int holder = -1, r = systemd_start(s, how, group, &holder, err);

	if (r == 0) {
		CHECK(holder >= 0 && !proc_ended(holder));
		systemd_release(&holder);
	}
	CHECK_INT(holder, -1);
	return r;
}

/* Of a group that is not there: nothing can be read that r lacks. */
static int update(struct systemd *s, const struct resources *r, struct err *err)
{
	struct cgroups *g = cgroups_open(err);
	int rc;

	if (!g)
		SKIP("%s", err->msg);
	rc = systemd_update(s, "runc-c1.scope", g, "/no/such/group", r, err);
	cgroups_free(g);
	return rc;
}

TEST(a_scope_is_started_changed_and_stopped)
{
	static const struct act acts[] = {
		{.method = "StartTransientUnit", .result = "done", .want = "Delegate"},
		{.method = "Get",
		 .text = "/system.slice/runc-c1.scope",
		 .want = "/org/freedesktop/systemd1/unit/runc_2dc1_2escope"},
		{.method = "SetUnitProperties", .want = "TasksMax"},
		{.method = "AttachProcessesToUnit"},
		{.method = "StopUnit", .result = "done"},
		{.method = "ResetFailedUnit"},
	};

	for (int big = 0; big < 2; big++) {
		pid_t peer = direct_peer(acts, 6, big, big);
		struct resources r = {.has_pids = true, .pids = 7};
		struct systemd *s;
		struct err err = {0};
		STR_AUTO group = NULL;

		s = systemd_open(true, &err);
		CHECK_STR(err.msg, "");
		CHECK(s);
		CHECK_INT(run_scope(s, &scope, &group, &err), 0);
		CHECK_STR(group, "/system.slice/runc-c1.scope");
		CHECK_INT(update(s, &r, &err), 0);
		CHECK_INT(systemd_attach(s, "runc-c1.scope", getpid(), &err), 0);
		CHECK_INT(systemd_stop(s, "runc-c1.scope", &err), 0);
		systemd_free(s);
		CHECK_INT(end_peer(peer), 0);
	}
}

/* What systemd says about a start, and what becomes of it. */
static void start_with(const struct act *acts, size_t n, const struct systemd_start *how,
		       enum err_code want, const char *message)
{
	pid_t peer = direct_peer(acts, n, false, false);
	struct err err = {0};
	struct systemd *s = systemd_open(true, &err);
	STR_AUTO group = NULL;
	int r;

	CHECK(s);
	r = run_scope(s, how, &group, &err);
	systemd_free(s);
	CHECK_INT(end_peer(peer), 0);
	CHECK_INT(r, want ? -1 : 0);
	CHECK_INT(want ? err.code : ERR_NONE, want);
	if (want)
		CHECK_HAS(err.msg, message);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no process is left */
}

TEST(a_job_that_ends_before_it_is_told)
{
	static const struct act acts[] = {
		{.method = "StartTransientUnit", .result = "done", .early = true},
		{.method = "Get", .text = "/a"},
	};

	start_with(acts, 2, &scope, ERR_NONE, NULL);
}

TEST(a_failed_unit_of_that_name)
{
	static const struct act acts[] = {
		{.method = "StartTransientUnit",
		 .error = "org.freedesktop.systemd1.UnitExists",
		 .text = "Unit runc-c1.scope already exists."},
		{.method = "ResetFailedUnit"},
		{.method = "StartTransientUnit", .result = "done"},
		{.method = "Get", .text = "/a"},
	};

	start_with(acts, 4, &scope, ERR_NONE, NULL);
}

TEST(a_unit_in_use)
{
	static const struct act acts[] = {
		{.method = "StartTransientUnit",
		 .error = "org.freedesktop.systemd1.UnitExists",
		 .text = "Unit runc-c1.scope already exists."},
		{.method = "ResetFailedUnit"},
		{.method = "StartTransientUnit",
		 .error = "org.freedesktop.systemd1.UnitExists",
		 .text = "Unit runc-c1.scope already exists."},
	};

	start_with(acts, 3, &scope, ERR_EXISTS,
		   "systemd: unit runc-c1.scope: Unit runc-c1.scope already exists.");
}

TEST(a_job_that_fails)
{
	static const struct act acts[] = {
		{.method = "StartTransientUnit", .result = "failed"},
	};

	start_with(acts, 1, &scope, ERR_STATE,
		   "systemd: unit runc-c1.scope: the job's result is \"failed\"");
}

TEST(a_property_that_an_old_systemd_does_not_know)
{
	static const struct resources r = {.cpus = "0", .mems = "0"};
	static const struct act acts[] = {
		{.method = "StartTransientUnit",
		 .want = "AllowedCPUs",
		 .error = "org.freedesktop.DBus.Error.PropertyReadOnly",
		 .text = "Cannot set property AllowedCPUs, or unknown property."},
		{.method = "StartTransientUnit",
		 .absent = "AllowedCPUs",
		 .want = "AllowedMemoryNodes",
		 .error = "org.freedesktop.DBus.Error.PropertyReadOnly",
		 .text = "Cannot set property AllowedMemoryNodes, or unknown property."},
		{.method = "StartTransientUnit",
		 .absent = "AllowedMemoryNodes",
		 .result = "done"},
		{.method = "Get", .text = "/a"},
	};
	struct systemd_start how = scope;

	how.resources = &r;
	start_with(acts, 4, &how, ERR_NONE, NULL);
}

TEST(a_property_that_no_systemd_knows)
{
	static const struct systemd_property p = {"NoSuchThing", "true"};
	static const struct act acts[] = {
		{.method = "StartTransientUnit",
		 .want = "NoSuchThing",
		 .error = "org.freedesktop.DBus.Error.PropertyReadOnly",
		 .text = "Cannot set property NoSuchThing, or unknown property."},
	};
	struct systemd_start how = scope;

	how.properties = &p;
	how.nproperties = 1;
	start_with(acts, 1, &how, ERR_INVALID, "NoSuchThing");
}

TEST(a_unit_without_a_group)
{
	static const struct act acts[] = {
		{.method = "StartTransientUnit", .result = "done"},
		{.method = "Get", .text = ""},
		{.method = "StopUnit", .result = "done"},
		{.method = "ResetFailedUnit"},
	};

	start_with(acts, 4, &scope, ERR_INTERNAL, "no control group");
}

TEST(the_stop_of_a_unit_that_is_gone)
{
	static const struct act acts[] = {
		{.method = "StopUnit",
		 .error = "org.freedesktop.systemd1.NoSuchUnit",
		 .text = "Unit runc-c1.scope not loaded."},
		{.method = "ResetFailedUnit",
		 .error = "org.freedesktop.systemd1.NoSuchUnit"},
	};
	pid_t peer = direct_peer(acts, 2, false, false);
	struct err err;
	struct systemd *s = systemd_open(true, &err);

	CHECK(s);
	CHECK_INT(systemd_stop(s, "runc-c1.scope", &err), 0);
	systemd_free(s);
	CHECK_INT(end_peer(peer), 0);
}

/* A peer that goes away, and one that talks nonsense. */
TEST(a_peer_that_ends)
{
	static const char *const greetings[] = {"", "REJECTED EXTERNAL\r\n",
						"DATA\r\nOK\r\nGET / HTTP/1.1\r\n\r\n"};
	struct err err;

	for (size_t i = 0; i < 3; i++) {
		struct systemd *s;
		pid_t pid;
		int sock;

		make_place();
		sock = sock_listen_unix(path, 0600, &err);
		CHECK(sock >= 0);
		fd_set_nonblock(sock, false);
		pid = fork();
		if (pid == 0) {
			char first[16];
			int fd = accept(sock, NULL, NULL);

			if (read(fd, first, sizeof(first)) < 0 ||
			    fd_write_all(fd, greetings[i], strlen(greetings[i])) < 0)
				_exit(1);
			shutdown(fd, SHUT_WR);
			while (read(fd, first, sizeof(first)) > 0)
				;
			_exit(0);
		}
		close(sock);
		s = systemd_open(true, &err);
		CHECK(i == 2 ? !!s : !s);
		if (s)
			CHECK_INT(systemd_stop(s, "x.scope", &err), -1);
		else
			CHECK_HAS(err.msg, "systemd/private");
		systemd_free(s);
		end_peer(pid);
	}
}

TEST(no_manager)
{
	struct err err;

	make_place();
	CHECK(!systemd_open(true, &err));
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	CHECK_HAS(err.msg, dir);
	remove_place();
}

/* --- behind a dbus-daemon ----------------------------------------------------------- */

static pid_t start_bus(void)
{
	char address[160];
	struct err err;
	pid_t pid;

	make_place();
	snprintf(path, sizeof(path), "%s/bus", dir);
	snprintf(address, sizeof(address), "--address=unix:path=%s", path);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork", address,
		       NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000; i++) {
		struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};
		FD_AUTO fd = sock_connect_unix(path, &err);

		if (fd >= 0)
			return pid;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	remove_place();
	SKIP("no dbus-daemon");
}

/* Takes systemd's name on the bus, says so to `ready`, and answers. */
static void be_systemd(const struct act *acts, size_t n, int ready)
{
	struct bus b = {.fd = -1, .deadline = time_mono() + 20 * NS_PER_SEC};
	struct dbus_out o;
	struct dbus_msg m;
	struct err err;
	BUF_AUTO out = {0};

	alarm(20);
	if (bus_connect(&b, path, false, &err) < 0)
		_exit(2);
	bus_begin(&b, &o, &out, "org.freedesktop.DBus", "/org/freedesktop/DBus",
		  "org.freedesktop.DBus", "RequestName", "su");
	dbus_put_str(&o, "org.freedesktop.systemd1");
	dbus_put_u32(&o, 0);
	if (bus_call(&b, &o, &m, &err) < 0 || write(ready, "", 1) != 1)
		_exit(3);
	/* the bus has told that we have the name */
	while (b.in.len > b.taken)
		bus_wait(&b, &err);
	serve(b.fd, acts, n, false);
}

TEST(behind_a_bus)
{
	static const struct act acts[] = {
		{.method = "Subscribe"},
		{.method = "StartTransientUnit", .result = "done", .want = "MemoryMax"},
		{.method = "Get", .text = "/user.slice/x"},
		{.method = "SetUnitProperties", .want = "MemoryMax"},
		{.method = "StopUnit", .result = "done"},
		{.method = "ResetFailedUnit",
		 .error = "org.freedesktop.systemd1.NoSuchUnit",
		 .text = "not loaded"},
	};
	struct resources r = {.has_limit = true, .limit = 1 << 20, .cpus = "0-3"};
	struct systemd_property p[] = {{"After", "['a.service']"}, {"Nice", "int16 3"}};
	struct systemd_start how = scope;
	pid_t bus = start_bus(), peer;
	struct systemd *s;
	struct err err = {0};
	STR_AUTO group = NULL;
	int ready[2], status;
	char c;

	how.resources = &r;
	how.properties = p;
	how.nproperties = 2;
	CHECK_INT(pipe(ready), 0);
	peer = fork();
	if (peer == 0)
		be_systemd(acts, 6, ready[1]);
	close(ready[1]);
	CHECK_INT(read(ready[0], &c, 1), 1);
	close(ready[0]);

	s = systemd_open(true, &err);
	CHECK_STR(err.msg, "");
	CHECK(s);
	CHECK_INT(run_scope(s, &how, &group, &err), 0);
	CHECK_STR(group, "/user.slice/x");
	CHECK_INT(update(s, &r, &err), 0);
	CHECK_INT(systemd_stop(s, "runc-c1.scope", &err), 0);
	systemd_free(s);
	kill(bus, SIGTERM);
	waitpid(bus, NULL, 0);
	waitpid(peer, &status, 0);
	remove_place();
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

TEST(a_bus_without_systemd)
{
	pid_t bus = start_bus();
	struct err err = {0};
	struct systemd *s = systemd_open(true, &err);
	STR_AUTO group = NULL;

	CHECK(s);
	CHECK_INT(run_scope(s, &scope, &group, &err), -1);
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	CHECK_HAS(err.msg, "runc-c1.scope");
	systemd_free(s);
	kill(bus, SIGTERM);
	waitpid(bus, NULL, 0);
	remove_place();
}
