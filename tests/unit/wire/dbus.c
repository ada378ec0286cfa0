/* SPDX-License-Identifier: Apache-2.0 */
/* dbus: messages as the specification has them, in both byte orders; what is refused. */
#include "unit.h"

#include "base/buf.h"
#include "wire/dbus.h"

static const struct dbus_msg hello = {
	.type = DBUS_CALL,
	.serial = 1,
	.destination = "org.freedesktop.DBus",
	.path = "/org/freedesktop/DBus",
	.interface = "org.freedesktop.DBus",
	.member = "Hello",
};

static void begin(struct dbus_out *o, struct buf *b, const char *signature, bool big)
{
	struct dbus_msg m = hello;

	m.signature = signature;
	*o = (struct dbus_out){.buf = b, .big = big};
	dbus_begin(o, &m);
}

static int parse(const struct buf *b, struct dbus_msg *m)
{
	struct err err = {0};
	size_t n;

	if (dbus_length(b->data, b->len, &n, &err) < 0 || n != b->len)
		return -1;
	return dbus_parse(b->data, b->len, m, &err);
}

/* The bytes that every client sends first, spelled out. */
TEST(hello_byte_by_byte)
{
	static const uint8_t want[] = "l\1\0\1\0\0\0\0\1\0\0\0\x6d\0\0\0"
				      "\1\1o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0"
				      "\2\1s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0"
				      "\3\1s\0\5\0\0\0Hello\0\0\0"
				      "\6\1s\0\x14\0\0\0org.freedesktop.DBus\0\0\0";
	struct dbus_out o;
	BUF_AUTO b = {0};

	begin(&o, &b, "", false);
	dbus_end(&o);
	CHECK_INT(b.len, 128);
	CHECK_MEM(b.data, want, 128);
}

static void put_all(struct dbus_out *o)
{
	size_t a, b;

	dbus_put_u8(o, 7);
	dbus_put_bool(o, true);
	dbus_put_u16(o, 0x1234);
	dbus_put_u32(o, 0x12345678);
	dbus_put_u64(o, 0x123456789abcdef0);
	dbus_put_str(o, "text");
	dbus_put_sig(o, "a{sv}");
	a = dbus_array(o, '(');
	for (uint32_t i = 0; i < 2; i++) {
		dbus_put_struct(o);
		dbus_put_str(o, i ? "b" : "a");
		dbus_put_sig(o, "au");
		b = dbus_array(o, 'u');
		for (uint32_t j = 0; j <= i; j++)
			dbus_put_u32(o, 10 * i + j);
		dbus_array_end(o, b, 'u');
	}
	dbus_array_end(o, a, '(');
	a = dbus_array(o, 't');
	dbus_array_end(o, a, 't');
	dbus_put_u8(o, 9);
}

static void check_all(struct dbus_view v)
{
	struct dbus_view a, b;

	CHECK_INT(dbus_get_u8(&v), 7);
	CHECK(dbus_get_bool(&v));
	CHECK_INT(dbus_get_u16(&v), 0x1234);
	CHECK_INT(dbus_get_u32(&v), 0x12345678);
	CHECK(dbus_get_u64(&v) == 0x123456789abcdef0);
	CHECK_STR(dbus_get_str(&v), "text");
	CHECK_STR(dbus_get_sig(&v), "a{sv}");
	a = dbus_get_array(&v, '(');
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(dbus_more(&a));
		dbus_get_struct(&a);
		CHECK_STR(dbus_get_str(&a), i ? "b" : "a");
		CHECK_STR(dbus_get_sig(&a), "au");
		b = dbus_get_array(&a, 'u');
		for (uint32_t j = 0; j <= i; j++)
			CHECK_INT(dbus_get_u32(&b), 10 * i + j);
		CHECK(!dbus_more(&b) && !b.bad);
	}
	CHECK(!dbus_more(&a) && !a.bad);
	a = dbus_get_array(&v, 't');
	CHECK(!dbus_more(&a) && !a.bad);
	CHECK_INT(dbus_get_u8(&v), 9);
	CHECK(!dbus_more(&v) && !v.bad);
}

TEST(all_types_in_both_byte_orders)
{
	for (int big = 0; big < 2; big++) {
		struct dbus_out o;
		struct dbus_msg m;
		BUF_AUTO b = {0};

		begin(&o, &b, "ybqutsga(sv)aty", big);
		put_all(&o);
		dbus_end(&o);
		CHECK_INT(b.data[0], big ? 'B' : 'l');
		CHECK_INT(parse(&b, &m), 0);
		CHECK_INT(m.type, DBUS_CALL);
		CHECK_INT(m.serial, 1);
		CHECK_STR(m.path, hello.path);
		CHECK_STR(m.interface, hello.interface);
		CHECK_STR(m.member, hello.member);
		CHECK_STR(m.destination, hello.destination);
		CHECK_STR(m.signature, "ybqutsga(sv)aty");
		CHECK(!m.sender && !m.error);
		check_all(m.body);
	}
}

TEST(a_reply_and_an_error)
{
	struct dbus_msg r = {.type = DBUS_RETURN, .serial = 2, .reply_serial = 77};
	struct dbus_out o;
	struct dbus_msg m;
	BUF_AUTO b = {0};

	o = (struct dbus_out){.buf = &b};
	dbus_begin(&o, &r);
	dbus_end(&o);
	CHECK_INT(parse(&b, &m), 0);
	CHECK_INT(m.reply_serial, 77);
	CHECK_STR(m.signature, "");

	r.type = DBUS_ERROR;
	buf_reset(&b);
	dbus_begin(&o, &r);
	dbus_end(&o);
	CHECK_INT(parse(&b, &m), -1); /* without a name */
	r.error = "org.example.No";
	buf_reset(&b);
	dbus_begin(&o, &r);
	dbus_end(&o);
	CHECK_INT(parse(&b, &m), 0);
	CHECK_STR(m.error, "org.example.No");
}

