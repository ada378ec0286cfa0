/* Pure conversions: weights, swap, device programs. */
#include "unit.h"

#include <linux/bpf.h>

#include "base/arena.h"
#include "cgroup/cgroup-int.h"

TEST(cpu_weight)
{
	/* ceil(10^((l^2 + 125 l)/612 - 7/34)), computed with 60 digits */
	static const struct {
		uint64_t shares, weight;
	} want[] = {{0, 0},	     {1, 1},
		    {2, 1},	     {3, 2},
		    {10, 4},	     {100, 17},
		    {512, 59},	     {1024, 100},
		    {2048, 174},     {4096, 303},
		    {10000, 627},    {262143, 10000},
		    {262144, 10000}, {UINT64_MAX, 10000}};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		CHECK_INT(res_cpu_weight(want[i].shares), want[i].weight);
	for (uint64_t s = 3; s < 262144; s += 97)
		CHECK(res_cpu_weight(s) >= res_cpu_weight(s - 1));
}

TEST(io_weight)
{
	CHECK_INT(res_io_weight(0), 0);
	CHECK_INT(res_io_weight(10), 1);
	CHECK_INT(res_io_weight(500), 4950);
	CHECK_INT(res_io_weight(1000), 10000);
}

TEST(swap_of_version_2)
{
	int64_t v = 7;
	struct err err;

	CHECK_INT(res_swap_max(100, 150, &v, &err), 0);
	CHECK_INT(v, 50);
	CHECK_INT(res_swap_max(100, 100, &v, &err), 0);
	CHECK_INT(v, 0);
	CHECK_INT(res_swap_max(100, -1, &v, &err), 0);
	CHECK_INT(v, -1);
	CHECK_INT(res_swap_max(-1, 0, &v, &err), 0);
	CHECK_INT(v, -1);
	CHECK_INT(res_swap_max(100, 99, &v, &err), -1);
	CHECK_INT(res_swap_max(0, 99, &v, &err), -1);
}

/* Enough of an interpreter to run the program as the kernel would. */
static int run(const struct buf *prog, char type, unsigned access, uint32_t major,
	       uint32_t minor)
{
	const struct bpf_insn *p = (const void *)prog->data;
	uint32_t ctx[3] = {access << 16 | (type == 'c' ? BPF_DEVCG_DEV_CHAR
						       : BPF_DEVCG_DEV_BLOCK),
			   major, minor};
	uint32_t r[11] = {0};
	size_t n = prog->len / sizeof(*p);

	for (size_t i = 0; i < n; i++) {
		uint32_t src = BPF_SRC(p[i].code) == BPF_X ? r[p[i].src_reg]
							   : (uint32_t)p[i].imm;
		uint32_t *dst = &r[p[i].dst_reg];

		switch (p[i].code & ~BPF_X) {
		case BPF_LDX | BPF_MEM | BPF_W:
			*dst = ctx[p[i].off / 4];
			break;
		case BPF_ALU | BPF_MOV:
			*dst = src;
			break;
		case BPF_ALU | BPF_AND:
			*dst &= src;
			break;
		case BPF_ALU | BPF_RSH:
			*dst >>= src;
			break;
		case BPF_JMP | BPF_JNE:
			i += *dst != src ? (size_t)p[i].off : 0;
			break;
		case BPF_JMP | BPF_JEQ:
			i += *dst == src ? (size_t)p[i].off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			FAIL("instruction %zu: code %x", i, p[i].code);
		}
	}
	FAIL("ran off its end");
}

TEST(device_program)
{
	static const struct device_rule rules[] = {
		{true, 'b', 8, -1,
		 DEVICE_ALL}, /* of no effect: what follows is for all */
		{false, 'a', -1, -1, DEVICE_ALL},
		{true, 'c', 1, 3, DEVICE_ALL},
		{true, 'c', 10, 229, DEVICE_READ | DEVICE_WRITE},
		{true, 'b', -1, -1, DEVICE_MKNOD},
		{true, 'c', 5, -1, DEVICE_ALL},
		{false, 'c', 5, 7, DEVICE_WRITE},
	};
	BUF_AUTO prog = {0};

	device_program(rules, sizeof(rules) / sizeof(rules[0]), &prog);
	CHECK_INT(run(&prog, 'c', DEVICE_READ, 1, 3), 1);
	CHECK_INT(run(&prog, 'c', DEVICE_ALL, 1, 3), 1);
	CHECK_INT(run(&prog, 'b', DEVICE_READ, 1, 3), 0);
	CHECK_INT(run(&prog, 'c', DEVICE_READ, 1, 4), 0);
	CHECK_INT(run(&prog, 'c', DEVICE_READ | DEVICE_WRITE, 10, 229), 1);
	CHECK_INT(run(&prog, 'c', DEVICE_MKNOD, 10, 229), 0);
	CHECK_INT(run(&prog, 'c', DEVICE_READ | DEVICE_MKNOD, 10, 229), 0);
	CHECK_INT(run(&prog, 'b', DEVICE_MKNOD, 8, 0), 1);
	CHECK_INT(run(&prog, 'b', DEVICE_READ, 8, 0), 0);
	CHECK_INT(run(&prog, 'c', DEVICE_ALL, 5, 6), 1);
	CHECK_INT(run(&prog, 'c', DEVICE_READ, 5, 7), 1);
	CHECK_INT(run(&prog, 'c', DEVICE_WRITE, 5, 7), 0);
	CHECK_INT(run(&prog, 'c', DEVICE_READ | DEVICE_WRITE, 5, 7), 0);
}

TEST(device_program_of_a_privileged_container)
{
	static const struct device_rule rules[] = {{true, 'a', -1, -1, DEVICE_ALL}};
	BUF_AUTO prog = {0};

	device_program(rules, 1, &prog);
	CHECK_INT(run(&prog, 'b', DEVICE_ALL, 8, 0), 1);
}
