/*
 * A DHCP client (RFC 2131 4.4) as a table of states and events. What differs from the RFC is
 * on purpose: no random wait before the first message and a first retransmission after half
 * a second instead of 4 (a node that boots has somebody waiting for it, and a switch may not
 * forward yet when the link is up), and an address that
 * was leased before is used while nobody answers and the lease has not run out.
 */
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "netd.h"
#include "os/proc.h"

enum {
	FIRST_WAIT_MS = 500, /* then doubled, */
	DOUBLINGS = 7,	     /* up to 64 s */
	REQUEST_TRIES = 4,
	REBOOT_TRIES = 2,  /* of a lease that may no longer run */
	RECLAIM_TRIES = 3, /* of one that does */
	PROBES = 2, /* of ARP, PROBE_WAIT_MS apart: RFC 5227 would take 5 seconds */
	PROBE_WAIT_MS = 100,
	DECLINE_WAIT = 10, /* seconds: RFC 2131 3.1 (5) */
	RETRY_MIN = 60,	   /* seconds between renewals: 4.4.5 */
	LEASE_DEFAULT = 3600,
	LEASE_MIN = 10
};

static const char *const names[DHCP_STATES] = {
	[DHCP_STOPPED] = "stopped",	[DHCP_INIT] = "init",
	[DHCP_SELECTING] = "selecting", [DHCP_REQUESTING] = "requesting",
	[DHCP_REBOOTING] = "rebooting", [DHCP_PROBING] = "probing",
	[DHCP_BOUND] = "bound",		[DHCP_RENEWING] = "renewing",
	[DHCP_REBINDING] = "rebinding",
};

static struct log *log_of(const struct dhcp *d)
{
	return &d->link->netd->s->log;
}

static const char *name_of(const struct dhcp *d)
{
	return d->link->is.name;
}

static const char *text_of(char dst[IP_TEXT], uint32_t addr)
{
	struct ip ip = dhcp4_ip(addr);

	return ip_format(dst, &ip);
}

static uint32_t random_below(uint32_t n)
{
	uint32_t v;

	proc_random(&v, sizeof(v));
	return n ? v % n : 0;
}

static void wake_at(struct dhcp *d, int64_t when)
{
	loop_timer_set(d->link->netd->loop, &d->timer, when);
}

static void wake_in(struct dhcp *d, int64_t ns)
{
	wake_at(d, time_mono() + ns);
}

/* Doubled per try, with an eighth up or down at random (4.1). */
static int64_t backoff(unsigned tries)
{
	int64_t ms = (int64_t)FIRST_WAIT_MS << MIN(tries, (unsigned)DOUBLINGS);

	return (ms - ms / 8 + random_below((uint32_t)ms / 4)) * NS_PER_MS;
}

static void enter(struct dhcp *d, enum dhcp_state state)
{
	if (d->state != state)
		log_debug(log_of(d), "%s: dhcp: %s -> %s", name_of(d), names[d->state],
			  names[state]);
	d->state = state;
	d->tries = 0;
	publish_later(d->link->netd);
}

/* --- what is sent ---------------------------------------------------------------------- */

static struct dhcp4_request request(struct dhcp *d, enum dhcp4_type type)
{
	int64_t secs = (time_mono() - d->since) / NS_PER_SEC;
	struct dhcp4_request r = {
		.type = type,
		.xid = d->xid,
		.secs = (uint16_t)MIN(secs, INT64_C(65535)),
		.hostname = conf_hostname(d->link->netd->s),
	};

	memcpy(r.mac, d->link->is.mac, DHCP4_MAC);
	return r;
}

static void send_discover(struct dhcp *d)
{
	struct dhcp4_request r = request(d, DHCP4_DISCOVER);

	r.rapid_commit = true;
	/* some NICs get unicast only when they have an address: ask both ways in turn */
	r.broadcast = d->tries % 2;
	dhcp_io_broadcast(d, &r);
	wake_in(d, backoff(d->tries++));
}

static void send_request(struct dhcp *d)
{
	struct dhcp4_request r = request(d, DHCP4_REQUEST);

	r.requested = d->lease.yiaddr;
	r.broadcast = d->tries % 2;
	if (d->state == DHCP_REQUESTING)
		r.server = d->lease.server;
	dhcp_io_broadcast(d, &r);
	wake_in(d, backoff(d->tries++));
}

