/* packets of init's control socket: what is taken survives the way back */
#include "node/initctl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct initctl_request req = {0}, req2 = {0};
	struct initctl_reply rep, rep2;
	uint8_t a[INITCTL_REQUEST], b[INITCTL_REPLY];

	if (initctl_get_request(data, size, &req) == 0) {
		size_t n = initctl_put_request(a, &req);

		if (initctl_get_request(a, n, &req2) < 0 || req2.verb != req.verb ||
		    strcmp(req.name, req2.name) != 0)
			abort();
	}
	if (initctl_get_reply(data, size, &rep) == 0) {
		size_t n = initctl_put_reply(b, &rep);

		if (initctl_get_reply(b, n, &rep2) < 0 || rep.kind != rep2.kind ||
		    strcmp(rep.text, rep2.text) != 0 ||
		    strcmp(rep.service.name, rep2.service.name) != 0)
			abort();
	}
	return 0;
}
