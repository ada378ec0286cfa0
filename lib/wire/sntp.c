#include "wire/sntp.h"

#include <string.h>

#include "base/num.h"
#include "base/time.h"

enum {
	AT_FLAGS = 0,
	AT_STRATUM = 1,
	AT_PRECISION = 3,
	AT_ROOT_DELAY = 4,
	AT_ROOT_DISPERSION = 8,
	AT_REFID = 12,
	AT_ORIGIN = 24,
	AT_RECEIVE = 32,
	AT_TRANSMIT = 40
};

enum { VERSION = 4, MODE_CLIENT = 3, MODE_SERVER = 4, STRATUM_MAX = 15 };

/* Seconds from 1900 to 1970. */
#define EPOCH INT64_C(2208988800)
#define ERA (INT64_C(1) << 32)

/* RFC 5905: MAXDIST is 1.5 s in its reference implementation. */
static const int64_t DISTANCE_MAX = 1500 * NS_PER_MS;

void sntp_request(uint8_t ret[SNTP_SIZE], uint64_t cookie)
{
	memset(ret, 0, SNTP_SIZE);
	ret[AT_FLAGS] = VERSION << 3 | MODE_CLIENT;
	put_be64(ret + AT_TRANSMIT, cookie);
}

/* A 32-bit fixed point number of seconds, 16 bits of fraction. */
static int64_t short_ns(const uint8_t *p)
{
	return (int64_t)((uint64_t)get_be32(p) * (uint64_t)NS_PER_SEC >> 16);
}

/*
 * A 64-bit time stamp: the one of its readings in the eras of NTP that is nearest to the
 * floor, so 1968 to 2104 for one of 2036.
 */
static int64_t stamp_ns(const uint8_t *p, int64_t floor)
{
	int64_t base = floor / NS_PER_SEC + EPOCH;
	int32_t ahead = (int32_t)(get_be32(p) - (uint32_t)base);
	int64_t ns = (int64_t)((uint64_t)get_be32(p + 4) * (uint64_t)NS_PER_SEC >> 32);

	return (base + ahead - EPOCH) * NS_PER_SEC + ns;
}

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_STATE, "%s", why);
}

static int check(const uint8_t *p, size_t n, uint64_t cookie, struct err *err)
{
	unsigned version = p[AT_FLAGS] >> 3 & 7;

	if (n < SNTP_SIZE || (p[AT_FLAGS] & 7) != MODE_SERVER || version < 3 ||
	    version > VERSION || get_be64(p + AT_ORIGIN) != cookie)
		return err_set(err, ERR_INVALID, "not an answer to what was asked");
	return 0;
}

static void kiss(const uint8_t *p, struct sntp_sample *s)
{
	for (int i = 0; i < 4; i++) {
		uint8_t c = p[AT_REFID + i];

		s->kiss[i] = (char)(c >= 'A' && c <= 'Z' ? c : '?');
	}
}

int sntp_answer(const void *data, size_t n, uint64_t cookie, int64_t sent,
		int64_t received, int64_t floor, struct sntp_sample *ret, struct err *err)
{
	const uint8_t *p = data;
	struct sntp_sample s = {0};
	int64_t t2, t3, root_delay, dispersion;

	if (n < 1 || check(p, n, cookie, err) < 0)
		return n < 1 ? err_set(err, ERR_INVALID, "an empty answer") : -1;
	s.leap = p[AT_FLAGS] >> 6;
	s.stratum = p[AT_STRATUM];
	if (s.stratum == 0) {
		kiss(p, &s);
		*ret = s;
		return 0;
	}
	if (s.leap == SNTP_UNSYNCED || s.stratum > STRATUM_MAX)
		return refuse(err, "the server's own clock is not set");
	if (!get_be64(p + AT_TRANSMIT) || !get_be64(p + AT_RECEIVE))
		return err_set(err, ERR_INVALID, "an answer without time");
	t2 = stamp_ns(p + AT_RECEIVE, floor);
	t3 = stamp_ns(p + AT_TRANSMIT, floor);
	if (t3 < floor)
		return refuse(err, "the server's time has long been past");
	/* halves first: the times may be centuries apart when our clock is not set */
	s.offset = (t2 / 2 - sent / 2) + (t3 / 2 - received / 2);
	s.delay = (received - sent) - (t3 - t2);
	if (t3 < t2 || received < sent || s.delay < -NS_PER_SEC)
		return err_set(err, ERR_INVALID, "an answer whose times run backwards");
	s.delay = MAX(s.delay, 0);
	root_delay = short_ns(p + AT_ROOT_DELAY);
	dispersion = short_ns(p + AT_ROOT_DISPERSION);
	s.distance = (root_delay + s.delay) / 2 + dispersion + NS_PER_MS;
	if (s.distance > DISTANCE_MAX)
		return refuse(err, "the server is too far from its source of time");
	*ret = s;
	return 0;
}

int sntp_select(const struct sntp_sample *s, size_t n)
{
	size_t most = 0;
	int best = -1;
	int64_t at = 0;

	/* the point that most intervals share can be sought among their lower ends */
	for (size_t i = 0; i < n; i++) {
		int64_t low = s[i].offset - s[i].distance;
		size_t share = 0;

		for (size_t k = 0; k < n; k++)
			share += s[k].offset - s[k].distance <= low &&
				 s[k].offset + s[k].distance >= low;
		if (share > most) {
			most = share;
			at = low;
		}
	}
	if (most * 2 <= n)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (s[i].offset - s[i].distance <= at &&
		    s[i].offset + s[i].distance >= at &&
		    (best < 0 || s[i].distance < s[best].distance))
			best = (int)i;
	return best;
}
