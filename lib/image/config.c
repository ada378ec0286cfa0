/* image configs, and what follows from them */
#include <string.h>

#include "base/str.h"
#include "image/image.h"
#include "wire/digest.h"
#include "wire/json.h"
#include "wire/ref.h"

enum { MAX_STRINGS = 10000 };

/* Labels that runtimes give a meaning to; an image must not be able to (CVE-2026-53488). */
static const char *const reserved[] = {"io.cribox.", "io.kubernetes.", "containerd.io/",
				       "io.containerd.", "io.cri-"};

static int bad(struct err *err, const char *key, const char *why)
{
	return err_set(err, ERR_INVALID, "%s: %s", key, why);
}

static int read_str(yyjson_val *obj, const char *key, struct arena *a, const char **ret,
		    struct err *err)
{
	yyjson_val *v = json_get(obj, key);

	*ret = "";
	if (!v)
		return 0;
	if (!yyjson_is_str(v))
		return bad(err, key, "not a string");
	*ret = arena_strdup(a, yyjson_get_str(v));
	return 0;
}

static int read_strs(yyjson_val *obj, const char *key, struct arena *a,
		     struct image_strs *ret, struct err *err)
{
	yyjson_val *list = json_get(obj, key), *v;
	size_t n = yyjson_arr_size(list);

	if (list && !yyjson_is_arr(list))
		return bad(err, key, "not an array");
	if (n > MAX_STRINGS)
		return bad(err, key, "too many entries");
	ret->v = arena_array(a, n + 1, sizeof(*ret->v));
	json_each (v, list) {
		if (!yyjson_is_str(v))
			return bad(err, key, "an entry is not a string");
		ret->v[ret->n++] = arena_strdup(a, yyjson_get_str(v));
	}
	return 0;
}

/* The keys of an object whose values say nothing: a set in JSON. */
static int read_set(yyjson_val *obj, const char *key, struct arena *a,
		    struct image_strs *ret, struct err *err)
{
	yyjson_val *set = json_get(obj, key), *k, *v;
	size_t n = yyjson_obj_size(set);

	if (set && !yyjson_is_obj(set))
		return bad(err, key, "not an object");
	if (n > MAX_STRINGS)
		return bad(err, key, "too many entries");
	ret->v = arena_array(a, n + 1, sizeof(*ret->v));
	json_each_member (k, v, set) {
		(void)v;
		ret->v[ret->n++] = arena_strdup(a, yyjson_get_str(k));
	}
	return 0;
}

static bool is_reserved(const char *label)
{
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (str_starts(label, reserved[i]))
			return true;
	return false;
}

static int read_labels(yyjson_val *obj, struct arena *a, struct image_config *c,
		       struct err *err)
{
	yyjson_val *labels = json_get(obj, "Labels"), *k, *v;
	size_t n = yyjson_obj_size(labels);

	if (labels && !yyjson_is_obj(labels))
		return bad(err, "Labels", "not an object");
	if (n > MAX_STRINGS)
		return bad(err, "Labels", "too many entries");
	c->labels = arena_array(a, n, sizeof(*c->labels));
	json_each_member (k, v, labels) {
		const char *key = yyjson_get_str(k);

		if (!yyjson_is_str(v))
			return bad(err, "Labels", "a value is not a string");
		if (!is_reserved(key))
			c->labels[c->n_labels++] = (struct image_label){
				arena_strdup(a, key), arena_strdup(a, yyjson_get_str(v))};
	}
	return 0;
}

/* An entry without '=' would name a variable of ours (CVE-2026-57231). */
static void drop_bad_env(struct image_strs *env)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->n; i++)
		if (strchr(env->v[i], '=') && env->v[i][0] != '=')
			env->v[kept++] = env->v[i];
	env->n = kept;
	env->v[kept] = NULL;
}

static int read_config(yyjson_val *obj, struct arena *a, struct image_config *c,
		       struct err *err)
{
	if (read_str(obj, "User", a, &c->user, err) < 0 ||
	    read_str(obj, "WorkingDir", a, &c->working_dir, err) < 0 ||
	    read_str(obj, "StopSignal", a, &c->stop_signal, err) < 0 ||
	    read_strs(obj, "Env", a, &c->env, err) < 0 ||
	    read_strs(obj, "Entrypoint", a, &c->entrypoint, err) < 0 ||
	    read_strs(obj, "Cmd", a, &c->cmd, err) < 0 ||
	    read_set(obj, "Volumes", a, &c->volumes, err) < 0 ||
	    read_set(obj, "ExposedPorts", a, &c->exposed_ports, err) < 0 ||
	    read_labels(obj, a, c, err) < 0)
		return err_wrap(err, "config");
	drop_bad_env(&c->env);
	return 0;
}

static int read_rootfs(yyjson_val *obj, struct arena *a, struct image_config *c,
		       struct err *err)
{
	const char *type = json_str(obj, "type");

	if (!obj || !type || !str_eq(type, "layers"))
		return bad(err, "rootfs.type", "not \"layers\"");
	if (read_strs(obj, "diff_ids", a, &c->diff_ids, err) < 0)
		return err_wrap(err, "rootfs");
	for (size_t i = 0; i < c->diff_ids.n; i++)
		if (!ref_is_digest(c->diff_ids.v[i]))
			return err_set(err, ERR_INVALID,
				       "rootfs.diff_ids[%zu]: not a digest", i);
	return 0;
}

static int parse(yyjson_val *root, struct arena *a, struct image_config *c,
		 struct err *err)
{
	if (!yyjson_is_obj(root))
		return err_set(err, ERR_INVALID, "not a JSON object");
	if (read_str(root, "os", a, &c->platform.os, err) < 0 ||
	    read_str(root, "architecture", a, &c->platform.architecture, err) < 0 ||
	    read_str(root, "variant", a, &c->platform.variant, err) < 0 ||
	    read_str(root, "created", a, &c->created, err) < 0)
		return -1;
	if (read_rootfs(json_get(root, "rootfs"), a, c, err) < 0)
		return -1;
	if (json_get(root, "config") && !json_obj(root, "config"))
		return bad(err, "config", "not an object");
	return read_config(json_obj(root, "config"), a, c, err);
}

int image_config_parse(const void *data, size_t n, struct arena *a,
		       struct image_config *ret, struct err *err)
{
	struct image_config c = {0};
	JSON_AUTO doc = NULL;

	if (n > IMAGE_MAX_DOC)
		return err_set(err, ERR_INVALID, "image config: larger than %d bytes",
			       IMAGE_MAX_DOC);
	doc = json_parse(data, n, err);
	if (!doc)
		return err_wrap(err, "image config");
	if (parse(yyjson_doc_get_root(doc), a, &c, err) < 0)
		return err_wrap(err, "image config");
	*ret = c;
	return 0;
}

const char **image_chain_ids(const struct image_strs *diff_ids, struct arena *a)
{
	const char **ids = arena_array(a, diff_ids->n, sizeof(*ids));
	struct digest chain = {0};

	for (size_t i = 0; i < diff_ids->n; i++) {
		char *text = arena_alloc(a, DIGEST_TEXT);
		struct digest parent = chain, diff;
		struct err ignored;

		/* was checked when the config was read */
		(void)digest_parse(diff_ids->v[i], &diff, &ignored);
		digest_chain(i ? &parent : NULL, &diff, &chain);
		digest_format(text, &chain);
		ids[i] = text;
	}
	return ids;
}
