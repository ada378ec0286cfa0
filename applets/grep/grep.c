/* grep: lines that match, in files and below directories. */
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "applets.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "tool.h"

enum { STATUS_NONE = 1, STATUS_ERROR = 2, LINE_MAX_BYTES = 1 << 20, DEPTH = 100 };

static const char usage[] =
	"  -e, --regexp TAG        a pattern, instead of the first argument\n"
	"  -E, --extended-regexp\n"
	"  -F, --fixed-strings     no pattern: just this text\n"
	"  -i, --ignore-case\n"
	"  -v, --invert-match      lines that do not match\n"
	"  -n, --line-number\n"
	"  -c, --count             only how many\n"
	"  -l, --files-with-matches\n"
	"  -o, --only-matching     only what matches\n"
	"  -q, --quiet             only the exit status\n"
	"  -s, --no-messages       silence about files that cannot be read\n"
	"  -h, --no-filename\n"
	"  -H, --with-filename\n"
	"  -r, --recursive         all files below directories\n"
	"  -A, --after-context N   lines behind a match\n"
	"  -B, --before-context N  lines before it\n"
	"  -C, --context N         both\n"
	"\n"
	"Exit status: 0 if a line matched, 1 if none did, 2 if there was an error.\n";

struct grep {
	struct tool t;
	regex_t *regs;
	const char *const *fixed; /* instead of regs */
	unsigned n;
	bool invert, number, count, list, only, quiet, silent, name, nocase;
	unsigned before, after;
	bool any, error;
};

/* --- patterns ------------------------------------------------------------------------------ */

static const char *find_fixed(const struct grep *g, const char *line, size_t *ret_len)
{
	const char *best = NULL;

	for (unsigned i = 0; i < g->n; i++) {
		const char *at = g->nocase ? strcasestr(line, g->fixed[i])
					   : strstr(line, g->fixed[i]);

		if (at && (!best || at < best)) {
			best = at;
			*ret_len = strlen(g->fixed[i]);
		}
	}
	return best;
}

/* The first match in a line from `line` on. */
static const char *find(const struct grep *g, const char *line, bool middle,
			size_t *ret_len)
{
	const char *best = NULL;
	regmatch_t m;

	if (g->fixed)
		return find_fixed(g, line, ret_len);
	for (unsigned i = 0; i < g->n; i++) {
		if (regexec(&g->regs[i], line, 1, &m, middle ? REG_NOTBOL : 0) != 0)
			continue;
		if (!best || line + m.rm_so < best) {
			best = line + m.rm_so;
			*ret_len = (size_t)(m.rm_eo - m.rm_so);
		}
	}
	return best;
}

static int compile(struct grep *g, const char *const *patterns, unsigned n,
		   struct err *err)
{
	int flags = (opts_flag(&g->t.o, "extended-regexp") ? REG_EXTENDED : 0) |
		    (g->nocase ? REG_ICASE : 0);
	char why[100];

	g->n = n;
	if (opts_flag(&g->t.o, "fixed-strings")) {
		g->fixed = patterns;
		return 0;
	}
	g->regs = arena_array(&g->t.arena, n, sizeof(*g->regs));
	for (unsigned i = 0; i < n; i++) {
		int r = regcomp(&g->regs[i], patterns[i], flags);

		if (r) {
			regerror(r, &g->regs[i], why, sizeof(why));
			return err_set(err, ERR_INVALID, "%.100s: %s", patterns[i], why);
		}
	}
	return 0;
}

/* --- files --------------------------------------------------------------------------------- */

/* A file that is being read. */
struct reading {
	const char *name;
	unsigned long line, matches, printed; /* printed: number of the last line */
	unsigned after;			      /* lines that still follow a match */
	char **kept;			      /* ring of the last `before` lines */
};

static void print_line(const struct grep *g, struct reading *r, unsigned long number,
		       const char *line, char mark)
{
	if (g->name)
		printf("%s%c", r->name, mark);
	if (g->number)
		printf("%lu%c", number, mark);
	puts(line);
	r->printed = number;
}

static void print_matches(const struct grep *g, struct reading *r, const char *line)
{
	const char *at;
	size_t n;

	for (bool middle = false; (at = find(g, line, middle, &n)); middle = true) {
		if (n) {
			STR_AUTO text = xstrndup(at, n);

			print_line(g, r, r->line, text, ':');
		} else if (!*at) {
			break;
		}
		line = at + MAX(n, (size_t)1);
	}
}

static void print_match(const struct grep *g, struct reading *r, const char *line)
{
	unsigned long first = r->line - MIN((unsigned long)g->before, r->line - 1);

	if (g->only) {
		if (!g->invert)
			print_matches(g, r, line);
		return;
	}
	if ((g->before || g->after) && r->printed &&
	    MAX(first, r->printed + 1) > r->printed + 1)
		puts("--");
	for (unsigned long i = MAX(first, r->printed + 1); i < r->line; i++)
		print_line(g, r, i, r->kept[i % g->before], '-');
	print_line(g, r, r->line, line, ':');
	r->after = g->after;
}

