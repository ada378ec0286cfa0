#include "cri/methods.h"

#include "cri/types.h"
#include "unit.h"

TEST(methods_find_each_by_its_path)
{
	for (unsigned i = 0; i < CRI_RPC_COUNT; i++) {
		const struct cri_method *m = cri_method((enum cri_rpc)i);

		CHECK(m->path && m->request && m->response);
		CHECK_INT(cri_method_find(m->path), i);
	}
	CHECK_INT(CRI_RPC_COUNT, 41);
}

TEST(methods_find_none)
{
	CHECK_INT(cri_method_find(""), CRI_RPC_COUNT);
	CHECK_INT(cri_method_find("/runtime.v1.RuntimeService/"), CRI_RPC_COUNT);
	CHECK_INT(cri_method_find("/runtime.v1alpha2.RuntimeService/Version"),
		  CRI_RPC_COUNT);
	CHECK_INT(cri_method_find("/runtime.v1.ImageService/Version"), CRI_RPC_COUNT);
}

TEST(methods_of_some)
{
	const struct cri_method *m = cri_method(CRI_RPC_GetContainerEvents);

	CHECK_STR(m->path, "/runtime.v1.RuntimeService/GetContainerEvents");
	CHECK_STR(cri_method_name(CRI_RPC_GetContainerEvents), "GetContainerEvents");
	CHECK(m->request == &cri__get_events_request__descriptor);
	CHECK(m->response == &cri__container_event_response__descriptor);
	CHECK(m->stream);
	CHECK(!cri_method(CRI_RPC_PullImage)->stream);
}
