#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "os/fd.h"
#include "os/sock.h"
#include "rpc/chan.h"

/* One end of a channel and what it has heard. */
struct end {
	struct chan *chan;
	unsigned msgs, ends;
	size_t blob_len;
	uint32_t serial;
	char text[64];
	char why[sizeof(((struct err *)NULL)->msg)];
	int fd;
	bool free_on_msg;
};

static struct loop *loop;
static struct err err;

static void on_msg(void *arg, struct chan *c, struct chan_msg *m)
{
	struct end *e = arg;
	const char *text = json_str(m->json, "text");

	e->msgs++;
	e->serial = m->serial;
	e->blob_len = m->blob_len;
	snprintf(e->text, sizeof(e->text), "%s", text ? text : "-");
	if (m->nfds == 1) {
		e->fd = m->fds[0];
		m->nfds = 0;
	}
	if (e->free_on_msg) {
		chan_free(c);
		e->chan = NULL;
	}
}

/* Frees first and reads the reason then, as owners do. */
static void on_end(void *arg, struct chan *c, const struct err *why)
{
	struct end *e = arg;

	e->ends++;
	chan_free(c);
	e->chan = NULL;
	snprintf(e->why, sizeof(e->why), "%s", why->code ? why->msg : "");
}

static const struct chan_ops ops = {on_msg, on_end};

static void turn(void)
{
	for (int i = 0; i < 50; i++)
		CHECK(loop_step(loop, 0, &err) == 0);
}

/* A channel and the bare socket of its peer. */
static int open_end(struct end *e)
{
	int pair[2];

	*e = (struct end){.fd = -1};
	if (!loop)
		loop = loop_new(&err);
	CHECK(sock_pair(pair, &err) == 0);
	e->chan = chan_new(loop, pair[0], &ops, e, &err);
	CHECK(e->chan);
	return pair[1];
}

static yyjson_mut_doc *text_doc(const char *text)
{
	yyjson_mut_doc *d = json_new();

	json_add_str(d, yyjson_mut_doc_get_root(d), "text", text);
	return d;
}

TEST(frames_arrive_whole)
{
	struct end e;
	int peer = open_end(&e);
	JSON_MUT_AUTO d = text_doc("one");

	CHECK(chan_write(peer, CHAN_REQUEST, 7, d, "blob", 4, &peer, 1, &err) == 0);
	turn();
	CHECK_INT(e.msgs, 1);
	CHECK_INT(e.serial, 7);
	CHECK_INT(e.blob_len, 4);
	CHECK_STR(e.text, "one");
	CHECK(e.fd >= 0);
	close(e.fd);
	close(peer);
	turn();
	CHECK_INT(e.ends, 1);
	CHECK_STR(e.why, "");
}

