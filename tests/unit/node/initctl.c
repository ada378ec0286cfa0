/* the protocol between init and its clients */
#include "node/initctl.h"

#include <unistd.h>

#include "base/num.h"
#include "unit.h"

TEST(requests)
{
	uint8_t data[INITCTL_REQUEST];
	struct initctl_request r = {.verb = INITCTL_RESTART, .name = "crid"}, got;
	size_t n = initctl_put_request(data, &r);

	CHECK_INT(initctl_get_request(data, n, &got), 0);
	CHECK_INT(got.verb, INITCTL_RESTART);
	CHECK_STR(got.name, "crid");
	CHECK_INT(initctl_get_request(data, n - 1, &got), -1);
	data[1] = INITCTL_VERBS;
	CHECK_INT(initctl_get_request(data, n, &got), -1);
	data[1] = 0;
	data[0] = INITCTL_VERSION + 1;
	CHECK_INT(initctl_get_request(data, n, &got), -1);
}

TEST(replies)
{
	uint8_t data[INITCTL_REPLY];
	struct initctl_reply r = {.kind = INITCTL_SERVICE,
				  .service = {.name = "network",
					      .state = INITCTL_BACKOFF,
					      .pid = 77,
					      .restarts = 3,
					      .since = INT64_C(1) << 40,
					      .error = "ended with status 1"}},
			     got;
	size_t n = initctl_put_reply(data, &r);

	CHECK_INT(initctl_get_reply(data, n, &got), 0);
	CHECK_STR(got.service.name, "network");
	CHECK_STR(got.service.error, "ended with status 1");
	CHECK_INT(got.service.since, INT64_C(1) << 40);
	CHECK_INT(got.service.restarts, 3);
	CHECK_INT(initctl_get_reply(data, n + 1, &got), -1);
	r = (struct initctl_reply){.kind = INITCTL_END, .code = ERR_NOT_FOUND};
	memset(r.text, 'x', sizeof(r.text)); /* without NUL */
	n = initctl_put_reply(data, &r);
	CHECK_INT(initctl_get_reply(data, n, &got), 0);
	CHECK_INT(got.code, ERR_NOT_FOUND);
	CHECK_INT(strlen(got.text), INITCTL_TEXT - 1);
	r = (struct initctl_reply){.kind = INITCTL_PHASE,
				   .phase = {.name = "modules", .start = 5, .end = 9}};
	n = initctl_put_reply(data, &r);
	CHECK_INT(initctl_get_reply(data, n, &got), 0);
	CHECK_INT(got.phase.end, 9);
}

/* A ring as init writes it: what is older than its size is gone, and nothing comes twice. */
TEST(ring)
{
	FILE *f = tmpfile();
	int fd = fileno(f);
	uint8_t head[INITCTL_RING_HEAD] = {0};
	uint64_t at = 0, end = INITCTL_RING_SIZE + 10;
	static char text[INITCTL_RING_SIZE];
	struct err err = {0};
	size_t total = 0;
	long n;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	memcpy(text, "0123456789", 10); /* the newest ten */
	put_le32(head, (uint32_t)end);
	CHECK(pwrite(fd, head, sizeof(head), 0) == sizeof(head));
	CHECK(pwrite(fd, text, sizeof(text), sizeof(head)) == sizeof(text));
	n = initctl_ring_read(fd, &at, text, 100, &err);
	CHECK_INT(n, 100);
	CHECK_INT(text[0], 'a' + 10);
	CHECK_INT(at, 110);
	for (total = 100; (n = initctl_ring_read(fd, &at, text, 4096, &err)) > 0;)
		total += (size_t)n;
	CHECK_INT(n, 0);
	CHECK_INT(total, INITCTL_RING_SIZE);
	CHECK_INT(at, end);
	CHECK_INT(text[9], '9');
	fclose(f);
}
