/*
 * initctl: talking to PID 1. A SEQPACKET socket, root only. A client sends one request in
 * one packet; init answers with any number of packets of one record each, and one that ends
 * the answer. Integers are little-endian, strings are fixed fields ended by NUL: see the
 * codec below, which the two sides share.
 */
#ifndef NODE_INITCTL_H
#define NODE_INITCTL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define INITCTL_SOCKET "/run/cribox/init.sock"

enum {
	INITCTL_VERSION = 1,
	INITCTL_REQUEST = 72, /* bytes of a request */
	INITCTL_REPLY = 256,  /* most bytes of a reply's packet */
	INITCTL_NAME = 32,
	INITCTL_TEXT = 160,
	INITCTL_TIMEOUT_MS = 5000, /* of the clients below; power verbs answer at once */
};

enum initctl_verb {
	INITCTL_LIST,	 /* records: services */
	INITCTL_START,	 /* name; also after a stop */
	INITCTL_STOP,	 /* name; answered when it has stopped */
	INITCTL_RESTART, /* name; answered when it runs again */
	INITCTL_LOGS,	 /* name; one record: the ring's fd */
	INITCTL_BOOT,	 /* records: phases of the boot */
	INITCTL_HALT,
	INITCTL_POWEROFF,
	INITCTL_REBOOT,
	INITCTL_RELOAD, /* reads the configuration again */
	INITCTL_MODULE, /* name: has a kernel module loaded */
	INITCTL_VERBS
};

enum initctl_state {
	INITCTL_OFF,	  /* never started, or stopped by a person */
	INITCTL_WAITING,  /* for what it comes after */
	INITCTL_STARTING, /* runs and is not ready yet */
	INITCTL_UP,
	INITCTL_BACKOFF, /* has ended; is started again after a pause */
	INITCTL_STOPPING,
	INITCTL_DONE,	/* has ended as it should */
	INITCTL_FAILED, /* has ended, and is not to be started again */
	INITCTL_STATES
};

struct initctl_request {
	enum initctl_verb verb;
	char name[INITCTL_NAME];
};

struct initctl_service {
	char name[INITCTL_NAME];
	enum initctl_state state;
	int32_t pid;		  /* 0: none */
	uint32_t restarts;	  /* without being asked to */
	int64_t since;		  /* when the state was entered: CLOCK_BOOTTIME, ns */
	char error[INITCTL_TEXT]; /* the last one; "" */
};

struct initctl_phase {
	char name[INITCTL_NAME];
	int64_t start, end; /* CLOCK_BOOTTIME, ns */
	char note[INITCTL_TEXT];
};

/* What comes back. */
enum initctl_kind {
	INITCTL_END, /* of an answer: .code is 0, or text says what is wrong */
	INITCTL_SERVICE,
	INITCTL_PHASE,
	INITCTL_RING, /* with an fd, see below */
	INITCTL_KINDS
};

struct initctl_reply {
	enum initctl_kind kind;
	enum err_code code; /* INITCTL_END */
	char text[INITCTL_TEXT];
	struct initctl_service service;
	struct initctl_phase phase;
};

/* The codec. put_ returns the bytes of the packet; get_ 0, or -1 for one that is not valid. */
size_t initctl_put_request(uint8_t dst[INITCTL_REQUEST], const struct initctl_request *r);
int initctl_get_request(const void *data, size_t n, struct initctl_request *ret);
size_t initctl_put_reply(uint8_t dst[INITCTL_REPLY], const struct initctl_reply *r);
int initctl_get_reply(const void *data, size_t n, struct initctl_reply *ret);

const char *initctl_state_name(enum initctl_state s);

/* Connects. An owned fd or -1. */
int initctl_open(struct err *err);

/*
 * One request and its whole answer; fn (may be NULL) is called for each record. 0, or -1:
 * what init refused, or ERR_TIMEOUT.
 */
int initctl_call(int fd, enum initctl_verb verb, const char *name,
		 void (*fn)(void *arg, const struct initctl_reply *r), void *arg,
		 struct err *err);

/* Up to max services; their number, or -1. */
int initctl_services(int fd, struct initctl_service *list, unsigned max, struct err *err);

/*
 * The log ring of a service: an owned fd of shared memory (read-only), or -1. It holds the
 * last bytes of the service's output; see initctl_ring_read.
 */
int initctl_logs(int fd, const char *name, struct err *err);

/*
 * Copies what the ring holds from *at on (0: from the oldest byte) to dst, at most n bytes,
 * and moves *at behind it. The number of bytes: 0 if there is nothing new; -1 on failure.
 */
enum { INITCTL_RING_HEAD = 16, INITCTL_RING_SIZE = 1 << 17 };
long initctl_ring_read(int ring, uint64_t *at, char *dst, size_t n, struct err *err);

#endif
