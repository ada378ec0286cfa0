/* What arch/<arch>/sha256.c gives to digest.c. */
#ifndef WIRE_DIGEST_INT_H
#define WIRE_DIGEST_INT_H

#include "wire/digest.h"

/* SHA-256 with this processor's instructions, or NULL if it has none. */
sha256_blocks_fn *arch_sha256(void);

/* The round constants (FIPS 180-4, 4.2.2). */
extern const uint32_t sha256_k[64];

#endif
