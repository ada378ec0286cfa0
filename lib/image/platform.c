/* which of an index's images runs here */
#include <string.h>

#include "arch.h"
#include "base/num.h"
#include "base/str.h"
#include "image/image.h"

/* Other names of an architecture, as uname and rpm write them. */
static const char *architecture(const char *s)
{
	static const char *const names[][2] = {
		{"x86_64", "amd64"}, {"x86-64", "amd64"},    {"aarch64", "arm64"},
		{"i386", "386"},     {"ppc64el", "ppc64le"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(s, names[i][0]))
			return names[i][1];
	return s;
}

/* What an architecture without a variant means (containerd's platforms say the same). */
static const char *variant(const char *arch, const char *v)
{
	if (str_eq(arch, "arm64") && (!*v || str_eq(v, "8")))
		return "v8";
	if (str_eq(arch, "amd64") && !*v)
		return "v1";
	if (str_eq(arch, "arm"))
		return !*v || str_eq(v, "7") ? "v7" : str_eq(v, "6") ? "v6" : v;
	return v;
}

void image_platform_host(struct image_platform *ret)
{
	*ret = (struct image_platform){"linux", ARCH_OCI, ARCH_OCI_VARIANT};
}

int image_platform_parse(const char *s, struct arena *a, struct image_platform *ret,
			 struct err *err)
{
	char *part[4] = {0};
	size_t n = 0;
	char *copy = arena_strdup(a, s), *rest = copy;

	for (const char *p = s; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '/' ||
		      *p == '_' || *p == '-'))
			n = 4;
	while (n < 4 && rest)
		part[n++] = strsep(&rest, "/");
	if (n < 2 || n > 3 || rest || !*part[0] || !*part[1])
		return err_set(err, ERR_INVALID,
			       "platform \"%.100s\" is not os/architecture[/variant]", s);
	*ret = (struct image_platform){part[0], architecture(part[1]),
				       str_or_empty(part[2])};
	return 0;
}

void image_platform_add(struct buf *out, const struct image_platform *p)
{
	buf_add_fmt(out, "%s/%s%s%s", p->os, p->architecture, *p->variant ? "/" : "",
		    p->variant);
}

unsigned image_platform_match(const struct image_platform *want,
			      const struct image_platform *have)
{
	const char *arch = architecture(want->architecture);
	const char *w = variant(arch, want->variant);
	const char *h = variant(arch, have->variant);

	if (!str_eq(want->os, have->os) ||
	    !str_eq(arch, architecture(have->architecture)))
		return 0;
	if (str_eq(w, h))
		return 100;
	if (!str_eq(arch, "arm") && !str_eq(arch, "amd64") && !str_eq(arch, "arm64"))
		return 0;
	/* "v6" serves v7: one digit, and nothing older than v5 is meant */
	if (w[0] != 'v' || h[0] != 'v' || strlen(w) != 2 || strlen(h) != 2 ||
	    h[1] > w[1] || h[1] < '1')
		return 0;
	return (unsigned)(h[1] - '0');
}

static int no_match(const struct image_manifest *index, const struct image_platform *want,
		    struct err *err)
{
	BUF_AUTO have = {0};
	BUF_AUTO wanted = {0};
	size_t shown = 0;

	image_platform_add(&wanted, want);
	for (size_t i = 0; i < index->n_children && have.len < 300; i++) {
		const struct image_platform *p = &index->children[i].platform;

		if (!*p->os || str_eq(p->os, "unknown"))
			continue;
		buf_add_str(&have, shown++ ? ", " : "");
		image_platform_add(&have, p);
	}
	return err_set(err, ERR_NOT_FOUND, "there is no image for %s%s%.400s",
		       buf_str(&wanted), shown ? ", only for " : "", buf_str(&have));
}

int image_choose(const struct image_manifest *index, const struct image_platform *want,
		 const struct image_desc **ret, struct err *err)
{
	const struct image_desc *best = NULL;
	unsigned most = 0;

	for (size_t i = 0; i < index->n_children; i++) {
		const struct image_desc *d = &index->children[i];
		unsigned score = image_platform_match(want, &d->platform);

		if (score > most) {
			most = score;
			best = d;
		}
	}
	if (!best && index->n_children == 1 && !*index->children[0].platform.os &&
	    !*index->children[0].platform.architecture)
		best = &index->children[0];
	if (!best)
		return no_match(index, want, err);
	*ret = best;
	return 0;
}
