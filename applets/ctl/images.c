/* images: the commands about images. */
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "list.h"
#include "password.h"

static void add_image(yyjson_mut_doc *d, const char *name)
{
	json_add_str(d, json_add_obj(d, yyjson_mut_doc_get_root(d), "image"), "image",
		     name);
}

yyjson_doc *images_status(struct ctl *c, const char *image, bool verbose, struct err *err)
{
	JSON_MUT_AUTO req = json_new();

	add_image(req, image);
	json_add_bool(req, yyjson_mut_doc_get_root(req), "verbose", verbose);
	return ctl_call(c, CRI_RPC_ImageStatus, req, WAIT_QUICK, 0, err);
}

/* --- pull ------------------------------------------------------------------------------------ */

static int add_auth(struct ctl *c, const struct opts *o, yyjson_mut_doc *d,
		    struct err *err)
{
	const char *user = opts_text(o, "username"), *creds = opts_text(o, "creds");
	const char *auth = opts_text(o, "auth"), *colon;
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *obj;
	char password[1024];

	if (!str_empty(user)) {
		if (password_ask(c, password, sizeof(password), err) < 0)
			return -1;
		obj = json_add_obj(d, root, "auth");
		json_add_str(d, obj, "username", user);
		json_add_str(d, obj, "password", password);
		return 0;
	}
	if (!str_empty(creds) && !str_empty(auth))
		return err_set(err, ERR_INVALID, "--creds and --auth exclude each other");
	if (!str_empty(auth))
		json_add_str(d, json_add_obj(d, root, "auth"), "auth", auth);
	if (str_empty(creds))
		return 0;
	colon = strchr(creds, ':');
	if (colon == creds)
		return err_set(err, ERR_INVALID, "--creds: the user name is empty");
	obj = json_add_obj(d, root, "auth");
	json_add_str(d, obj, "username",
		     colon ? arena_strndup(&c->arena, creds, (size_t)(colon - creds))
			   : creds);
	json_add_str(d, obj, "password", colon ? colon + 1 : "");
	return 0;
}

const char *images_pull(struct ctl *c, const struct opts *o, const char *image,
			yyjson_val *annotations, yyjson_val *pod, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(req);
	int64_t timeout = opts_num(o, "pull-timeout", 0);
	JSON_AUTO doc = NULL;

	if (timeout < 0) {
		err_set(err, ERR_INVALID, "--pull-timeout is negative");
		return NULL;
	}
	add_image(req, image);
	if (annotations)
		yyjson_mut_obj_add_val(req, yyjson_mut_obj_get(root, "image"),
				       "annotations",
				       yyjson_val_mut_copy(req, annotations));
	if (pod)
		yyjson_mut_obj_add_val(req, root, "sandbox_config",
				       yyjson_val_mut_copy(req, pod));
	if (add_auth(c, o, req, err) < 0)
		return NULL;
	doc = ctl_call(c, CRI_RPC_PullImage, req, WAIT_FOREVER, timeout, err);
	if (!doc) {
		err_wrap(err, "pull %.200s", image);
		return NULL;
	}
	return arena_strdup(&c->arena,
			    str_or_empty(json_str(yyjson_doc_get_root(doc), "imageRef")));
}

static int run_pull(struct ctl *c, const struct opts *o, struct err *err)
{
	const char *file = opts_text(o, "pod-config"), *ref;
	JSON_MUT_AUTO labels = json_new();
	JSON_AUTO annotations = NULL;
	JSON_AUTO pod = NULL;

	if (file && !(pod = ctl_read_pod(c, file, err)))
		return -1;
	if (ctl_add_labels(labels, yyjson_mut_doc_get_root(labels), "annotations",
			   opts_get(o, "annotation"), err) < 0)
		return -1;
	annotations = yyjson_mut_doc_imut_copy(labels, NULL);
	ref = images_pull(c, o, o->argv[0],
			  json_obj(yyjson_doc_get_root(annotations), "annotations"),
			  yyjson_doc_get_root(pod), err);
	if (!ref)
		return -1;
	ctl_say(c, "Image is up to date for %s\n", ref);
	return 0;
}

