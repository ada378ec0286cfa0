/* json-int: what reading and writing JSON share. */
#ifndef CRI_JSON_INT_H
#define CRI_JSON_INT_H

#include <stdbool.h>

#include "cri/json.h"

/* A place in a document: a member (key) or an element (index) of what is up. */
struct json_at {
	const struct json_at *up; /* NULL at the top */
	const char *key;	  /* NULL: index counts */
	size_t index;
};

/* Appends "a.b[2].c"; the top itself is "". */
void json_at_add(const struct json_at *at, struct buf *out);

/* err_set(ERR_INVALID) with the path before the message. Returns -1. */
int json_at_err(const struct json_at *at, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whether bytes field f of d is plain text in this form: the value of a KeyValue. */
bool json_bytes_are_text(const ProtobufCMessageDescriptor *d,
			 const ProtobufCFieldDescriptor *f, unsigned flags);

/* The size of one element of a field of that type, bytes. */
size_t json_size_of(ProtobufCType type);

#endif
