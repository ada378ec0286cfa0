/* sha512crypt: password hashes "$6$..." of crypt(5). */
#ifndef WIRE_SHA512CRYPT_H
#define WIRE_SHA512CRYPT_H

#include <stdbool.h>

/*
 * True if the password has this hash ("$6$[rounds=N$]SALT$HASH", at most a million rounds);
 * false for another one, and for a hash of another kind or with a mistake in it. Takes the
 * same time for every wrong password.
 */
bool sha512crypt_check(const char *password, const char *hash);

/* True if hash is one that a password can have. */
bool sha512crypt_valid(const char *hash);

#endif
