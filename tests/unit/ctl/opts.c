#include "ctl/opts.h"

#include "base/str.h"
#include "base/time.h"
#include "unit.h"

static const char table[] = "Words before the table.\n"
			    "  -a, --all                   all\n"
			    "  -o, --output FORMAT         form\n"
			    "                              that goes on\n"
			    "  -n, --last N                newest\n"
			    "      --label KEY=VALUE       label (repeatable)\n"
			    "      --pull-timeout, --pt TIME  time\n"
			    "      --creds USER            user (not this) (UNIT_CREDS)\n"
			    "  -p, --pod ID";

static struct arena arena;
static struct err err;

/* Parses a line of words that are separated by blanks. */
static int parse(struct opts *o, bool ordered, const char *line)
{
	char *argv[16], *word, *rest = arena_strdup(&arena, line);
	int argc = 0;

	err = (struct err){0};
	while ((word = strsep(&rest, " ")) && argc < 16)
		if (*word)
			argv[argc++] = word;
	return opts_parse(o, table, ordered, argc, argv, &arena, &err);
}

TEST(reads_every_form)
{
	static const char *const forms[] = {"-o json",	     "-ojson",
					    "-o=json",	     "--output json",
					    "--output=json", "-output json",
					    "-output=json",  "-aojson",
					    "-ao json"};
	struct opts o;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		CHECK(parse(&o, false, forms[i]) == 0);
		CHECK_STR(opts_text(&o, "output"), "json");
		CHECK_INT(opts_flag(&o, "all"), str_starts(forms[i], "-a"));
		CHECK_INT(o.argc, 0);
	}
	CHECK(parse(&o, false, "-pt 1m30s") == 0);
	CHECK_INT(opts_num(&o, "pull-timeout", 0), 90 * NS_PER_SEC);
	CHECK(!opts_get(&o, "pod")->set);
	CHECK(parse(&o, false, "-pid") == 0);
	CHECK_STR(opts_text(&o, "pod"), "id");
	CHECK(parse(&o, false, "-n -1 --all=false") == 0);
	CHECK_INT(opts_num(&o, "last", 5), -1);
	CHECK(opts_get(&o, "all")->set && !opts_flag(&o, "all"));
	CHECK(parse(&o, false, "--label a=1 --label b= --label=c") == 0);
	CHECK_INT(opts_get(&o, "label")->n, 3);
	CHECK_STR(opts_get(&o, "label")->list[1], "b=");
	CHECK(!opts_get(&o, "label")->list[3]);
	arena_done(&arena);
}

TEST(tells_arguments_from_options)
{
	struct opts o;

	CHECK(parse(&o, false, "x -a y -- -z") == 0);
	CHECK_INT(o.argc, 3);
	CHECK_STR(o.argv[2], "-z");
	CHECK(opts_flag(&o, "all"));
	CHECK(parse(&o, true, "-a x -o json") == 0);
	CHECK_INT(o.argc, 3);
	CHECK_STR(o.argv[1], "-o");
	CHECK(!opts_text(&o, "output"));
	CHECK(parse(&o, true, "-a -- -x") == 0);
	CHECK_STR(o.argv[0], "-x");
	CHECK(parse(&o, false, "-") == 0);
	CHECK_STR(o.argv[0], "-");
	arena_done(&arena);
}

TEST(refuses_what_it_does_not_know)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{"--nope", "unknown option: --nope"},
		{"-z", "unknown option: -z"},
		{"-az", "unknown option: -az"},
		{"-o", "--output needs a value"},
		{"--last", "--last needs a value"},
		{"--last=", "'' is not a number"},
		{"-n 1x", "'1x' is not a number"},
		{"--pull-timeout soon", "'soon' is not a duration"},
		{"--all=perhaps", "'perhaps' is not true or false"},
		{"---all", "unknown option: ---all"},
	};
	struct opts o;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK(parse(&o, false, bad[i].line) == -1);
		CHECK_INT(err.code, ERR_INVALID);
		CHECK_HAS(err.msg, bad[i].why);
	}
	arena_done(&arena);
}

TEST(takes_the_environment_last)
{
	struct opts o;

	setenv("UNIT_CREDS", "joe", 1);
	CHECK(parse(&o, false, "") == 0);
	CHECK_STR(opts_text(&o, "creds"), "joe");
	CHECK(parse(&o, false, "--creds ann") == 0);
	CHECK_STR(opts_text(&o, "creds"), "ann");
	setenv("UNIT_CREDS", "", 1);
	CHECK(parse(&o, false, "") == 0);
	CHECK(!opts_text(&o, "creds"));
	unsetenv("UNIT_CREDS");
	arena_done(&arena);
}
