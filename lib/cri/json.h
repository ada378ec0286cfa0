/*
 * json: protobuf messages as JSON and back, by their descriptors, in the two forms that
 * the tools around the CRI use.
 *
 *  - Protobuf's own (flags 0), what crictl prints (protojson with default values): names
 *    in lowerCamelCase, enums by name, 64-bit integers as strings, bytes in base64, maps
 *    as objects sorted by key. Scalars, lists and maps that are unset are there with their
 *    defaults ("", "0", [], {}); a message that is unset is left out.
 *  - Go's (CRI_JSON_GO), what encoding/json makes of the generated structs: crictl's pod
 *    and container files, and the config in the info of verbose answers. Names as in the
 *    .proto file, enums and all integers as numbers, what is unset left out, and the value
 *    of an environment variable (KeyValue) as plain text.
 */
#ifndef CRI_JSON_H
#define CRI_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "cri/pb.h"
#include "wire/json.h"

enum { CRI_JSON_GO = 1 };

/*
 * The message as a value of doc. The document copies nothing from msg's strings: msg must
 * live until it is written or freed. In Go's form a byte of an environment variable that
 * is NUL or not UTF-8 becomes U+FFFD. ERR_INVALID with the path if another string is not
 * UTF-8, which no message out of pb_unpack or cri_json_read has.
 */
int cri_json_write(const ProtobufCMessage *msg, unsigned flags, yyjson_mut_doc *doc,
		   yyjson_mut_val **ret_val, struct err *err);

/*
 * The message of type d that v says, in the arena and independent of v's document.
 *
 * Reads leniently, both forms at once; flags decide nothing but the value of a KeyValue.
 * Keys match the field's name without regard to case and underscores (log_path, logPath);
 * enums are names or numbers; integers are numbers or decimal strings; a number or boolean
 * where a string is wanted becomes its text (a YAML list [sleep, 60] is a command); null
 * is the default.
 *
 * A key that no field has: with unknown NULL it is an error; else it is skipped, and its
 * path ("linux.resources.cpus") and a newline are appended to unknown (crictl says nothing
 * about such keys; a caller should warn). ERR_INVALID: "path: what is wrong there".
 */
int cri_json_read(yyjson_val *v, const ProtobufCMessageDescriptor *d, unsigned flags,
		  struct arena *a, struct buf *unknown, ProtobufCMessage **ret_msg,
		  struct err *err);

#endif
