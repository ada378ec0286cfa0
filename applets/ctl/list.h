/* list: what listing pods and containers, and commands over many of them, share. */
#ifndef CTL_LIST_H
#define CTL_LIST_H

#include <regex.h>

#include "ctl.h"
#include "print.h"

/* Objects of a document that lives longer. */
struct list {
	yyjson_val **items;
	size_t n;
};

void list_done(struct list *l);
#define LIST_AUTO __attribute__((cleanup(list_done))) struct list

/* What crictl selects itself; the rest the server does. */
struct list_query {
	const char *id;	 /* prefix, or NULL */
	const char *pod; /* prefix of the pod's id, or NULL */
	regex_t *name;	 /* of metadata.name; NULL: any */
	regex_t *space;	 /* of the namespace: metadata's, else the pod label's */
	size_t newest;	 /* only so many; 0: all */
};

void list_query_done(struct list_query *q);
#define LIST_QUERY_AUTO __attribute__((cleanup(list_query_done))) struct list_query

/* Compiles a pattern; NULL or "" is no pattern. */
int list_regex(regex_t **ret, const char *pattern, struct err *err);

/* --latest and --last as a number. */
size_t list_limit(const struct opts *o);

/* The items of arr that match, newest first. */
void list_select(yyjson_val *arr, const struct list_query *q, struct list *ret);

/* Prints {key: [items]}. */
int list_print(struct ctl *c, const char *key, const struct list *l,
	       enum print_format format, struct err *err);

/* A member of a container's labels that the kubelet sets; "unknown" without it. */
const char *list_label(yyjson_val *v, const char *label);

/* inspect, inspectp: how to get an object's status, and how to say it as a table. */
struct inspect {
	const char *const *nulls; /* messages of the status that are null when unset */
	yyjson_doc *(*fetch)(struct ctl *c, const char *id, bool verbose,
			     struct err *err);
	void (*say)(struct ctl *c, yyjson_val *answer, bool verbose);
};

/* Inspects o's arguments, or what was found if there are none. */
int list_inspect(struct ctl *c, const struct opts *o, const struct list *found,
		 const struct inspect *in, struct err *err);

/* rm, rmp: o's arguments, or with --all everything that rpc lists under key. */
int list_remove(struct ctl *c, const struct opts *o, enum cri_rpc rpc, const char *key,
		const char *what,
		int (*fn)(struct ctl *c, const struct opts *o, const char *id,
			  struct err *err),
		struct err *err);

/* Runs a pod; its id, in the arena. */
const char *pods_run(struct ctl *c, yyjson_doc *config, const char *handler,
		     int64_t timeout, struct err *err);

/* Containers by the options that ps, inspect and exec share; id: a prefix or NULL. */
int containers_list(struct ctl *c, const struct opts *o, bool all, const char *id,
		    yyjson_doc **ret_doc, struct list *ret, struct err *err);

/* ContainerStatus of a container by id or its prefix. */
yyjson_doc *containers_status(struct ctl *c, const char *id, bool verbose,
			      struct err *err);

/* ImageStatus; the answer has no "image" if there is none. */
yyjson_doc *images_status(struct ctl *c, const char *image, bool verbose,
			  struct err *err);

/* Pulls an image with what the options of pull, create and run say; its reference, in the arena. */
const char *images_pull(struct ctl *c, const struct opts *o, const char *image,
			yyjson_val *annotations, yyjson_val *pod, struct err *err);

/* The options of the lists pods and ps, FILTERS in between, and of the two inspects. */
#define LIST_OPTS(FILTERS)                                                  \
	"      --id ID                 whose id begins so\n" FILTERS        \
	"  -o, --output FORMAT         table (default), json or yaml\n"     \
	"  -q, --quiet                 only ids\n"                          \
	"  -v, --verbose               all there is, one below the other\n" \
	"      --no-trunc              full ids\n"
#define INSPECT_OPTS                                                        \
	"  -o, --output FORMAT         json (default), yaml or table\n"     \
	"  -q, --quiet                 without the runtime's own details\n" \
	"      --template TEXT         for go-template, which is not there yet\n"

/* The options that images_pull looks at. */
#define PULL_OPTS                                                          \
	"      --creds USER[:PASS]     for the registry (CRICTL_CREDS)\n"  \
	"      --auth BASE64           the same in base64 (CRICTL_AUTH)\n" \
	"  -u, --username USER         ask for the password\n"             \
	"      --pull-timeout, --pt TIME  no longer than that (CRICTL_PULL_TIMEOUT)\n"

#endif
