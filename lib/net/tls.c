/* TLS 1.2 clients: the one file that knows BearSSL */
#include <bearssl.h>
#include <errno.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/num.h"
#include "base/str.h"
#include "net/net-int.h"
#include "os/proc.h"

enum {
	MAX_CERT = 16384,
	MIN_RSA_BYTES = 2048 / 8,
	ALERT_BAD_CERTIFICATE = 42,
	ALERT_PROTOCOL_VERSION = 70
};

struct net_tls {
	struct net_tls_config config;
	struct arena arena; /* of what follows */
	bool decoded;
	br_x509_trust_anchor *anchors;
	size_t n_anchors, cap_anchors;
	br_x509_certificate *chain; /* our own */
	size_t n_chain, cap_chain;
	br_skey_decoder_context *key; /* NULL: no client certificate */
};

/*
 * BearSSL's validator, with two things added: it can be told to believe
 * everybody, and it knows addresses as names.
 */
struct validator {
	const br_x509_class *vtable;
	br_x509_minimal_context minimal;
	br_x509_decoder_context decoder; /* of the server's own certificate, for skip */
	bool skip;
	uint8_t address[16]; /* the host, if it is an address */
	size_t address_len;  /* 0: it is a name */
	unsigned certs;
	uint8_t *cert; /* the server's own certificate, MAX_CERT bytes */
	size_t cert_len;
};

struct tls_conn {
	int fd;
	bool has_cert;	    /* of our own */
	bool heard;	    /* something was received: */
	uint8_t first_byte; /* of it */
	br_ssl_client_context client;
	struct validator validator;
	uint8_t cert[MAX_CERT];
	uint8_t iobuf[BR_SSL_BUFSIZE_BIDI];
};

/* --- PEM: issuers, and a certificate of our own ------------------------------------------- */

static void add_bytes(void *ctx, const void *data, size_t n)
{
	buf_add(ctx, data, n);
}

/* Room for one more element of a growing array in the arena. */
static void *grow(struct arena *a, void *array, size_t n, size_t *cap, size_t size)
{
	void *bigger;

	if (n < *cap)
		return array;
	*cap = *cap ? 2 * *cap : 64;
	bigger = arena_array(a, *cap, size);
	if (n)
		memcpy(bigger, array, n * size);
	return bigger;
}

/* A certificate that is no sane issuer is left out: bundles have some that we cannot use. */
static void add_anchor(struct net_tls *t, const void *der, size_t n)
{
	br_x509_decoder_context decoder;
	BUF_AUTO dn = {0};
	const br_x509_pkey *key;
	br_x509_trust_anchor *ta;

	br_x509_decoder_init(&decoder, add_bytes, &dn);
	br_x509_decoder_push(&decoder, der, n);
	key = br_x509_decoder_get_pkey(&decoder);
	if (!key)
		return;
	t->anchors = grow(&t->arena, t->anchors, t->n_anchors, &t->cap_anchors,
			  sizeof(*t->anchors));
	ta = &t->anchors[t->n_anchors++];
	ta->dn.data = arena_memdup(&t->arena, dn.data, dn.len);
	ta->dn.len = dn.len;
	/* a self-signed server certificate may be its own anchor */
	ta->flags = br_x509_decoder_isCA(&decoder) ? BR_X509_TA_CA : 0;
	ta->pkey = *key;
	if (key->key_type == BR_KEYTYPE_RSA) {
		ta->pkey.key.rsa.n =
			arena_memdup(&t->arena, key->key.rsa.n, key->key.rsa.nlen);
		ta->pkey.key.rsa.e =
			arena_memdup(&t->arena, key->key.rsa.e, key->key.rsa.elen);
	} else {
		ta->pkey.key.ec.q =
			arena_memdup(&t->arena, key->key.ec.q, key->key.ec.qlen);
	}
}

static void add_own(struct net_tls *t, const void *der, size_t n)
{
	t->chain =
		grow(&t->arena, t->chain, t->n_chain, &t->cap_chain, sizeof(*t->chain));
	t->chain[t->n_chain++] =
		(br_x509_certificate){arena_memdup(&t->arena, der, n), n};
}

