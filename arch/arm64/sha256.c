/* SHA-256 with the cryptographic extension (Arm ARM, SHA256H and companions). */
#include <arm_neon.h>
#include <sys/auxv.h>

#include "wire/digest-int.h"

/* HWCAP_SHA2 of <asm/hwcap.h>, which clashes with musl's <sys/auxv.h>. */
enum { CPU_SHA2 = 1 << 6 };

__attribute__((target("+crypto"), optimize("O2"))) static void blocks_ce(
	uint32_t state[8], const uint8_t *p, size_t blocks)
{
	uint32x4_t abcd = vld1q_u32(state);
	uint32x4_t efgh = vld1q_u32(state + 4);

	for (; blocks; blocks--, p += SHA256_BLOCK) {
		const uint32x4_t abcd0 = abcd, efgh0 = efgh;
		uint32x4_t m[4];

#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			uint32x4_t *w = &m[i & 3];
			uint32x4_t t, old = abcd;

			if (i < 4)
				*w = vreinterpretq_u32_u8(
					vrev32q_u8(vld1q_u8(p + 16 * i)));
			else
				*w = vsha256su1q_u32(vsha256su0q_u32(*w, m[(i + 1) & 3]),
						     m[(i + 2) & 3], m[(i + 3) & 3]);
			t = vaddq_u32(*w, vld1q_u32(sha256_k + 4 * i));
			abcd = vsha256hq_u32(abcd, efgh, t);
			efgh = vsha256h2q_u32(efgh, old, t);
		}
		abcd = vaddq_u32(abcd, abcd0);
		efgh = vaddq_u32(efgh, efgh0);
	}
	vst1q_u32(state, abcd);
	vst1q_u32(state + 4, efgh);
}

sha256_blocks_fn *arch_sha256(void)
{
	return getauxval(AT_HWCAP) & CPU_SHA2 ? blocks_ce : NULL;
}
