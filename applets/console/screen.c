/* screen: what there is to say about the node, as plain text of 80 columns. */
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "console.h"
#include "node/initctl.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "os/proc.h"
#include "tool.h"
#include "wire/json.h"
#include "wire/rtnl.h"

#ifndef CRIBOX_VERSION
#define CRIBOX_VERSION "unknown"
#endif
#ifndef CRIBOX_ARCH
#define CRIBOX_ARCH "unknown"
#endif

enum {
	COLUMNS = 80,
	INDENT = 12,
	SERVICES = 64,
	PODS = 12,     /* lines of the list */
	CTL_MS = 3000, /* for an answer of the daemon */
	CTL_MAX = 8 << 20,
};

/* --- lines --------------------------------------------------------------------------------- */

/* "name        text": text is escaped and folded at blanks into lines of COLUMNS. */
static void add_item(struct buf *out, const char *name, const char *text)
{
	BUF_AUTO safe = {0};
	const char *p;

	str_escape(&safe, text, strlen(text));
	p = buf_str(&safe);
	do {
		size_t room = COLUMNS - 1 - INDENT, n = strlen(p);

		if (n > room) {
			n = room;
			while (n && p[n] != ' ')
				n--;
			if (!n)
				n = room;
		}
		buf_add_fmt(out, "%-*s%.*s\n", INDENT, name, (int)n, p);
		name = "";
		p += n + strspn(p + n, " ");
	} while (*p);
}

/* Two texts at the ends of a line. */
static void add_sides(struct buf *out, const char *left, const char *right)
{
	int gap = COLUMNS - 1 - (int)strlen(left) - (int)strlen(right);

	buf_add_fmt(out, "%s%*s%s\n", left, MAX(gap, 2), "", right);
}

static void add_word(struct buf *list, const char *separator, const char *word)
{
	buf_add_fmt(list, "%s%s", list->len ? separator : "", word);
}