TEST(frames_arrive_byte_by_byte)
{
	struct end e;
	int peer = open_end(&e), pair[2];
	JSON_MUT_AUTO d = text_doc("slow");
	uint8_t frame[256];
	ssize_t n;

	CHECK(sock_pair(pair, &err) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(chan_write(pair[0], CHAN_EVENT, 1, d, "xyz", 3, NULL, 0, &err) ==
		      0);
	n = read(pair[1], frame, sizeof(frame));
	CHECK(n > 48);
	for (ssize_t i = 0; i < n; i++) {
		CHECK(write(peer, frame + i, 1) == 1);
		CHECK(loop_step(loop, 0, &err) == 0);
	}
	turn();
	CHECK_INT(e.msgs, 2);
	chan_free(e.chan);
	close(peer);
	close(pair[0]);
	close(pair[1]);
}

TEST(owner_frees_in_a_message)
{
	struct end e;
	int peer = open_end(&e);

	e.free_on_msg = true;
	for (int i = 0; i < 3; i++)
		CHECK(chan_write(peer, CHAN_EVENT, 1, NULL, NULL, 0, NULL, 0, &err) == 0);
	turn();
	CHECK_INT(e.msgs, 1);
	CHECK_INT(e.ends, 0);
	close(peer);
}

/* The reason of a failed send was in the channel's own memory. */
TEST(owner_frees_at_the_end_of_a_failed_send)
{
	struct end e;
	int peer = open_end(&e);

	close(peer);
	chan_send(e.chan, CHAN_EVENT, 0, NULL, "x", 1, NULL, 0);
	turn();
	CHECK_INT(e.ends, 1);
	CHECK_HAS(e.why, "send to peer");
}

TEST(too_large_a_frame_is_not_sent)
{
	struct end e;
	int peer = open_end(&e), pipefd[2];
	size_t n = CHAN_MAX_JSON + 1;
	char *big = malloc(n + 1);
	JSON_MUT_AUTO d = NULL;

	memset(big, 'a', n);
	big[n] = 0;
	d = text_doc(big);
	CHECK(pipe(pipefd) == 0);
	CHECK_INT(chan_send(e.chan, CHAN_REQUEST, 1, d, NULL, 0, pipefd, 1), -1);
	CHECK_INT(fcntl(pipefd[0], F_GETFD), -1); /* taken all the same */
	CHECK_INT(chan_write(peer, CHAN_REQUEST, 1, d, NULL, 0, NULL, 0, &err), -1);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	CHECK_INT(chan_pending(e.chan), 0);
	CHECK_INT(chan_send(e.chan, CHAN_REQUEST, 1, NULL, NULL, 0, NULL, 0), 0);
	free(big);
	chan_free(e.chan);
	close(pipefd[1]);
	close(peer);
}

TEST(malformed_frames_end_it)
{
	static const uint8_t bad[][24] = {
		{'c', 'r', 'b', 2, 0, 0, 0, 1},		       /* magic */
		{'c', 'r', 'b', 1, 0, 0, 0, 9},		       /* type */
		{'c', 'r', 'b', 1, 0, 0, 0, 1, 0, 0, 0, 0, 9}, /* json */
		{'c', 'r', 'b', 1, 0, 0, 0, 1, [16] = 9},      /* blob */
		{'c', 'r', 'b', 1, 0, 0, 0, 1, [23] = 5},      /* fds */
		{'c', 'r', 'b', 1, 0, 0, 0, 1, [23] = 1} /* an fd that is not there */};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct end e;
		int peer = open_end(&e);

		CHECK(write(peer, bad[i], 24) == 24);
		turn();
		CHECK_INT(e.ends, 1);
		CHECK_INT(e.msgs, 0);
		CHECK(*e.why);
		close(peer);
	}
}

TEST(large_frames_wait_for_the_reader)
{
	struct end e;
	int peer = open_end(&e);
	size_t n = 3 << 20;
	char *big = calloc(1, n);
	struct chan_msg m;
	pid_t pid;

	chan_send(e.chan, CHAN_REPLY, 3, NULL, big, n, NULL, 0);
	CHECK(chan_pending(e.chan) > 0);
	pid = fork();
	if (pid == 0) {
		int r = chan_read(peer, &m, &err);

		_exit(r == 1 && m.blob_len == n && m.serial == 3 ? 0 : 1);
	}
	for (int i = 0; i < 2000 && chan_pending(e.chan); i++)
		CHECK(loop_step(loop, 5 * NS_PER_MS, &err) == 0);
	CHECK_INT(chan_pending(e.chan), 0);
	free(big);
	chan_free(e.chan);
	close(peer);
}

TEST(errors_keep_their_code)
{
	int pair[2];
	struct chan_msg m;
	struct err e, got;

	CHECK(sock_pair(pair, &err) == 0);
	err_set(&e, ERR_EXISTS, "it is \x01 there");
	CHECK(chan_write_error(pair[0], 5, &e, &err) == 0);
	CHECK_INT(chan_read(pair[1], &m, &err), 1);
	CHECK_INT(m.type, CHAN_ERROR);
	chan_msg_error(&m, &got);
	CHECK_INT(got.code, ERR_EXISTS);
	CHECK_STR(got.msg, "it is \\x01 there");
	chan_msg_done(&m);
	close(pair[0]);
	CHECK_INT(chan_read(pair[1], &m, &err), 0);
	close(pair[1]);
}

/* What a peer has sent before it died is delivered, all of it, and then its end. */
TEST(drained_at_once)
{
	struct end e;
	int peer = open_end(&e);
	BUF_AUTO blob = {0};

	memset(buf_reserve(&blob, 30000), 'x', 30000);
	blob.len = 30000;
	for (uint32_t i = 1; i <= 3; i++)
		CHECK(chan_write(peer, CHAN_REQUEST, i, NULL, blob.data, blob.len, NULL,
				 0, &err) == 0);
	chan_drain(e.chan);
	CHECK_INT(e.msgs, 3);
	CHECK_INT(e.ends, 0);
	chan_drain(e.chan);
	CHECK_INT(e.msgs, 3);
	CHECK(chan_write(peer, CHAN_REQUEST, 4, NULL, NULL, 0, NULL, 0, &err) == 0);
	close(peer);
	chan_drain(e.chan);
	CHECK_INT(e.serial, 4);
	CHECK_INT(e.ends, 1);
}