/* --- images ---------------------------------------------------------------------------------- */

static const char *first(yyjson_val *v, const char *key)
{
	return yyjson_get_str(yyjson_arr_get_first(json_arr(v, key)));
}

static int by_name(const void *a, const void *b)
{
	static const char *const keys[] = {"repoTags", "repoDigests"};
	yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (first(x, keys[i]) && first(y, keys[i]))
			return strcmp(first(x, keys[i]), first(y, keys[i]));
	return strcmp(str_or_empty(json_str(x, "id")), str_or_empty(json_str(y, "id")));
}

/* What stands before and behind the '@' of the first digest. */
static void repo_of(struct ctl *c, yyjson_val *v, const char **ret_name,
		    const char **ret_digest)
{
	const char *text = first(v, "repoDigests"), *at = text ? strchr(text, '@') : NULL;

	*ret_name = *ret_digest = "<none>";
	if (!at)
		return;
	*ret_name = arena_strndup(&c->arena, text, (size_t)(at - text));
	*ret_digest = at + 1;
}

/* A tag's name and what follows its last colon; without a colon it is no tag. */
static void tag_of(struct ctl *c, const char *text, const char *repo,
		   const char **ret_name, const char **ret_tag)
{
	const char *colon = strrchr(text, ':');

	*ret_name = *ret_tag = "errorRepoTag";
	if (!colon)
		return;
	*ret_name = arena_strndup(&c->arena, text, (size_t)(colon - text));
	if (str_eq(*ret_name, "<none>"))
		*ret_name = repo;
	*ret_tag = colon + 1;
}

static bool is_named(struct ctl *c, yyjson_val *v, const char *what)
{
	const char *repo, *digest, *name = NULL, *tag = "<none>";

	if (strchr(what, '@'))
		return str_starts(str_or_empty(first(v, "repoDigests")), what);
	if (!strchr(what, ':'))
		return str_starts(str_or_empty(json_str(v, "id")), what);
	repo_of(c, v, &repo, &digest);
	if (first(v, "repoTags"))
		tag_of(c, first(v, "repoTags"), repo, &name, &tag);
	return str_eq(arena_fmt(&c->arena, "%s:%s", name ? name : repo, tag), what);
}

/* before=, since=: the images in front of the one that is named, from the end or the start. */
static void keep_until(struct ctl *c, struct list *l, const char *what, bool from_end)
{
	size_t i, n = 0;
	bool digest = strchr(what, '@');

	if (from_end) {
		for (i = l->n; i > 0 && !is_named(c, l->items[i - 1], what); i--)
			;
		memmove(l->items, l->items + i, (l->n - i) * sizeof(*l->items));
		l->n -= i;
	} else {
		for (i = 0; i < l->n && !is_named(c, l->items[i], what); i++)
			;
		l->n = i;
	}
	for (i = 0; digest && i < l->n; i++) /* by digest: only those that have one */
		if (first(l->items[i], "repoDigests"))
			l->items[n++] = l->items[i];
	if (digest)
		l->n = n;
}

static int keep_reference(struct ctl *c, struct list *l, const char *pattern,
			  struct err *err)
{
	LIST_QUERY_AUTO q = {0};
	size_t n = 0;

	if (list_regex(&q.name, pattern, err) < 0)
		return -1;
	for (size_t i = 0; i < l->n; i++) {
		const char *repo, *digest;

		repo_of(c, l->items[i], &repo, &digest);
		if (!q.name || regexec(q.name, repo, 0, NULL, 0) == 0 ||
		    str_eq(repo, pattern))
			l->items[n++] = l->items[i];
	}
	l->n = n;
	return 0;
}

static void keep_dangling(struct list *l, const char *want)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		bool tagged = first(l->items[i], "repoTags") != NULL;

		if ((str_eq(want, "true") && !tagged) ||
		    (str_eq(want, "false") && tagged))
			l->items[n++] = l->items[i];
	}
	l->n = n;
}

