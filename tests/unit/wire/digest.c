#include "unit.h"

#include "base/str.h"
#include "wire/digest.h"

static void hash_hex(struct sha256 *s, const void *data, size_t n, size_t step, char *hex)
{
	uint8_t out[SHA256_LEN];
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i += step)
		sha256_update(s, p + i, n - i < step ? n - i : step);
	sha256_final(s, out);
	str_hex(hex, out, sizeof(out));
}

/* FIPS 180-2 appendix B and NIST's million a's. */
static const struct {
	const char *text;
	size_t repeat;
	const char *hex;
} vectors[] = {
	{"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	{"aaaaaaaaaa", 100000,
	 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void known_answers(void (*init)(struct sha256 *))
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		size_t len = strlen(vectors[i].text);
		char hex[2 * SHA256_LEN + 1];
		struct sha256 s;
		char *all = malloc(len * vectors[i].repeat + 1);

		CHECK(all);
		for (size_t k = 0; k < vectors[i].repeat; k++)
			memcpy(all + k * len, vectors[i].text, len);
		init(&s);
		hash_hex(&s, all, len * vectors[i].repeat, 1000003, hex);
		free(all);
		CHECK_STR(hex, vectors[i].hex);
	}
}

TEST(sha256_known_answers_generic)
{
	known_answers(sha256_init_generic);
}

TEST(sha256_known_answers_processor)
{
	struct sha256 s, g;

	known_answers(sha256_init);
	sha256_init(&s);
	sha256_init_generic(&g);
	if (s.blocks == g.blocks)
		SKIP("this processor has no SHA-256 instructions that we use");
}

TEST(sha256_any_cut_and_length_agree)
{
	uint8_t data[300];
	char a[2 * SHA256_LEN + 1], b[2 * SHA256_LEN + 1];
	struct sha256 s;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 3);
	for (size_t n = 0; n <= sizeof(data); n++) {
		sha256_init_generic(&s);
		hash_hex(&s, data, n, sizeof(data), a);
		for (size_t step = 1; step < 140; step += 9) {
			sha256_init(&s);
			hash_hex(&s, data, n, step, b);
			CHECK_STR(b, a);
		}
	}
}

TEST(digest_grammar)
{
	static const char *const bad[] = {
		"",
		"sha256:",
		"sha256:../../x",
		"md5:d41d8cd98f00b204e9800998ecf8427e",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
		"sha256:"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
		"sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8 5",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b/"
		".."};
	const char *good =
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	char text[DIGEST_TEXT];
	struct digest d, e;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_INT(digest_parse(bad[i], &d, &err), -1);
		CHECK_INT(err.code, ERR_INVALID);
	}
	CHECK_INT(digest_parse(good, &d, &err), 0);
	digest_format(text, &d);
	CHECK_STR(text, good);
	digest_of("", 0, &e);
	CHECK(digest_equal(&d, &e));
	CHECK_INT(digest_check("x", "", 0, &d, &err), 0);
	CHECK_INT(digest_check("layer x", "y", 1, &d, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
	CHECK_HAS(err.msg, "layer x: digest is sha256:");
}

TEST(sha512_and_chain_id)
{
	/* FIPS 180-2 C.1 */
	const char *abc =
		"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
		"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
	struct digest d, chain;
	struct err err;
	char text[DIGEST_TEXT];

	CHECK_INT(digest_parse(abc, &d, &err), 0);
	CHECK_INT(digest_check("abc", "abc", 3, &d, &err), 0);
	digest_of("base", 4, &d);
	digest_chain(NULL, &d, &chain);
	CHECK(digest_equal(&chain, &d));
	digest_chain(&chain, &d, &chain);
	/* printf 'sha256:%s sha256:%s' X X | sha256sum, with X = sha256 of "base" */
	digest_format(text, &chain);
	CHECK_STR(text,
		  "sha256:"
		  "66e0fe9b27ad786dce29611de0fd429e59cb65555530276ecac457be6ba22a55");
}
