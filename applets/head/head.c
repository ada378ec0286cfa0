/* head: the beginning of files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "tool.h"

static const char usage[] =
	"  -n, --lines COUNT       so many lines (10); -COUNT is the same\n"
	"  -c, --bytes SIZE        so many bytes\n"
	"  -q, --quiet             no names above files\n";

static void copy(FILE *f, uint64_t count, bool bytes)
{
	int c;

	while (count && (c = getc(f)) != EOF) {
		putchar(c);
		count -= bytes || c == '\n';
	}
}

static void one(struct tool *t, const char *name, uint64_t count, bool bytes)
{
	bool std = str_eq(name, "-");
	FILE *f = std ? stdin : fopen(name, "re");

	if (!f) {
		tool_warn(t, errno, "%s", name);
		return;
	}
	copy(f, count, bytes);
	if (ferror(f))
		tool_warn(t, errno, "%s", name);
	if (!std)
		fclose(f);
}

static int run(int argc, char **argv, struct err *err)
{
	uint64_t count = 10;
	const char *text, *bytes;
	struct tool t;

	/* -5: as old as head itself */
	if (argc > 1 && argv[1][0] == '-' &&
	    num_u64(argv[1] + 1, 0, UINT64_MAX, &count) == 0) {
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (tool_start(&t, &applet_head, argc, argv, 0, -1, err) < 0)
		return -1;
	bytes = opts_text(&t.o, "bytes");
	text = bytes ? bytes : opts_text(&t.o, "lines");
	if (text && num_size(text, &count) < 0)
		return err_set(err, ERR_INVALID, "head: '%.100s' is no number", text);
	for (int i = 0; i < t.o.argc; i++) {
		if (t.o.argc > 1 && !opts_flag(&t.o, "quiet"))
			printf("%s==> %s <==\n", i ? "\n" : "", t.o.argv[i]);
		one(&t, t.o.argv[i], count, bytes);
	}
	if (t.o.argc == 0)
		one(&t, "-", count, bytes);
	return tool_end(&t, err);
}

const struct applet applet_head = {
	.name = "head",
	.purpose = "print the beginning of files",
	.synopsis = "[-n COUNT] [FILE]...",
	.usage = usage,
	.run = run,
};