static void add_key(struct net_tls *t, const void *der, size_t n)
{
	br_skey_decoder_context *key = arena_alloc(&t->arena, sizeof(*key));

	br_skey_decoder_init(key);
	br_skey_decoder_push(key, der, n);
	if (!br_skey_decoder_last_error(key))
		t->key = key;
}

/* Calls fn with each object of a PEM text whose name ends in `suffix`. */
static int pem_each(struct net_tls *t, const struct buf *pem, const char *suffix,
		    void (*fn)(struct net_tls *, const void *, size_t), struct err *err)
{
	br_pem_decoder_context decoder;
	BUF_AUTO der = {0};
	size_t at = 0;
	bool wanted = false;

	br_pem_decoder_init(&decoder);
	while (at < pem->len) {
		at += br_pem_decoder_push(&decoder, pem->data + at, pem->len - at);
		switch (br_pem_decoder_event(&decoder)) {
		case BR_PEM_BEGIN_OBJ:
			wanted = str_ends(br_pem_decoder_name(&decoder), suffix);
			buf_reset(&der);
			br_pem_decoder_setdest(&decoder, wanted ? add_bytes : NULL, &der);
			break;
		case BR_PEM_END_OBJ:
			if (wanted)
				fn(t, der.data, der.len);
			break;
		case BR_PEM_ERROR:
			return err_set(err, ERR_INVALID, "malformed PEM text");
		default:
			break;
		}
	}
	return 0;
}

static int decode(struct net_tls *t, struct err *err)
{
	const struct net_tls_config *c = &t->config;

	if (t->decoded)
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(c->ca) && !c->skip_verify; i++)
		if (c->ca[i] && pem_each(t, c->ca[i], "CERTIFICATE", add_anchor, err) < 0)
			return err_wrap(err, "trusted issuers");
	if (!c->skip_verify && !t->n_anchors)
		return err_set(err, ERR_STATE,
			       "no trusted issuers are known: there is no CA bundle");
	if (c->cert && c->key) {
		if (pem_each(t, c->cert, "CERTIFICATE", add_own, err) < 0 ||
		    pem_each(t, c->key, "PRIVATE KEY", add_key, err) < 0)
			return err_wrap(err, "client certificate");
		if (!t->n_chain || !t->key)
			return err_set(err, ERR_INVALID,
				       "client certificate: no certificate, or no key "
				       "that can be used");
	}
	t->decoded = true;
	return 0;
}

struct net_tls *net_tls_new(const struct net_tls_config *config)
{
	struct net_tls *t = xcalloc(1, sizeof(*t));

	t->config = *config;
	return t;
}

void net_tls_free(struct net_tls *t)
{
	if (!t)
		return;
	arena_done(&t->arena);
	free(t);
}

/* --- addresses in certificates ------------------------------------------------------------- */

/*
 * One DER element at *p: its tag, its contents in *ret, *p behind it. -1 if
 * it is malformed. Lengths of up to three bytes: certificates are small.
 */
static int der_next(const uint8_t **p, const uint8_t *end, const uint8_t **ret,
		    size_t *ret_n)
{
	const uint8_t *s = *p;
	size_t n, more;
	int tag;

	if (end - s < 2)
		return -1;
	tag = *s++;
	n = *s++;
	if (n & 0x80) {
		more = n & 0x7f;
		if (!more || more > 3 || (size_t)(end - s) < more)
			return -1;
		for (n = 0; more--; s++)
			n = n << 8 | *s;
	}
	if ((size_t)(end - s) < n)
		return -1;
	*ret = s;
	*ret_n = n;
	*p = s + n;
	return tag;
}

/* GeneralNames (RFC 5280 4.2.1.6): does one of them be this iPAddress, tag [7]? */
static bool names_have(const uint8_t *p, size_t n, const struct validator *v)
{
	const uint8_t *end = p + n, *value;
	size_t len;
	int tag;

	if (der_next(&p, end, &value, &len) != 0x30)
		return false;
	for (p = value, end = value + len;
	     p < end && (tag = der_next(&p, end, &value, &len)) >= 0;)
		if (tag == 0x87 && len == v->address_len &&
		    memcmp(value, v->address, len) == 0)
			return true;
	return false;
}

