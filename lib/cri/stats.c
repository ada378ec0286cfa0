/*
 * stats: what containers and pods use. Control groups are read here; what a pod's network has
 * carried and its containers have written is asked from the shims first, for a while.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cgroup/cgroup.h"
#include "cri/service-int.h"

static const int64_t PATIENCE_NS = 2 * NS_PER_SEC;
static const char MAIN_INTERFACE[] = "eth0"; /* as CNI runtimes name it */

/* A call that waits for shims. It is found by its number: they may answer late. */
struct gather {
	struct list node;
	struct cri_service *svc;
	struct grpc_call *call;
	char number[ID_LEN + 1];
	struct buf msg;
	unsigned waiting;
	struct loop_timer patience;
	void (*answer)(struct rpc *r);
	const ProtobufCMessageDescriptor *request;
};

static void gather_end(struct gather *g)
{
	struct rpc r = {.svc = g->svc, .call = g->call};
	ProtobufCMessage *req;
	struct err err;

	list_del(&g->node);
	loop_timer_del(&g->patience);
	if (pb_unpack(g->request, g->msg.data, g->msg.len, &r.arena, &req, &err) < 0) {
		grpc_fail(g->call, &err);
	} else {
		r.req = req;
		g->answer(&r);
	}
	arena_done(&r.arena);
	buf_done(&g->msg);
	free(g);
}

/* A shim that hangs costs its own pod's figures, not the call. */
static void on_patience(struct loop_timer *t)
{
	gather_end(container_of(t, struct gather, patience));
}

static void used(struct pending *q, struct chan_msg *m, const struct err *err)
{
	if (!err && m->json) {
		json_free(&q->pod->usage);
		q->pod->usage = json_copy(m->json);
	}
	list_each (n, &q->svc->gathers) {
		struct gather *g = container_of(n, struct gather, node);

		if (str_eq(g->number, q->id) && !--g->waiting) {
			gather_end(g);
			return;
		}
	}
}

/* Asks one pod's shim, or with pod NULL those of all pods that are ready, then answers. */
static void gather(struct rpc *r, const struct pod *only, void (*answer)(struct rpc *r))
{
	struct cri_service *s = r->svc;
	struct gather *g = xcalloc(1, sizeof(*g));

	g->svc = s;
	g->call = r->call;
	g->answer = answer;
	g->request = r->req->descriptor;
	buf_add(&g->msg, r->msg, r->len);
	snprintf(g->number, sizeof(g->number), "%llu", (unsigned long long)++s->ngathers);
	g->patience.fn = on_patience;
	g->waiting = 1; /* not all are asked yet */
	list_add(&s->gathers, &g->node);
	loop_timer_set(s->loop, &g->patience, time_mono() + PATIENCE_NS);
	list_each (n, &s->pods) {
		struct pod *p = container_of(n, struct pod, node);
		JSON_MUT_AUTO d = NULL;

		if ((only && p != only) || !p->chan || !pod_ready(p))
			continue;
		d = shim_op("pod.usage", p->id);
		g->waiting++;
		shim_request(p, NULL, g->number, d, NULL, used);
	}
	if (!--g->waiting)
		gather_end(g);
}

/* --- figures --------------------------------------------------------------------------- */

static Cri__UInt64Value *number(uint64_t v, struct arena *a)
{
	Cri__UInt64Value *out = pb_new(&cri__uint64_value__descriptor, a);

	out->value = v;
	return out;
}

static Cri__PsiData *stall(const struct cgroup_stall *s, struct arena *a)
{
	Cri__PsiData *out = pb_new(&cri__psi_data__descriptor, a);

	out->total = s->total * 1000;
	out->avg10 = s->avg10 / 100.0;
	out->avg60 = s->avg60 / 100.0;
	out->avg300 = s->avg300 / 100.0;
	return out;
}

static Cri__PsiStats *pressure(const struct cgroup_pressure *p, struct arena *a)
{
	Cri__PsiStats *out;

	if (!p->present)
		return NULL;
	out = pb_new(&cri__psi_stats__descriptor, a);
	out->full = stall(&p->full, a);
	out->some = stall(&p->some, a);
	return out;
}

