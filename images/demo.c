/*
 * demo: what the containers of the demo pod run. One static program:
 *
 *	demo serve PORT		answers every HTTP request with who and where it is
 *	demo watch PORT		asks 127.0.0.1:PORT once a second and prints the answer
 *	demo show		prints who and where it is
 *	demo cat FILE		prints a file
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_term(int sig)
{
	(void)sig;
	stopped = 1;
}

static int fail(const char *what)
{
	fprintf(stderr, "demo: %s: %s\n", what, strerror(errno));
	return 1;
}

/* "NAME ADDRESS" of the first interface that is not the loopback. */
static void address_of_pod(char *text, size_t size)
{
	struct ifaddrs *list, *i;

	snprintf(text, size, "no network");
	if (getifaddrs(&list) < 0)
		return;
	for (i = list; i; i = i->ifa_next) {
		struct sockaddr_in in;
		char address[INET_ADDRSTRLEN];

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    (i->ifa_flags & IFF_LOOPBACK))
			continue;
		memcpy(&in, i->ifa_addr, sizeof in);
		if (!inet_ntop(AF_INET, &in.sin_addr, address, sizeof address))
			continue;
		snprintf(text, size, "%s %s", i->ifa_name, address);
		break;
	}
	freeifaddrs(list);
}

static int who(char *text, size_t size)
{
	struct utsname uts;
	char address[80];

	if (uname(&uts) < 0)
		return -1;
	address_of_pod(address, sizeof address);
	return snprintf(text, size, "pid %d, uid %u, host %s, %s, on %s\n", (int)getpid(),
			(unsigned)getuid(), uts.nodename, address, uts.machine);
}

static void answer(int fd)
{
	char head[160], body[512], request[2048];
	ssize_t got = read(fd, request, sizeof request);
	int n = who(body, sizeof body), h;

	if (got <= 0 || n < 0)
		return;
	h = snprintf(head, sizeof head,
		     "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
		     "%d\r\n\r\n",
		     n);
	if (write(fd, head, (size_t)h) != h || write(fd, body, (size_t)n) != n)
		fprintf(stderr, "demo: the client has gone\n");
}

static struct sockaddr_in address(in_addr_t ip, unsigned port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons((in_port_t)port),
		.sin_addr = {.s_addr = htonl(ip)},
	};

	return in;
}

static int serve(unsigned port)
{
	struct sockaddr_in in = address(INADDR_ANY, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&in, sizeof in) < 0 || listen(fd, 16) < 0)
		return fail("listen");
	printf("serving on port %u\n", port);
	while (!stopped) {
		int client = accept(fd, NULL, NULL);

		if (client < 0)
			continue;
		answer(client);
		close(client);
		printf("answered a request\n");
	}
	printf("asked to stop, goodbye\n");
	return 0;
}

static int ask(unsigned port, char *text, size_t size)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct sockaddr_in in = address(INADDR_LOOPBACK, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&in, sizeof in) < 0 ||
	    write(fd, request, sizeof request - 1) < 0) {
		close(fd);
		return -1;
	}
	while (len + 1 < size && (n = read(fd, text + len, size - len - 1)) > 0)
		len += (size_t)n;
	text[len] = 0;
	close(fd);
	return 0;
}

static int watch(unsigned port)
{
	struct timespec second = {.tv_sec = 1};

	for (unsigned i = 1; !stopped; i++) {
		char text[1024];
		const char *body;

		if (ask(port, text, sizeof text) < 0) {
			fprintf(stderr, "%u: port %u: %s\n", i, port, strerror(errno));
		} else {
			body = strstr(text, "\r\n\r\n");
			printf("%u: the neighbour says: %s", i, body ? body + 4 : text);
		}
		nanosleep(&second, NULL);
	}
	printf("asked to stop, goodbye\n");
	return 0;
}

static int cat(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return fail(path);
	while ((n = read(fd, text, sizeof text)) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	close(fd);
	return n < 0 ? fail(path) : 0;
}

static int show(void)
{
	char text[512];

	if (who(text, sizeof text) < 0)
		return fail("uname");
	fputs(text, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction term = {.sa_handler = on_term};
	const char *verb = argc > 1 ? argv[1] : "";
	bool has_port = argc == 3 && atoi(argv[2]) > 0 && atoi(argv[2]) < 65536;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &term, NULL);
	if (!strcmp(verb, "serve") && has_port)
		return serve((unsigned)atoi(argv[2]));
	if (!strcmp(verb, "watch") && has_port)
		return watch((unsigned)atoi(argv[2]));
	if (!strcmp(verb, "cat") && argc == 3)
		return cat(argv[2]);
	if (!strcmp(verb, "show") && argc == 2)
		return show();
	fprintf(stderr, "usage: demo serve PORT | watch PORT | show | cat FILE\n");
	return 2;
}