/*
 * Looks for the subjectAltName extension by its encoding: the certificate has
 * been validated, so that its structure can be relied upon, and only an
 * extension's SEQUENCE begins with this object identifier.
 */
static bool cert_has_address(const struct validator *v)
{
	static const uint8_t oid[] = {0x06, 0x03, 0x55, 0x1d, 0x11};
	const uint8_t *end = v->cert + v->cert_len;
	const uint8_t *p = memmem(v->cert, v->cert_len, oid, sizeof(oid));
	const uint8_t *value;
	size_t n;
	int tag;

	if (!p)
		return false;
	p += sizeof(oid);
	tag = der_next(&p, end, &value, &n);
	if (tag == 0x01) /* BOOLEAN critical */
		tag = der_next(&p, end, &value, &n);
	return tag == 0x04 && names_have(value, n, v);
}

/* --- the validator ------------------------------------------------------------------------- */

static struct validator *self(const br_x509_class **ctx)
{
	return (struct validator *)(void *)ctx;
}

static void v_start_chain(const br_x509_class **ctx, const char *name)
{
	struct validator *v = self(ctx);

	v->certs = 0;
	v->cert_len = 0;
	v->minimal.vtable->start_chain(&v->minimal.vtable, v->address_len ? NULL : name);
}

static void v_start_cert(const br_x509_class **ctx, uint32_t length)
{
	struct validator *v = self(ctx);

	v->certs++;
	if (v->certs == 1)
		br_x509_decoder_init(&v->decoder, NULL, NULL);
	v->minimal.vtable->start_cert(&v->minimal.vtable, length);
}

static void v_append(const br_x509_class **ctx, const unsigned char *data, size_t n)
{
	struct validator *v = self(ctx);

	if (v->certs == 1) {
		br_x509_decoder_push(&v->decoder, data, n);
		if (n <= MAX_CERT - v->cert_len) {
			memcpy(v->cert + v->cert_len, data, n);
			v->cert_len += n;
		}
	}
	v->minimal.vtable->append(&v->minimal.vtable, data, n);
}

static void v_end_cert(const br_x509_class **ctx)
{
	struct validator *v = self(ctx);

	v->minimal.vtable->end_cert(&v->minimal.vtable);
}

static unsigned v_end_chain(const br_x509_class **ctx)
{
	struct validator *v = self(ctx);
	unsigned r = v->minimal.vtable->end_chain(&v->minimal.vtable);

	if (v->skip)
		return (unsigned)br_x509_decoder_last_error(&v->decoder);
	if (!r && v->address_len && !cert_has_address(v))
		return BR_ERR_X509_BAD_SERVER_NAME;
	return r;
}

static const br_x509_pkey *v_get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
	const struct validator *v = (const struct validator *)(const void *)ctx;

	if (!v->skip)
		return v->minimal.vtable->get_pkey(&v->minimal.vtable, usages);
	if (usages)
		*usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
	/* takes a non-const context, and does not change it */
	return br_x509_decoder_get_pkey(&((struct validator *)(uintptr_t)v)->decoder);
}

static const br_x509_class validator_class = {
	.context_size = sizeof(struct validator),
	.start_chain = v_start_chain,
	.start_cert = v_start_cert,
	.append = v_append,
	.end_cert = v_end_cert,
	.end_chain = v_end_chain,
	.get_pkey = v_get_pkey,
};

