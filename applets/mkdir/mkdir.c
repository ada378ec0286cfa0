/* mkdir: makes directories. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "applets.h"
#include "base/num.h"
#include "os/file.h"
#include "tool.h"

static const char usage[] =
	"  -p, --parents           those above as well; one that exists is fine\n"
	"  -m, --mode MODE         (0777 less the umask)\n";

static int run(int argc, char **argv, struct err *err)
{
	uint64_t mode = 0777;
	struct tool t;

	if (tool_start(&t, &applet_mkdir, argc, argv, 1, -1, err) < 0)
		return -1;
	if (opts_text(&t.o, "mode")) {
		if (num_octal(opts_text(&t.o, "mode"), 07777, &mode) < 0)
			return err_set(err, ERR_INVALID,
				       "mkdir: '%.50s' is no octal mode",
				       opts_text(&t.o, "mode"));
	}
	for (int i = 0; i < t.o.argc; i++) {
		const char *path = t.o.argv[i];

		if (opts_flag(&t.o, "parents")) {
			if (file_mkdirs(AT_FDCWD, path, 0777, err) < 0) {
				tool_complain(&t, err);
				continue;
			}
		} else if (mkdir(path, 0777) < 0) {
			tool_warn(&t, errno, "%s", path);
			continue;
		}
		if (opts_text(&t.o, "mode") && chmod(path, (mode_t)mode) < 0)
			tool_warn(&t, errno, "%s", path);
	}
	return tool_end(&t, err);
}

const struct applet applet_mkdir = {
	.name = "mkdir",
	.purpose = "make directories",
	.synopsis = "[-p] [-m MODE] DIRECTORY...",
	.usage = usage,
	.run = run,
};
