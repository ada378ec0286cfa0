/*
 * What is read and written can be read again, and is the same. (A number may change its
 * type: 1e3 is written as 1000.)
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "wire/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = {0};
	BUF_AUTO first = {0};
	BUF_AUTO second = {0};
	JSON_AUTO doc = yaml_parse(data, size, &err);
	JSON_AUTO again = NULL;

	if (!doc) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	if (yaml_write(yyjson_doc_get_root(doc), &first, &err) < 0)
		abort();
	again = yaml_parse(first.data, first.len, &err);
	if (!again)
		abort();
	if (yaml_write(yyjson_doc_get_root(again), &second, &err) < 0)
		abort();
	if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	return 0;
}
