/* yaml-int: what reading and writing YAML share. */
#ifndef WIRE_YAML_INT_H
#define WIRE_YAML_INT_H

#include <stdbool.h>
#include <stdint.h>

enum yaml_kind {
	YAML_KIND_STR,
	YAML_KIND_NULL,
	YAML_KIND_BOOL,
	YAML_KIND_INT,
	YAML_KIND_UINT,
	YAML_KIND_REAL,
	YAML_KIND_NAN,
	YAML_KIND_TIME,
	YAML_KIND_MERGE
};

struct yaml_scalar {
	enum yaml_kind kind;
	bool boolean;
	int64_t i;
	uint64_t u;
	double real;
};

/*
 * What s means as a plain scalar, as go-yaml resolves it: YAML 1.1 without numbers in base
 * 60. YAML_KIND_NAN is also for the infinities.
 */
void yaml_resolve(const char *s, struct yaml_scalar *ret);

#endif
