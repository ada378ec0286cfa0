#include "os/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

/* In the order of <linux/capability.h>. */
static const char names[][24] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

const char *caps_name(unsigned n)
{
	return n < ARRAY_LEN(names) ? names[n] : NULL;
}

uint64_t caps_bit(const char *name)
{
	for (unsigned n = 0; n < ARRAY_LEN(names); n++)
		if (strcasecmp(names[n], name) == 0)
			return UINT64_C(1) << n;
	return 0;
}

uint64_t caps_all(void)
{
	uint64_t all = 0;

	/* PR_CAPBSET_READ fails for what the kernel does not know */
	for (unsigned n = 0; n < ARRAY_LEN(names); n++)
		if (prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0)
			all |= UINT64_C(1) << n;
	return all;
}

uint64_t caps_bounding(uint64_t among)
{
	uint64_t set = 0;

	for (unsigned n = 0; n < 64; n++)
		if ((among >> n & 1) && prctl(PR_CAPBSET_READ, n, 0, 0, 0) == 1)
			set |= UINT64_C(1) << n;
	return set;
}

int caps_limit(const struct caps *c, struct err *err)
{
	for (unsigned n = 0; n < 64; n++) {
		int sys;

		if ((c->bounding >> n & 1) || prctl(PR_CAPBSET_DROP, n, 0, 0, 0) == 0)
			continue;
		sys = errno;
		if (sys == EINVAL) /* beyond the last one that the kernel knows */
			break;
		/* who may not drop any is fine with what is not there */
		if (prctl(PR_CAPBSET_READ, n, 0, 0, 0) == 1)
			return err_sys(err, sys, "drop capability %u", n);
	}
	return 0;
}

int caps_apply(const struct caps *c, struct err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (unsigned i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)(c->effective >> 32 * i),
			.permitted = (uint32_t)(c->permitted >> 32 * i),
			.inheritable = (uint32_t)(c->inheritable >> 32 * i),
		};
	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(err, errno, "set capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(err, errno, "clear ambient capabilities");
	for (unsigned n = 0; n < 64; n++)
		if ((c->ambient >> n & 1) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0)
			return err_sys(err, errno, "raise ambient capability %u", n);
	return 0;
}
