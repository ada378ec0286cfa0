#include "console/words.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

enum { WORDS_MAX = 256 };

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* What stands between quotes from *p on is added to *out; *p ends behind it. */
static int quoted(const char **p, char **out, struct err *err)
{
	char quote = *(*p)++;

	for (; **p && **p != quote; (*p)++) {
		if (quote == '"' && **p == '\\' && ((*p)[1] == '"' || (*p)[1] == '\\'))
			(*p)++;
		*(*out)++ = **p;
	}
	if (!**p)
		return err_set(err, ERR_INVALID, "a %c that ends is missing", quote);
	(*p)++;
	return 0;
}

/* One word, which ends at a blank. */
static int word(const char **p, char **out, struct err *err)
{
	bool plain = false; /* the last character was not quoted */
	char last = 0;

	while (**p && !blank(**p)) {
		plain = false;
		if (**p == '\'' || **p == '"') {
			if (quoted(p, out, err) < 0)
				return -1;
			continue;
		}
		if (**p == '\\' && (*p)[1])
			(*p)++;
		else
			plain = true;
		last = *(*p)++;
		*(*out)++ = last;
	}
	*(*out)++ = 0;
	if (plain && strchr("|<>&;", last))
		return err_set(
			err, ERR_INVALID,
			"'%c' is a shell's, and this is none; quote it to pass it on",
			last);
	return 0;
}

int words_split(const char *line, struct arena *a, char ***ret, struct err *err)
{
	char *out = arena_alloc(a, 2 * strlen(line) + 2);
	char **words = arena_array(a, WORDS_MAX + 1, sizeof(*words));
	int n = 0;

	for (;;) {
		while (blank(*line))
			line++;
		if (!*line || *line == '#')
			break;
		if (n == WORDS_MAX)
			return err_set(err, ERR_INVALID, "more than %d words", WORDS_MAX);
		words[n++] = out;
		if (word(&line, &out, err) < 0)
			return -1;
	}
	*ret = words;
	return n;
}
