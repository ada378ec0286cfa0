/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network configurations, and results of plugins. The input is taken as both; what is made of
 * it must be readable again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cni/cni-int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_list(const char *text, size_t n)
{
	CNI_NET_AUTO net = NULL;
	struct err err;
	yyjson_val *p;
	BUF_AUTO prev = {0};

	if (conf_parse(text, n, "fuzz", &net, &err) < 0)
		return;
	if (!conf_name_ok(cni_net_name(net)))
		abort();
	buf_add_str(&prev, "{\"cniVersion\":\"0.2.0\",\"ip4\":{\"ip\":\"10.0.0.1/8\"}}");
	json_each (p, net->plugins) {
		BUF_AUTO conf = {0};
		JSON_AUTO again = NULL;

		if (!exec_type_ok(json_str(p, "type")))
			abort();
		if (conf_for_plugin(net, p, p, &prev, &conf, &err) < 0)
			abort();
		again = json_parse(conf.data, conf.len, &err);
		/* what is added may be too deep, but nothing else may be wrong */
		if (!again && !strstr(err.msg, "nested"))
			abort();
	}
}

static void as_result(const char *text, size_t n)
{
	struct cni_result r;
	struct err err;

	if (cni_result_parse(text, n, NULL, &r, &err) < 0)
		return;
	cni_result_done(&r);
	for (int v = 0; v < CNI_VERSIONS; v++) {
		BUF_AUTO out = {0};

		if (res_convert(text, n, (enum cni_version)v, &out, &err) < 0)
			continue;
		if (cni_result_parse((const char *)out.data, out.len, NULL, &r, &err) < 0)
			abort();
		cni_result_done(&r);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_list((const char *)data, size);
	as_result((const char *)data, size);
	return 0;
}
