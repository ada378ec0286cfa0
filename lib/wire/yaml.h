/*
 * yaml: YAML 1.1 as Kubernetes' tools read and write it, through libyaml. The one place
 * that includes <yaml.h>. Documents become yyjson documents (wire/json.h): what YAML can
 * say and JSON cannot (keys that are not scalars, NaN, private tags) is an error.
 */
#ifndef WIRE_YAML_H
#define WIRE_YAML_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/json.h"

enum {
	YAML_MAX_INPUT = 4 << 20, /* bytes */
	YAML_MAX_NODES =
		200000, /* of a document, aliases counted as what they expand to */
};

/*
 * Parses one document: YAML or JSON. The result is freed with json_free and independent of
 * data; an empty document is null.
 *
 * Plain scalars are resolved as in YAML 1.1 (yes and on are booleans, 0755 and 0x1f
 * integers, 1_000 too); dates stay strings. Aliases are copied, "<<" merges mappings.
 * ERR_INVALID, "YAML: line L column C: why", for what is not YAML, a second document, a key
 * that is there twice, nesting beyond JSON_MAX_DEPTH, and more than the limits above.
 */
yyjson_doc *yaml_parse(const void *data, size_t n, struct err *err);

/*
 * Appends v as one YAML document in the form that sigs.k8s.io/yaml prints: block style,
 * two spaces, lists not indented, keys sorted (digits by value, letters last), strings
 * that would be read as something else in double quotes. Nothing in the text can control
 * a terminal. ERR_INTERNAL if libyaml refuses.
 */
int yaml_write(yyjson_val *v, struct buf *out, struct err *err);

#endif
