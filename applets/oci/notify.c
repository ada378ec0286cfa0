/*
 * notify: a container's word that it is ready (sd_notify(3)) goes to the manager that
 * waits for it: through a socket of our own, as what is behind the host's may not be
 * reached from inside.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/sock.h"
#include "wire/json.h"

enum { MAX_MESSAGE = 4096, BARRIER_MS = 30000 };

#define NOTIFY_NAME "notify.sock"

static void add_mount(yyjson_mut_doc *d, yyjson_mut_val *mounts, const char *source)
{
	static const char *const options[] = {"bind", "ro", "nosuid", "nodev", "noexec"};
	yyjson_mut_val *m = yyjson_mut_arr_add_obj(d, mounts), *arr;

	json_add_str(d, m, "destination", NOTIFY_DIR);
	json_add_str(d, m, "type", "bind");
	json_add_str(d, m, "source", source);
	arr = json_add_arr(d, m, "options");
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		yyjson_mut_arr_add_str(d, arr, options[i]);
}

/* The variable of whoever started us is of no use inside: the last one counts. */
static void add_env(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *p = yyjson_mut_obj_get(root, "process");
	yyjson_mut_val *env = yyjson_mut_obj_get(p, "env");

	if (p && !env)
		env = json_add_arr(d, p, "env");
	if (yyjson_mut_is_arr(env))
		yyjson_mut_arr_add_str(d, env,
				       "NOTIFY_SOCKET=" NOTIFY_DIR "/" NOTIFY_NAME);
}

int notify_setup(const struct oci_cli *cli, const struct ctr *c, struct buf *config,
		 struct err *err)
{
	STR_AUTO source = xasprintf("%s/%s/notify", cli->root, c->id);
	yyjson_mut_val *root, *mounts;
	JSON_MUT_AUTO d = NULL;
	JSON_AUTO doc = NULL;

	if (str_empty(getenv("NOTIFY_SOCKET")))
		return 0;
	doc = json_parse(config->data, config->len, err);
	if (!doc)
		return -1;
	d = yyjson_doc_mut_copy(doc, NULL);
	root = yyjson_mut_doc_get_root(d);
	mounts = yyjson_mut_obj_get(root, "mounts");
	if (yyjson_mut_is_obj(root) && !mounts)
		mounts = json_add_arr(d, root, "mounts");
	if (!yyjson_mut_is_arr(mounts))
		return 0; /* the configuration is refused anyhow */
	if (mkdirat(c->dir, "notify", 0755) < 0)
		return err_sys(err, errno, "make %s", source);
	add_mount(d, mounts, source);
	add_env(d, root);
	buf_reset(config);
	json_write(d, true, config);
	return 0;
}

int notify_listen(const struct ctr *c, int *ret_sock, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	FD_AUTO dir = openat(c->dir, "notify", O_PATH | O_DIRECTORY | O_CLOEXEC);
	FD_AUTO fd = -1;

	if (dir < 0 || str_empty(getenv("NOTIFY_SOCKET")))
		return 0;
	/* a name through the directory's fd is short enough for any root */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" NOTIFY_NAME,
		 dir);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    fchmodat(dir, NOTIFY_NAME, 0777, 0) < 0)
		return err_sys(err, errno, "make the notify socket");
	*ret_sock = fd_take(&fd);
	return 0;
}

static bool says_ready(char *text)
{
	for (char *line; (line = strsep(&text, "\n"));)
		if (str_eq(line, "READY=1"))
			return true;
	return false;
}

/* The manager has read what we sent when it closes the fd that comes with this. */
static void barrier(int sock)
{
	static const char text[] = "BARRIER=1";
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	if (sock_send_fds(sock, text, strlen(text), &ends[1], 1) > 0) {
		struct pollfd p = {.fd = ends[0]};

		fd_close(&ends[1]);
		poll(&p, 1, BARRIER_MS);
	}
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

static int tell(const struct ctr *c, struct err *err)
{
	FD_AUTO host = sock_notify_open();
	char text[64];

	if (host < 0)
		return err_sys(err, errno, "connect to the notify socket %s",
			       getenv("NOTIFY_SOCKET"));
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", (int)c->pid);
	if (send(host, text, strlen(text), MSG_NOSIGNAL) < 0)
		return err_sys(err, errno, "write to the notify socket");
	barrier(host);
	return 0;
}

int notify_wait(int sock, const struct ctr *c, int pidfd, struct err *err)
{
	for (;;) {
		struct pollfd p[] = {{.fd = sock, .events = POLLIN},
				     {.fd = pidfd, .events = POLLIN}};
		char text[MAX_MESSAGE];
		ssize_t n;

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
		if (p[0].revents) {
			n = recv(sock, text, sizeof(text) - 1, MSG_DONTWAIT);
			if (n > 0) {
				text[n] = 0;
				if (says_ready(text))
					return tell(c, err);
			}
		} else if (p[1].revents) {
			return 0; /* it ended without a word */
		}
	}
}
