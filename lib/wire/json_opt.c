#include "wire/json_opt.h"

static int wrong(const char *where, const char *key, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "%s%s%s: %s", where, *where ? "." : "", key,
		       what);
}

/* What is to have members must be an object: an array in its place is no empty one. */
static int get(yyjson_val *obj, const char *where, const char *key, yyjson_val **ret,
	       struct err *err)
{
	if (obj && !yyjson_is_obj(obj) && !yyjson_is_null(obj))
		return err_set(err, ERR_INVALID, "%s: not an object", where);
	*ret = json_get(obj, key);
	return 0;
}

int json_opt_str(yyjson_val *obj, const char *where, const char *key, struct arena *a,
		 const char **ret, struct err *err)
{
	yyjson_val *v;

	if (get(obj, where, key, &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	if (!yyjson_is_str(v))
		return wrong(where, key, "not a string", err);
	*ret = arena_strdup(a, yyjson_get_str(v));
	return 0;
}

int json_opt_bool(yyjson_val *obj, const char *where, const char *key, bool *ret,
		  struct err *err)
{
	yyjson_val *v;

	if (get(obj, where, key, &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	if (!yyjson_is_bool(v))
		return wrong(where, key, "not true or false", err);
	*ret = yyjson_get_bool(v);
	return 0;
}

int json_opt_i64(yyjson_val *obj, const char *where, const char *key, int64_t min,
		 int64_t max, int64_t *ret, bool *ret_has, struct err *err)
{
	yyjson_val *v;
	int64_t n;

	if (get(obj, where, key, &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
		return wrong(where, key, "not an integer", err);
	n = yyjson_get_sint(v);
	if (n < min || n > max)
		return err_set(err, ERR_INVALID,
			       "%s%s%s: %lld is not between %lld and %lld", where,
			       *where ? "." : "", key, (long long)n, (long long)min,
			       (long long)max);
	*ret = n;
	if (ret_has)
		*ret_has = true;
	return 0;
}

int json_opt_u64(yyjson_val *obj, const char *where, const char *key, uint64_t max,
		 uint64_t *ret, bool *ret_has, struct err *err)
{
	yyjson_val *v;

	if (get(obj, where, key, &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	if (!yyjson_is_uint(v) || yyjson_get_uint(v) > max)
		return wrong(where, key, "not an integer in its range", err);
	*ret = yyjson_get_uint(v);
	if (ret_has)
		*ret_has = true;
	return 0;
}

int json_opt_obj(yyjson_val *obj, const char *where, const char *key, yyjson_val **ret,
		 struct err *err)
{
	if (get(obj, where, key, ret, err) < 0)
		return -1;
	if (*ret && !yyjson_is_obj(*ret))
		return wrong(where, key, "not an object", err);
	return 0;
}

int json_opt_arr(yyjson_val *obj, const char *where, const char *key, yyjson_val **ret,
		 struct err *err)
{
	if (get(obj, where, key, ret, err) < 0)
		return -1;
	if (*ret && !yyjson_is_arr(*ret))
		return wrong(where, key, "not an array", err);
	return 0;
}

int json_opt_strs(yyjson_val *obj, const char *where, const char *key, struct arena *a,
		  const char *const **ret, size_t *ret_n, struct err *err)
{
	yyjson_val *arr, *v;
	const char **list;
	size_t n = 0;

	if (json_opt_arr(obj, where, key, &arr, err) < 0)
		return -1;
	if (!arr)
		return 0;
	list = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*list));
	json_each (v, arr) {
		if (!yyjson_is_str(v))
			return err_set(err, ERR_INVALID, "%s%s%s[%zu]: not a string",
				       where, *where ? "." : "", key, n);
		list[n++] = arena_strdup(a, yyjson_get_str(v));
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
