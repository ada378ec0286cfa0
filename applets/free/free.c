/* free: memory. */
#include <inttypes.h>
#include <stdio.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "tool.h"

static const char usage[] = "  -b, --bytes\n"
			    "  -k, --kibi              (default)\n"
			    "  -m, --mebi\n"
			    "  -g, --gibi\n"
			    "  -h, --human             in units that fit\n";

static void print(const struct tool *t, uint64_t bytes)
{
	uint64_t unit = opts_flag(&t->o, "bytes")  ? 1
			: opts_flag(&t->o, "mebi") ? 1 << 20
			: opts_flag(&t->o, "gibi") ? 1 << 30
						   : 1024;
	char text[TOOL_SIZE];

	if (opts_flag(&t->o, "human"))
		printf("%12s", tool_size(text, bytes));
	else
		printf("%12" PRIu64, bytes / unit);
}

static int run(int argc, char **argv, struct err *err)
{
	struct tool t;
	uint64_t total, unused, avail, swap, swap_free;

	if (tool_start(&t, &applet_free, argc, argv, 0, 0, err) < 0)
		return -1;
	total = tool_meminfo("MemTotal");
	unused = tool_meminfo("MemFree");
	avail = tool_meminfo("MemAvailable");
	swap = tool_meminfo("SwapTotal");
	swap_free = tool_meminfo("SwapFree");
	puts("               total        used        free      shared  buff/cache   "
	     "available");
	printf("Mem:    ");
	print(&t, total);
	print(&t, total - MIN(total, avail));
	print(&t, unused);
	print(&t, tool_meminfo("Shmem"));
	print(&t, tool_meminfo("Buffers") + tool_meminfo("Cached") +
			  tool_meminfo("SReclaimable"));
	print(&t, avail);
	printf("\nSwap:   ");
	print(&t, swap);
	print(&t, swap - MIN(swap, swap_free));
	print(&t, swap_free);
	putchar('\n');
	return tool_end(&t, err);
}

const struct applet applet_free = {
	.name = "free",
	.purpose = "print how much memory is used",
	.synopsis = "[-b | -k | -m | -g | -h]",
	.usage = usage,
	.run = run,
};