/* Half of what is left until the next state, but not more often than makes sense. */
static void send_renewal(struct dhcp *d)
{
	struct dhcp4_request r = request(d, DHCP4_REQUEST);
	int64_t end = d->state == DHCP_RENEWING ? d->t2 : d->until, now = time_mono();
	int64_t least = MIN(RETRY_MIN * NS_PER_SEC, (d->until - d->acquired) / 20);

	r.ciaddr = d->lease.yiaddr;
	dhcp_io_udp(d);
	dhcp_io_send(d, d->state == DHCP_RENEWING ? d->lease.server : UINT32_MAX, &r);
	d->tries++;
	wake_at(d, MIN(end, now + MAX((end - now) / 2, least)));
}

/* --- what happens ---------------------------------------------------------------------- */

typedef void dhcp_fn(struct dhcp *d, const struct dhcp4_reply *r);

static void discover(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	enter(d, DHCP_SELECTING);
	d->since = time_mono();
	proc_random(&d->xid, sizeof(d->xid));
	dhcp_io_packet(d);
	send_discover(d);
}

static void discover_again(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	/* said once, then when the pauses have become long, then now and then */
	if (d->tries == 4 || d->tries % 16 == 8)
		log_warn(log_of(d), "%s: no DHCP server answers", name_of(d));
	send_discover(d);
}

/* Begins anew after a pause that grows with each failure in a row. */
static void start_over(struct dhcp *d, int64_t pause)
{
	dhcp_io_close(d);
	enter(d, DHCP_INIT);
	if (d->failures++)
		pause += backoff(d->failures - 1);
	wake_in(d, pause);
}

static void keep_message(struct dhcp *d, const struct dhcp4_reply *r)
{
	d->lease = *r;
	memcpy(d->message, d->rx, d->nrx);
	d->nmessage = d->nrx;
}

static bool usable(const struct dhcp4_reply *r)
{
	return r->yiaddr && r->server;
}

static void on_offer(struct dhcp *d, const struct dhcp4_reply *r)
{
	if (!usable(r))
		return;
	keep_message(d, r);
	enter(d, DHCP_REQUESTING);
	send_request(d);
}

static void request_again(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	if (d->tries < REQUEST_TRIES)
		send_request(d);
	else
		discover(d, NULL);
}

void dhcp_set_times(struct dhcp *d, int64_t acquired)
{
	uint32_t seconds = d->lease.lease ? d->lease.lease : LEASE_DEFAULT;
	int64_t lease = MAX(seconds, (uint32_t)LEASE_MIN) * NS_PER_SEC;
	int64_t t1 = d->lease.t1 ? d->lease.t1 * NS_PER_SEC : lease / 2;
	int64_t t2 = d->lease.t2 ? d->lease.t2 * NS_PER_SEC : lease * 7 / 8;

	d->has_lease = true;
	d->acquired = acquired;
	if (d->lease.lease == DHCP4_FOREVER) {
		d->t1 = d->t2 = d->until = INT64_MAX;
		return;
	}
	t1 -= t1 / 32 * random_below(32) / 32;
	d->t1 = acquired + t1;
	d->t2 = acquired + t2;
	d->until = acquired + lease;
}

void dhcp_configure(struct dhcp *d)
{
	int64_t left = (d->until - time_mono()) / NS_PER_SEC;

	link_lease(d->link, &d->lease,
		   d->until == INT64_MAX ? UINT32_MAX : (uint32_t)MAX(left, 1));
	d->configured = true;
}

static void bind_lease(struct dhcp *d)
{
	char text[IP_TEXT], server[IP_TEXT];

	dhcp_io_close(d);
	d->failures = 0;
	if (d->state == DHCP_PROBING || !d->configured) {
		STR_AUTO life = d->lease.lease == DHCP4_FOREVER
					? xstrdup("ever")
					: xasprintf("%u s", d->lease.lease);

		log_info(log_of(d), "%s: %s/%u leased by %s for %s", name_of(d),
			 text_of(text, d->lease.yiaddr), d->lease.prefix,
			 text_of(server, d->lease.server), life);
	}
	dhcp_configure(d);
	enter(d, DHCP_BOUND);
	dhcp_lease_save(d);
	if (d->t1 == INT64_MAX)
		loop_timer_del(&d->timer);
	else
		wake_at(d, d->t1);
}

static void probe(struct dhcp *d)
{
	dhcp_io_probe(d, d->lease.yiaddr, false);
	d->tries++;
	wake_in(d, PROBE_WAIT_MS * NS_PER_MS);
}

