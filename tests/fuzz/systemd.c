/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration says to the systemd driver: "slice:prefix:name", then the name and the
 * value of an annotation, each ended by a NUL or a newline.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/systemd-int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is sent is a message, whatever was said. */
static void put(const struct props *p)
{
	struct dbus_msg m = {.type = DBUS_CALL,
			     .serial = 1,
			     .path = "/",
			     .member = "M",
			     .signature = "a(sv)"};
	BUF_AUTO b = {0};
	struct dbus_out o = {.buf = &b};
	struct dbus_msg got;
	struct err err;

	dbus_begin(&o, &m);
	props_put(p, &o);
	dbus_end(&o);
	if (dbus_parse(b.data, b.len, &got, &err) < 0)
		abort();
}

static void unit(const char *path)
{
	struct systemd_unit u;
	struct err err;
	ARENA_AUTO a = {0};

	if (systemd_unit_parse(path, "c1", false, &a, &u, &err) < 0)
		return;
	if (strlen(u.name) > 255 || strchr(u.name, '/') || strchr(u.name, ' '))
		abort();
	free(systemd_slice_path(u.slice, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest = text, *path, *name;
	struct props *p = calloc(1, sizeof(*p));
	struct systemd_property property;
	struct err err;

	if (!text || !p)
		abort();
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	path = strsep(&rest, "\n");
	unit(path);
	name = rest ? strsep(&rest, "\n") : path;
	property = (struct systemd_property){name, rest ? rest : name};
	/* the text of a configuration is JSON's: UTF-8 */
	if (str_is_utf8(property.value, strlen(property.value)) &&
	    props_annotation(p, &property, &err) == 0)
		put(p);
	props_done(p);
	free(p);
	free(text);
	return 0;
}
