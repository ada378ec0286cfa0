#include "wire/dbus.h"

#include <string.h>

#include "base/num.h"
#include "base/str.h"

enum {
	HEADER = 16, /* the fixed part, with the length of the fields */
	VERSION = 1,
	MAX_DEPTH = 32, /* of arrays, of structs: "Valid Signatures" */
	MAX_SIGNATURE = 255,
};

enum field {
	FIELD_PATH = 1,
	FIELD_INTERFACE,
	FIELD_MEMBER,
	FIELD_ERROR,
	FIELD_REPLY_SERIAL,
	FIELD_DESTINATION,
	FIELD_SENDER,
	FIELD_SIGNATURE,
	FIELD_UNIX_FDS,
};

static size_t aligned(size_t at, size_t to)
{
	return (at + to - 1) & ~(to - 1);
}

/* What values of a type are aligned to; 0: no such type. */
static size_t alignment(char type)
{
	switch (type) {
	case 'y':
	case 'g':
	case 'v':
		return 1;
	case 'q':
	case 'n':
		return 2;
	case 'b':
	case 'u':
	case 'i':
	case 'h':
	case 's':
	case 'o':
	case 'a':
		return 4;
	case 't':
	case 'x':
	case 'd':
	case '(':
	case '{':
		return 8;
	default:
		return 0;
	}
}

/* --- reading ------------------------------------------------------------------------ */

static void bad(struct dbus_view *v)
{
	v->bad = true;
	v->at = v->end;
}

/* The next n bytes behind the padding, which must be zero. NULL: there are not as many. */
static const uint8_t *take(struct dbus_view *v, size_t to, size_t n)
{
	size_t at = aligned(v->at, to);

	if (v->bad || at > v->end || n > v->end - at) {
		bad(v);
		return NULL;
	}
	for (; v->at < at; v->at++)
		if (v->data[v->at]) {
			bad(v);
			return NULL;
		}
	v->at += n;
	return v->data + at;
}

uint8_t dbus_get_u8(struct dbus_view *v)
{
	const uint8_t *p = take(v, 1, 1);

	return p ? *p : 0;
}

uint16_t dbus_get_u16(struct dbus_view *v)
{
	const uint8_t *p = take(v, 2, 2);

	return !p ? 0 : v->big ? get_be16(p) : get_le16(p);
}

uint32_t dbus_get_u32(struct dbus_view *v)
{
	const uint8_t *p = take(v, 4, 4);

	return !p ? 0 : v->big ? get_be32(p) : get_le32(p);
}

uint64_t dbus_get_u64(struct dbus_view *v)
{
	const uint8_t *p = take(v, 8, 8);

	return !p ? 0 : v->big ? get_be64(p) : get_le64(p);
}

bool dbus_get_bool(struct dbus_view *v)
{
	uint32_t x = dbus_get_u32(v);

	if (x > 1)
		bad(v);
	return x == 1;
}

/* n bytes of text with their NUL. */
static const char *text(struct dbus_view *v, size_t n)
{
	const char *s = n < DBUS_MAX ? (const char *)take(v, 1, n + 1) : NULL;

	if (!s || s[n] || memchr(s, 0, n) || !str_is_utf8(s, n)) {
		bad(v);
		return "";
	}
	return s;
}

const char *dbus_get_str(struct dbus_view *v)
{
	return text(v, dbus_get_u32(v));
}

const char *dbus_get_sig(struct dbus_view *v)
{
	return text(v, dbus_get_u8(v));
}

void dbus_get_struct(struct dbus_view *v)
{
	take(v, 8, 0);
}

struct dbus_view dbus_get_array(struct dbus_view *v, char type)
{
	uint32_t n = dbus_get_u32(v);
	struct dbus_view sub = *v;

	/* the padding before the first element is not counted, and there without one */
	take(&sub, alignment(type), 0);
	v->at = sub.at;
	v->bad = sub.bad;
	if (!take(v, 1, n)) {
		sub.at = sub.end = v->end;
		sub.bad = true;
	} else {
		sub.end = sub.at + n;
	}
	return sub;
}