/* False: there is nothing more to be learnt from this file. */
static bool take_line(struct grep *g, struct reading *r, const char *line)
{
	size_t n;

	r->line++;
	if ((find(g, line, false, &n) != NULL) != g->invert) {
		r->matches++;
		g->any = true;
		if (g->quiet || g->list)
			return false;
		if (!g->count)
			print_match(g, r, line);
	} else if (r->after && !g->count) {
		r->after--;
		print_line(g, r, r->line, line, '-');
	}
	if (g->before) {
		free(r->kept[r->line % g->before]);
		r->kept[r->line % g->before] = xstrdup(line);
	}
	return true;
}

static void complain(struct grep *g, const char *name)
{
	g->error = true;
	if (!g->silent)
		tool_warn(&g->t, errno, "%s", name);
}

static void read_file(struct grep *g, FILE *f, const char *name)
{
	struct reading r = {.name = name};
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	r.kept = arena_array(&g->t.arena, g->before + 1, sizeof(*r.kept));
	while ((n = getline(&line, &size, f)) >= 0) {
		if (n && line[n - 1] == '\n')
			line[n - 1] = 0;
		if (!take_line(g, &r, line))
			break;
	}
	if (ferror(f))
		complain(g, name);
	for (unsigned i = 0; i < g->before; i++)
		free(r.kept[i]);
	free(line);
	if (g->list && r.matches && !g->quiet)
		puts(name);
	if (g->count && !g->list && !g->quiet) {
		if (g->name)
			printf("%s:", name);
		printf("%lu\n", r.matches);
	}
}

static void grep_path(struct grep *g, const char *name, bool recursive, unsigned depth);

static void grep_dir(struct grep *g, const char *name, unsigned depth)
{
	DIR *d = opendir(name);
	struct dirent *e;

	if (!d) {
		complain(g, name);
		return;
	}
	while (depth < DEPTH && (e = readdir(d))) {
		STR_AUTO path = xasprintf("%s/%s", name, e->d_name);
		struct stat st;

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
		    lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
			grep_path(g, path, true, depth + 1);
	}
	closedir(d);
}

static void grep_path(struct grep *g, const char *name, bool recursive, unsigned depth)
{
	struct stat st;
	FILE *f;

	if (str_eq(name, "-")) {
		read_file(g, stdin, "(standard input)");
		return;
	}
	if (recursive && stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
		grep_dir(g, name, depth);
		return;
	}
	f = fopen(name, "re");
	if (!f) {
		complain(g, name);
		return;
	}
	read_file(g, f, name);
	fclose(f);
}

static void read_flags(struct grep *g)
{
	const struct opts *o = &g->t.o;
	int64_t both = opts_num(o, "context", 0);

	g->invert = opts_flag(o, "invert-match");
	g->number = opts_flag(o, "line-number");
	g->count = opts_flag(o, "count");
	g->list = opts_flag(o, "files-with-matches");
	g->only = opts_flag(o, "only-matching");
	g->quiet = opts_flag(o, "quiet");
	g->silent = opts_flag(o, "no-messages");
	g->nocase = opts_flag(o, "ignore-case");
	g->before = (unsigned)MIN(MAX(opts_num(o, "before-context", both), 0), 10000);
	g->after = (unsigned)MIN(MAX(opts_num(o, "after-context", both), 0), 10000);
}

static int work(struct grep *g, struct err *err)
{
	const struct opts *o = &g->t.o;
	const struct opt_value *e = opts_get(o, "regexp");
	bool recursive = opts_flag(o, "recursive");
	int first = e->n ? 0 : 1;
	const char *pattern;

	read_flags(g);
	if (o->argc < first)
		return err_set(err, ERR_INVALID, "which pattern? (see --help)");
	pattern = e->n ? NULL : o->argv[0];
	if (compile(g, e->n ? e->list : &pattern, e->n ? e->n : 1, err) < 0)
		return -1;
	g->name = (o->argc - first > 1 || recursive || opts_flag(o, "with-filename")) &&
		  !opts_flag(o, "no-filename");
	for (int i = first; i < o->argc; i++)
		grep_path(g, o->argv[i], recursive, 0);
	if (o->argc == first)
		grep_path(g, recursive ? "." : "-", recursive, 0);
	for (unsigned i = 0; g->regs && i < g->n; i++)
		regfree(&g->regs[i]);
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct grep g = {0};

	if (tool_start(&g.t, &applet_grep, argc, argv, 0, -1, err) < 0 ||
	    work(&g, err) < 0) {
		tool_complain(&g.t, err);
		return STATUS_ERROR;
	}
	g.t.status = g.any && (g.quiet || !g.error) ? 0
		     : g.error			    ? STATUS_ERROR
						    : STATUS_NONE;
	return tool_end(&g.t, err);
}

const struct applet applet_grep = {
	.name = "grep",
	.purpose = "print lines that match a pattern",
	.synopsis = "[OPTION]... PATTERN [FILE]...",
	.usage = usage,
	.run = run,
};
