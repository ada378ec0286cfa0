/*
 * The files that say what is attached: results/NETWORK-CONTAINER-INTERFACE below the cache
 * directory, in libcni's format (kind cniCacheV1), so that its tools and ours see each
 * other's. A file without a result is an intent: ADD has not ended.
 */
#include "cni/cni-int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/file.h"
#include "wire/base64.h"

static const char kind[] = "cniCacheV1";

static char *cache_path(const struct cni_dirs *dirs, const char *net, const char *id,
			const char *ifname)
{
	return xasprintf("%s/results/%s-%s-%s", conf_cache_dir(dirs), net, id, ifname);
}

/* "K=V;K=V" as [["K","V"],...]. */
static void add_args(yyjson_mut_doc *d, yyjson_mut_val *root, const char *args)
{
	yyjson_mut_val *list, *pair;

	if (str_empty(args))
		return;
	list = json_add_arr(d, root, "cniArgs");
	while (*args) {
		size_t n = strcspn(args, ";"), eq = strcspn(args, "=;");

		pair = yyjson_mut_arr_add_arr(d, list);
		yyjson_mut_arr_add_strncpy(d, pair, args, eq);
		yyjson_mut_arr_add_strncpy(d, pair, args + eq + (eq < n),
					   n - eq - (eq < n));
		args += n + (args[n] == ';');
	}
}

int cache_write(const struct cni_dirs *dirs, const struct cache_write *w, struct err *err)
{
	STR_AUTO dir = xasprintf("%s/results", conf_cache_dir(dirs));
	STR_AUTO path = cache_path(dirs, w->net->name, w->container_id, w->ifname);
	JSON_MUT_AUTO d = json_new();
	JSON_AUTO result = NULL;
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	BUF_AUTO config = {0}, text = {0};

	base64_encode(&config, w->net->text, strlen(w->net->text));
	json_add_str(d, root, "kind", kind);
	json_add_str(d, root, "containerId", w->container_id);
	json_add_str(d, root, "config", buf_str(&config));
	json_add_str(d, root, "ifName", w->ifname);
	json_add_str(d, root, "networkName", w->net->name);
	json_add_str(d, root, "netns", w->netns);
	add_args(d, root, w->args);
	if (yyjson_obj_size(w->caps))
		yyjson_mut_obj_add_val(d, root, "capabilityArgs",
				       yyjson_val_mut_copy(d, w->caps));
	if (w->result && w->result->len) {
		result = json_parse(w->result->data, w->result->len, err);
		if (!result)
			return -1;
		yyjson_mut_obj_add_val(d, root, "result",
				       yyjson_val_mut_copy(d,
							   yyjson_doc_get_root(result)));
	}
	json_write(d, false, &text);
	/* no sync: an attachment does not outlive the kernel that it is in */
	if (file_mkdirs(AT_FDCWD, dir, 0700, err) < 0 ||
	    file_replace(AT_FDCWD, path, text.data, text.len, 0600, false, err) < 0)
		return -1;
	return 0;
}

/* What follows "-ID-" in the name NETWORK-ID-INTERFACE of a file, or NULL. */
static const char *interface_of(const char *name, const char *id)
{
	STR_AUTO middle = xasprintf("-%s-", id);
	const char *at = strstr(name, middle);

	return at ? at + strlen(middle) : NULL;
}

int cache_each(const struct cni_dirs *dirs, const char *container_id, const char *ifname,
	       int (*fn)(void *arg, const char *path, const char *ifname,
			 struct err *err),
	       void *arg, struct err *err)
{
	STR_AUTO dir = xasprintf("%s/results", conf_cache_dir(dirs));
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open %s", dir);
	while ((e = readdir(d))) {
		const char *found = interface_of(e->d_name, container_id);
		STR_AUTO path = xasprintf("%s/%s", dir, e->d_name);
		struct err why;

		if (found && *e->d_name == '.') {
			/* half written by a process that has died: the pod has one at a time
			   (with another "-" it may be of a pod whose id begins with ours) */
			if (!strchr(found, '-'))
				unlink(path);
			continue;
		}
		if (!found || (ifname && !str_eq(found, ifname)) ||
		    fn(arg, path, found, &why) == 0)
			continue;
		if (r == 0)
			*err = why;
		r = -1;
	}
	closedir(d);
	return r;
}

/* cniArgs back as "K=V;K=V". */
static char *read_args(yyjson_val *list)
{
	BUF_AUTO b = {0};
	yyjson_val *pair;

	json_each (pair, list) {
		const char *k = yyjson_get_str(yyjson_arr_get(pair, 0));
		const char *v = yyjson_get_str(yyjson_arr_get(pair, 1));

		if (k && v)
			buf_add_fmt(&b, "%s%s=%s", b.len ? ";" : "", k, v);
	}
	return buf_detach(&b);
}

void cache_entry_done(struct cache_entry *e)
{
	cni_net_free(&e->net);
	json_free(&e->doc);
	buf_done(&e->result);
	free(e->container_id);
	free(e->ifname);
	free(e->netns);
	free(e->args);
	*e = (struct cache_entry){0};
}

static int take_entry(struct cache_entry *e, struct err *err)
{
	yyjson_val *root = yyjson_doc_get_root(e->doc), *result;
	const char *config, *id, *ifname;
	BUF_AUTO text = {0};

	if (!str_eq(str_or_empty(json_str(root, "kind")), kind))
		return err_set(err, ERR_CORRUPT, "kind is not %s", kind);
	if (json_want_str(root, "cache", "config", &config, err) < 0 ||
	    json_want_str(root, "cache", "containerId", &id, err) < 0 ||
	    json_want_str(root, "cache", "ifName", &ifname, err) < 0)
		return -1;
	if (base64_decode(&text, config, strlen(config)) < 0)
		return err_set(err, ERR_CORRUPT, "config is not base64");
	if (conf_parse(buf_str(&text), text.len, NULL, &e->net, err) < 0)
		return err_wrap(err, "config");
	e->container_id = xstrdup(id);
	e->ifname = xstrdup(ifname);
	e->netns = xstrdup(str_or_empty(json_str(root, "netns")));
	e->args = read_args(json_arr(root, "cniArgs"));
	e->caps = json_obj(root, "capabilityArgs");
	result = json_obj(root, "result");
	if (result)
		json_write_val(result, false, &e->result);
	return 0;
}

int cache_read(const char *path, struct cache_entry *ret, struct err *err)
{
	struct cache_entry e = {0};
	BUF_AUTO text = {0};

	if (file_read(AT_FDCWD, path, 4 * CNI_CONF_MAX, &text, err) < 0)
		return -1;
	e.doc = json_parse(text.data, text.len, err);
	if (!e.doc || take_entry(&e, err) < 0) {
		cache_entry_done(&e);
		return err_wrap(err, "%s", path);
	}
	*ret = e;
	return 0;
}