/* The address of a lease that is not on the link yet is tried out first. */
static void on_ack(struct dhcp *d, const struct dhcp4_reply *r)
{
	bool same = d->configured && d->link->on.yiaddr == r->yiaddr;

	if (!usable(r))
		return;
	keep_message(d, r);
	dhcp_set_times(d, time_mono());
	if (same) {
		bind_lease(d);
		return;
	}
	if (d->configured)
		link_lease_drop(d->link);
	d->configured = false;
	dhcp_io_close(d);
	dhcp_io_arp(d);
	enter(d, DHCP_PROBING);
	probe(d);
}

static void on_ack_selecting(struct dhcp *d, const struct dhcp4_reply *r)
{
	if (r->rapid_commit)
		on_ack(d, r);
}

/* A server that was not asked may not speak for the one that was. */
static void on_ack_requesting(struct dhcp *d, const struct dhcp4_reply *r)
{
	if (r->server == d->lease.server)
		on_ack(d, r);
}

static void lose(struct dhcp *d)
{
	if (d->configured)
		link_lease_drop(d->link);
	d->configured = d->has_lease = false;
}

static void on_nak(struct dhcp *d, const struct dhcp4_reply *r)
{
	char text[IP_TEXT], server[IP_TEXT];

	if ((d->state == DHCP_REQUESTING || d->state == DHCP_RENEWING) &&
	    r->server != d->lease.server)
		return;
	log_warn(log_of(d), "%s: %s refused by %s%s%s", name_of(d),
		 text_of(text, d->lease.yiaddr), text_of(server, r->server),
		 *r->message ? ": " : "", r->message);
	lose(d);
	dhcp_lease_forget(d);
	start_over(d, 0);
}

static void probe_again(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	if (d->tries < PROBES) {
		probe(d);
		return;
	}
	dhcp_io_probe(d, d->lease.yiaddr, true);
	bind_lease(d);
}

static void on_conflict(struct dhcp *d, const struct dhcp4_reply *r)
{
	struct dhcp4_request decline = request(d, DHCP4_DECLINE);
	char text[IP_TEXT];

	(void)r;
	log_warn(log_of(d), "%s: %s is in use by another host", name_of(d),
		 text_of(text, d->lease.yiaddr));
	decline.requested = d->lease.yiaddr;
	decline.server = d->lease.server;
	decline.message = "the address is in use";
	decline.hostname = NULL;
	dhcp_io_packet(d);
	dhcp_io_broadcast(d, &decline);
	lose(d);
	dhcp_lease_forget(d);
	start_over(d, DECLINE_WAIT * NS_PER_SEC);
}

static void renew(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	enter(d, DHCP_RENEWING);
	d->since = time_mono();
	proc_random(&d->xid, sizeof(d->xid));
	send_renewal(d);
}

static void rebind(struct dhcp *d)
{
	char text[IP_TEXT];

	log_warn(log_of(d), "%s: DHCP server %s does not answer", name_of(d),
		 text_of(text, d->lease.server));
	enter(d, DHCP_REBINDING);
	send_renewal(d);
}

static void renew_again(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	if (time_mono() < d->t2)
		send_renewal(d);
	else
		rebind(d);
}

static void expire(struct dhcp *d)
{
	char text[IP_TEXT];

	log_warn(log_of(d), "%s: the lease of %s has run out", name_of(d),
		 text_of(text, d->lease.yiaddr));
	lose(d);
	dhcp_io_close(d);
}

static void rebind_again(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	if (time_mono() < d->until) {
		send_renewal(d);
		return;
	}
	expire(d);
	discover(d, NULL);
}

/* Goes on with a lease that nobody has answered for, where its times say. */
static void resume(struct dhcp *d)
{
	int64_t now = time_mono();
	char text[IP_TEXT];

	if (!d->has_lease || now >= d->until) {
		if (d->has_lease)
			expire(d);
		discover(d, NULL);
		return;
	}
	log_warn(log_of(d), "%s: no DHCP server answers, %s is still leased", name_of(d),
		 text_of(text, d->lease.yiaddr));
	dhcp_io_close(d);
	dhcp_configure(d);
	if (now < d->t1) {
		enter(d, DHCP_BOUND);
		wake_at(d, d->t1);
	} else if (now < d->t2) {
		renew(d, NULL);
	} else {
		rebind(d);
	}
}

static void reboot_again(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	if (d->tries < (d->has_lease ? RECLAIM_TRIES : REBOOT_TRIES))
		send_request(d);
	else
		resume(d);
}

static void reboot(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	dhcp_io_close(d);
	enter(d, DHCP_REBOOTING);
	d->since = time_mono();
	proc_random(&d->xid, sizeof(d->xid));
	dhcp_io_packet(d);
	send_request(d);
}

