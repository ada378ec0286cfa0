/* info: the commands about the runtime itself. */
#include "base/str.h"
#include "cri/json.h"
#include "print.h"

static int run_version(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("version", "v1");
	JSON_AUTO doc = ctl_call(c, CRI_RPC_Version, req, WAIT_QUICK, 0, err);
	yyjson_val *v = yyjson_doc_get_root(doc);

	(void)o;
	if (!doc)
		return -1;
	ctl_say(c, "Version:  %s\n", json_str(v, "version"));
	ctl_say(c, "RuntimeName:  %s\n", json_str(v, "runtimeName"));
	ctl_say(c, "RuntimeVersion:  %s\n", json_str(v, "runtimeVersion"));
	ctl_say(c, "RuntimeApiVersion:  %s\n", json_str(v, "runtimeApiVersion"));
	return 0;
}

/* Handlers and features are printed in Go's form, without what is unset, as crictl does. */
static int print_runtime(struct ctl *c, const struct buf *raw, enum print_format format,
			 struct err *err)
{
	JSON_MUT_AUTO out = json_new();
	JSON_AUTO doc = ctl_decode(CRI_RPC_Status, raw, 0, err);
	JSON_AUTO go = doc ? ctl_decode(CRI_RPC_Status, raw, CRI_JSON_GO, err) : NULL;
	yyjson_val *root = yyjson_doc_get_root(doc), *go_root = yyjson_doc_get_root(go),
		   *v;
	yyjson_mut_val *obj;

	if (!go)
		return -1;
	v = json_obj(root, "status");
	obj = print_status(out, v ? yyjson_val_mut_copy(out, v) : yyjson_mut_obj(out),
			   json_obj(root, "info"), err);
	if (!obj)
		return -1;
	v = json_arr(go_root, "runtime_handlers");
	if (v)
		yyjson_mut_obj_add_val(out, obj, "runtimeHandlers",
				       yyjson_val_mut_copy(out, v));
	v = json_obj(go_root, "features");
	if (v)
		yyjson_mut_obj_add_val(out, obj, "features", yyjson_val_mut_copy(out, v));
	return print_sorted(c, obj, format, err);
}

static int run_info(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	BUF_AUTO raw = {0};
	enum print_format format;

	if (print_format_of(opts_text(o, "output"), PRINT_JSON, &format, err) < 0)
		return -1;
	if (format == PRINT_TABLE)
		return err_set(err, ERR_INVALID, "info: --output is json or yaml");
	json_add_bool(req, yyjson_mut_doc_get_root(req), "verbose",
		      !opts_flag(o, "quiet"));
	if (ctl_call_raw(c, CRI_RPC_Status, req, WAIT_QUICK, 0, &raw, err) < 0)
		return -1;
	return print_runtime(c, &raw, format, err);
}

static int run_runtime_config(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_AUTO doc = ctl_call(c, CRI_RPC_RuntimeConfig, NULL, WAIT_QUICK, 0, err);
	TABLE_AUTO t = {.columns = 2, .min_width = 10};
	yyjson_val *linux_part;

	(void)o;
	if (!doc)
		return -1;
	linux_part = json_obj(yyjson_doc_get_root(doc), "linux");
	if (!linux_part)
		return 0;
	table_add(&t, "cgroup driver:");
	table_add(&t, json_str(linux_part, "cgroupDriver"));
	table_print(c, &t);
	return 0;
}

static const char info_opts[] =
	"  -o, --output FORMAT         json (default) or yaml\n"
	"  -q, --quiet                 without the runtime's own configuration\n"
	"      --template TEXT         for go-template, which is not there yet\n";

const struct command ctl_version = {
	.name = "version",
	.purpose = "Show the versions of the runtime and of its interface",
	.run = run_version,
};

const struct command ctl_info = {
	.name = "info",
	.purpose = "Show the state of the runtime",
	.opts = info_opts,
	.run = run_info,
};

const struct command ctl_runtime_config = {
	.name = "runtime-config",
	.purpose = "Show which cgroup driver the runtime uses",
	.run = run_runtime_config,
};
