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

/* --- what is written ---------------------------------------------------------------- */

/* What is printed for a resources object, or the error's text. Allocated. */
static char *written(const char *json, bool v1)
{
	BUF_AUTO out = {0};
	ARENA_AUTO a = {0};
	struct resources r;
	struct err err;
	yyjson_doc *doc = json_parse(json, strlen(json), &err);

	if (!doc)
		FAIL("%s", err.msg);
	if (resources_parse_val(yyjson_doc_get_root(doc), "r", &a, &r, &err) < 0)
		buf_add_str(&out, err.msg);
	else
		resources_print(&r, v1, &out);
	json_free(&doc);
	return buf_detach(&out);
}

TEST(files_of_each_version)
{
	static const struct {
		const char *json, *v1, *v2;
	} cases[] = {
		{"{\"cpu\":{\"shares\":1024,\"quota\":20000,\"period\":50000,\"burst\":"
		 "100,"
		 "\"idle\":1}}",
		 "cgroup cpu.idle 1\ncgroup cpu.shares 1024\ncgroup cpu.cfs_burst_us "
		 "100\n"
		 "cgroup cpu.cfs_period_us 50000\ncgroup cpu.cfs_quota_us 20000\n",
		 "cgroup cpu.idle 1\ncgroup cpu.weight 100\ncgroup cpu.max.burst 100\n"
		 "cgroup cpu.max 20000 50000\n"},
		{"{\"cpu\":{\"period\":50000}}", "cgroup cpu.cfs_period_us 50000\n",
		 "cgroup cpu.max max 50000\n"},
		{"{\"cpu\":{\"quota\":-1}}", "cgroup cpu.cfs_quota_us -1\n",
		 "cgroup cpu.max max 100000\n"},
		{"{\"cpu\":{\"quota\":7000}}", "cgroup cpu.cfs_quota_us 7000\n",
		 "cgroup cpu.max 7000 100000\n"},
		{"{\"cpu\":{\"realtimeRuntime\":100,\"realtimePeriod\":1000}}",
		 "cgroup cpu.rt_period_us 1000\ncgroup cpu.rt_runtime_us 100\n", ""},
		{"{\"memory\":{\"limit\":100,\"swap\":150,\"reservation\":50,"
		 "\"kernel\":5,\"kernelTCP\":6}}",
		 "cgroup memory.limit_in_bytes 100\ncgroup memory.memsw.limit_in_bytes "
		 "150\n"
		 "cgroup memory.soft_limit_in_bytes 50\n",
		 "cgroup memory.max 100\ncgroup memory.low 50\ncgroup memory.swap.max "
		 "50\n"},
		{"{\"memory\":{\"limit\":-1}}",
		 "cgroup memory.limit_in_bytes -1\ncgroup memory.memsw.limit_in_bytes "
		 "-1\n",
		 "cgroup memory.max max\ncgroup memory.swap.max max\n"},
		{"{\"memory\":{\"limit\":100,\"swap\":99}}",
		 "r.memory.swap: memory+swap limit is below the memory limit", NULL},
		{"{\"memory\":{\"swap\":99}}",
		 "r.memory.swap: unable to set swap limit without memory limit", NULL},
		{"{\"memory\":{\"swappiness\":101}}",
		 "r.memory.swappiness: not an integer in its range", NULL},
		{"{\"pids\":{\"limit\":-7}}", "cgroup pids.max max\n",
		 "cgroup pids.max max\n"},
		{"{\"pids\":{\"limit\":0}}", "cgroup pids.max 1\n",
		 "cgroup pids.max 1\n"},
		{"{\"pids\":{\"limit\":7}}", "cgroup pids.max 7\n",
		 "cgroup pids.max 7\n"},
		{"{\"blockIO\":{\"weight\":500,\"weightDevice\":[{\"major\":8,\"minor\":"
		 "16,"
		 "\"weight\":10,\"leafWeight\":20}],\"throttleReadBpsDevice\":[{"
		 "\"major\":8,"
		 "\"minor\":0,\"rate\":600}]}}",
		 "cgroup blkio.weight 500\ncgroup blkio.bfq.weight 500\n"
		 "cgroup blkio.weight_device 8:16 10\ncgroup blkio.bfq.weight_device "
		 "8:16 "
		 "10\ncgroup blkio.leaf_weight_device 8:16 20\n"
		 "cgroup blkio.throttle.read_bps_device 8:0 600\n",
		 "cgroup io.bfq.weight 500\ncgroup io.weight 4950\n"
		 "cgroup io.bfq.weight 8:16 10\ncgroup io.weight 8:16 1\n"
		 "cgroup io.max 8:0 rbps=600\n"},
		{"{\"blockIO\":{\"weight\":9}}",
		 "r.blockIO.weight: 9 is not between 10 and 1000", NULL},
		{"{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4096}]}",
		 "cgroup hugetlb.2MB.limit_in_bytes 4096\n"
		 "cgroup hugetlb.2MB.rsvd.limit_in_bytes 4096\n",
		 "cgroup hugetlb.2MB.max 4096\ncgroup hugetlb.2MB.rsvd.max 4096\n"},
		{"{\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10000},"
		 "\"ocrdma1\":{\"hcaObjects\":5}}}",
		 "cgroup rdma.max mlx5_1 hca_handle=3 hca_object=10000\n"
		 "cgroup rdma.max ocrdma1 hca_object=5\n",
		 "cgroup rdma.max mlx5_1 hca_handle=3 hca_object=10000\n"
		 "cgroup rdma.max ocrdma1 hca_object=5\n"},
		{"{\"rdma\":{\"a b\":{}}}", "r.rdma.a b: not a device's name", NULL},
		{"{\"network\":{\"classID\":1048577,\"priorities\":[{\"name\":\"eth0\","
		 "\"priority\":500}]}}",
		 "cgroup net_cls.classid 1048577\ncgroup net_prio.ifpriomap eth0 500\n",
		 "cgroup net_cls.classid 1048577\ncgroup net_prio.ifpriomap eth0 500\n"},
		{"{\"unified\":{\"io.max\":\"8:0 rbps=1\\n8:16 "
		 "rbps=2\",\"misc.max\":\"\"}}",
		 "",
		 "cgroup io.max 8:0 rbps=1\ncgroup io.max 8:16 rbps=2\ncgroup misc.max "
		 "\n"},
		{"{\"unified\":{\"a/b.c\":\"\"}}",
		 "r.unified: unified resource \"a/b.c\" must be a file name (no slashes)",
		 NULL},
		{"{\"unified\":{\"cgroup\":\"\"}}",
		 "r.unified: unified resource \"cgroup\" must be in the form "
		 "CONTROLLER.PARAMETER",
		 NULL},
		{"{\"cpu\":{\"cpus\":\"0-3,8\",\"mems\":\"0\"}}",
		 "cgroup cpuset.cpus 0-3,8\ncgroup cpuset.mems 0\n",
		 "cgroup cpuset.cpus 0-3,8\ncgroup cpuset.mems 0\n"},
		{"{\"cpu\":{\"cpus\":\"0-\"}}", "r.cpu.cpus: \"0-\" is no list of cpus",
		 NULL},
		{"{\"cpu\":{\"mems\":\"x\"}}",
		 "r.cpu.mems: \"x\" is no list of memory nodes", NULL},
		{"{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,"
		 "\"type\":\"c\",\"major\":10,\"minor\":229,\"access\":\"rw\"}]}",
		 "cgroup-device deny a *:* rwm\ncgroup-device allow c 10:229 rw\n",
		 "cgroup-device deny a *:* rwm\ncgroup-device allow c 10:229 rw\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int v1 = 0; v1 < 2; v1++) {
			const char *want = v1 || !cases[i].v2 ? cases[i].v1 : cases[i].v2;
			char *got = written(cases[i].json, v1);

			CHECK_STR(got, want);
			free(got);
		}
}

/* --- device lists of version 1 ------------------------------------------------------ */

TEST(denying_a_part_of_what_is_allowed)
{
	static const struct device_rule good[] = {
		{true, 'c', 1, -1, DEVICE_ALL}, /* before a rule for everything */
		{false, 'a', -1, -1, DEVICE_ALL},    {true, 'c', 10, 229, DEVICE_ALL},
		{false, 'c', 10, 229, DEVICE_WRITE}, {false, 'b', 1, 3, DEVICE_ALL},
	};
	static const struct device_rule bad[] = {
		{false, 'a', -1, -1, DEVICE_ALL},
		{true, 'c', 10, -1, DEVICE_READ},
		{false, 'c', 10, 229, DEVICE_ALL},
	};
	static const struct device_rule open[] = {
		{true, 'a', -1, -1, DEVICE_ALL},
		{true, 'c', 10, -1, DEVICE_READ},
		{false, 'c', 10, 229, DEVICE_ALL},
	};
	struct err err;

	CHECK_INT(device_rules_check_v1(good, 5, &err), 0);
	CHECK_INT(device_rules_check_v1(bad, 3, &err), -1);
	CHECK_STR(err.msg, "cgroup version 1 cannot deny \"c 10:229 rwm\" where "
			   "\"c 10:* r\" is allowed");
	CHECK_INT(device_rules_check_v1(open, 3, &err), 0);
}

/* --- text of cgroup files ----------------------------------------------------------- */

TEST(cpu_lists)
{
	uint8_t bits[CPUSET_MAX / 8];

	CHECK_INT(cpuset_parse("", bits), 0);
	CHECK_INT(bits[0], 0);
	CHECK_INT(cpuset_parse("0-3,8\n", bits), 0);
	CHECK_INT(bits[0], 0x0f);
	CHECK_INT(bits[1], 0x01);
	CHECK_INT(cpuset_parse("0-7:2/4", bits), 0);
	CHECK_INT(bits[0], 0x33);
	CHECK_INT(cpuset_parse("8191", bits), 0);
	CHECK_INT(bits[CPUSET_MAX / 8 - 1], 0x80);
	CHECK_INT(cpuset_parse("8192", bits), -1);
	CHECK_INT(cpuset_parse("3-1", bits), -1);
	CHECK_INT(cpuset_parse("1,", bits), -1);
	CHECK_INT(cpuset_parse("1-", bits), -1);
	CHECK_INT(cpuset_parse("-1", bits), -1);
	CHECK_INT(cpuset_parse("1-4:1/0", bits), -1);
	CHECK_INT(cpuset_parse("1;2", bits), -1);
	CHECK_INT(cpuset_parse("99999999999999999999", bits), -1);
}

TEST(pressure_files)
{
	struct cgroup_pressure p;

	text_pressure("some avg10=1.53 avg60=0.00 avg300=100.00 total=12345\n"
		      "full avg10=0.07 avg60=0.00 avg300=0.00 total=42\n",
		      &p);
	CHECK(p.present);
	CHECK_INT(p.some.avg10, 153);
	CHECK_INT(p.some.avg300, 10000);
	CHECK_INT(p.some.total, 12345);
	CHECK_INT(p.full.avg10, 7);
	CHECK_INT(p.full.total, 42);
	text_pressure("some avg10=1.5 avg60=x\n", &p);
	CHECK(!p.present);
}

TEST(lines_and_words)
{
	const char *at = "\nio_service 8:16 Read 17\n\n8:0 rbytes=max x\n";
	struct text_line l;
	struct text_word w;
	uint32_t major, minor;
	uint64_t v;

	CHECK(text_line(&at, &l));
	CHECK_INT(l.n, 4);
	CHECK(text_is(&l.word[0], "io_service"));
	CHECK(text_device(&l.word[1], &major, &minor));
	CHECK_INT(major, 8);
	CHECK_INT(minor, 16);
	CHECK(text_u64(&l.word[3], &v));
	CHECK_INT(v, 17);
	CHECK(!text_device(&l.word[3], &major, &minor));
	CHECK(text_line(&at, &l));
	CHECK_INT(l.n, 3);
	CHECK(text_value(&l.word[1], "rbytes", &w));
	CHECK(text_u64(&w, &v));
	CHECK(v == UINT64_MAX);
	CHECK(!text_value(&l.word[1], "wbytes", &w));
	CHECK(!text_u64(&l.word[2], &v));
	CHECK(!text_line(&at, &l));
}
