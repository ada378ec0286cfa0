/*
 * json_opt: members of an object that need not be there, checked: absent ones leave *ret as
 * it is; one of a wrong type or out of its range is ERR_INVALID, and the error names
 * `where.key`. Strings are copies in the arena. 0 or -1.
 */
#ifndef WIRE_JSON_OPT_H
#define WIRE_JSON_OPT_H

#include "wire/json.h"

int json_opt_str(yyjson_val *obj, const char *where, const char *key, struct arena *a,
		 const char **ret, struct err *err);
int json_opt_bool(yyjson_val *obj, const char *where, const char *key, bool *ret,
		  struct err *err);
int json_opt_i64(yyjson_val *obj, const char *where, const char *key, int64_t min,
		 int64_t max, int64_t *ret, bool *ret_has, struct err *err);
int json_opt_u64(yyjson_val *obj, const char *where, const char *key, uint64_t max,
		 uint64_t *ret, bool *ret_has, struct err *err);
int json_opt_obj(yyjson_val *obj, const char *where, const char *key, yyjson_val **ret,
		 struct err *err);
int json_opt_arr(yyjson_val *obj, const char *where, const char *key, yyjson_val **ret,
		 struct err *err);
int json_opt_strs(yyjson_val *obj, const char *where, const char *key, struct arena *a,
		  const char *const **ret, size_t *ret_n, struct err *err);

#endif
