/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of a bus: messages one after the other, and the address of one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/dbus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const char *s)
{
	static volatile size_t sink;

	if (s)
		sink = strlen(s);
	(void)sink;
}

/* What was accepted is accepted again when it is written by ourselves. */
static void rewrite(const struct dbus_msg *m)
{
	BUF_AUTO out = {0};
	struct dbus_out o = {.buf = &out, .big = m->body.big};
	struct dbus_msg again;
	struct err err;

	dbus_begin(&o, m);
	buf_add(&out, m->body.data + m->body.at, m->body.end - m->body.at);
	dbus_end(&o);
	if (out.len <= DBUS_MAX && (dbus_parse(out.data, out.len, &again, &err) < 0 ||
				    strcmp(again.signature, m->signature) != 0))
		abort();
}

static void parse(const uint8_t *data, size_t n)
{
	struct dbus_view v;
	struct dbus_msg m;
	struct err err;

	if (dbus_parse(data, n, &m, &err) < 0)
		return;
	use(m.path);
	use(m.interface);
	use(m.member);
	use(m.error);
	use(m.destination);
	use(m.sender);
	v = m.body;
	for (const char *sig = m.signature; *sig;)
		dbus_skip(&v, &sig);
	if (v.bad || dbus_more(&v))
		abort();
	/* whatever the signature says */
	v = m.body;
	while (dbus_more(&v)) {
		struct dbus_view sub = dbus_get_array(&v, 's');

		while (dbus_more(&sub))
			use(dbus_get_str(&sub));
		dbus_get_u64(&v);
	}
	rewrite(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	BUF_AUTO path = {0};
	struct err err;
	size_t n;

	if (!text)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (dbus_address(text, &path) == 0)
		use(buf_str(&path));
	free(text);
	while (dbus_length(data, size, &n, &err) == 0 && n && n <= size) {
		parse(data, n);
		data += n;
		size -= n;
	}
	return 0;
}