static Cri__CpuUsage *cpu(const struct cgroup_stats *st, struct cpu_sample *last,
			  int64_t now, struct arena *a)
{
	Cri__CpuUsage *out = pb_new(&cri__cpu_usage__descriptor, a);
	int64_t span = now - last->when;

	out->timestamp = now;
	out->usage_core_nano_seconds = number(st->cpu_total, a);
	out->psi = pressure(&st->cpu_pressure, a);
	if (last->when && span >= NS_PER_SEC && st->cpu_total >= last->total) {
		last->rate = (uint64_t)((double)(st->cpu_total - last->total) /
					(double)span * (double)NS_PER_SEC);
		last->known = true;
	}
	if (!last->when || span >= NS_PER_SEC || span < 0) {
		last->when = now;
		last->total = st->cpu_total;
	}
	if (last->known)
		out->usage_nano_cores = number(last->rate, a);
	return out;
}

/* Version 1 has totals of the whole tree, and version 2 nothing else. */
static uint64_t memory_stat(const struct cgroup_stats *st, const char *v1, const char *v2)
{
	uint64_t v = cgroup_memory_stat(st, v1);

	return v ? v : cgroup_memory_stat(st, v2);
}

static Cri__MemoryUsage *memory(const struct cgroup_stats *st, int64_t now,
				struct arena *a)
{
	Cri__MemoryUsage *out = pb_new(&cri__memory_usage__descriptor, a);
	uint64_t idle = memory_stat(st, "total_inactive_file", "inactive_file");
	uint64_t set = st->memory.usage - MIN(st->memory.usage, idle);
	bool limited = st->memory.limit < UINT64_MAX >> 2; /* version 1: none is 2^63 */

	out->timestamp = now;
	out->usage_bytes = number(st->memory.usage, a);
	out->working_set_bytes = number(set, a);
	if (limited)
		out->available_bytes =
			number(st->memory.limit - MIN(st->memory.limit, set), a);
	out->rss_bytes = number(memory_stat(st, "total_rss", "anon"), a);
	out->page_faults = number(memory_stat(st, "total_pgfault", "pgfault"), a);
	out->major_page_faults =
		number(memory_stat(st, "total_pgmajfault", "pgmajfault"), a);
	out->psi = pressure(&st->memory_pressure, a);
	return out;
}

static Cri__SwapUsage *swap(const struct cgroup_stats *st, int64_t now, struct arena *a)
{
	Cri__SwapUsage *out = pb_new(&cri__swap_usage__descriptor, a);
	uint64_t usage = st->swap.usage - MIN(st->swap.usage, st->memory.usage);
	uint64_t limit = st->swap.limit - MIN(st->swap.limit, st->memory.limit);

	out->timestamp = now;
	out->swap_usage_bytes = number(usage, a);
	if (st->swap.limit < UINT64_MAX >> 2)
		out->swap_available_bytes = number(limit - MIN(limit, usage), a);
	return out;
}

static Cri__IoUsage *io(const struct cgroup_stats *st, int64_t now, struct arena *a)
{
	Cri__IoUsage *out = pb_new(&cri__io_usage__descriptor, a);

	out->timestamp = now;
	out->psi = pressure(&st->io_pressure, a);
	return out;
}

/* The figures of a group. 0, or -1 if it is not there. */
static int read_group(struct cri_service *s, const char *path, struct arena *a,
		      struct cgroup_stats *ret)
{
	struct err err;

	if (!s->cgroups)
		s->cgroups = cgroups_open(&err);
	if (!s->cgroups || !path)
		return -1;
	return cgroup_stats(s->cgroups, path,
			    CGROUP_STATS_CPU | CGROUP_STATS_MEMORY | CGROUP_STATS_PIDS |
				    CGROUP_STATS_PRESSURE,
			    a, ret, &err);
}

/* --- containers ------------------------------------------------------------------------ */

static Cri__FilesystemUsage *written(const struct ctr *c, int64_t now, struct arena *a)
{
	Cri__FilesystemUsage *out = pb_new(&cri__filesystem_usage__descriptor, a);
	yyjson_val *v;

	out->timestamp = now;
	out->fs_id = pb_new(&cri__filesystem_identifier__descriptor, a);
	out->fs_id->mountpoint = c->pod->svc->opt.def.root;
	out->used_bytes = number(0, a);
	out->inodes_used = number(0, a);
	if (!c->pod->usage)
		return out;
	json_each (v, json_arr(yyjson_doc_get_root(c->pod->usage), "disks"))
		if (str_eq(str_or_empty(json_str(v, "id")), c->id)) {
			out->used_bytes->value = json_u64(v, "bytes", 0);
			out->inodes_used->value = json_u64(v, "inodes", 0);
		}
	return out;
}