static int keep(struct ctl *c, struct list *l, const struct opt_value *filters,
		struct err *err)
{
	for (unsigned i = 0; i < filters->n; i++) {
		const char *f = filters->list[i], *eq = strchr(f, '=');

		if (str_starts(f, "before="))
			keep_until(c, l, eq + 1, true);
		else if (str_starts(f, "since="))
			keep_until(c, l, eq + 1, false);
		else if (str_starts(f, "dangling="))
			keep_dangling(l, eq + 1);
		else if (!str_starts(f, "reference="))
			return err_set(err, ERR_INVALID, "--filter: unknown: %.100s", f);
		else if (keep_reference(c, l, eq + 1, err) < 0)
			return -1;
	}
	return 0;
}

/* All images, or those of one name, sorted and filtered. */
static int list(struct ctl *c, const char *name, const struct opt_value *filters,
		yyjson_doc **ret_doc, struct list *ret, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	yyjson_mut_val *filter =
		json_add_obj(req, yyjson_mut_doc_get_root(req), "filter");
	yyjson_val *arr, *v;

	json_add_str(req, json_add_obj(req, filter, "image"), "image",
		     str_or_empty(name));
	*ret_doc = ctl_call(c, CRI_RPC_ListImages, req, WAIT_QUICK, 0, err);
	if (!*ret_doc)
		return -1;
	arr = json_arr(yyjson_doc_get_root(*ret_doc), "images");
	ret->items = xcalloc(yyjson_arr_size(arr) + 1, sizeof(*ret->items));
	json_each (v, arr)
		ret->items[ret->n++] = v;
	qsort(ret->items, ret->n, sizeof(*ret->items), by_name);
	return keep(c, ret, filters, err);
}

static void say_image(struct ctl *c, yyjson_val *v)
{
	yyjson_val *text;

	ctl_say(c, "ID: %s\n", json_str(v, "id"));
	json_each (text, json_arr(v, "repoTags"))
		ctl_say(c, "RepoTags: %s\n", yyjson_get_str(text));
	json_each (text, json_arr(v, "repoDigests"))
		ctl_say(c, "RepoDigests: %s\n", yyjson_get_str(text));
	if (ctl_i64(v, "size"))
		ctl_say(c, "Size: %ld\n", (long)ctl_i64(v, "size"));
	if (json_obj(v, "uid"))
		ctl_say(c, "Uid: value:%ld\n",
			(long)ctl_i64(json_obj(v, "uid"), "value"));
	if (!str_empty(json_str(v, "username")))
		ctl_say(c, "Username: %s\n", json_str(v, "username"));
	if (json_bool(v, "pinned", false))
		ctl_say(c, "Pinned: true\n");
	ctl_say(c, "\n");
}

static void add_row(struct ctl *c, const struct opts *o, struct table *t, yyjson_val *v,
		    const char *name, const char *tag, const char *digest)
{
	bool full = opts_flag(o, "no-trunc");
	char size[PRINT_SHORT];

	table_add(t, name);
	table_add(t, tag);
	if (opts_flag(o, "digests"))
		table_add(t, print_id(c, digest, full));
	table_add(t, print_id(c, json_str(v, "id"), full));
	print_size(size, (uint64_t)ctl_i64(v, "size"), 3);
	table_add(t, size);
	if (opts_flag(o, "pinned"))
		table_add(t, json_bool(v, "pinned", false) ? "true" : "false");
}

static void add_rows(struct ctl *c, const struct opts *o, struct table *t, yyjson_val *v)
{
	const char *repo, *digest, *name, *tag;
	yyjson_val *text;

	repo_of(c, v, &repo, &digest);
	if (!first(v, "repoTags"))
		add_row(c, o, t, v, repo, "<none>", digest);
	json_each (text, json_arr(v, "repoTags")) {
		tag_of(c, str_or_empty(yyjson_get_str(text)), repo, &name, &tag);
		add_row(c, o, t, v, name, tag, digest);
	}
}

