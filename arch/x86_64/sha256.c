/* SHA-256 with the SHA extensions (Intel SDM vol. 2, SHA256RNDS2 and companions). */
#include <cpuid.h>
#include <immintrin.h>

#include "wire/digest-int.h"

/*
 * The instructions want the state as two vectors of the words a b e f and c d g h. Each
 * SHA256RNDS2 makes two rounds; the message schedule runs 16 words ahead in m[0..3].
 */
__attribute__((target("sha,sse4.1,ssse3"), optimize("O2"))) static void blocks_ni(
	uint32_t state[8], const uint8_t *p, size_t blocks)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i lo = _mm_loadu_si128((const __m128i *)(const void *)state);
	__m128i hi = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
	__m128i t = _mm_shuffle_epi32(lo, 0xb1); /* c d a b */
	__m128i u = _mm_shuffle_epi32(hi, 0x1b); /* e f g h */
	__m128i abef = _mm_alignr_epi8(t, u, 8);
	__m128i cdgh = _mm_blend_epi16(u, t, 0xf0);

	for (; blocks; blocks--, p += SHA256_BLOCK) {
		const __m128i abef0 = abef, cdgh0 = cdgh;
		__m128i m[4];

#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			__m128i *w = &m[i & 3];

			if (i < 4) {
				const uint8_t *at = p + 16 * i;

				*w = _mm_loadu_si128((const __m128i *)(const void *)at);
				*w = _mm_shuffle_epi8(*w, swap);
			} else {
				__m128i last = m[(i + 3) & 3];

				*w = _mm_sha256msg1_epu32(*w, m[(i + 1) & 3]);
				t = _mm_alignr_epi8(last, m[(i + 2) & 3], 4);
				*w = _mm_sha256msg2_epu32(_mm_add_epi32(*w, t), last);
			}
			t = _mm_load_si128(
				(const __m128i *)(const void *)&sha256_k[4 * i]);
			t = _mm_add_epi32(*w, t);
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, t);
			abef = _mm_sha256rnds2_epu32(abef, cdgh,
						     _mm_shuffle_epi32(t, 0x0e));
		}
		abef = _mm_add_epi32(abef, abef0);
		cdgh = _mm_add_epi32(cdgh, cdgh0);
	}
	t = _mm_shuffle_epi32(abef, 0x1b); /* a b e f, a lowest */
	u = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(t, u, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(u, t, 8));
}

/* Each CPUID leaves a virtual machine, for 6 us here. Who has SHA has SSE 4.1, too. */
static bool has_sha(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

sha256_blocks_fn *arch_sha256(void)
{
	static enum { UNKNOWN, NO, YES } sha;

	if (sha == UNKNOWN)
		sha = has_sha() ? YES : NO;
	return sha == YES ? blocks_ni : NULL;
}