static Cri__ContainerStats *container(struct ctr *c,
				      const Cri__CreateContainerRequest *made,
				      struct arena *a)
{
	Cri__ContainerStats *out = pb_new(&cri__container_stats__descriptor, a);
	const Cri__ContainerConfig *config = made->config;
	struct cgroup_stats st = {0};
	int64_t now = time_real();

	out->attributes = pb_new(&cri__container_attributes__descriptor, a);
	out->attributes->id = c->id;
	out->attributes->metadata = config->metadata;
	out->attributes->n_labels = config->n_labels;
	out->attributes->labels = (void *)config->labels;
	out->attributes->n_annotations = config->n_annotations;
	out->attributes->annotations = (void *)config->annotations;
	out->writable_layer = written(c, now, a);
	if (ctr_state(c) != CRI__CONTAINER_STATE__CONTAINER_RUNNING ||
	    read_group(c->pod->svc, json_str(yyjson_doc_get_root(c->doc), "cgroup"), a,
		       &st) < 0)
		return out;
	out->cpu = cpu(&st, &c->cpu, now, a);
	out->memory = memory(&st, now, a);
	out->swap = swap(&st, now, a);
	out->io = io(&st, now, a);
	return out;
}

static void answer_container(struct rpc *r)
{
	const Cri__ContainerStatsRequest *req = (const void *)r->req;
	Cri__ContainerStatsResponse resp = CRI__CONTAINER_STATS_RESPONSE__INIT;
	const Cri__CreateContainerRequest *made;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);

	if (!c || !(made = ctr_request(c, &r->arena, &err)))
		return rpc_fail(r, &err);
	resp.stats = container(c, made, &r->arena);
	rpc_reply(r, &resp.base);
}

void do_ContainerStats(struct rpc *r)
{
	const Cri__ContainerStatsRequest *req = (const void *)r->req;
	struct err err;
	struct ctr *c = ctr_find(r->svc, req->container_id, &err);

	if (!c)
		return rpc_fail(r, &err);
	gather(r, c->pod, answer_container);
}

static bool wanted(const struct ctr *c, const Cri__ContainerStatsFilter *f,
		   const Cri__ContainerConfig *config)
{
	return !f ||
	       ((!*f->id || str_starts(c->id, f->id)) &&
		(!*f->pod_sandbox_id || str_starts(c->pod->id, f->pod_sandbox_id)) &&
		pb_map_holds(config->labels, config->n_labels, f->label_selector,
			     f->n_label_selector));
}

/* The containers of a pod that have not ended. Returns how many were added. */
static size_t containers(struct pod *p, const Cri__ContainerStatsFilter *f,
			 Cri__ContainerStats **list, struct arena *a)
{
	size_t n = 0;
	struct err err;

	list_each (node, &p->ctrs) {
		struct ctr *c = container_of(node, struct ctr, node);
		const Cri__CreateContainerRequest *made;

		if (!c->doc || ctr_state(c) == CRI__CONTAINER_STATE__CONTAINER_EXITED)
			continue;
		made = ctr_request(c, a, &err);
		if (made && wanted(c, f, made->config))
			list[n++] = container(c, made, a);
	}
	return n;
}

static void answer_containers(struct rpc *r)
{
	const Cri__ListContainerStatsRequest *req = (const void *)r->req;
	Cri__ListContainerStatsResponse resp = CRI__LIST_CONTAINER_STATS_RESPONSE__INIT;

	resp.stats = arena_array(&r->arena, r->svc->ctr_ids.len, sizeof(*resp.stats));
	list_each (n, &r->svc->pods)
		resp.n_stats += containers(container_of(n, struct pod, node), req->filter,
					   resp.stats + resp.n_stats, &r->arena);
	rpc_reply(r, &resp.base);
}

void do_ListContainerStats(struct rpc *r)
{
	gather(r, NULL, answer_containers);
}

/* --- pods ------------------------------------------------------------------------------ */

static Cri__NetworkInterfaceUsage *interface(yyjson_val *v, struct arena *a)
{
	Cri__NetworkInterfaceUsage *out =
		pb_new(&cri__network_interface_usage__descriptor, a);

	out->name = arena_strdup(a, str_or_empty(json_str(v, "name")));
	out->rx_bytes = number(json_u64(v, "rx_bytes", 0), a);
	out->rx_errors = number(json_u64(v, "rx_errors", 0), a);
	out->tx_bytes = number(json_u64(v, "tx_bytes", 0), a);
	out->tx_errors = number(json_u64(v, "tx_errors", 0), a);
	return out;
}

