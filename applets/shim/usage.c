/*
 * usage: what a pod has used that no cgroup counts: its network's bytes, its containers' files.
 * In a worker: walking a container's files may take long, or hang.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"
#include "shim/container.h"

enum { MAX_NET = 1 << 20 };

struct usage {
	struct shim *s;
	struct reply reply;
};

/* One line of /proc/net/dev (proc_pid_net(5)): name, 8 numbers received, 8 sent. */
static void add_interface(const char *line, yyjson_mut_doc *d, yyjson_mut_val *arr)
{
	unsigned long long rx, rx_errors, tx, tx_errors;
	const char *colon = line + strcspn(line, ":\n");
	yyjson_mut_val *v;
	char *name;

	if (*colon != ':' ||
	    sscanf(colon + 1, "%llu %*u %llu %*u %*u %*u %*u %*u %llu %*u %llu", &rx,
		   &rx_errors, &tx, &tx_errors) != 4)
		return;
	line += strspn(line, " ");
	name = xstrndup(line, (size_t)(colon - line));
	v = yyjson_mut_arr_add_obj(d, arr);
	json_add_str(d, v, "name", name);
	json_add_u64(d, v, "rx_bytes", rx);
	json_add_u64(d, v, "rx_errors", rx_errors);
	json_add_u64(d, v, "tx_bytes", tx);
	json_add_u64(d, v, "tx_errors", tx_errors);
	free(name);
}

static int add_network(struct shim *s, yyjson_mut_doc *d, struct err *err)
{
	yyjson_mut_val *arr = json_add_arr(d, yyjson_mut_doc_get_root(d), "interfaces");
	BUF_AUTO text = {0};
	const char *line;
	int back;

	if (s->pod.ns[POD_NS_NET] < 0) /* the host's: not the pod's to count */
		return 0;
	back = netns_enter(s->pod.ns[POD_NS_NET], err);
	if (back < 0)
		return -1;
	fd_close(&back); /* this process ends soon */
	if (file_read(AT_FDCWD, "/proc/self/net/dev", MAX_NET, &text, err) < 0)
		return -1;
	for (line = buf_str(&text); line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!*line)
			break;
		add_interface(line, d, arr);
	}
	return 0;
}

static int add_disks(struct shim *s, yyjson_mut_doc *d, struct err *err)
{
	yyjson_mut_val *arr = json_add_arr(d, yyjson_mut_doc_get_root(d), "disks"), *v;

	list_each (n, &s->containers) {
		struct container *ct = container_of(n, struct container, node);
		STR_AUTO path = xasprintf("containers/%s/upper", ct->id);
		uint64_t bytes, inodes;

		if (ct->making)
			continue;
		if (file_disk_use(s->rootfd, path, &bytes, &inodes, err) < 0)
			return -1;
		v = yyjson_mut_arr_add_obj(d, arr);
		json_add_str(d, v, "id", ct->id);
		json_add_u64(d, v, "bytes", bytes);
		json_add_u64(d, v, "inodes", inodes);
	}
	return 0;
}

static int usage_work(void *arg, struct work_result *res, struct err *err)
{
	struct shim *s = ((const struct usage *)arg)->s;
	JSON_MUT_AUTO d = json_new();

	if (add_disks(s, d, err) < 0 || add_network(s, d, err) < 0)
		return -1;
	json_write(d, false, &res->out);
	return 0;
}

static void usage_done(void *arg, struct work_result *res, const struct err *err)
{
	struct usage *u = arg;
	JSON_AUTO doc = NULL;
	JSON_MUT_AUTO d = NULL;
	struct err e;

	if (!err && !(doc = json_parse(res->out.data, res->out.len, &e)))
		err = &e;
	if (err) {
		reply_error(&u->reply, err);
	} else {
		d = yyjson_doc_mut_copy(doc, NULL);
		reply_json(&u->reply, d, NULL, 0);
	}
	free(u);
}

void pod_usage(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct usage *u = xcalloc(1, sizeof(*u));
	struct err err;

	u->s = s;
	u->reply = reply_to(s, c, m);
	if (work_start(s, usage_work, usage_done, u, &err) < 0) {
		reply_error(&u->reply, &err);
		free(u);
	}
}