/* Each byte of a message that is cut, or longer than it says. */
TEST(a_message_that_is_cut)
{
	struct dbus_out o;
	struct dbus_msg m;
	struct err err;
	BUF_AUTO b = {0};
	size_t n;

	begin(&o, &b, "s", false);
	dbus_put_str(&o, "text");
	dbus_end(&o);
	for (size_t i = 0; i < b.len; i++) {
		CHECK(dbus_length(b.data, i, &n, &err) == 0 && (n == 0 || n == b.len));
		CHECK_INT(dbus_parse(b.data, i, &m, &err), -1);
	}
	buf_add_char(&b, 0);
	CHECK_INT(dbus_parse(b.data, b.len, &m, &err), -1);
}

TEST(a_body_that_is_not_what_the_signature_says)
{
	static const char *const signatures[] = {"u", "ss", "as", "v", "", "b", "(s)s"};

	for (size_t i = 0; i < sizeof(signatures) / sizeof(*signatures); i++) {
		struct dbus_out o;
		struct dbus_msg m;
		BUF_AUTO b = {0};

		begin(&o, &b, signatures[i], false);
		dbus_put_str(&o, "text");
		dbus_end(&o);
		CHECK_INT(parse(&b, &m), -1);
	}
}

TEST(signatures_that_are_none)
{
	static const char *const wrong[] = {
		"(",
		"()",
		"a",
		"{sv}",
		"a{vs}",
		"a{s}",
		"a{sss}",
		")",
		"z",
		"(s",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaas",
	};
	struct dbus_out o;
	struct dbus_msg m;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		BUF_AUTO b = {0};

		begin(&o, &b, wrong[i], false);
		dbus_put_u32(&o, 0);
		dbus_put_u32(&o, 0);
		dbus_end(&o);
		if (parse(&b, &m) == 0)
			FAIL("accepted: %s", wrong[i]);
	}
}

/* A variant in a variant in a variant...: the signatures are fine, the stack is ours. */
TEST(variants_without_an_end)
{
	struct dbus_out o;
	struct dbus_msg m;
	BUF_AUTO b = {0};

	begin(&o, &b, "v", false);
	for (int i = 0; i < 10000; i++)
		dbus_put_sig(&o, "v");
	dbus_put_sig(&o, "y");
	dbus_put_u8(&o, 1);
	dbus_end(&o);
	CHECK_INT(parse(&b, &m), -1);
}

TEST(strings_that_are_none)
{
	static const char *const texts[] = {"a\xff", "\xc0\x80", "\xed\xa0\x80"};
	struct dbus_out o;
	struct dbus_msg m;

	for (size_t i = 0; i < 3; i++) {
		BUF_AUTO b = {0};

		begin(&o, &b, "s", false);
		dbus_put_str(&o, texts[i]);
		dbus_end(&o);
		CHECK_INT(parse(&b, &m), -1);
	}
	for (size_t i = 0; i < 5; i++) { /* a NUL within, and none at the end */
		BUF_AUTO b = {0};

		begin(&o, &b, "s", false);
		dbus_put_str(&o, "text");
		dbus_end(&o);
		b.data[b.len - 1 - i] = i == 0 ? 'x' : 0;
		CHECK_INT(parse(&b, &m), -1);
	}
}

TEST(a_message_that_is_too_long)
{
	uint8_t head[16] = {'l', 1, 0, 1};
	struct err err;
	size_t n;

	memset(head + 4, 0xff, 4);
	CHECK_INT(dbus_length(head, 16, &n, &err), -1);
	memset(head + 4, 0, 4);
	memset(head + 12, 0xff, 4);
	CHECK_INT(dbus_length(head, 16, &n, &err), -1);
	head[0] = 'x';
	CHECK_INT(dbus_length(head, 16, &n, &err), -1);
}

TEST(labels)
{
	BUF_AUTO b = {0};

	dbus_label(&b, "runc-a1_B.scope");
	CHECK_STR(buf_str(&b), "runc_2da1_5fB_2escope");
	buf_reset(&b);
	dbus_label(&b, "1a");
	CHECK_STR(buf_str(&b), "_31a");
	buf_reset(&b);
	dbus_label(&b, "");
	CHECK_STR(buf_str(&b), "_");
}

TEST(addresses)
{
	static const struct {
		const char *address, *want;
	} t[] = {
		{"unix:path=/run/user/0/bus", "/run/user/0/bus"},
		{"unix:path=/run/bus,guid=12", "/run/bus"},
		{"unix:guid=12,path=/run/bus;tcp:host=x", "/run/bus"},
		{"tcp:host=x,port=1;unix:abstract=/x;unix:path=/y", "/y"},
		{"unix:path=/a%20b%2Fc", "/a b/c"},
		{"unix:tmpdir=/x;unix:path=/y", "/y"},
		{"tcp:host=x", NULL},
		{"unix:path=", NULL},
		{"unix:path=/x%0", NULL},
		{"unix:path=/x%00y", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		BUF_AUTO b = {0};

		CHECK_INT(dbus_address(t[i].address, &b), t[i].want ? 0 : -1);
		if (t[i].want)
			CHECK_STR(buf_str(&b), t[i].want);
	}
}