static void add_duration(struct buf *out, int64_t ns)
{
	int64_t s = ns / NS_PER_SEC;

	if (s >= 86400)
		buf_add_fmt(out, "%d d %d h", (int)(s / 86400), (int)(s / 3600 % 24));
	else if (s >= 3600)
		buf_add_fmt(out, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
	else if (s >= 60)
		buf_add_fmt(out, "%d min %d s", (int)(s / 60), (int)(s % 60));
	else
		buf_add_fmt(out, "%d s", (int)s);
}

/* --- the machine --------------------------------------------------------------------------- */

static void add_head(struct buf *out)
{
	struct utsname u;
	char left[160], right[80];

	uname(&u);
	snprintf(left, sizeof(left), "cribox %s on %s, Linux %.60s", CRIBOX_VERSION,
		 CRIBOX_ARCH, u.release);
	snprintf(right, sizeof(right), "node %.64s", u.nodename);
	add_sides(out, left, right);
}

static void add_load(struct buf *out)
{
	BUF_AUTO left = {0};
	char right[40], used[TOOL_SIZE], all[TOOL_SIZE];
	uint64_t total = tool_meminfo("MemTotal"), avail = tool_meminfo("MemAvailable");
	double load = 0;
	time_t now = time(NULL);
	struct tm tm;

	buf_add_str(&left, "up ");
	add_duration(&left, time_mono());
	getloadavg(&load, 1);
	buf_add_fmt(&left, ", load %.2f, memory %s of %s", load,
		    tool_size(used, total - MIN(avail, total)), tool_size(all, total));
	gmtime_r(&now, &tm);
	strftime(right, sizeof(right), "%Y-%m-%d %H:%M:%S UTC", &tm);
	add_sides(out, buf_str(&left), right);
}

/* --- addresses ----------------------------------------------------------------------------- */

/* The global addresses of one link, separated by blanks. */
static void link_addresses(const struct rtnl_link *link, const struct buf *addrs,
			   struct buf *list)
{
	struct nl_view view = {addrs->data, addrs->len};
	struct rtnl_addr a;
	struct nl_msg m;
	char text[IP_NET_TEXT];

	while (nl_next(&view, &m))
		if (rtnl_addr_parse(&m, &a) && a.index == link->index && a.scope == 0)
			buf_add_fmt(list, " %s", ip_net_format(text, &a.addr));
}

/* The real links and those with an address; not what pods hang on. */
static void add_links(struct buf *out, const struct buf *links, const struct buf *addrs)
{
	struct nl_view view = {links->data, links->len};
	const char *name = "addresses";
	struct rtnl_link link;
	struct nl_msg m;

	while (nl_next(&view, &m)) {
		BUF_AUTO text = {0};

		if (!rtnl_link_parse(&m, &link) || link.flags & IFF_LOOPBACK)
			continue;
		buf_add_str(&text, link.name);
		link_addresses(&link, addrs, &text);
		if (!memchr(text.data, ' ', text.len)) {
			if (link.kind[0])
				continue;
			buf_add_str(&text, !(link.flags & IFF_UP)	 ? " down"
					   : !(link.flags & IFF_RUNNING) ? " no carrier"
									 : " no address");
		}
		add_item(out, name, buf_str(&text));
		name = "";
	}
	if (*name)
		add_item(out, name, "no network interface");
}

static void add_addresses(struct buf *out)
{
	struct err err;
	FD_AUTO fd = netlink_open(NETLINK_ROUTE, &err);
	BUF_AUTO request = {0};
	BUF_AUTO links = {0};
	BUF_AUTO addrs = {0};

	rtnl_links_dump(&request, 0);
	if (fd >= 0 && netlink_call(fd, request.data, request.len, &links, &err) == 0) {
		buf_reset(&request);
		rtnl_addrs_dump(&request);
		if (netlink_call(fd, request.data, request.len, &addrs, &err) == 0) {
			add_links(out, &links, &addrs);
			return;
		}
	}
	add_item(out, "addresses", err.msg);
}

/* --- services ------------------------------------------------------------------------------ */

static void add_services(struct buf *out)
{
	struct initctl_service list[SERVICES];
	struct err err;
	FD_AUTO fd = initctl_open(&err);
	int n = fd < 0 ? -1 : initctl_services(fd, list, SERVICES, &err);
	const struct initctl_service *last = NULL;
	BUF_AUTO text = {0};

	if (n < 0) {
		add_item(out, "services", err.msg);
		return;
	}
	for (int i = 0; i < n; i++) {
		const struct initctl_service *s = &list[i];

		add_word(&text, ", ", s->name);
		buf_add_fmt(&text, " %s", initctl_state_name(s->state));
		if (s->restarts)
			buf_add_fmt(&text, " (%u restart%s)", s->restarts,
				    s->restarts == 1 ? "" : "s");
		if (s->error[0] && (!last || s->since > last->since))
			last = s;
	}
	add_item(out, "services", n ? buf_str(&text) : "none");
	if (last) {
		buf_reset(&text);
		buf_add_fmt(&text, "%s: %s", last->name, last->error);
		add_item(out, "last error", buf_str(&text));
	}
}

/* --- pods ---------------------------------------------------------------------------------- */

/* Reads until the end, at most CTL_MAX bytes and until the deadline. */
static bool read_answer(int fd, int64_t deadline, struct buf *out)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = (deadline - time_mono()) / NS_PER_MS;
		ssize_t n;

		if (left <= 0 || out->len > CTL_MAX || poll(&p, 1, (int)left) <= 0)
			return false;
		n = read(fd, buf_reserve(out, 65536), 65536);
		if (n <= 0)
			return n == 0;
		out->len += (size_t)n;
	}
}