bool dbus_more(const struct dbus_view *v)
{
	return !v->bad && v->at < v->end;
}

/*
 * The end of the complete type that a signature begins with, or NULL if it is none.
 * ("Valid Signatures": a dictionary's entry is an element of an array, its key is basic.)
 */
static const char *type_end(const char *sig, unsigned arrays, unsigned structs,
			    bool in_array)
{
	if (*sig == 'a')
		return arrays < MAX_DEPTH ? type_end(sig + 1, arrays + 1, structs, true)
					  : NULL;
	if (*sig == '(' && structs < MAX_DEPTH) {
		sig++;
		do
			sig = type_end(sig, arrays, structs + 1, false);
		while (sig && *sig != ')');
		return sig ? sig + 1 : NULL;
	}
	if (*sig == '{' && in_array && structs < MAX_DEPTH) {
		if (strchr("a({v", sig[1]))
			return NULL;
		sig = type_end(sig + 1, arrays, structs + 1, false);
		sig = sig ? type_end(sig, arrays, structs + 1, false) : NULL;
		return sig && *sig == '}' ? sig + 1 : NULL;
	}
	return alignment(*sig) && !strchr("({", *sig) ? sig + 1 : NULL;
}

/* True for one complete type, or with many for none and more of them. */
static bool is_signature(const char *sig, bool many)
{
	const char *end;

	if (strlen(sig) > MAX_SIGNATURE)
		return false;
	do {
		end = *sig ? type_end(sig, 0, 0, false) : NULL;
		if (!end)
			return many && !*sig;
		sig = end;
	} while (many);
	return !*sig;
}

/* depth: of values in variants, too, which a signature says nothing about. */
static const char *skip(struct dbus_view *v, const char *sig, unsigned depth)
{
	const char *end = type_end(sig, 0, 0, true), *inner;
	struct dbus_view sub;

	if (!end || depth > 2 * MAX_DEPTH) {
		bad(v);
		return "";
	}
	switch (*sig) {
	case 's':
	case 'o':
		dbus_get_str(v);
		break;
	case 'g':
		dbus_get_sig(v);
		break;
	case 'b':
		dbus_get_bool(v);
		break;
	case 'a':
		sub = dbus_get_array(v, sig[1]);
		while (dbus_more(&sub))
			skip(&sub, sig + 1, depth + 1);
		if (sub.bad)
			bad(v);
		break;
	case 'v':
		inner = dbus_get_sig(v);
		if (!is_signature(inner, false))
			bad(v);
		else
			skip(v, inner, depth + 1);
		break;
	case '(':
	case '{':
		dbus_get_struct(v);
		for (sig++; !v->bad && *sig != ')' && *sig != '}';)
			sig = skip(v, sig, depth + 1);
		break;
	default:
		take(v, alignment(*sig), alignment(*sig));
	}
	return end;
}

void dbus_skip(struct dbus_view *v, const char **sig)
{
	*sig = skip(v, *sig, 0);
}

int dbus_length(const uint8_t *data, size_t n, size_t *ret, struct err *err)
{
	bool big = n > 0 && data[0] == 'B';
	uint64_t body, fields;

	*ret = 0;
	if (n < HEADER)
		return 0;
	if ((!big && data[0] != 'l') || data[3] != VERSION)
		return err_set(err, ERR_INVALID, "D-Bus: not a message of version 1");
	body = big ? get_be32(data + 4) : get_le32(data + 4);
	fields = big ? get_be32(data + 12) : get_le32(data + 12);
	if (body > DBUS_MAX || fields > DBUS_MAX || HEADER + body + fields + 7 > DBUS_MAX)
		return err_set(err, ERR_INVALID, "D-Bus: a message of more than %d bytes",
			       DBUS_MAX);
	*ret = aligned(HEADER + (size_t)fields, 8) + (size_t)body;
	return 0;
}

