/*
 * map: string keys to pointers, open addressing. {0} is an empty map. Keys
 * and values stay the caller's: a key must live as long as its entry.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
	const char *key; /* NULL: never used */
	void *value;	 /* NULL with a key: deleted */
};

struct map {
	struct map_slot *slots;
	size_t cap;  /* power of two, or 0 */
	size_t len;  /* live entries */
	size_t used; /* live and deleted entries */
};

/* Frees the table, not what is in it. */
void map_done(struct map *m);

/* The value of key, or NULL. */
void *map_get(const struct map *m, const char *key);

/* Sets key to value (never NULL). Returns the value that was there, or NULL. */
void *map_put(struct map *m, const char *key, void *value);

/* Removes key. Returns its value, or NULL if it was not there. */
void *map_del(struct map *m, const char *key);

/*
 * Walks the live entries: start with *at = 0. Returns NULL at the end.
 * Deleting the entry that was just returned is allowed, putting is not.
 */
const struct map_slot *map_next(const struct map *m, size_t *at);

/* FNV-1a, seeded once per process against chosen collisions. */
uint64_t map_hash(const void *data, size_t n);

#endif