static Cri__NetworkUsage *network(const struct pod *p, int64_t now, struct arena *a)
{
	yyjson_val *list = p->usage
				   ? json_arr(yyjson_doc_get_root(p->usage), "interfaces")
				   : NULL,
		   *v;
	Cri__NetworkUsage *out;

	if (!list || !yyjson_arr_size(list))
		return NULL;
	out = pb_new(&cri__network_usage__descriptor, a);
	out->timestamp = now;
	out->interfaces = arena_array(a, yyjson_arr_size(list), sizeof(*out->interfaces));
	json_each (v, list) {
		const char *name = str_or_empty(json_str(v, "name"));

		if (str_eq(name, MAIN_INTERFACE))
			out->default_interface = interface(v, a);
		else if (!str_eq(name, "lo"))
			out->interfaces[out->n_interfaces++] = interface(v, a);
	}
	return out;
}

static Cri__PodSandboxStats *pod(struct pod *p, const Cri__RunPodSandboxRequest *made,
				 struct arena *a)
{
	Cri__PodSandboxStats *out = pb_new(&cri__pod_sandbox_stats__descriptor, a);
	Cri__LinuxPodSandboxStats *lin =
		pb_new(&cri__linux_pod_sandbox_stats__descriptor, a);
	const Cri__PodSandboxConfig *config = made->config;
	struct cgroup_stats st = {0};
	int64_t now = time_real();
	size_t n = 0;

	out->attributes = pb_new(&cri__pod_sandbox_attributes__descriptor, a);
	out->attributes->id = p->id;
	out->attributes->metadata = config->metadata;
	out->attributes->n_labels = config->n_labels;
	out->attributes->labels = (void *)config->labels;
	out->attributes->n_annotations = config->n_annotations;
	out->attributes->annotations = (void *)config->annotations;
	out->linux = lin;
	list_each (node, &p->ctrs)
		n++;
	lin->containers = arena_array(a, n, sizeof(*lin->containers));
	lin->n_containers = containers(p, NULL, lin->containers, a);
	lin->network = network(p, now, a);
	if (read_group(p->svc, json_str(yyjson_doc_get_root(p->doc), "cgroup"), a, &st) <
	    0)
		return out;
	lin->cpu = cpu(&st, &p->cpu, now, a);
	lin->memory = memory(&st, now, a);
	lin->io = io(&st, now, a);
	if (st.has_pids) {
		lin->process = pb_new(&cri__process_usage__descriptor, a);
		lin->process->timestamp = now;
		lin->process->process_count = number(st.pids, a);
	}
	return out;
}

static void answer_pod(struct rpc *r)
{
	const Cri__PodSandboxStatsRequest *req = (const void *)r->req;
	Cri__PodSandboxStatsResponse resp = CRI__POD_SANDBOX_STATS_RESPONSE__INIT;
	const Cri__RunPodSandboxRequest *made;
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);

	if (!p || !(made = pod_request(p, &r->arena, &err)))
		return rpc_fail(r, &err);
	resp.stats = pod(p, made, &r->arena);
	rpc_reply(r, &resp.base);
}

void do_PodSandboxStats(struct rpc *r)
{
	const Cri__PodSandboxStatsRequest *req = (const void *)r->req;
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);

	if (!p)
		return rpc_fail(r, &err);
	gather(r, p, answer_pod);
}

static void answer_pods(struct rpc *r)
{
	const Cri__ListPodSandboxStatsRequest *req = (const void *)r->req;
	const Cri__PodSandboxStatsFilter *f = req->filter;
	Cri__ListPodSandboxStatsResponse resp =
		CRI__LIST_POD_SANDBOX_STATS_RESPONSE__INIT;
	struct err err;

	resp.stats = arena_array(&r->arena, r->svc->pod_ids.len, sizeof(*resp.stats));
	list_each (n, &r->svc->pods) {
		struct pod *p = container_of(n, struct pod, node);
		const Cri__RunPodSandboxRequest *made;

		if (!p->doc || !pod_ready(p) ||
		    (f && *f->id && !str_starts(p->id, f->id)))
			continue;
		made = pod_request(p, &r->arena, &err);
		if (made &&
		    (!f || pb_map_holds(made->config->labels, made->config->n_labels,
					f->label_selector, f->n_label_selector)))
			resp.stats[resp.n_stats++] = pod(p, made, &r->arena);
	}
	rpc_reply(r, &resp.base);
}

void do_ListPodSandboxStats(struct rpc *r)
{
	gather(r, NULL, answer_pods);
}