/* What our own CRI client says, as JSON. NULL if the daemon does not answer. */
static yyjson_doc *ask_ctl(const char *what, const char *flag)
{
	const char *const argv[] = {"ctl",  "-t", "2s", "--max-retries", "0", what, "-o",
				    "json", flag, NULL};
	struct proc_spawn how = {.argv = argv, .fd3 = -1};
	BUF_AUTO answer = {0};
	FD_AUTO in = -1;
	FD_AUTO out = -1;
	int fds[2], status = 0;
	struct err err;
	bool whole;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return NULL;
	in = fds[0];
	out = fds[1];
	how.fds[0] = how.fds[2] = -1;
	how.fds[1] = out;
	pid = proc_spawn(&how, NULL, &err);
	fd_close(&out);
	if (pid < 0)
		return NULL;
	whole = read_answer(in, time_mono() + CTL_MS * NS_PER_MS, &answer);
	if (!whole)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (!whole || status)
		return NULL;
	return json_parse(answer.data, answer.len, &err);
}

/* Counts a pod's containers; the first that does not run says why. */
static void count_containers(yyjson_val *list, const char *pod, unsigned *ret_all,
			     unsigned *ret_running)
{
	yyjson_val *v;

	*ret_all = *ret_running = 0;
	json_each (v, list) {
		if (!str_eq(str_or_empty(json_str(v, "podSandboxId")), pod))
			continue;
		++*ret_all;
		*ret_running +=
			str_eq(str_or_empty(json_str(v, "state")), "CONTAINER_RUNNING");
	}
}

static bool pod_ready(yyjson_val *pod)
{
	return str_eq(str_or_empty(json_str(pod, "state")), "SANDBOX_READY");
}

static void add_pod(struct buf *out, yyjson_val *pod, yyjson_val *containers)
{
	yyjson_val *meta = json_obj(pod, "metadata");
	unsigned all, running;
	char state[64];
	BUF_AUTO name = {0};

	buf_add_fmt(&name, "%.60s/%.60s", str_or_empty(json_str(meta, "namespace")),
		    str_or_empty(json_str(meta, "name")));
	count_containers(containers, str_or_empty(json_str(pod, "id")), &all, &running);
	snprintf(state, sizeof(state), "%s, %u of %u running",
		 pod_ready(pod) ? "ready" : "not ready", running, all);
	buf_add_fmt(&name, "%*s%s", MAX(40 - (int)name.len, 1), "", state);
	add_item(out, "", buf_str(&name));
}

static void add_pods(struct buf *out)
{
	JSON_AUTO pods = ask_ctl("pods", NULL);
	JSON_AUTO containers = pods ? ask_ctl("ps", "-a") : NULL;
	yyjson_val *items, *list, *v;
	unsigned all = 0, ready = 0, shown = 0;
	char text[96];

	if (!pods || !containers) {
		add_item(out, "pods", "the CRI daemon does not answer");
		return;
	}
	items = json_arr(yyjson_doc_get_root(pods), "items");
	list = json_arr(yyjson_doc_get_root(containers), "containers");
	json_each (v, items) {
		all++;
		ready += pod_ready(v);
	}
	snprintf(text, sizeof(text), all ? "%u ready, %u not ready" : "none", ready,
		 all - ready);
	add_item(out, "pods", text);
	/* first those that a person looks for */
	for (int pass = 0; pass < 2; pass++) {
		json_each (v, items) {
			if (pod_ready(v) == (pass == 1) && shown++ < PODS)
				add_pod(out, v, list);
		}
	}
	if (shown > PODS) {
		snprintf(text, sizeof(text), "and %u more (ctl pods)", shown - PODS);
		add_item(out, "", text);
	}
}

static void add_complaints(struct buf *out, const struct console *c)
{
	struct node_config *config = console_config(c);
	const char *name = "config";

	for (unsigned i = 0; i < MIN(config->ncomplaints, 3U); i++) {
		BUF_AUTO text = {0};

		buf_add_fmt(&text, "%s: %s", config->complaints[i].where,
			    config->complaints[i].text);
		add_item(out, name, buf_str(&text));
		name = "";
	}
	if (config->ncomplaints > 3)
		add_item(out, "", "and more (config check)");
	free(config);
}

void screen_facts(const struct console *c, struct buf *out)
{
	add_addresses(out);
	add_services(out);
	add_pods(out);
	add_complaints(out, c);
}

void screen_make(const struct console *c, struct buf *out)
{
	buf_add_char(out, '\n');
	add_head(out);
	add_load(out);
	screen_facts(c, out);
}