/* A string of a header field; which one, and of what type. */
static const char **string_field(struct dbus_msg *m, unsigned code, char *ret_type)
{
	*ret_type = code == FIELD_PATH ? 'o' : code == FIELD_SIGNATURE ? 'g' : 's';
	switch (code) {
	case FIELD_PATH:
		return &m->path;
	case FIELD_INTERFACE:
		return &m->interface;
	case FIELD_MEMBER:
		return &m->member;
	case FIELD_ERROR:
		return &m->error;
	case FIELD_DESTINATION:
		return &m->destination;
	case FIELD_SENDER:
		return &m->sender;
	case FIELD_SIGNATURE:
		return &m->signature;
	default:
		return NULL;
	}
}

static void get_field(struct dbus_view *v, struct dbus_msg *m)
{
	const char *sig, **to;
	unsigned code;
	char type;

	dbus_get_struct(v);
	code = dbus_get_u8(v);
	sig = dbus_get_sig(v);
	to = string_field(m, code, &type);
	if (to) {
		if (sig[0] != type || sig[1])
			bad(v);
		*to = type == 'g' ? dbus_get_sig(v) : dbus_get_str(v);
	} else if (code == FIELD_REPLY_SERIAL) {
		if (!str_eq(sig, "u"))
			bad(v);
		m->reply_serial = dbus_get_u32(v);
	} else if (!is_signature(sig, false)) {
		bad(v);
	} else {
		skip(v, sig, 0);
	}
}

/* "Message Types": the fields that a message must have. */
static bool is_complete(const struct dbus_msg *m)
{
	switch (m->type) {
	case DBUS_CALL:
		return m->path && m->member;
	case DBUS_RETURN:
		return m->reply_serial;
	case DBUS_ERROR:
		return m->error && m->reply_serial;
	case DBUS_SIGNAL:
		return m->path && m->interface && m->member;
	default: /* to be ignored by who reads it */
		return true;
	}
}

int dbus_parse(const uint8_t *data, size_t n, struct dbus_msg *ret, struct err *err)
{
	struct dbus_msg m = {.signature = ""};
	struct dbus_view fields, body, head;
	const char *sig;
	size_t want;

	if (dbus_length(data, n, &want, err) < 0)
		return -1;
	if (!want || want != n)
		return err_set(err, ERR_INVALID, "D-Bus: a message that is cut short");
	head = (struct dbus_view){.data = data, .end = n, .big = data[0] == 'B'};
	m.type = data[1];
	m.flags = data[2];
	head.at = 8;
	m.serial = dbus_get_u32(&head);
	fields = dbus_get_array(&head, '(');
	while (dbus_more(&fields))
		get_field(&fields, &m);
	dbus_get_struct(&head);
	if (fields.bad || head.bad || !m.serial || !is_complete(&m) ||
	    !is_signature(m.signature, true))
		return err_set(err, ERR_INVALID, "D-Bus: a damaged header");
	m.body = body = head;
	for (sig = m.signature; *sig && !body.bad;)
		dbus_skip(&body, &sig);
	if (body.bad || body.at != body.end)
		return err_set(err, ERR_INVALID, "D-Bus: a body that is not \"%s\"",
			       m.signature);
	*ret = m;
	return 0;
}

/* --- building ----------------------------------------------------------------------- */

static uint8_t *room(struct dbus_out *o, size_t to, size_t n)
{
	uint8_t *p;

	while (o->buf->len % to)
		buf_add_char(o->buf, 0);
	p = buf_reserve(o->buf, n);
	o->buf->len += n;
	return p;
}

static void store32(struct dbus_out *o, size_t at, size_t v)
{
	if (o->big)
		put_be32(o->buf->data + at, (uint32_t)v);
	else
		put_le32(o->buf->data + at, (uint32_t)v);
}

void dbus_put_u8(struct dbus_out *o, uint8_t v)
{
	buf_add_char(o->buf, (char)v);
}

void dbus_put_u16(struct dbus_out *o, uint16_t v)
{
	uint8_t *p = room(o, 2, 2);

	p[!o->big] = (uint8_t)(v >> 8);
	p[o->big] = (uint8_t)v;
}

void dbus_put_u32(struct dbus_out *o, uint32_t v)
{
	room(o, 4, 4);
	store32(o, o->buf->len - 4, v);
}

void dbus_put_bool(struct dbus_out *o, bool v)
{
	dbus_put_u32(o, v);
}

