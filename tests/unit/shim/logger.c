#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "shim/logger.h"

static char dir[64];
static struct err err;

static char *in_dir(const char *name)
{
	static char path[128];

	if (!*dir) {
		strcpy(dir, "/tmp/unit-logger-XXXXXX");
		CHECK(mkdtemp(dir));
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* The file without its time stamps, whose form is checked. */
static void log_is(const char *name, const char *want)
{
	BUF_AUTO text = {0};
	BUF_AUTO got = {0};
	char *line, *save = NULL;

	if (file_read(AT_FDCWD, in_dir(name), 1 << 20, &text, &err) < 0)
		FAIL("%s", err.msg);
	buf_str(&text);
	for (line = strtok_r((char *)text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		CHECK(strlen(line) > 31 && line[10] == 'T' && line[29] == 'Z');
		buf_add_fmt(&got, "%s\n", line + 31);
	}
	CHECK_STR(buf_str(&got), want);
}

static int log_open(struct logger *g, const char *name)
{
	char *path = in_dir(name);

	return logger_open(g, dir, path, &err);
}

static void add(struct logger *g, struct logger_stream *s, const char *text)
{
	logger_add(g, s, text, strlen(text));
}

TEST(lines)
{
	struct logger g = {.fd = -1};
	struct logger_stream out = {.name = "stdout"}, errs = {.name = "stderr"};

	CHECK(log_open(&g, "a/b/0.log") == 0);
	add(&g, &out, "one\ntw");
	add(&g, &errs, "\n");
	add(&g, &out, "o\nrest");
	logger_end(&g, &out);
	logger_end(&g, &errs);
	log_is("a/b/0.log", "stdout F one\nstderr F \nstdout F two\nstdout P rest\n");
	logger_done(&g);
}

/* One byte less than the limit, the limit, one more: partial lines only beyond it. */
TEST(long_lines)
{
	for (int more = -1; more <= 1; more++)
		for (size_t chunk = 1000; chunk <= 40000; chunk += 39000) {
			struct logger g = {.fd = -1};
			struct logger_stream out = {.name = "stdout"};
			size_t n = (size_t)(LOGGER_MAX_LINE + more);
			char *data = malloc(n + 1);
			BUF_AUTO want = {0};

			memset(data, 'x', n);
			data[n] = '\n';
			unlink(in_dir("long"));
			CHECK(log_open(&g, "long") == 0);
			for (size_t i = 0; i <= n; i += chunk)
				logger_add(&g, &out, data + i,
					   n + 1 - i < chunk ? n + 1 - i : chunk);
			logger_end(&g, &out);
			buf_add_fmt(&want, "stdout %s ", more > 0 ? "P" : "F");
			buf_add(&want, data, more > 0 ? LOGGER_MAX_LINE : n);
			buf_add_str(&want, more > 0 ? "\nstdout F x\n" : "\n");
			log_is("long", buf_str(&want));
			free(data);
			logger_done(&g);
		}
}

TEST(rotation)
{
	struct logger g = {.fd = -1};
	struct logger_stream out = {.name = "stdout"};
	char old[128];

	CHECK(log_open(&g, "r.log") == 0);
	add(&g, &out, "first\nha");
	strcpy(old, in_dir("r.log"));
	CHECK(rename(old, in_dir("r.log.1")) == 0);
	add(&g, &out, "lf\n");
	CHECK(logger_reopen(&g, &err) == 0);
	add(&g, &out, "second\n");
	log_is("r.log.1", "stdout F first\nstdout F half\n");
	log_is("r.log", "stdout F second\n");
	logger_done(&g);
}

TEST(only_a_file_of_its_own)
{
	struct logger g = {.fd = -1};

	CHECK(symlink("/dev/null", in_dir("link")) == 0);
	CHECK(log_open(&g, "link") < 0);
	CHECK(mkfifo(in_dir("fifo"), 0600) == 0);
	CHECK(log_open(&g, "fifo") < 0); /* and does not wait for a reader */
	CHECK(log_open(&g, ".") < 0);
	CHECK(logger_open(&g, dir, "relative", &err) < 0);
	CHECK(logger_open(&g, dir, "", &err) == 0 && g.fd < 0);
	logger_done(&g);
}

/* R18: a pod that can write where its logs are must not lead us elsewhere. */
TEST(no_symlink_below_the_base)
{
	struct logger g = {.fd = -1};

	CHECK(mkdir(in_dir("base"), 0755) == 0);
	CHECK(mkdir(in_dir("elsewhere"), 0755) == 0);
	CHECK(symlink("../elsewhere", in_dir("base/c")) == 0);
	CHECK(log_open(&g, "base/c/0.log") < 0);
	CHECK(access(in_dir("elsewhere/0.log"), F_OK) < 0);
	CHECK(log_open(&g, "base/../0.log") < 0);
	CHECK(logger_open(&g, dir, "/elsewhere/0.log", &err) < 0);
	CHECK(log_open(&g, "base//d/./0.log") == 0);
	logger_done(&g);
}

TEST(no_log_takes_output)
{
	struct logger g = {.fd = -1};
	struct logger_stream out = {.name = "stdout"};

	add(&g, &out, "dropped");
	logger_end(&g, &out);
	CHECK(!out.line.len);
	CHECK(file_remove_tree(AT_FDCWD, dir, &err) == 0);
}
