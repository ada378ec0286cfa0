/*
 * cleanup: a pod whose shim died. Nothing here is remembered from before: all
 * is found again through the records and the names of groups.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "shim/launch.h"
#include "shim/network.h"
#include "store/record.h"

static yyjson_doc *read_doc(int dirfd, const char *path, const char *kind,
			    struct err *err)
{
	BUF_AUTO text = {0};

	if (record_read(dirfd, path, kind, SHIM_RECORD_MAX, &text, err) < 0)
		return NULL;
	return json_parse(text.data, text.len, err);
}

/* The document with members replaced, written as a record. */
static int rewrite(int dirfd, const char *path, const char *kind, yyjson_doc *doc,
		   const char *members, struct err *err)
{
	JSON_AUTO merged = json_merge(yyjson_doc_get_root(doc), members);

	return shim_record(dirfd, path, kind, merged, err);
}

/* Says in a container's record how it ended, if it had not. */
static int mark_ctr(struct shim *s, const char *path, yyjson_doc *doc, struct err *err)
{
	yyjson_val *rec = yyjson_doc_get_root(doc);
	bool ran = str_eq(str_or_empty(json_str(rec, "state")), "running");
	bool reboot = !str_eq(str_or_empty(json_str(rec, "boot_id")), s->boot_id);
	STR_AUTO members = NULL;

	if (str_eq(str_or_empty(json_str(rec, "state")), "exited"))
		return 0;
	members = xasprintf(
		"{\"state\":\"exited\",\"pid\":0,\"finished_at\":%lld,\"exit_code\":%d,"
		"\"reason\":\"%s\",\"message\":\"%s\"}",
		(long long)(s->when ? s->when : time_real()), ran && !reboot ? 137 : 255,
		ran && !reboot ? "Error" : "Unknown",
		reboot ? "the node was restarted"
		       : "the pod's supervisor was killed, and the container with it");
	return rewrite(s->rootfd, path, SHIM_KIND_CTR_STATE, doc, members, err);
}

/* One entry of containers/: kills, marks, removes what is this pod's. */
static int clean_ctr(struct shim *s, const char *name, const char *only, bool remove,
		     struct err *err)
{
	STR_AUTO dir = xasprintf("containers/%s", name);
	STR_AUTO state = xasprintf("%s/" SHIM_FILE_STATE, dir);
	STR_AUTO spec = xasprintf("%s/" SHIM_FILE_SPEC, dir);
	STR_AUTO half = xasprintf(".%s-", s->id);
	STR_AUTO group = NULL;
	JSON_AUTO doc = NULL;
	JSON_AUTO req = NULL;
	yyjson_val *rec;

	if (str_starts(name, half)) /* a creation that was cut off */
		return file_remove_tree(s->rootfd, dir, err);
	if (*name == '.' || (only && !str_eq(only, name)))
		return 0;
	doc = read_doc(s->rootfd, state, SHIM_KIND_CTR_STATE, err);
	if (!doc) /* how it ended cannot be said any more */
		req = read_doc(s->rootfd, spec, SHIM_KIND_SPEC, err);
	rec = yyjson_doc_get_root(doc ? doc : req);
	if (!str_eq(str_or_empty(json_str(rec, "pod")), s->id))
		return 0;
	if (json_str(rec, "cgroup"))
		group = xstrdup(json_str(rec, "cgroup"));
	else if (s->pod.cgroup)
		group = launch_cgroup(s, name);
	if (group && launch_cgroup_remove(s, group, err) < 0)
		return err_wrap(err, "container %s", name);
	return remove || !doc ? file_remove_tree(s->rootfd, dir, err)
			      : mark_ctr(s, state, doc, err);
}

static int clean_ctrs(struct shim *s, const char *only, bool remove, struct err *err)
{
	int fd = file_open_dir(s->rootfd, "containers", false, 0, err);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	while (r == 0 && (e = readdir(d)))
		r = clean_ctr(s, e->d_name, only, remove, err);
	closedir(d);
	return r;
}