static int run_images(struct ctl *c, const struct opts *o, struct err *err)
{
	const char *head[8] = {"IMAGE", "TAG"};
	size_t n = 2;
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	TABLE_AUTO t = {0};
	enum print_format format;

	if (print_format_of(opts_text(o, "output"), PRINT_TABLE, &format, err) < 0 ||
	    list(c, o->argc ? o->argv[0] : NULL, opts_get(o, "filter"), &doc, &found,
		 err) < 0)
		return -1;
	if (format != PRINT_TABLE)
		return list_print(c, "images", &found, format, err);
	if (opts_flag(o, "digests"))
		head[n++] = "DIGEST";
	head[n++] = "IMAGE ID";
	head[n++] = "SIZE";
	if (opts_flag(o, "pinned"))
		head[n++] = "PINNED";
	table_add_head(&t, head);
	for (size_t i = 0; i < found.n; i++) {
		if (opts_flag(o, "quiet"))
			ctl_say(c, "%s\n", json_str(found.items[i], "id"));
		else if (opts_flag(o, "verbose"))
			say_image(c, found.items[i]);
		else
			add_rows(c, o, &t, found.items[i]);
	}
	if (!opts_flag(o, "quiet") && !opts_flag(o, "verbose"))
		table_print(c, &t);
	return 0;
}

/* --- inspecti -------------------------------------------------------------------------------- */

static void say_status(struct ctl *c, yyjson_val *answer, bool verbose)
{
	yyjson_val *v = json_obj(answer, "status"), *text;
	char size[PRINT_SHORT];

	ctl_say(c, "ID: %s\n", json_str(v, "id"));
	json_each (text, json_arr(v, "repoTags"))
		ctl_say(c, "Tag: %s\n", yyjson_get_str(text));
	json_each (text, json_arr(v, "repoDigests"))
		ctl_say(c, "Digest: %s\n", yyjson_get_str(text));
	print_size(size, (uint64_t)ctl_i64(v, "size"), 3);
	ctl_say(c, "Size: %s\n", size);
	if (verbose)
		print_info(c, json_obj(answer, "info"));
}

/* The answer with "image" renamed to what other objects call it. */
static yyjson_doc *status(struct ctl *c, const char *name, bool verbose, struct err *err)
{
	JSON_AUTO doc = images_status(c, name, verbose, err);
	yyjson_val *root = yyjson_doc_get_root(doc), *image = json_obj(root, "image");
	JSON_MUT_AUTO d = json_new();
	yyjson_doc *copy;

	if (!doc)
		return NULL;
	if (!image) {
		err_set(err, ERR_NOT_FOUND, "no such image: %.200s", name);
		return NULL;
	}
	yyjson_mut_obj_add_val(d, yyjson_mut_doc_get_root(d), "status",
			       yyjson_val_mut_copy(d, image));
	if (json_obj(root, "info"))
		yyjson_mut_obj_add_val(d, yyjson_mut_doc_get_root(d), "info",
				       yyjson_val_mut_copy(d, json_obj(root, "info")));
	copy = yyjson_mut_doc_imut_copy(d, NULL);
	if (!copy)
		err_oom(0);
	return copy;
}

static int run_inspecti(struct ctl *c, const struct opts *o, struct err *err)
{
	static const char *const nulls[] = {NULL};
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	struct inspect in = {.nulls = nulls, .fetch = status, .say = say_status};

	if (o->argc == 0 &&
	    list(c, opts_text(o, "name"), opts_get(o, "filter"), &doc, &found, err) < 0)
		return -1;
	return list_inspect(c, o, &found, &in, err);
}

/* --- rmi ------------------------------------------------------------------------------------- */

