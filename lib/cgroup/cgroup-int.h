/* cgroup-int: what the parts of cgroup share. */
#ifndef CGROUP_CGROUP_INT_H
#define CGROUP_CGROUP_INT_H

#include "cgroup/cgroup.h"

/* cpu.weight for cpu.shares: ceil(10^((l^2+125l)/612-7/34)), l = log2(shares). */
uint64_t res_cpu_weight(uint64_t shares);
/* io.weight for blkio's weight. */
uint64_t res_io_weight(uint64_t weight);
/* memory.swap.max from memory+swap and memory. 0 or -1; *ret -1 is "max". */
int res_swap_max(int64_t limit, int64_t swap, int64_t *ret, struct err *err);

/* The device program of version 2: struct bpf_insn[]. */
void device_program(const struct device_rule *rules, size_t n, struct buf *ret);
/* Attaches it to a group; programs that were there before are replaced. 0 or -1. */
int device_attach(int cgroup_fd, const struct device_rule *rules, size_t n,
		  struct err *err);

#endif
