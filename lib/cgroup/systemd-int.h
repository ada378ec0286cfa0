/* systemd-int: what the parts of the systemd driver share. */
#ifndef CGROUP_SYSTEMD_INT_H
#define CGROUP_SYSTEMD_INT_H

#include "cgroup/systemd.h"
#include "wire/dbus.h"

/* --- a connection to a bus, or to a service's own socket (bus.c) ---------------------- */

struct bus {
	int fd;
	bool direct; /* no bus in between: calls have no destination, signals come */
	uint32_t serial;
	struct buf in;	  /* what has come */
	size_t taken;	  /* the first bytes of it, which the last message lies in */
	int64_t deadline; /* of the call that is under way: time_mono() */
	/* a signal that comes while a reply is waited for */
	void (*signal)(void *arg, const struct dbus_msg *m);
	void *arg;
};

/* Connects and authenticates; says hello to a bus. 0 or -1. */
int bus_connect(struct bus *b, const char *path, bool direct, struct err *err);
void bus_done(struct bus *b);

/* Begins a call; its values follow (dbus_put_x). */
void bus_begin(struct bus *b, struct dbus_out *o, struct buf *out, const char *service,
	       const char *path, const char *interface, const char *method,
	       const char *signature);

/*
 * Ends and sends it, and waits for the reply, which lies in the connection's buffer until
 * the next call. An error's name becomes a code, its text the message. 0 or -1.
 */
int bus_call(struct bus *b, struct dbus_out *o, struct dbus_msg *ret, struct err *err);

/* Waits for one more message and gives it to `signal`. 0 or -1. */
int bus_wait(struct bus *b, struct err *err);

/* --- properties (props.c) ------------------------------------------------------------- */

struct prop {
	const char *name;
	const char *type;	 /* D-Bus signature of the value */
	uint64_t n;		 /* of a number or truth value; the bits of a double */
	const char *s;		 /* s */
	const uint8_t *bytes;	 /* ay */
	const char *const *strs; /* as; the pairs of a(ss) */
	size_t count;		 /* of bytes or strs */
	bool optional;		 /* left out if this systemd does not know it */
};

struct props {
	struct arena arena;
	struct prop list[96];
	size_t n;
};

void props_done(struct props *p);
/* Appends; the strings are borrowed. One that is there under this name is replaced. */
void props_num(struct props *p, const char *name, const char *type, uint64_t v,
	       bool optional);
void props_str(struct props *p, const char *name, const char *v);
void props_strs(struct props *p, const char *name, const char *v); /* as, of one */

/*
 * The properties that resources have (systemd.resource-control(5)); a new container's are
 * with devices, an update's are not. 0 or -1.
 */
int props_resources(struct props *p, const struct resources *r, bool v2,
		    bool with_devices, struct err *err);

/* One of an annotation (runc's rules: "XSec" in seconds becomes XUSec). 0 or -1. */
int props_annotation(struct props *p, const struct systemd_property *a, struct err *err);

/* The array a(sv) of all of them. */
void props_put(const struct props *p, struct dbus_out *o);

#endif
