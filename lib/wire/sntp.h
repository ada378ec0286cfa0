/*
 * sntp: the packets of NTP version 4 as a client needs them (RFC 5905 7.3, RFC 4330), and
 * what several answers say together.
 */
#ifndef WIRE_SNTP_H
#define WIRE_SNTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SNTP_PORT = 123, SNTP_SIZE = 48 };

enum sntp_leap { SNTP_LEAP_NONE, SNTP_LEAP_INSERT, SNTP_LEAP_DELETE, SNTP_UNSYNCED };

/* A server's answer. Times are nanoseconds since 1970, differences nanoseconds. */
struct sntp_sample {
	enum sntp_leap leap;
	unsigned stratum;
	int64_t offset;	  /* to be added to our clock */
	int64_t delay;	  /* of the round trip */
	int64_t distance; /* at most so far may the offset be wrong (RFC 5905 11.1) */
	char kiss[5];	  /* a kiss-o'-death's code (RFC 5905 7.4), or "" */
};

/*
 * A request. cookie is a random number that the answer has to bring back; our own time is
 * nobody's business (draft-ietf-ntp-data-minimization).
 */
void sntp_request(uint8_t ret[SNTP_SIZE], uint64_t cookie);

/*
 * Reads and checks an answer to the request with this cookie. sent and received are our
 * clock's times; floor is a time that cannot have been (it also tells the era of NTP's
 * 32-bit seconds: answers lie within 68 years from it). A kiss-o'-death is a success with
 * kiss set and nothing else.
 * ERR_INVALID: not an answer to this request; ERR_STATE: from a server that must not be
 * used (not synchronized, too far from its source).
 */
int sntp_answer(const void *data, size_t n, uint64_t cookie, int64_t sent,
		int64_t received, int64_t floor, struct sntp_sample *ret,
		struct err *err);

/*
 * Selects among the samples of n servers (n > 0) those that agree: the largest set
 * whose intervals, offset +- distance, share a point (Marzullo's algorithm), and of it the
 * one with the least distance. Returns its index, or -1 if no majority agrees.
 */
int sntp_select(const struct sntp_sample *s, size_t n);

#endif