static void validator_init(struct tls_conn *c, const struct net_tls *t, const char *host)
{
	struct validator *v = &c->validator;
	br_ssl_engine_context *eng = &c->client.eng;

	v->vtable = &validator_class;
	v->skip = t->config.skip_verify;
	v->cert = c->cert;
	if (inet_pton(AF_INET, host, v->address) == 1)
		v->address_len = 4;
	else if (inet_pton(AF_INET6, host, v->address) == 1)
		v->address_len = 16;
	br_x509_minimal_init(&v->minimal, &br_sha256_vtable, t->anchors, t->n_anchors);
	br_x509_minimal_set_rsa(&v->minimal, br_ssl_engine_get_rsavrfy(eng));
	br_x509_minimal_set_ecdsa(&v->minimal, br_ssl_engine_get_ec(eng),
				  br_ssl_engine_get_ecdsa(eng));
	br_x509_minimal_set_minrsa(&v->minimal, MIN_RSA_BYTES);
	/* no MD5 and no SHA-1: their signatures prove nothing */
	br_x509_minimal_set_hash(&v->minimal, br_sha256_ID, &br_sha256_vtable);
	br_x509_minimal_set_hash(&v->minimal, br_sha384_ID, &br_sha384_vtable);
	br_x509_minimal_set_hash(&v->minimal, br_sha512_ID, &br_sha512_vtable);
	br_ssl_engine_set_x509(eng, &v->vtable);
}

/* --- the handshake ------------------------------------------------------------------------- */

/* TLS 1.2 with forward secrecy and authenticated encryption, nothing else. */
static void client_init(br_ssl_client_context *cc)
{
	static const uint16_t aes_first[] = {
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	};
	static const uint16_t chacha_first[] = {
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	};
	/* in software, BearSSL's AES takes several times what ChaCha20 takes */
	bool aes = br_aes_x86ni_ctr_get_vtable() || br_aes_pwr8_ctr_get_vtable();
	br_ssl_engine_context *eng = &cc->eng;

	br_ssl_client_zero(cc);
	br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
	br_ssl_engine_set_suites(eng, aes ? aes_first : chacha_first,
				 ARRAY_LEN(aes_first));
	br_ssl_engine_set_default_rsavrfy(eng);
	br_ssl_engine_set_default_ecdsa(eng);
	br_ssl_engine_set_hash(eng, br_sha256_ID, &br_sha256_vtable);
	br_ssl_engine_set_hash(eng, br_sha384_ID, &br_sha384_vtable);
	br_ssl_engine_set_hash(eng, br_sha512_ID, &br_sha512_vtable);
	br_ssl_engine_set_prf_sha256(eng, &br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(eng, &br_tls12_sha384_prf);
	br_ssl_engine_set_default_aes_gcm(eng);
	br_ssl_engine_set_default_chapol(eng);
	br_ssl_engine_add_flags(eng, BR_OPT_NO_RENEGOTIATION);
}

static void set_own_cert(br_ssl_client_context *cc, const struct net_tls *t)
{
	if (!t->key)
		return;
	if (br_skey_decoder_key_type(t->key) == BR_KEYTYPE_RSA)
		br_ssl_client_set_single_rsa(cc, t->chain, t->n_chain,
					     br_skey_decoder_get_rsa(t->key),
					     br_rsa_pkcs1_sign_get_default());
	else
		br_ssl_client_set_single_ec(cc, t->chain, t->n_chain,
					    br_skey_decoder_get_ec(t->key),
					    BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN,
					    BR_KEYTYPE_EC, br_ec_get_default(),
					    br_ecdsa_sign_asn1_get_default());
}

static const struct {
	int code;
	const char *why;
} reasons[] = {
	{BR_ERR_X509_BAD_SERVER_NAME, "the certificate is for another host name"},
	{BR_ERR_X509_NOT_TRUSTED, "the certificate comes from an unknown issuer"},
	{BR_ERR_X509_DN_MISMATCH, "the certificate chain does not fit together"},
	{BR_ERR_X509_BAD_SIGNATURE, "a signature in the certificate chain is wrong"},
	{BR_ERR_X509_UNSUPPORTED,
	 "the certificate chain uses a signature that is not supported (SHA-1?)"},
	{BR_ERR_X509_WEAK_PUBLIC_KEY, "a key in the certificate chain is too short"},
	{BR_ERR_X509_NOT_CA, "the certificate's issuer is not allowed to issue any"},
	{BR_ERR_X509_EMPTY_CHAIN, "the server has sent no certificate"},
	{BR_ERR_X509_CRITICAL_EXTENSION,
	 "the certificate has a critical extension that is not supported"},
	{BR_ERR_BAD_SIGNATURE, "the server cannot prove that it has its key"},
	{BR_ERR_BAD_MAC, "a record was damaged on the way"},
	{BR_ERR_RECV_FATAL_ALERT + ALERT_PROTOCOL_VERSION,
	 "the server needs TLS 1.3, which is not supported"},
	{BR_ERR_RECV_FATAL_ALERT + 40,
	 "the server accepts none of our ciphers, or needs TLS 1.3, which is not "
	 "supported"},
	{BR_ERR_RECV_FATAL_ALERT + 71, "the server accepts none of our ciphers"},
	{BR_ERR_RECV_FATAL_ALERT + 112, "the server does not know this host name"},
	{BR_ERR_RECV_FATAL_ALERT + ALERT_BAD_CERTIFICATE,
	 "the server refuses our certificate"},
	{BR_ERR_RECV_FATAL_ALERT + 116, "the server wants a certificate of ours"},
	{BR_ERR_NO_CLIENT_AUTH, "the server wants a certificate of ours"},
	{BR_ERR_UNSUPPORTED_VERSION,
	 "the server speaks no TLS version that is supported"},
};

/* What the engine stopped at. Returns -1. */
static int failed(struct tls_conn *c, struct err *err)
{
	int code = br_ssl_engine_last_error(&c->client.eng);
	/* a record of the handshake, or an alert (RFC 5246 6.2.1) */
	bool is_tls = !c->heard || c->first_byte == 22 || c->first_byte == 21;
	bool x509 = code >= BR_ERR_X509_INVALID_VALUE && code <= BR_ERR_X509_NOT_TRUSTED;
	enum err_code kind = x509 ? ERR_DENIED : ERR_UNAVAILABLE;

	if (!is_tls)
		return err_set(err, kind, "the server does not speak TLS");
	if (!c->has_cert && code == BR_ERR_RECV_FATAL_ALERT + ALERT_BAD_CERTIFICATE)
		code = BR_ERR_NO_CLIENT_AUTH;
	if (code == BR_ERR_X509_EXPIRED) {
		time_t now = time(NULL);
		struct tm tm;

		gmtime_r(&now, &tm);
		return err_set(err, kind,
			       "the certificate has expired or is not valid yet (it is "
			       "%04d-%02d-%02d here)",
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	}
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].code == code)
			return err_set(err, kind, "%s", reasons[i].why);
	if (code >= BR_ERR_RECV_FATAL_ALERT && code < BR_ERR_SEND_FATAL_ALERT)
		return err_set(err, kind, "the server gave up (alert %d)",
			       code - BR_ERR_RECV_FATAL_ALERT);
	if (!code)
		return err_set(err, kind, "the connection was closed");
	return err_set(err, kind,
		       x509 ? "the certificate is malformed (error %d)"
			    : "protocol error %d",
		       code);
}

