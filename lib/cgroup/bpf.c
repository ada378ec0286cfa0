/*
 * bpf: the device rules of version 2, a BPF_PROG_TYPE_CGROUP_DEVICE program: the context
 * is {u32 access << 16 | type, u32 major, u32 minor}; it returns 1 to allow.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/cgroup-int.h"
#include "os/fd.h"

enum {
	R_RESULT = 0,
	R_CTX = 1,
	R_TYPE = 2,
	R_ACCESS = 3,
	R_MAJOR = 4,
	R_MINOR = 5,
	R_TMP = 6
};

static void emit(struct buf *b, uint8_t code, unsigned dst, unsigned src, int16_t off,
		 int32_t imm)
{
	struct bpf_insn i = {.code = code,
			     .dst_reg = dst & 15U,
			     .src_reg = src & 15U,
			     .off = off,
			     .imm = imm};

	buf_add(b, &i, sizeof(i));
}

static void load(struct buf *b, unsigned dst, size_t offset)
{
	emit(b, BPF_LDX | BPF_MEM | BPF_W, dst, R_CTX, (int16_t)offset, 0);
}

static void add_header(struct buf *b)
{
	load(b, R_TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	emit(b, BPF_ALU | BPF_MOV | BPF_X, R_ACCESS, R_TYPE, 0, 0);
	emit(b, BPF_ALU | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
	emit(b, BPF_ALU | BPF_RSH | BPF_K, R_ACCESS, 0, 0, 16);
	load(b, R_MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	load(b, R_MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
}

static void add_return(struct buf *b, bool allow)
{
	emit(b, BPF_ALU | BPF_MOV | BPF_K, R_RESULT, 0, 0, allow);
	emit(b, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/*
 * A rule ends the program if it matches: an allowing one must grant all that is asked
 * for, a denying one any of it.
 */
static void add_rule(struct buf *b, const struct device_rule *d)
{
	bool type = d->type != 'a', access = d->access != DEVICE_ALL;
	bool major = d->major >= 0, minor = d->minor >= 0;
	/* instructions behind the current one until the end of the rule */
	int left = type + (access ? 3 : 0) + major + minor + 2;

	if (type) {
		left--;
		emit(b, BPF_JMP | BPF_JNE | BPF_K, R_TYPE, 0, (int16_t)left,
		     d->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
	}
	if (access) {
		int32_t mask = (int32_t)(d->allow ? ~d->access & DEVICE_ALL : d->access);

		left -= 3;
		emit(b, BPF_ALU | BPF_MOV | BPF_X, R_TMP, R_ACCESS, 0, 0);
		emit(b, BPF_ALU | BPF_AND | BPF_K, R_TMP, 0, 0, mask);
		emit(b, (uint8_t)(BPF_JMP | BPF_K | (d->allow ? BPF_JNE : BPF_JEQ)),
		     R_TMP, 0, (int16_t)left, 0);
	}
	if (major) {
		left--;
		emit(b, BPF_JMP | BPF_JNE | BPF_K, R_MAJOR, 0, (int16_t)left,
		     (int32_t)d->major);
	}
	if (minor) {
		left--;
		emit(b, BPF_JMP | BPF_JNE | BPF_K, R_MINOR, 0, (int16_t)left,
		     (int32_t)d->minor);
	}
	add_return(b, d->allow);
}

void device_program(const struct device_rule *rules, size_t n, struct buf *ret)
{
	size_t first = 0;
	bool allow = false;

	/* what came before a rule for everything does not matter */
	for (size_t i = 0; i < n; i++)
		if (rules[i].type == 'a' && rules[i].major < 0 && rules[i].minor < 0 &&
		    rules[i].access == DEVICE_ALL) {
			first = i + 1;
			allow = rules[i].allow;
		}
	add_header(ret);
	for (size_t i = n; i-- > first;)
		add_rule(ret, &rules[i]);
	add_return(ret, allow);
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* Programs that are attached already: an update replaces them. */
static unsigned attached(int cgroup_fd, uint32_t *ids, unsigned max)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = max;
	return bpf(BPF_PROG_QUERY, &attr) < 0 ? 0 : attr.query.prog_cnt;
}

static void detach(int cgroup_fd, uint32_t id)
{
	union bpf_attr attr;
	FD_AUTO fd = -1;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	if (fd < 0)
		return;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	if (bpf(BPF_PROG_DETACH, &attr) < 0)
		return; /* it stays beside ours: access is what both allow */
}

int device_attach(int cgroup_fd, const struct device_rule *rules, size_t n,
		  struct err *err)
{
	static const char license[] = "Apache-2.0";
	uint32_t old[64];
	unsigned nold = attached(cgroup_fd, old, ARRAY_LEN(old));
	BUF_AUTO prog = {0};
	union bpf_attr attr;
	FD_AUTO fd = -1;

	device_program(rules, n, &prog);
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)prog.data;
	attr.insn_cnt = (uint32_t)(prog.len / sizeof(struct bpf_insn));
	attr.license = (uintptr_t)license;
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		return err_sys(err, errno, "load the device program");
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return err_sys(err, errno, "attach the device program");
	for (unsigned i = 0; i < nold; i++)
		detach(cgroup_fd, old[i]);
	return 0;
}
