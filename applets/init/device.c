/* device: devices that come and go (uevents), the power button, and the watchdog. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/watchdog.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"
#include "init/init.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "wire/genl.h"

enum { MODULES_S = 60, LINKS_S = 30, BUFFER = 4 << 20 };

/* --- uevents: only whether there is something to do; children look at what -------------------- */

/* Of any of them: two that look at all devices at a time do no harm. */
void device_modules_done(struct init *in, int status)
{
	(void)status;
	in->modules_busy = false;
	node_sysctls(in); /* some are made by modules */
	watchdog_open(in);
	device_check(in);
}

static void on_links(struct init *in, int status)
{
	(void)status;
	in->links_busy = false;
	device_check(in);
}

void device_check(struct init *in)
{
	static const char *const modules[] = {"coldplug", NULL};
	static const char *const links[] = {"devlinks", NULL};

	if (in->stop.verb != INITCTL_LIST)
		return;
	if (in->modules_due && !in->modules_busy) {
		in->modules_busy =
			job_start(in, modules, MODULES_S, device_modules_done) == 0;
		in->modules_due = !in->modules_busy;
	}
	if (in->links_due && !in->links_busy) {
		in->links_busy = job_start(in, links, LINKS_S, on_links) == 0;
		in->links_due = !in->links_busy;
	}
}

int device_module(struct init *in, const char *name)
{
	const char *const words[] = {"module", name, NULL};

	return job_start(in, words, MODULES_S, device_modules_done);
}

static void on_uevent(struct loop_fd *src, unsigned events)
{
	struct init *in = container_of(src, struct init, uevents);
	char text[4096];
	ssize_t n;

	(void)events;
	while ((n = recv(src->fd, text, sizeof(text), MSG_DONTWAIT)) > 0) {
		size_t len = (size_t)n;

		if (memmem(text, len, "\0MODALIAS=", 10) && memmem(text, len, "add@", 4))
			in->modules_due = true;
		if (memmem(text, len, "\0SUBSYSTEM=block", 16))
			in->links_due = true;
	}
	if (n < 0 && errno == ENOBUFS) /* some were lost: look at everything */
		in->modules_due = in->links_due = true;
	device_check(in);
}

/* --- the power button of machines with ACPI ------------------------------------------------- */

static void on_acpi(struct loop_fd *src, unsigned events)
{
	struct init *in = container_of(src, struct init, acpi);
	char text[1024];
	ssize_t n;

	(void)events;
	while ((n = recv(src->fd, text, sizeof(text), MSG_DONTWAIT)) > 0)
		if (memmem(text, (size_t)n, "button/power", 12))
			stop_begin(in, INITCTL_POWEROFF, "power button");
}

/* The group in which the kernel tells of them; 0: there is none. */
static unsigned acpi_group(void)
{
	BUF_AUTO request = {0}, reply = {0};
	struct err err;
	FD_AUTO fd = netlink_open(NETLINK_GENERIC, &err);

	genl_family_get(&request, "acpi_event");
	if (fd < 0 || netlink_call(fd, request.data, request.len, &reply, &err) < 0)
		return 0;
	return genl_family_group(reply.data, reply.len);
}

static void hear(struct init *in, int protocol, unsigned group, struct loop_fd *src)
{
	const unsigned groups[] = {group, 0};
	int size = BUFFER;
	struct err err;
	FD_AUTO fd = netlink_listen(protocol, groups, &err);

	src->fd = fd;
	if (fd < 0 || loop_fd_add(in->loop, src, LOOP_IN, &err) < 0) {
		say(in, SAY_WARN, "devices", "%s", err.msg);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	fd_take(&fd);
}

void device_listen(struct init *in)
{
	unsigned acpi = acpi_group();

	in->uevents.fn = on_uevent;
	hear(in, NETLINK_KOBJECT_UEVENT, 1, &in->uevents);
	in->acpi.fn = on_acpi;
	if (acpi)
		hear(in, NETLINK_GENERIC, acpi, &in->acpi);
}

/* --- the watchdog --------------------------------------------------------------------------- */

/* ioctl(3), whose request is an int in one C library and an unsigned long in the other. */
static int control(int fd, unsigned long request, int *value)
{
	return (int)syscall(SYS_ioctl, fd, request, value);
}

static void pet(struct loop_timer *t)
{
	struct init *in = container_of(t, struct init, watchdog_timer);

	control(in->watchdog, WDIOC_KEEPALIVE, NULL);
	loop_timer_set(in->loop, t,
		       time_mono() + (int64_t)in->cfg.watchdog_timeout * NS_PER_SEC / 3);
}

/* Once it is open, the machine starts anew when this loop does not turn any more. */
void watchdog_open(struct init *in)
{
	int timeout = (int)in->cfg.watchdog_timeout;

	if (!in->cfg.watchdog[0] || in->watchdog >= 0)
		return;
	in->watchdog = open(in->cfg.watchdog, O_WRONLY | O_CLOEXEC);
	if (in->watchdog < 0) {
		/* its driver may be one of those that come late */
		if (errno != ENOENT || in->late_done)
			say(in, SAY_ERROR, "watchdog", "%s: %s", in->cfg.watchdog,
			    strerror(errno));
		return;
	}
	if (control(in->watchdog, WDIOC_SETTIMEOUT, &timeout) < 0 &&
	    control(in->watchdog, WDIOC_GETTIMEOUT, &timeout) == 0 && timeout > 0)
		in->cfg.watchdog_timeout = (uint64_t)timeout; /* the only one it has */
	say(in, SAY_INFO, "watchdog", "%s, %d s", in->cfg.watchdog, timeout);
	in->watchdog_timer.fn = pet;
	pet(&in->watchdog_timer);
}

/* From here on it is not petted any more, whatever becomes of reboot(2). */
void watchdog_leave(struct init *in, bool disarm)
{
	if (in->watchdog < 0)
		return;
	loop_timer_del(&in->watchdog_timer);
	control(in->watchdog, WDIOC_KEEPALIVE, NULL);
	if (disarm && write(in->watchdog, "V", 1) == 1)
		fd_close(&in->watchdog);
}