static void note_first(struct tls_conn *c, const uint8_t *data)
{
	if (!c->heard)
		c->first_byte = *data;
	c->heard = true;
}

/*
 * The peer takes nothing any more, which is in err: it may have said why in an
 * alert that is still to be read. Returns -1.
 */
static int last_words(struct tls_conn *c, struct err *err)
{
	br_ssl_engine_context *eng = &c->client.eng;
	struct err ignored;

	while (br_ssl_engine_current_state(eng) & BR_SSL_RECVREC) {
		size_t n;
		unsigned char *p = br_ssl_engine_recvrec_buf(eng, &n);
		ssize_t r = net_raw_read(c->fd, p, n, 0, &ignored);

		if (r <= 0)
			return -1;
		note_first(c, p);
		br_ssl_engine_recvrec_ack(eng, (size_t)r);
	}
	return br_ssl_engine_last_error(eng) ? failed(c, err) : -1;
}

/*
 * Moves records between the engine and the socket until one of the states in
 * `target` is reached. 1; 0 if the connection ended before; -1.
 */
static int run_until(struct tls_conn *c, unsigned target, int64_t deadline,
		     struct err *err)
{
	br_ssl_engine_context *eng = &c->client.eng;

	for (;;) {
		unsigned state = br_ssl_engine_current_state(eng);
		unsigned char *p;
		size_t n;
		ssize_t r;

		if (state & BR_SSL_CLOSED)
			return br_ssl_engine_last_error(eng) ? failed(c, err) : 0;
		if (state & BR_SSL_SENDREC) {
			p = br_ssl_engine_sendrec_buf(eng, &n);
			r = net_raw_write(c->fd, p, n, deadline, err);
			if (r < 0)
				return last_words(c, err);
			br_ssl_engine_sendrec_ack(eng, (size_t)r);
			continue;
		}
		if (state & target)
			return 1;
		if (!(state & BR_SSL_RECVREC))
			return err_set(err, ERR_UNAVAILABLE, "protocol error");
		p = br_ssl_engine_recvrec_buf(eng, &n);
		r = net_raw_read(c->fd, p, n, deadline, err);
		if (r <= 0)
			return (int)r;
		note_first(c, p);
		br_ssl_engine_recvrec_ack(eng, (size_t)r);
	}
}