/* An image goes with all its tags: who named one of several should know. */
static void warn_of_tags(struct ctl *c, const char *name, yyjson_val *tags)
{
	yyjson_val *tag;

	if (yyjson_arr_size(tags) < 2 || str_starts(name, "sha256:") ||
	    (!strchr(name, ':') && !strchr(name, '/')))
		return;
	log_warn(&c->log,
		 "%s is one of several tags of its image; all go with it:", name);
	json_each (tag, tags)
		log_warn(&c->log, "  %s", yyjson_get_str(tag));
}

static int remove_one(struct ctl *c, const struct opts *o, const char *name,
		      struct err *err)
{
	JSON_AUTO doc = images_status(c, name, false, err);
	JSON_MUT_AUTO req = json_new();
	JSON_AUTO done = NULL;
	yyjson_val *image, *tags, *v;

	if (!doc)
		return err_wrap(err, "remove image %.200s", name);
	image = json_obj(yyjson_doc_get_root(doc), "image");
	if (!image)
		return err_set(err, ERR_NOT_FOUND, "no such image: %.200s", name);
	tags = json_arr(image, "repoTags");
	warn_of_tags(c, name, tags);
	add_image(req, name);
	done = ctl_call(c, CRI_RPC_RemoveImage, req, WAIT_LONG, 0, err);
	if (!done && opts_flag(o, "prune")) { /* somebody uses it by now */
		log_warn(&c->log, "%s", err->msg);
		return 0;
	}
	if (!done)
		return err_wrap(err, "remove image %.200s", name);
	if (!yyjson_arr_size(tags))
		tags = json_arr(image, "repoDigests");
	json_each (v, tags)
		ctl_say(c, "Deleted: %s\n", yyjson_get_str(v));
	return ctl_flush(c, err);
}

/* Takes the images that containers use out of the list. -1 on failure. */
static int drop_used(struct ctl *c, const char **ids, size_t *n, struct err *err)
{
	JSON_AUTO doc = ctl_call(c, CRI_RPC_ListContainers, NULL, WAIT_QUICK, 0, err);
	yyjson_val *v;

	if (!doc)
		return -1;
	json_each (v, json_arr(yyjson_doc_get_root(doc), "containers")) {
		const char *name = json_str(json_obj(v, "image"), "image"), *id;
		JSON_AUTO image = images_status(c, str_or_empty(name), false, err);
		size_t kept = 0;

		if (!image) /* what cannot be told must not be removed */
			return -1;
		id = json_str(json_obj(yyjson_doc_get_root(image), "image"), "id");
		for (size_t i = 0; i < *n; i++)
			if (!id || !str_eq(ids[i], id))
				ids[kept++] = ids[i];
		*n = kept;
	}
	return 0;
}

static int run_rmi(struct ctl *c, const struct opts *o, struct err *err)
{
	bool prune = opts_flag(o, "prune");
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	struct opt_value none = {0};
	const char **ids;
	size_t n = 0;

	if (!opts_flag(o, "all") && !prune) {
		if (o->argc == 0)
			return err_set(err, ERR_INVALID,
				       "which images? (ids, --all or --prune)");
		return ctl_each(c, (const char *const *)o->argv, (size_t)o->argc,
				remove_one, o, err);
	}
	if (list(c, NULL, &none, &doc, &found, err) < 0)
		return -1;
	ids = arena_array(&c->arena, found.n + 1, sizeof(*ids));
	for (size_t i = 0; i < found.n; i++)
		if (!prune || !json_bool(found.items[i], "pinned", false))
			ids[n++] = str_or_empty(json_str(found.items[i], "id"));
	if (prune && drop_used(c, ids, &n, err) < 0)
		return -1;
	return ctl_each(c, ids, n, remove_one, o, err);
}

/* --- imagefsinfo ----------------------------------------------------------------------------- */

