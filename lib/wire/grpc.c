#include "wire/grpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"

static const struct {
	char letter;
	int64_t ns;
} units[] = {
	{'n', 1},
	{'u', 1000},
	{'m', NS_PER_MS},
	{'S', NS_PER_SEC},
	{'M', 60 * NS_PER_SEC},
	{'H', 3600 * NS_PER_SEC},
};

enum { MAX_DIGITS = 8, MAX_VALUE = 99999999 };

void grpc_prefix_put(struct buf *out, size_t len)
{
	buf_add_char(out, 0);
	buf_add_be32(out, (uint32_t)len);
}

void grpc_message_encode(struct buf *out, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c < 0x7f && c != '%') {
			buf_add_char(out, *s);
		} else {
			char code[3] = {'%', hex[c >> 4], hex[c & 15]};

			buf_add(out, code, sizeof(code));
		}
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(struct buf *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = s[i] == '%' && n - i > 2 ? hex_digit(s[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(s[i + 2]) : -1;

		if (low < 0) {
			buf_add_char(out, s[i]);
			continue;
		}
		buf_add_char(out, (char)(high << 4 | low));
		i += 2;
	}
}

int grpc_timeout_parse(const char *s, size_t n, int64_t *ret_ns)
{
	int64_t value = 0;

	if (n < 2 || n > MAX_DIGITS + 1)
		return -1;
	for (size_t i = 0; i < n - 1; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		value = value * 10 + (s[i] - '0');
	}
	/* 99999999 hours are 3.6e20 ns: beyond what an int64_t holds */
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].letter == s[n - 1]) {
			*ret_ns = value > INT64_MAX / units[i].ns
					  ? INT64_MAX
					  : MAX(value * units[i].ns, INT64_C(1));
			return 0;
		}
	return -1;
}

void grpc_timeout_format(char dst[GRPC_TIMEOUT_TEXT], int64_t ns)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t value = ns / units[i].ns + (ns % units[i].ns != 0);

		if (value > MAX_VALUE && i + 1 < ARRAY_LEN(units))
			continue;
		snprintf(dst, GRPC_TIMEOUT_TEXT, "%" PRId64 "%c",
			 MIN(value, INT64_C(99999999)), units[i].letter);
		return;
	}
}

bool grpc_content_type(const char *s, size_t n)
{
	static const char type[] = "application/grpc";
	size_t len = sizeof(type) - 1;

	if (n < len || memcmp(s, type, len) != 0)
		return false;
	return n == len || s[len] == '+' || s[len] == ';';
}
