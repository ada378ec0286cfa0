#include "unit.h"

#include <dlfcn.h>

#include "wire/sha512crypt.h"

/* What the C library makes of a password is what we accept, and nothing near it. */
TEST(agrees_with_the_c_library)
{
	static const char *const salts[] = {
		"$6$a", "$6$saltstring", "$6$0123456789abcdef", "$6$rounds=1400$x.y/z"};
	char *(*crypt)(const char *, const char *);
	void *lib = dlopen("libcrypt.so.1", RTLD_NOW),
	     *fn = lib ? dlsym(lib, "crypt") : NULL;
	char key[300];

	if (!fn)
		SKIP("no libcrypt.so.1");
	memcpy(&crypt, &fn, sizeof(crypt));
	for (unsigned s = 0; s < 4; s++)
		for (unsigned n = 0; n < 140; n += s ? 67 : 9) {
			const char *hash;

			memset(key, 'k', n);
			key[n] = 0;
			if (n)
				key[n / 2] = (char)0xfc;
			hash = crypt(key, salts[s]);
			CHECK(hash && hash[0] == '$');
			CHECK(sha512crypt_valid(hash));
			CHECK(sha512crypt_check(key, hash));
			key[n] = 'x';
			key[n + 1] = 0;
			CHECK(!sha512crypt_check(key, hash));
		}
}

TEST(refuses_what_is_no_hash)
{
	static const char good[] =
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnI"
		"FNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
	char bad[200];

	CHECK(sha512crypt_check("Hello world!", good));
	CHECK(!sha512crypt_check("Hello world", good));
	CHECK(!sha512crypt_check("", ""));
	CHECK(!sha512crypt_check("", "$6$salt$"));
	CHECK(!sha512crypt_check("x", "$1$salt$qJH7.N4xYta3aEG/dfqo/0"));
	CHECK(!sha512crypt_valid("$6$rounds=99999999$salt$x"));
	CHECK(!sha512crypt_valid("*"));
	for (size_t n = 0; n < sizeof(good) - 1; n++) {
		memcpy(bad, good, sizeof(good));
		bad[n] = 0;
		CHECK(!sha512crypt_check("Hello world!", bad));
		bad[n] = good[n] == 'A' ? 'B' : 'A';
		CHECK(!sha512crypt_check("Hello world!", bad));
	}
}
