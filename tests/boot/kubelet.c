/*
 * kubelet: a stand-in for one on a payload: calls the runtime's socket, leaves what it was called
 * with in /run/kubelet-words, says that it is ready, and ends when it is told to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int call(const char *path, int type)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static const char endpoint[] = "--container-runtime-endpoint=unix://";
	static const char ready[] = "READY=1\n";
	const char *notify = getenv("NOTIFY_SOCKET");
	FILE *out = fopen("/run/kubelet-words", "we");

	if (!out || !notify)
		return 2;
	for (int i = 0; i < argc; i++) {
		fprintf(out, "%s\n", argv[i]);
		if (strncmp(argv[i], endpoint, sizeof(endpoint) - 1) == 0)
			close(call(argv[i] + sizeof(endpoint) - 1, SOCK_STREAM));
	}
	fclose(out);
	puts("the stand-in for a kubelet runs");
	fflush(stdout);
	if (send(call(notify, SOCK_DGRAM), ready, sizeof(ready) - 1, 0) < 0)
		return 3;
	pause();
	return 0;
}
