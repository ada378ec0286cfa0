/* image references, URLs and WWW-Authenticate fields: any string */
#include "wire/ref.h"

#include <stdlib.h>
#include <string.h>

#include "wire/challenge.h"
#include "wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_ref(const char *s)
{
	struct ref r, again;
	struct err err = {0};
	BUF_AUTO text = {0};

	if (ref_parse(s, &r, &err) < 0)
		return;
	ref_add(&text, &r);
	/* a complete reference means itself; a tag beside a digest goes */
	if (ref_parse(buf_str(&text), &again, &err) < 0 ||
	    strcmp(r.domain, again.domain) != 0 || strcmp(r.path, again.path) != 0 ||
	    strcmp(r.digest, again.digest) != 0)
		abort();
}

static void try_url(const char *s)
{
	URL_AUTO u = {0};
	URL_AUTO next = {0};
	struct err err = {0};
	BUF_AUTO text = {0};

	if (url_parse(s, &u, &err) == 0) {
		if (u.target[0] != '/' || !u.host[0] || !u.port ||
		    strpbrk(u.target, " \r\n\t"))
			abort();
		url_add_public(&text, &u);
	}
	url_done(&u);
	if (url_parse("https://host:1/a/b?c", &u, &err) < 0)
		abort();
	if (url_resolve(&u, s, &next, &err) == 0 && next.target[0] != '/')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = size ? xstrndup((const char *)data, size) : xstrdup("");
	ARENA_AUTO arena = {0};
	struct challenge list[4];
	struct err err;
	int n;

	try_ref(s);
	try_url(s);
	n = challenge_parse(s, &arena, list, 4, &err);
	for (int i = 0; i < n; i++)
		if (!list[i].scheme || !list[i].scheme[0])
			abort();
	free(s);
	return 0;
}
