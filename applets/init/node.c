/* node: clock, sysctls, name and consoles of this machine. */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "init/init.h"
#include "os/fd.h"

/* --- the clock ------------------------------------------------------------------------------ */

/*
 * No node of this release runs before the one date or after the other: a clock that says so
 * is wrong, and no certificate would hold. The last time seen, kept on the state partition, is a
 * better floor ("initjob ident"); SNTP sets it right.
 */
#define OLDEST INT64_C(1795219200)	/* 2026-11-21 */
#define NEWEST (OLDEST + 25 * 31557600) /* in 25 years */

static bool from_rtc(int64_t *ret)
{
	FD_AUTO fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
	struct rtc_time t = {0};
	struct tm tm;

	if (fd < 0 || syscall(SYS_ioctl, fd, (unsigned long)RTC_RD_TIME, &t) < 0)
		return false; /* s390x has none */
	tm = (struct tm){.tm_sec = t.tm_sec,
			 .tm_min = t.tm_min,
			 .tm_hour = t.tm_hour,
			 .tm_mday = t.tm_mday,
			 .tm_mon = t.tm_mon,
			 .tm_year = t.tm_year};
	*ret = timegm(&tm);
	return true;
}

static bool plausible(int64_t t)
{
	return t >= OLDEST && t <= NEWEST;
}

void node_clock(struct init *in)
{
	struct timespec now = {.tv_sec = (time_t)(time_real() / NS_PER_SEC)};
	int64_t rtc;

	if (plausible(now.tv_sec))
		return; /* the kernel has read the clock of the machine */
	if (from_rtc(&rtc) && plausible(rtc)) {
		now.tv_sec = (time_t)rtc;
	} else {
		say(in, SAY_WARN, "clock", "%lld s since 1970 cannot be: set to %lld",
		    (long long)now.tv_sec, (long long)OLDEST);
		now.tv_sec = (time_t)OLDEST;
	}
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		say(in, SAY_WARN, "clock", "cannot be set: %s", strerror(errno));
}

/* --- sysctls -------------------------------------------------------------------------------- */

static const struct {
	const char *key, *value;
} sysctls[] = {
	/* what a kubelet demands (protectKernelDefaults) */
	{"vm.overcommit_memory", "1"},
	{"vm.panic_on_oom", "0"},
	{"kernel.panic", "10"},
	{"kernel.panic_on_oops", "1"},
	{"kernel.keys.root_maxkeys", "1000000"},
	{"kernel.keys.root_maxbytes", "25000000"},
	/* and CNI plugins and kube-proxy */
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv6.conf.all.forwarding", "1"},
	{"net.ipv6.conf.default.forwarding", "1"},
	{"net.bridge.bridge-nf-call-iptables", "1"},
	{"net.bridge.bridge-nf-call-ip6tables", "1"},
	{"net.ipv4.conf.all.rp_filter", "0"},
	{"net.ipv4.neigh.default.gc_thresh2", "15360"},
	{"net.ipv4.neigh.default.gc_thresh3", "16384"},
	{"net.ipv4.tcp_keepalive_time", "600"},
	/* many pods on one kernel */
	{"fs.inotify.max_user_instances", "8192"},
	{"fs.inotify.max_user_watches", "524288"},
	{"fs.aio-max-nr", "1048576"},
	{"kernel.pid_max", "4194304"},
	{"vm.max_map_count", "524288"},
	/* what pods have no business with */
	{"kernel.kptr_restrict", "1"},
	{"kernel.dmesg_restrict", "1"},
	{"kernel.perf_event_paranoid", "3"},
	{"kernel.yama.ptrace_scope", "1"},
	{"kernel.unprivileged_bpf_disabled", "1"},
	{"net.core.bpf_jit_harden", "2"},
	{"fs.protected_hardlinks", "1"},
	{"fs.protected_symlinks", "1"},
	{"fs.protected_fifos", "2"},
	{"fs.protected_regular", "2"},
	{"fs.suid_dumpable", "0"},
	{"dev.tty.ldisc_autoload", "0"},
	{"dev.tty.legacy_tiocsti", "0"},
	{"kernel.ctrl-alt-del", "0"}, /* is a signal to us */
};

/* "net.ipv4.conf.eth0/5.x": dots are slashes and slashes dots, as sysctl(8) has it. */
static int set_sysctl(const char *key, const char *value)
{
	char path[128] = "/proc/sys/";
	size_t n = strlen(path);

	for (; *key && n < sizeof(path) - 1; key++)
		path[n++] = *key == '.' ? '/' : *key == '/' ? '.' : *key;
	path[n] = 0;
	return put_text(path, value);
}

void node_sysctls(struct init *in)
{
	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++)
		set_sysctl(sysctls[i].key, sysctls[i].value); /* if the kernel has it */
	for (unsigned i = 0; i < in->cfg.nsysctls; i++)
		if (set_sysctl(in->cfg.sysctls[i].key, in->cfg.sysctls[i].value) < 0 &&
		    !in->modules_busy)
			say(in, SAY_WARN, "sysctl", "%s = %s: %s", in->cfg.sysctls[i].key,
			    in->cfg.sysctls[i].value, strerror(errno));
}

/* --- the name ------------------------------------------------------------------------------- */

/* The configured name, or one that stays the same as long as the machine does. */
void node_name(struct init *in)
{
	char id[40] = "", name[65] = "cribox";

	if (in->cfg.hostname[0])
		str_copy(name, sizeof(name), in->cfg.hostname);
	else if (get_text("/etc/machine-id", id, sizeof(id)) == 32)
		snprintf(name, sizeof(name), "cribox-%.8s", id);
	if (sethostname(name, strlen(name)) < 0)
		say(in, SAY_WARN, "name", "%s: %s", name, strerror(errno));
}

/* --- consoles ------------------------------------------------------------------------------- */

static void add_tty(struct init *in, const char *name)
{
	char path[64];
	struct stat st;

	if (str_eq(name, "tty0"))
		name = "tty1"; /* tty0 is whichever is in front */
	for (unsigned i = 0; i < in->nttys; i++)
		if (str_eq(in->ttys[i], name))
			return;
	snprintf(path, sizeof(path), "/dev/%.20s", name);
	if (in->nttys < CONSOLES && stat(path, &st) == 0 && S_ISCHR(st.st_mode))
		str_copy(in->ttys[in->nttys++], sizeof(in->ttys[0]), name);
}

/*
 * The real terminals that the kernel's console is on. Its own list is not enough: on s390x
 * the last name there is no device at all. /dev/console itself says what is behind it.
 */
void node_consoles(struct init *in)
{
	FD_AUTO fd = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	char text[256], path[64], *save = NULL;
	unsigned dev = 0;
	ssize_t n;

	if (fd >= 0 && syscall(SYS_ioctl, fd, (unsigned long)TIOCGDEV, &dev) == 0) {
		snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(dev),
			 minor(dev));
		n = readlink(path, text, sizeof(text) - 1);
		if (n > 0) {
			text[n] = 0;
			add_tty(in, strrchr(text, '/') ? strrchr(text, '/') + 1 : text);
		}
	}
	if (get_text("/sys/class/tty/console/active", text, sizeof(text)) < 0)
		return;
	for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
		add_tty(in, p);
}
