/* logs: reading a container's log file. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "list.h"
#include "logfile.h"

/* A local time by a strptime format that takes all of text. */
static int local_time(const char *text, const char *format, int64_t *ret)
{
	struct tm tm = {.tm_isdst = -1};
	const char *end = strptime(text, format, &tm);

	if (!end || (*end && *end != '.'))
		return -1;
	if (*end == '.') {
		int64_t ns = 0, unit = NS_PER_SEC / 10;

		while (*++end >= '0' && *end <= '9') {
			ns += (*end - '0') * unit;
			unit /= 10;
		}
		if (*end)
			return -1;
		*ret = (int64_t)mktime(&tm) * NS_PER_SEC + ns;
		return 0;
	}
	*ret = (int64_t)mktime(&tm) * NS_PER_SEC;
	return 0;
}

/* --since: how long ago (42m), a time, a date, or seconds since 1970. ns since 1970. */
static int parse_since(const char *text, int64_t *ret, struct err *err)
{
	static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M",
					      "%Y-%m-%dT%H", "%Y-%m-%d"};
	int64_t ago;
	char *end;

	if (strspn(text, "0123456789.") == strlen(text) && *text) {
		uint64_t sec = strtoull(text, &end, 10);
		double frac = *end == '.' ? strtod(end, NULL) : 0;

		if (sec > INT64_MAX / NS_PER_SEC)
			return err_set(err, ERR_INVALID, "--since: '%.100s' is too large",
				       text);
		*ret = (int64_t)sec * NS_PER_SEC + (int64_t)(frac * (double)NS_PER_SEC);
		return 0;
	}
	if (num_duration(text, &ago) == 0) {
		*ret = time_real() - ago;
		return 0;
	}
	if (time_parse(text, ret) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (local_time(text, formats[i], ret) == 0)
			return 0;
	return err_set(err, ERR_INVALID, "--since: '%.100s' is no time and no duration",
		       text);
}

/* The log of the attempt before: .../NAME/2.log becomes .../NAME/1.log. NULL if none was. */
static const char *previous_path(struct ctl *c, yyjson_val *status, const char *path,
				 struct err *err)
{
	int64_t attempt = ctl_i64(json_obj(status, "metadata"), "attempt");
	const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');

	if (attempt <= 0) {
		err_set(err, ERR_NOT_FOUND, "%s: this is the first attempt",
			str_or_empty(json_str(json_obj(status, "metadata"), "name")));
		return NULL;
	}
	return arena_fmt(&c->arena, "%.*s%" PRId64 "%s",
			 slash ? (int)(slash - path) + 1 : 0, path, attempt - 1,
			 dot ? dot : "");
}

struct running {
	struct ctl *c;
	const char *id;
};

/* A runtime that does not answer just now says nothing about the container. */
static bool is_running(void *arg)
{
	struct running *r = arg;
	struct err err = {0};
	JSON_AUTO doc = containers_status(r->c, r->id, false, &err);
	const char *state;

	if (!doc) {
		ctl_disconnect(r->c);
		return err.code == ERR_UNAVAILABLE || err.code == ERR_TIMEOUT;
	}
	state = json_str(json_obj(yyjson_doc_get_root(doc), "status"), "state");
	return str_eq(str_or_empty(state), "CONTAINER_RUNNING");
}

static int parse(const struct opts *o, struct logfile_query *q, struct err *err)
{
	const char *stream = opts_text(o, "stream"), *since = opts_text(o, "since");

	q->follow = opts_flag(o, "follow");
	q->timestamps = opts_flag(o, "timestamps");
	q->tail = opts_num(o, "tail", -1);
	q->limit = opts_num(o, "limit-bytes", -1);
	q->out = q->err = true;
	if (since && parse_since(since, &q->since, err) < 0)
		return -1;
	if (!stream)
		return 0;
	if (!str_eq(stream, "stdout") && !str_eq(stream, "stderr"))
		return err_set(err, ERR_INVALID,
			       "--stream is stdout or stderr, not '%.100s'", stream);
	if (opts_get(o, "tail")->set)
		return err_set(err, ERR_INVALID,
			       "--tail and --stream exclude each other");
	q->out = str_eq(stream, "stdout");
	q->err = !q->out;
	return 0;
}

static int reopen(struct ctl *c, const char *id, struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("container_id", id);
	JSON_AUTO doc = ctl_call(c, CRI_RPC_ReopenContainerLog, req, WAIT_QUICK, 0, err);

	return doc ? 0 : -1;
}

static int run_logs(struct ctl *c, const struct opts *o, struct err *err)
{
	struct logfile_query q = {.tail = -1, .limit = -1};
	struct running running = {.c = c};
	JSON_AUTO doc = NULL;
	const char *path;
	yyjson_val *status;

	if (parse(o, &q, err) < 0)
		return -1;
	running.id = ctl_container_id(c, o->argv[0], err);
	if (!running.id || (opts_flag(o, "reopen") && reopen(c, running.id, err) < 0))
		return -1;
	doc = containers_status(c, running.id, false, err);
	if (!doc)
		return -1;
	status = json_obj(yyjson_doc_get_root(doc), "status");
	path = json_str(status, "logPath");
	if (str_empty(path))
		return err_set(err, ERR_STATE, "container %.64s has no log file",
			       running.id);
	if (opts_flag(o, "previous"))
		path = previous_path(c, status, path, err);
	if (!path)
		return -1;
	q.is_running = is_running;
	q.arg = &running;
	return logfile_read(c, path, &q, err);
}

static const char logs_opts[] =
	"  -f, --follow                go on until the container ends\n"
	"      --tail N                only the last N lines\n"
	"      --since WHEN            newer than 42m, 2026-01-02T13:23:37, ...\n"
	"  -t, --timestamps            with the time of each line\n"
	"      --limit-bytes N         no more than N bytes\n"
	"  -s, --stream NAME           only stdout or stderr\n"
	"  -p, --previous              of the attempt before\n"
	"  -r, --reopen                let the runtime open the file anew first\n";

const struct command ctl_logs = {
	.name = "logs",
	.synopsis = "CONTAINER-ID",
	.purpose = "Print what a container has written to its standard streams",
	.opts = logs_opts,
	.min = 1,
	.max = 1,
	.run = run_logs,
};