static int clean_network(struct shim *s, struct err *err)
{
	if (!s->pod.netns)
		return 0;
	if (network_down(s, err) < 0)
		return -1;
	return netns_unbind(s->pod.netns, err);
}

static int mark_pod(struct shim *s, struct err *err)
{
	JSON_AUTO doc = read_doc(s->podfd, SHIM_FILE_STATE, SHIM_KIND_POD_STATE, err);

	if (!doc) /* it had not come up */
		return 0;
	return rewrite(
		s->podfd, SHIM_FILE_STATE, SHIM_KIND_POD_STATE, doc,
		"{\"state\":\"notready\",\"clean\":true,\"shim_pid\":0,\"pause_pid\":0}",
		err);
}

/* The pod's spec; if that is lost, what crid knows that every pod has. */
static int load_spec(struct shim *s, struct err *err)
{
	if (s->podfd >= 0)
		s->pod.doc = read_doc(s->podfd, "spec", "pod-spec", err);
	if (!s->pod.doc && s->spec)
		s->pod.doc = json_parse(s->spec, strlen(s->spec), err);
	if (!s->pod.doc)
		return -1;
	s->pod.spec = yyjson_doc_get_root(s->pod.doc);
	place_pod(s);
	return 0;
}

/* A container that cannot be named: its group if that is known, and its directory. */
static int clean_orphan(struct shim *s, const char *name, struct err *err)
{
	STR_AUTO dir = xasprintf("containers/%s", name);
	STR_AUTO state = xasprintf("%s/" SHIM_FILE_STATE, dir);
	STR_AUTO spec = xasprintf("%s/" SHIM_FILE_SPEC, dir);
	JSON_AUTO doc = read_doc(s->rootfd, state, SHIM_KIND_CTR_STATE, err);
	JSON_AUTO req = doc ? NULL : read_doc(s->rootfd, spec, SHIM_KIND_SPEC, err);
	yyjson_val *rec = yyjson_doc_get_root(doc ? doc : req);
	const char *pod = json_str(rec, "pod"), *known = json_str(rec, "cgroup");
	STR_AUTO pod_dir = xasprintf("pods/%s", str_or_empty(pod));
	STR_AUTO group = known ? xstrdup(known) : NULL;

	if (pod) {
		s->id = pod;
		s->podfd = file_open_dir(s->rootfd, pod_dir, false, 0, err);
		/* its own clean-up goes first */
		if (s->podfd >= 0 && flock(s->podfd, LOCK_EX) < 0)
			return err_sys(err, errno, "lock pod %s", pod);
	}
	if (!group && pod && load_spec(s, err) == 0)
		group = launch_cgroup(s, name);
	if (group && launch_cgroup_remove(s, group, err) < 0)
		return err_wrap(err, "container %s", name);
	return file_remove_tree(s->rootfd, dir, err);
}

int cleanup_pod(struct shim *s, const char *ctr_id, bool remove, struct err *err)
{
	s->cgroups = cgroups_open(err);
	if (!s->cgroups)
		return -1;
	if (s->podfd < 0 && ctr_id)
		return clean_orphan(s, ctr_id, err);
	if (s->podfd >= 0 && flock(s->podfd, LOCK_EX) < 0)
		return err_sys(err, errno, "lock pod %s", s->id);
	if (ctr_id)
		return clean_ctrs(s, ctr_id, remove, err);
	remove |= s->podfd < 0; /* there is nothing to say it in */
	/* first the shim's own: the pause process, workers, execs */
	if (load_spec(s, err) < 0 || place_clean(s, err) < 0 ||
	    clean_ctrs(s, NULL, remove, err) < 0 || clean_network(s, err) < 0 ||
	    place_remove(s, err) < 0)
		return err_wrap(err, "pod %s", s->id);
	return remove ? pod_forget(s, err) : mark_pod(s, err);
}
