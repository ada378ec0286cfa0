/* resolve: ids from prefixes, requests from files and labels. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "ctl.h"
#include "os/file.h"
#include "os/proc.h"
#include "wire/yaml.h"

int64_t ctl_i64(yyjson_val *obj, const char *key)
{
	const char *text = json_str(obj, key);
	int64_t v = 0;

	if (!text)
		return json_i64(obj, key, 0);
	if (num_i64(text, INT64_MIN, INT64_MAX, &v) < 0) {
		uint64_t u;

		return num_u64(text, 0, UINT64_MAX, &u) < 0 ? 0 : INT64_MAX;
	}
	return v;
}

static bool is_full_id(const char *id)
{
	return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}

/* The one id in the list that begins with prefix. */
static const char *unique(struct ctl *c, yyjson_val *list, const char *what,
			  const char *prefix, struct err *err)
{
	const char *found = NULL;
	yyjson_val *v;

	json_each (v, list) {
		const char *id = str_or_empty(json_str(v, "id"));

		if (str_eq(id, prefix))
			return prefix;
		if (!str_starts(id, prefix))
			continue;
		if (found) {
			err_set(err, ERR_INVALID,
				"%s %.64s: more than one begins so: %.64s, "
				"%.64s",
				what, prefix, found, id);
			return NULL;
		}
		found = id;
	}
	return found ? arena_strdup(&c->arena, found) : prefix;
}

static const char *resolve(struct ctl *c, enum cri_rpc rpc, const char *key,
			   const char *what, const char *id, struct err *err)
{
	JSON_AUTO doc = NULL;

	if (!*id) {
		err_set(err, ERR_INVALID, "an empty %s id", what);
		return NULL;
	}
	if (is_full_id(id))
		return id;
	doc = ctl_call(c, rpc, NULL, WAIT_QUICK, 0, err);
	if (!doc)
		return NULL;
	return unique(c, json_arr(yyjson_doc_get_root(doc), key), what, id, err);
}

const char *ctl_container_id(struct ctl *c, const char *id, struct err *err)
{
	return resolve(c, CRI_RPC_ListContainers, "containers", "container", id, err);
}

const char *ctl_pod_id(struct ctl *c, const char *id, struct err *err)
{
	return resolve(c, CRI_RPC_ListPodSandbox, "items", "pod", id, err);
}

static yyjson_doc *read_file(const char *path, struct err *err)
{
	BUF_AUTO text = {0};
	yyjson_doc *doc;

	if (file_read(AT_FDCWD, path, YAML_MAX_INPUT, &text, err) < 0)
		return NULL;
	doc = yaml_parse(text.data, text.len, err);
	if (!doc) {
		err_wrap(err, "%s", path);
		return NULL;
	}
	if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
		err_set(err, ERR_INVALID, "%s: not an object", path);
		json_free(&doc);
	}
	return doc;
}

/* Text, or what becomes text: YAML has its own mind about names like 1 and no. */
static bool is_set(yyjson_val *obj, const char *key)
{
	yyjson_val *v = json_get(obj, key);

	return yyjson_is_num(v) || yyjson_is_bool(v) || !str_empty(json_str(obj, key));
}

yyjson_doc *ctl_read_container(struct ctl *c, const char *path, struct err *err)
{
	yyjson_doc *doc = read_file(path, err);
	yyjson_val *root = yyjson_doc_get_root(doc);

	(void)c;
	if (!doc)
		return NULL;
	if (!is_set(json_obj(root, "metadata"), "name"))
		err_set(err, ERR_INVALID, "%s: metadata.name is not set", path);
	else if (!is_set(json_obj(root, "image"), "image"))
		err_set(err, ERR_INVALID, "%s: image.image is not set", path);
	else
		return doc;
	json_free(&doc);
	return NULL;
}

/* A random UUID, version 4 (RFC 9562, 5.4). */
static void uuid(char dst[40])
{
	uint8_t b[16];

	proc_random(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(dst, 40, "%08" PRIx32 "-%04x-%04x-%04x-%08" PRIx32 "%04x", get_be32(b),
		 get_be16(b + 4), get_be16(b + 6), get_be16(b + 8), get_be32(b + 10),
		 get_be16(b + 14));
}

/* The same document with a metadata.uid. */
static yyjson_doc *with_uid(yyjson_doc *doc)
{
	JSON_MUT_AUTO mut = yyjson_doc_mut_copy(doc, NULL);
	yyjson_mut_val *meta =
		yyjson_mut_obj_get(yyjson_mut_doc_get_root(mut), "metadata");
	yyjson_doc *copy;
	char uid[40];

	uuid(uid);
	yyjson_mut_obj_remove_key(meta, "uid");
	json_add_str(mut, meta, "uid", uid);
	copy = yyjson_mut_doc_imut_copy(mut, NULL);
	if (!copy)
		err_oom(0);
	json_free(&doc);
	return copy;
}

yyjson_doc *ctl_read_pod(struct ctl *c, const char *path, struct err *err)
{
	yyjson_doc *doc = read_file(path, err);
	yyjson_val *root = yyjson_doc_get_root(doc), *meta = json_obj(root, "metadata");

	(void)c;
	if (!doc)
		return NULL;
	if (!is_set(meta, "name") || !is_set(meta, "namespace")) {
		err_set(err, ERR_INVALID,
			"%s: metadata.name or metadata.namespace is not set", path);
		json_free(&doc);
		return NULL;
	}
	return is_set(meta, "uid") ? doc : with_uid(doc);
}

int ctl_add_labels(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		   const struct opt_value *labels, struct err *err)
{
	yyjson_mut_val *map = NULL;

	for (unsigned i = 0; i < labels->n; i++) {
		const char *text = labels->list[i], *eq = strchr(text, '=');

		if (!eq || strchr(eq + 1, '='))
			return err_set(err, ERR_INVALID, "'%.200s' is not KEY=VALUE",
				       text);
		if (!map)
			map = json_add_obj(d, obj, key);
		yyjson_mut_obj_put(map, yyjson_mut_strncpy(d, text, (size_t)(eq - text)),
				   yyjson_mut_strcpy(d, eq + 1));
	}
	return 0;
}

int ctl_each(struct ctl *c, const char *const *ids, size_t n,
	     int (*fn)(struct ctl *c, const struct opts *o, const char *id,
		       struct err *err),
	     const struct opts *o, struct err *err)
{
	int status = 0;

	for (size_t i = 0; i < n; i++) {
		if (fn(c, o, ids[i], err) == 0)
			continue;
		if (n == 1)
			return -1;
		log_error(&c->log, "%s", err->msg);
		*err = (struct err){0};
		status = 1;
	}
	return status;
}
