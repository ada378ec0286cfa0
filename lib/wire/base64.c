#include "wire/base64.h"

#include <stdint.h>

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t three_bytes(const uint8_t *p, size_t n)
{
	uint32_t v = (uint32_t)p[0] << 16;

	if (n > 1)
		v |= (uint32_t)p[1] << 8;
	if (n > 2)
		v |= p[2];
	return v;
}

void base64_encode(struct buf *out, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (; n; p += 3) {
		uint32_t v = three_bytes(p, n);

		buf_add_char(out, alphabet[v >> 18]);
		buf_add_char(out, alphabet[v >> 12 & 63]);
		buf_add_char(out, n > 1 ? alphabet[v >> 6 & 63] : '=');
		buf_add_char(out, n > 2 ? alphabet[v & 63] : '=');
		n -= n < 3 ? n : 3;
	}
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

/* Adds the bytes of the last 2 or 3 characters; the bits beyond them must be zero. */
static int decode_rest(struct buf *out, uint32_t v, size_t n)
{
	if (n == 0)
		return 0;
	if (n == 1 || (n == 2 ? v & 0xf : v & 3))
		return -1;
	v <<= n == 2 ? 12 : 6;
	buf_add_char(out, (char)(v >> 16 & 0xff));
	if (n == 3)
		buf_add_char(out, (char)(v >> 8 & 0xff));
	return 0;
}

int base64_decode(struct buf *out, const char *s, size_t n)
{
	size_t before = out->len, i;
	uint32_t v = 0;

	if (n && n % 4 == 0 && s[n - 1] == '=')
		n -= s[n - 2] == '=' ? 2 : 1;
	for (i = 0; i < n; i++) {
		int c = value_of(s[i]);

		if (c < 0)
			goto bad;
		v = v << 6 | (uint32_t)c;
		if (i % 4 == 3) {
			buf_add_char(out, (char)(v >> 16 & 0xff));
			buf_add_char(out, (char)(v >> 8 & 0xff));
			buf_add_char(out, (char)(v & 0xff));
			v = 0;
		}
	}
	if (decode_rest(out, v, n % 4) == 0)
		return 0;
bad:
	out->len = before;
	return -1;
}