void dbus_put_u64(struct dbus_out *o, uint64_t v)
{
	uint32_t high = (uint32_t)(v >> 32), low = (uint32_t)v;

	room(o, 8, 8);
	store32(o, o->buf->len - 8, o->big ? high : low);
	store32(o, o->buf->len - 4, o->big ? low : high);
}

void dbus_put_str(struct dbus_out *o, const char *s)
{
	dbus_put_u32(o, (uint32_t)strlen(s));
	buf_add(o->buf, s, strlen(s) + 1);
}

void dbus_put_sig(struct dbus_out *o, const char *sig)
{
	dbus_put_u8(o, (uint8_t)strlen(sig));
	buf_add(o->buf, sig, strlen(sig) + 1);
}

void dbus_put_struct(struct dbus_out *o)
{
	room(o, 8, 0);
}

size_t dbus_array(struct dbus_out *o, char type)
{
	size_t at;

	dbus_put_u32(o, 0);
	at = o->buf->len - 4;
	room(o, alignment(type), 0);
	return at;
}

void dbus_array_end(struct dbus_out *o, size_t at, char type)
{
	store32(o, at, o->buf->len - aligned(at + 4, alignment(type)));
}

void dbus_begin(struct dbus_out *o, const struct dbus_msg *m)
{
	struct dbus_msg copy = *m;
	size_t array;

	dbus_put_u8(o, o->big ? 'B' : 'l');
	dbus_put_u8(o, (uint8_t)m->type);
	dbus_put_u8(o, m->flags);
	dbus_put_u8(o, VERSION);
	dbus_put_u32(o, 0); /* of the body */
	dbus_put_u32(o, m->serial);
	array = dbus_array(o, '(');
	for (unsigned code = FIELD_PATH; code <= FIELD_SIGNATURE; code++) {
		char type[2] = {0};
		const char **s = string_field(&copy, code, type);

		if (s ? str_empty(*s) : !m->reply_serial)
			continue;
		dbus_put_struct(o);
		dbus_put_u8(o, (uint8_t)code);
		dbus_put_sig(o, s ? type : "u");
		if (!s)
			dbus_put_u32(o, m->reply_serial);
		else if (*type == 'g')
			dbus_put_sig(o, *s);
		else
			dbus_put_str(o, *s);
	}
	dbus_array_end(o, array, '(');
	dbus_put_struct(o);
	o->body = o->buf->len;
}

void dbus_end(struct dbus_out *o)
{
	store32(o, 4, o->buf->len - o->body);
}

/* --- names -------------------------------------------------------------------------- */

void dbus_label(struct buf *out, const char *name)
{
	static const char hex[] = "0123456789abcdef";

	if (!*name)
		buf_add_char(out, '_');
	for (const char *s = name; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (letter || (c >= '0' && c <= '9' && s != name)) {
			buf_add_char(out, *s);
		} else {
			char code[3] = {'_', hex[c >> 4], hex[c & 15]};

			buf_add(out, code, sizeof(code));
		}
	}
}

/* A value of an address: with %xx for what is no letter, digit or one of -_/.\\*. */
static int unescape(const char *s, size_t n, struct buf *ret)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			char code[3] = {0};

			if (n - i < 3)
				return -1;
			memcpy(code, s + i + 1, 2);
			for (char *p = code; *p; p++)
				if (*p >= 'A' && *p <= 'F')
					*p = (char)(*p - 'A' + 'a');
			if (str_unhex(&c, 1, code) < 0 || !c)
				return -1;
			i += 2;
		}
		buf_add_char(ret, c);
	}
	return ret->len ? 0 : -1;
}

int dbus_address(const char *address, struct buf *ret)
{
	for (const char *s = address; *s; s += strcspn(s, ";"), s += *s == ';') {
		const char *key = s + 5;

		if (!str_starts(s, "unix:"))
			continue;
		for (;; key++) {
			size_t n = strcspn(key, ",;");

			if (str_starts(key, "path=")) {
				buf_reset(ret);
				return unescape(key + 5, n - 5, ret);
			}
			key += n;
			if (*key != ',')
				break;
		}
	}
	return -1;
}