static void say_file_systems(struct ctl *c, const char *what, yyjson_val *arr)
{
	yyjson_val *v;
	unsigned i = 0;

	ctl_say(c, "%s Filesystem \n", what);
	json_each (v, arr) {
		char size[PRINT_SHORT];

		print_size(size, (uint64_t)ctl_i64(json_obj(v, "usedBytes"), "value"), 4);
		ctl_say(c, "TimeStamp[%u]: %ld\n", i, (long)ctl_i64(v, "timestamp"));
		ctl_say(c, "Disk[%u]: %s\n", i, size);
		ctl_say(c, "Inodes[%u]: %ld\n", i,
			(long)ctl_i64(json_obj(v, "inodesUsed"), "value"));
		ctl_say(c, "Mountpoint[%u]: %s\n", i,
			json_str(json_obj(v, "fsId"), "mountpoint"));
		i++;
	}
}

static int run_imagefsinfo(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_AUTO doc = NULL;
	JSON_MUT_AUTO out = json_new();
	yyjson_val *root;
	enum print_format format;
	yyjson_mut_val *v;

	if (print_format_of(opts_text(o, "output"), PRINT_JSON, &format, err) < 0)
		return -1;
	doc = ctl_call(c, CRI_RPC_ImageFsInfo, NULL, WAIT_QUICK, 0, err);
	if (!doc)
		return -1;
	root = yyjson_doc_get_root(doc);
	if (format == PRINT_TABLE) {
		say_file_systems(c, "Container", json_arr(root, "containerFilesystems"));
		say_file_systems(c, "Image", json_arr(root, "imageFilesystems"));
		return 0;
	}
	v = print_status(out, yyjson_val_mut_copy(out, root), NULL, err);
	return v ? print_sorted(c, v, format, err) : -1;
}

/* --- the tables ------------------------------------------------------------------------------ */

static const char pull_opts[] =
	PULL_OPTS "      --pod-config FILE       the pod that the pull is for\n"
		  "  -a, --annotation KEY=VALUE  of the image (repeatable)\n";

#define FILTER "  -f, --filter FILTER         dangling=, reference=, before=, since=\n"

static const char images_opts[] =
	FILTER "  -o, --output FORMAT         table (default), json or yaml\n"
	       "  -q, --quiet                 only ids\n"
	       "  -v, --verbose               all there is, one below the other\n"
	       "      --digests               digests too\n"
	       "      --no-trunc              full ids\n"
	       "      --pinned                whether they are pinned too\n";

static const char inspecti_opts[] =
	"      --name IMAGE            of this name\n" FILTER
	"  -o, --output FORMAT         json (default), yaml or table\n"
	"  -q, --quiet                 without the image's config\n"
	"      --template TEXT         for go-template, which is not there yet\n";

static const char rmi_opts[] =
	"  -a, --all                   all images\n"
	"  -q, --prune                 those that no container uses\n";

static const char imagefsinfo_opts[] =
	"  -o, --output FORMAT         json (default), yaml or table\n"
	"      --template TEXT         for go-template, which is not there yet\n";

const struct command ctl_pull = {
	.name = "pull",
	.synopsis = "NAME[:TAG|@DIGEST]",
	.purpose = "Pull an image from its registry",
	.opts = pull_opts,
	.min = 1,
	.max = 1,
	.run = run_pull,
};

const struct command ctl_images = {
	.name = "images",
	.alias = "image img",
	.synopsis = "[NAME]",
	.purpose = "List images",
	.opts = images_opts,
	.max = 1,
	.run = run_images,
};

const struct command ctl_inspecti = {
	.name = "inspecti",
	.synopsis = "[IMAGE...]",
	.purpose = "Show all about images: those named, or those that match",
	.opts = inspecti_opts,
	.max = -1,
	.run = run_inspecti,
};

const struct command ctl_rmi = {
	.name = "rmi",
	.synopsis = "IMAGE...",
	.purpose = "Remove images with all of their tags",
	.opts = rmi_opts,
	.max = -1,
	.run = run_rmi,
};

const struct command ctl_imagefsinfo = {
	.name = "imagefsinfo",
	.purpose = "Show what images and containers use of their file systems",
	.opts = imagefsinfo_opts,
	.run = run_imagefsinfo,
};
