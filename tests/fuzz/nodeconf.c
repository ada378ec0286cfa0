/* the node's configuration: any file, and any command line of the kernel */
#include "node/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bounded(const char *s, size_t size)
{
	if (!memchr(s, 0, size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct node_config c;
	char path[32];
	int fd = memfd_create("config", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	node_config_load(&(struct node_sources){.file = path, .cmdline = path}, true, &c);
	close(fd);
	if (c.nlinks > NODE_LINKS || c.nservices > NODE_SERVICES ||
	    c.nsysctls > NODE_SYSCTLS || c.nload > NODE_MODULES ||
	    c.ndeny > NODE_MODULES || c.dns.n > NODE_LIST)
		abort();
	bounded(c.hostname, sizeof(c.hostname));
	for (unsigned i = 0; i < c.nservices; i++) {
		bounded(c.services[i].name, NODE_NAME);
		/* ended by an empty word */
		if (!memmem(c.services[i].argv, sizeof(c.services[i].argv), "\0", 2))
			abort();
	}
	for (unsigned i = 0; i < c.ncomplaints && i < NODE_COMPLAINTS; i++)
		bounded(c.complaints[i].text, sizeof(c.complaints[i].text));
	return 0;
}
