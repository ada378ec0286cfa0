/* update: other limits for a container, at once or when it starts. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "shim/container.h"
#include "shim/launch.h"
#include "store/record.h"

struct update {
	struct shim *s;
	struct reply reply;
	char *id;
	yyjson_doc *doc; /* the request */
};

static yyjson_val *resources_of(const struct update *u)
{
	return json_obj(yyjson_doc_get_root(u->doc), "resources");
}

static int update_work(void *arg, struct work_result *res, struct err *err)
{
	const struct update *u = arg;
	const struct container *ct = ctr_by_id(u->s, u->id, err);
	ARENA_AUTO arena = {0};
	struct resources r = {0};
	BUF_AUTO text = {0};

	(void)res;
	if (!ct)
		return -1;
	json_write_val(resources_of(u), false, &text);
	if (resources_parse(text.data, text.len, &arena, &r, err) < 0)
		return -1;
	/* one that has not started has no group yet */
	return ct->state == CTR_RUNNING ? launch_update(ct, &r, err) : 0;
}

/* The members of from take the place of those of to, group by group (cpu, memory). */
static void merge(yyjson_mut_doc *d, yyjson_mut_val *to, yyjson_val *from)
{
	yyjson_val *k, *v;

	json_each_member (k, v, from) {
		yyjson_mut_val *old = yyjson_mut_obj_get(to, yyjson_get_str(k));

		if (yyjson_is_obj(v) && yyjson_mut_is_obj(old)) {
			merge(d, old, v);
			continue;
		}
		yyjson_mut_obj_remove_key(to, yyjson_get_str(k));
		yyjson_mut_obj_add(to, yyjson_val_mut_copy(d, k),
				   yyjson_val_mut_copy(d, v));
	}
}

/* The container's own request has the new limits from now on: a start takes them from it. */
static void keep(struct container *ct, yyjson_val *resources)
{
	JSON_AUTO doc = container_request(ct);
	JSON_MUT_AUTO d = yyjson_doc_mut_copy(doc, NULL);
	yyjson_mut_val *to =
		yyjson_mut_ptr_get(yyjson_mut_doc_get_root(d), "/spec/linux/resources");
	STR_AUTO path = xasprintf("containers/%s/" SHIM_FILE_SPEC, ct->id);
	BUF_AUTO text = {0};
	struct err err;

	if (!to)
		return;
	merge(d, to, resources);
	json_write(d, false, &text);
	free(ct->request);
	ct->request = xstrdup(buf_str(&text));
	if (record_write(ct->shim->rootfd, path, SHIM_KIND_SPEC, text.data, text.len,
			 false, &err) < 0)
		log_error(&ct->shim->log, "container %s: %s", ct->id, err.msg);
}

static void update_done(void *arg, struct work_result *res, const struct err *err)
{
	struct update *u = arg;
	struct err e;
	struct container *ct = err ? NULL : ctr_by_id(u->s, u->id, &e);

	(void)res;
	if (ct)
		keep(ct, resources_of(u));
	if (err)
		reply_error(&u->reply, err);
	else
		reply_ok(&u->reply);
	json_free(&u->doc);
	free(u->id);
	free(u);
}

void ctr_update(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	struct err err;
	struct container *ct = ctr_by_id(s, str_or_empty(json_str(m->json, "id")), &err);
	struct update *u;

	if (ct && (ct->starting || ct->state == CTR_EXITED)) {
		err_set(&err, ERR_STATE, "container %s is neither created nor running",
			ct->id);
		ct = NULL;
	}
	if (!ct) {
		reply_error(&r, &err);
		return;
	}
	u = xcalloc(1, sizeof(*u));
	*u = (struct update){.s = s, .reply = r, .id = xstrdup(ct->id), .doc = m->doc};
	m->doc = NULL;
	if (work_start(s, update_work, update_done, u, &err) < 0)
		update_done(u, NULL, &err);
}
