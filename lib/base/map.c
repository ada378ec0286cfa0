#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/err.h"

void map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

uint64_t map_hash(const void *data, size_t n)
{
	const unsigned char *p = data;
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
	uint64_t h = 0xcbf29ce484222325U;

	for (unsigned i = 0; random && i < 8; i++)
		h = (h ^ random[i]) * 0x100000001b3U;
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3U;
	return h ^ (h >> 32);
}

/* The slot of key, or the free one where it would go. cap is not 0. */
static struct map_slot *find(const struct map *m, const char *key)
{
	size_t i = (size_t)map_hash(key, strlen(key)) & (m->cap - 1);

	while (m->slots[i].key &&
	       (!m->slots[i].value || strcmp(m->slots[i].key, key) != 0))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void grow(struct map *m)
{
	struct map old = *m;
	size_t at = 0;
	const struct map_slot *s;

	m->cap = 8;
	while (m->cap < old.len * 2 + 2)
		m->cap *= 2;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	m->len = m->used = 0;
	while ((s = map_next(&old, &at)))
		map_put(m, s->key, s->value);
	free(old.slots);
}

void *map_get(const struct map *m, const char *key)
{
	return m->cap ? find(m, key)->value : NULL;
}

void *map_put(struct map *m, const char *key, void *value)
{
	struct map_slot *s;
	void *old;

	if ((m->used + 1) * 4 > m->cap * 3)
		grow(m);
	s = find(m, key);
	old = s->value;
	if (!s->key) {
		m->used++;
		m->len++;
	}
	*s = (struct map_slot){key, value};
	return old;
}

void *map_del(struct map *m, const char *key)
{
	static const char deleted[] = "";
	struct map_slot *s;
	void *old;

	if (!m->cap)
		return NULL;
	s = find(m, key);
	old = s->value;
	if (old) {
		*s = (struct map_slot){deleted, NULL};
		m->len--;
	}
	return old;
}

const struct map_slot *map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		const struct map_slot *s = &m->slots[(*at)++];

		if (s->key && s->value)
			return s;
	}
	return NULL;
}