/* The carrier is there for the first time, or again: is it the same network? */
static void start(struct dhcp *d, const struct dhcp4_reply *r)
{
	bool valid = false;

	(void)r;
	if (d->has_lease) {
		reboot(d, NULL);
	} else if (dhcp_lease_load(d, &valid)) {
		d->has_lease = valid;
		/* after a restart of ours it is on the link, and others rely on it */
		if (valid)
			dhcp_configure(d);
		reboot(d, NULL);
	} else {
		discover(d, NULL);
	}
}

/* The address stays as long as it is leased: cables come back. */
static void stop(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	dhcp_io_close(d);
	if (d->state == DHCP_PROBING)
		lose(d);
	enter(d, DHCP_STOPPED);
	if (d->has_lease && d->until != INT64_MAX)
		wake_at(d, d->until);
	else
		loop_timer_del(&d->timer);
}

static void stopped_timer(struct dhcp *d, const struct dhcp4_reply *r)
{
	(void)r;
	if (d->has_lease && time_mono() >= d->until)
		expire(d);
}

static dhcp_fn *const table[DHCP_STATES][DHCP_EVENTS] = {
	[DHCP_STOPPED] = {[DHCP_EV_UP] = start, [DHCP_EV_TIMER] = stopped_timer},
	[DHCP_INIT] = {[DHCP_EV_DOWN] = stop, [DHCP_EV_TIMER] = discover},
	[DHCP_SELECTING] = {[DHCP_EV_DOWN] = stop,
			    [DHCP_EV_TIMER] = discover_again,
			    [DHCP_EV_OFFER] = on_offer,
			    [DHCP_EV_ACK] = on_ack_selecting},
	[DHCP_REQUESTING] = {[DHCP_EV_DOWN] = stop,
			     [DHCP_EV_TIMER] = request_again,
			     [DHCP_EV_ACK] = on_ack_requesting,
			     [DHCP_EV_NAK] = on_nak},
	[DHCP_REBOOTING] = {[DHCP_EV_DOWN] = stop,
			    [DHCP_EV_TIMER] = reboot_again,
			    [DHCP_EV_ACK] = on_ack,
			    [DHCP_EV_NAK] = on_nak},
	[DHCP_PROBING] = {[DHCP_EV_DOWN] = stop,
			  [DHCP_EV_TIMER] = probe_again,
			  [DHCP_EV_CONFLICT] = on_conflict},
	[DHCP_BOUND] =
		{[DHCP_EV_UP] = reboot, [DHCP_EV_DOWN] = stop, [DHCP_EV_TIMER] = renew},
	[DHCP_RENEWING] = {[DHCP_EV_UP] = reboot,
			   [DHCP_EV_DOWN] = stop,
			   [DHCP_EV_TIMER] = renew_again,
			   [DHCP_EV_ACK] = on_ack,
			   [DHCP_EV_NAK] = on_nak},
	[DHCP_REBINDING] = {[DHCP_EV_UP] = reboot,
			    [DHCP_EV_DOWN] = stop,
			    [DHCP_EV_TIMER] = rebind_again,
			    [DHCP_EV_ACK] = on_ack,
			    [DHCP_EV_NAK] = on_nak},
};

void dhcp_event(struct dhcp *d, enum dhcp_event ev, const struct dhcp4_reply *r)
{
	dhcp_fn *fn = table[d->state][ev];

	if (fn)
		fn(d, r);
}

static void on_timer(struct loop_timer *t)
{
	dhcp_event(container_of(t, struct dhcp, timer), DHCP_EV_TIMER, NULL);
}

void dhcp_init(struct dhcp *d, struct link *l)
{
	*d = (struct dhcp){.link = l, .timer = {.fn = on_timer}};
	d->packet.fd = d->udp.fd = d->arp.fd = -1;
}

void dhcp_release(struct dhcp *d)
{
	struct dhcp4_request r = request(d, DHCP4_RELEASE);

	if (d->configured) {
		r.ciaddr = d->lease.yiaddr;
		r.server = d->lease.server;
		r.hostname = NULL;
		proc_random(&r.xid, sizeof(r.xid));
		dhcp_io_udp(d);
		dhcp_io_send(d, d->lease.server, &r);
		d->until = time_mono(); /* to be asked for again, not to be used before */
		dhcp_lease_save(d);
		lose(d);
	}
	dhcp_done(d);
}

void dhcp_done(struct dhcp *d)
{
	dhcp_io_close(d);
	loop_timer_del(&d->timer);
	d->state = DHCP_STOPPED;
}
