/* config-int: the table of keys, and the way from a value to its place. */
#ifndef NODE_CONFIG_INT_H
#define NODE_CONFIG_INT_H

#include "node/config.h"
#include "wire/toml.h"

/* What a key's '*' (a word without dots) and '**' (any words) stood for, in order. */
struct key_match {
	const struct key *key;
	char star[2][NODE_ELEM];
};

/* The key of a dotted name: 0, or -1 if there is none. */
int key_find(const char *dotted, struct key_match *ret);

/* The name that was probably meant, in the arena; NULL if none is near. */
const char *key_suggest(const char *dotted, struct arena *a);

/* A value's text from the kernel's command line as the key wants it; in the arena. */
const struct toml *key_value(const struct key_match *m, const char *text,
			     struct arena *a);

/* Puts a value in its place. 0, or -1 with the reason (without key and place). */
int key_set(const struct key_match *m, const struct toml *v, struct node_config *c,
	    struct err *err);

/* What holds before any source is read. */
void config_defaults(struct node_config *c);

/* The n-th key's pattern and default as TOML (NULL: none); false at the end. */
bool key_default(unsigned n, const char **ret_pattern, const char **ret_text);

#endif
