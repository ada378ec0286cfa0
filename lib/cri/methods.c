#include "cri/methods.h"

#include <string.h>

#include "base/str.h"
#include "cri/types.h"

#define X(svc, rpc, req, res, is_stream)               \
	[CRI_RPC_##rpc] = {                            \
		.path = "/runtime.v1." #svc "/" #rpc,  \
		.request = &cri__##req##__descriptor,  \
		.response = &cri__##res##__descriptor, \
		.stream = is_stream,                   \
	},
static const struct cri_method methods[] = {CRI_RPCS(X)};
#undef X

const struct cri_method *cri_method(enum cri_rpc rpc)
{
	return &methods[rpc];
}

const char *cri_method_name(enum cri_rpc rpc)
{
	return strrchr(methods[rpc].path, '/') + 1;
}

enum cri_rpc cri_method_find(const char *path)
{
	unsigned rpc = 0;

	while (rpc < CRI_RPC_COUNT && !str_eq(path, methods[rpc].path))
		rpc++;
	return (enum cri_rpc)rpc;
}
