#include "wire/sha512crypt.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/digest.h"

enum {
	KEY_MAX = 256,
	SALT_MAX = 16,
	TEXT = 86, /* characters of a hash */
	ROUNDS = 5000,
	ROUNDS_MIN = 1000,
	ROUNDS_MAX = 1000000, /* more would only hold up who logs in */
};

/* "$6$rounds=N$SALT$TEXT" taken apart. */
struct setting {
	unsigned rounds;
	const char *salt, *text;
	size_t salt_len;
};

static bool parse(const char *hash, struct setting *ret)
{
	struct setting s = {.rounds = ROUNDS};
	const char *p = hash;

	if (!str_starts(p, "$6$"))
		return false;
	p += 3;
	if (str_starts(p, "rounds=")) {
		unsigned n = 0;

		for (p += 7; *p >= '0' && *p <= '9' && n <= ROUNDS_MAX; p++)
			n = n * 10 + (unsigned)(*p - '0');
		if (*p++ != '$' || n > ROUNDS_MAX)
			return false;
		s.rounds = MAX(n, (unsigned)ROUNDS_MIN);
	}
	s.salt = p;
	s.salt_len = strcspn(p, "$");
	if (p[s.salt_len] != '$' || s.salt_len > SALT_MAX)
		return false;
	s.text = p + s.salt_len + 1;
	if (strlen(s.text) != TEXT)
		return false;
	*ret = s;
	return true;
}

bool sha512crypt_valid(const char *hash)
{
	struct setting s;

	return parse(hash, &s);
}

static void begin(struct hasher *h)
{
	hasher_init(h, DIGEST_SHA512);
}

static void end(struct hasher *h, uint8_t ret[SHA512_LEN])
{
	struct digest d;

	hasher_final(h, &d);
	memcpy(ret, d.bytes, SHA512_LEN);
}

/* n bytes of the digest, over and over. */
static void add_repeated(struct hasher *h, const uint8_t d[SHA512_LEN], size_t n)
{
	for (; n > SHA512_LEN; n -= SHA512_LEN)
		hasher_update(h, d, SHA512_LEN);
	hasher_update(h, d, n);
}

/* The first digest, of key and salt mixed by the key's length. */
static void mix(const char *key, size_t n, const struct setting *s, uint8_t a[SHA512_LEN])
{
	struct hasher h;

	begin(&h);
	hasher_update(&h, key, n);
	hasher_update(&h, s->salt, s->salt_len);
	hasher_update(&h, key, n);
	end(&h, a);

	begin(&h);
	hasher_update(&h, key, n);
	hasher_update(&h, s->salt, s->salt_len);
	add_repeated(&h, a, n);
	for (size_t bits = n; bits; bits >>= 1) {
		if (bits & 1)
			hasher_update(&h, a, SHA512_LEN);
		else
			hasher_update(&h, key, n);
	}
	end(&h, a);
}

/* A digest of `times` copies of data, to stand for data in the rounds. */
static void stand_in(const void *data, size_t n, size_t times, uint8_t ret[SHA512_LEN])
{
	struct hasher h;

	begin(&h);
	while (times--)
		hasher_update(&h, data, n);
	end(&h, ret);
}

static void rounds(size_t n, const uint8_t p[SHA512_LEN], const struct setting *s,
		   const uint8_t salt[SHA512_LEN], uint8_t a[SHA512_LEN])
{
	for (unsigned i = 0; i < s->rounds; i++) {
		struct hasher h;

		begin(&h);
		if (i & 1)
			add_repeated(&h, p, n);
		else
			hasher_update(&h, a, SHA512_LEN);
		if (i % 3)
			hasher_update(&h, salt, s->salt_len);
		if (i % 7)
			add_repeated(&h, p, n);
		if (i & 1)
			hasher_update(&h, a, SHA512_LEN);
		else
			add_repeated(&h, p, n);
		end(&h, a);
	}
}

/* n characters of 6 bits each, the lowest first. */
static char *put64(char *dst, uint32_t v, unsigned n)
{
	static const char digits[] =
		"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	for (; n; n--, v >>= 6)
		*dst++ = digits[v & 63];
	return dst;
}

/* Three bytes make four characters; which three, goes round with each step. */
static void format(char dst[TEXT], const uint8_t a[SHA512_LEN])
{
	unsigned x = 0, y = 21, z = 42;

	for (unsigned i = 0; i < 21; i++) {
		unsigned old = x;

		dst = put64(dst, (uint32_t)a[x] << 16 | (uint32_t)a[y] << 8 | a[z], 4);
		x = y + 1;
		y = z + 1;
		z = old + 1;
	}
	put64(dst, a[63], 2);
}

bool sha512crypt_check(const char *password, const char *hash)
{
	uint8_t a[SHA512_LEN], p[SHA512_LEN], salt[SHA512_LEN], differs = 0;
	size_t n = strlen(password);
	struct setting s;
	char text[TEXT];

	if (!parse(hash, &s) || n > KEY_MAX)
		return false;
	mix(password, n, &s, a);
	stand_in(password, n, n, p);
	stand_in(s.salt, s.salt_len, 16U + a[0], salt);
	rounds(n, p, &s, salt, a);
	format(text, a);
	for (size_t i = 0; i < TEXT; i++)
		differs |= (uint8_t)(text[i] ^ s.text[i]);
	return differs == 0;
}