struct tls_conn *tls_start(struct net_tls *t, int fd, const char *host, int64_t deadline,
			   struct err *err)
{
	struct tls_conn *c;
	uint8_t seed[32];
	int r;

	if (decode(t, err) < 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	c->has_cert = t->key;
	client_init(&c->client);
	validator_init(c, t, host);
	set_own_cert(&c->client, t);
	br_ssl_engine_set_buffer(&c->client.eng, c->iobuf, sizeof(c->iobuf), 1);
	/* the fetcher sees no /dev/urandom */
	proc_random(seed, sizeof(seed));
	br_ssl_engine_inject_entropy(&c->client.eng, seed, sizeof(seed));
	explicit_bzero(seed, sizeof(seed));
	if (!br_ssl_client_reset(&c->client, c->validator.address_len ? NULL : host, 0)) {
		failed(c, err);
	} else {
		r = run_until(c, BR_SSL_SENDAPP, deadline, err);
		if (r > 0)
			return c;
		if (r == 0)
			err_set(err, ERR_UNAVAILABLE,
				"the server closed the connection during the handshake");
	}
	tls_free(c);
	return NULL;
}

void tls_free(struct tls_conn *c)
{
	if (!c)
		return;
	explicit_bzero(c, sizeof(*c));
	free(c);
}

bool tls_has_data(const struct tls_conn *c)
{
	return br_ssl_engine_current_state(&c->client.eng) & BR_SSL_RECVAPP;
}

ssize_t tls_read(struct tls_conn *c, void *data, size_t n, int64_t deadline,
		 struct err *err)
{
	unsigned char *p;
	size_t have;
	int r = run_until(c, BR_SSL_RECVAPP, deadline, err);

	if (r <= 0)
		return r;
	p = br_ssl_engine_recvapp_buf(&c->client.eng, &have);
	have = MIN(have, n);
	memcpy(data, p, have);
	br_ssl_engine_recvapp_ack(&c->client.eng, have);
	return (ssize_t)have;
}

int tls_write(struct tls_conn *c, const void *data, size_t n, int64_t deadline,
	      struct err *err)
{
	const uint8_t *from = data;

	while (n) {
		unsigned char *p;
		size_t room;
		int r = run_until(c, BR_SSL_SENDAPP, deadline, err);

		if (r <= 0)
			return r < 0 ? -1
				     : err_set(err, ERR_UNAVAILABLE,
					       "the server closed the connection");
		p = br_ssl_engine_sendapp_buf(&c->client.eng, &room);
		room = MIN(room, n);
		memcpy(p, from, room);
		br_ssl_engine_sendapp_ack(&c->client.eng, room);
		from += room;
		n -= room;
	}
	br_ssl_engine_flush(&c->client.eng, 0);
	/* anything but SENDREC: all records are out */
	return run_until(c, BR_SSL_SENDAPP | BR_SSL_RECVREC, deadline, err) < 0 ? -1 : 0;
}
