/* the node's configuration: sources, defaults, complaints with place and suggestion */
#include "node/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "unit.h"

static char dir[] = "/tmp/node-config.XXXXXX";
static struct node_config c;

static const char *at(const char *name)
{
	static char paths[16][128];
	static unsigned n;
	char *path = paths[n++ % 16];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void load(const char *text)
{
	put("config.toml", text);
	node_config_load(&(struct node_sources){.file = at("config.toml")}, true, &c);
}

static void load_cmdline(const char *text)
{
	put("cmdline", text);
	node_config_load(&(struct node_sources){.cmdline = at("cmdline")}, true, &c);
}

static const struct node_service *service(const char *name)
{
	for (unsigned i = 0; i < c.nservices; i++)
		if (str_eq(c.services[i].name, name))
			return &c.services[i];
	FAIL("no service %s", name);
}

TEST(prepare)
{
	CHECK(mkdtemp(dir));
}

TEST(defaults)
{
	load("");
	CHECK_INT(c.ncomplaints, 0);
	CHECK_INT(c.console, NODE_STATUS);
	CHECK(c.hostname_from_dhcp && c.time_ntp && !c.state_required);
	CHECK_INT(c.nservices, 3);
	CHECK_STR(service("crid")->argv, "/bin/cribox");
	CHECK_STR(service("crid")->ready, "notify");
}

TEST(all_kinds)
{
	load("hostname = \"n1\"\nconsole = \"open\"\nlog-level = \"debug\"\n"
	     "listen = [\"unix:///a\", \"unix:///b\"]\n"
	     "[net]\ndns = [\"10.0.0.2\"]\nhostname-from-dhcp = false\n"
	     "[net.eth0]\naddress = [\"10.0.0.5/24\", \"fd00::5/64\"]\ngateway = "
	     "\"10.0.0.1\"\n"
	     "mtu = 1400\ndhcp = true\n[net.\"eth0.7\"]\nra = false\n[net.\"*\"]\ndhcp = "
	     "false\n"
	     "[sysctl]\n\"net.core.somaxconn\" = 4096\nkernel.panic = \"5\"\n"
	     "[modules]\nload = [\"dummy\"]\ndeny = [\"floppy\", \"x-y\"]\n"
	     "[storage]\nstate = \"LABEL=state\"\nrequired = true\n"
	     "[service.web]\nexec = \"/bin/httpd -p 80\"\nenv = {A = \"1\", B.C = "
	     "\"2\"}\n"
	     "after = [\"crid\"]\nrestart = \"on-failure\"\nready = \"unix:/run/x\"\n"
	     "memory-max = \"64M\"\noom-score-adj = -5\nstop-signal = "
	     "\"INT\"\nstop-timeout = 3\n"
	     "[watchdog]\ndevice = \"/dev/watchdog0\"\ntimeout = 30\n[time]\nntp = "
	     "false\n");
	for (unsigned i = 0; i < c.ncomplaints; i++)
		FAIL("%s: %s", c.complaints[i].where, c.complaints[i].text);
	CHECK_STR(c.hostname, "n1");
	CHECK_INT(c.console, NODE_OPEN);
	CHECK_INT(c.dns.n, 1);
	CHECK_STR(node_config_link(&c, "eth0")->address.v[1], "fd00::5/64");
	CHECK_INT(node_config_link(&c, "eth0")->mtu, 1400);
	CHECK_INT(node_config_link(&c, "eth0.7")->ra, NODE_NO);
	CHECK_INT(node_config_link(&c, "eth9")->dhcp, NODE_NO);
	CHECK_INT(c.nsysctls, 2);
	CHECK_STR(c.sysctls[1].key, "kernel.panic");
	CHECK_STR(c.sysctls[1].value, "5");
	CHECK_STR(c.sysctls[0].value, "4096");
	CHECK_STR(c.deny[1], "x-y");
	CHECK_STR(c.state, "LABEL=state");
	CHECK(c.state_required);
	CHECK_MEM(service("web")->argv, "/bin/httpd\0-p\00080\0", 18);
	CHECK_MEM(service("web")->env, "A=1\0B.C=2\0", 11);
	CHECK_STR(service("web")->after.v[0], "crid");
	CHECK_INT(service("web")->restart, NODE_ON_FAILURE);
	CHECK_INT(service("web")->memory_max, 64 << 20);
	CHECK_INT(service("web")->oom_score_adj, -5);
	CHECK_INT(service("web")->stop_timeout, 3);
	CHECK_STR(service("web")->stop_signal, "INT");
	CHECK_MEM(c.crid, "log-level=debug\0listen=unix:///a\0listen=unix:///b\0", 50);
	CHECK_STR(c.watchdog, "/dev/watchdog0");
	CHECK(!c.time_ntp);
}

/* Each wrong thing: its line, the key, a suggestion; and what is right holds. */
static const struct {
	const char *text, *where, *says;
} wrong[] = {
	{"\nhostnam = \"x\"\n", ":2", "unknown key hostnam, did you mean hostname?"},
	{"[net.eth0]\ngatway = \"10.0.0.1\"\n", ":2",
	 "unknown key net.eth0.gatway, did you mean net.eth0.gateway?"},
	{"[srvice.a]\nexec = \"/x\"\n", ":2", "did you mean service.a.exec?"},
	{"[nothing]\nlike = 1\n", ":2", "unknown key nothing.like"},
	{"hostname = 5\n", ":1", "hostname must be a string"},
	{"hostname = \"a b\"\n", ":1", "hostname \"a b\" is not a host name"},
	{"console = \"opn\"\n", ":1", "console must be one of status, login, open, off"},
	{"[net.eth0]\naddress = \"10.0.0.5\"\n", ":2", "with a prefix length"},
	{"[net.eth0]\nmtu = 9\n", ":2", "net.eth0.mtu must be a number from 68 to 65535"},
	{"[net.eth0]\ngateway = \"fd00::1\"\n", ":2", "is not an IPv4 address"},
	{"[service.a]\nexec = \"relative\"\n", ":2", "absolute path"},
	{"[service.\"a b\"]\nexec = \"/x\"\n", ":2", "letters, digits"},
	{"[service.a]\nrestart = \"no\"\n", ":2", "service.a has no exec"},
	{"[service.crid]\nready = \"none\"\nafter = \"netwrk\"\n", ":3",
	 "crid comes after netwrk, which is none, did you mean network?"},
	{"log-level = \"loud\"\n", ":1", "log-level \"loud\" is not error"},
	{"\nconsole = \"login\"\n", ":2", "login needs a password"},
	{"[storage]\nstate = \"sda1\"\n", ":2", "is not LABEL="},
	{"[sysctl]\n\"../x\" = 1\n", ":2", "is not the name of a sysctl"},
	{"[watchdog]\ntimeout = 1\n", ":2", "from 5 to 3600"},
	{"[[service]]\nexec=\"/x\"\n", ":1", "unknown key service"},
};

TEST(complaints)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		load(wrong[i].text);
		if (c.ncomplaints != 1 && !strstr(wrong[i].text, "[service.a]"))
			FAIL("%zu complaints about: %s", (size_t)c.ncomplaints,
			     wrong[i].text);
		CHECK(c.ncomplaints > 0);
		CHECK_HAS(c.complaints[0].where, wrong[i].where);
		CHECK_HAS(c.complaints[0].text, wrong[i].says);
	}
}

TEST(a_wrong_line_leaves_the_others)
{
	load("hostname = \"n1\"\nthis is not TOML\nconsole = \"open\"\n[net.eth0\nmtu = "
	     "x\n"
	     "[sysctl]\n\"a.b\" = 1\n");
	CHECK_STR(c.hostname, "n1");
	CHECK_INT(c.console, NODE_OPEN);
	CHECK_INT(c.nsysctls, 1);
	CHECK(c.ncomplaints >= 2);
	CHECK_HAS(c.complaints[0].where, "config.toml:2");
}

TEST(what_is_no_text_at_all)
{
	load("\xff\xfe\x01\x02");
	CHECK(c.ncomplaints > 0);
	CHECK_INT(c.nservices, 3);
	CHECK(!strchr(c.complaints[0].text, '\x01'));
}

TEST(a_wrong_value_leaves_the_one_before)
{
	put("config.toml", "hostname = \"good\"\nlog-level = \"warn\"\n");
	put("cmdline", "quiet cribox.hostname=-bad cribox.log-level=nix");
	node_config_load(&(struct node_sources){.file = at("config.toml"),
						.cmdline = at("cmdline")},
			 true, &c);
	CHECK_STR(c.hostname, "good");
	CHECK_STR(c.crid, "log-level=warn");
	CHECK_INT(c.ncomplaints, 2);
	CHECK_STR(c.complaints[0].where, "kernel command line");
}

TEST(kernel_command_line)
{
	load_cmdline(
		"console=ttyS0 cribox.net.eth0.address=10.0.0.5/24,fd00::5/64 "
		"cribox.net.eth0.5.mtu=1400 cribox.net.eth0.dhcp=false "
		"cribox.sysctl.net.core.somaxconn=77 cribox.console=open "
		"\"cribox.service.a.exec=/bin/x y\" cribox.service.a.env.K=v "
		"cribox.storage.required cribox.listen=unix:///x "
		"cribox.watchdog.timeout=30 cribox.consol=off -- cribox.hostname=no\n");
	CHECK_INT(c.ncomplaints, 1);
	CHECK_HAS(c.complaints[0].text, "did you mean console?");
	CHECK_STR(node_config_link(&c, "eth0")->address.v[1], "fd00::5/64");
	CHECK_INT(node_config_link(&c, "eth0")->dhcp, NODE_NO);
	CHECK_INT(node_config_link(&c, "eth0.5")->mtu, 1400);
	CHECK_STR(c.sysctls[0].key, "net.core.somaxconn");
	CHECK_INT(c.console, NODE_OPEN);
	CHECK_MEM(service("a")->argv, "/bin/x\0y\0", 10);
	CHECK_STR(service("a")->env, "K=v");
	CHECK(c.state_required);
	CHECK_STR(c.hostname, "");
	CHECK_INT(c.watchdog_timeout, 30);
}

TEST(sources_in_order)
{
	ARENA_AUTO a = {0};
	struct node_sources all = {.file = at("config.toml"),
				   .dir = at("config.d"),
				   .state = at("state"),
				   .cmdline = at("cmdline")};
	unsigned n = 0;

	CHECK(mkdir(at("config.d"), 0755) == 0 && mkdir(at("state"), 0755) == 0);
	put("config.toml",
	    "hostname = \"a\"\n[service.x]\nexec = \"/a\"\nstop-timeout = 7\n");
	put("config.d/10.toml", "hostname = \"b\"\n[service.x]\nexec = \"/b\"\n");
	put("config.d/20.toml", "hostname = \"c\"\n");
	put("config.d/30.conf", "hostname = \"no\"\n");
	put("state/config.toml", "hostname = \"d\"\n[net]\ndns = [\"1.1.1.1\"]\n");
	put("cmdline", "");
	node_config_load(&all, true, &c);
	CHECK_STR(c.complaints[0].text, "");
	CHECK_STR(c.hostname, "d");
	CHECK_STR(service("x")->argv, "/b");
	CHECK_INT(service("x")->stop_timeout, 7);
	put("cmdline", "cribox.hostname=e");
	for (const struct node_setting *s = node_config_show(&all, &a); s; s = s->next) {
		if (str_eq(s->key, "hostname")) {
			CHECK_STR(s->value, "\"e\"");
			CHECK_STR(s->origin, "kernel command line");
			n++;
		}
		if (str_eq(s->key, "service.x.exec")) {
			CHECK_HAS(s->origin, "config.d/10.toml:3");
			n++;
		}
		if (str_eq(s->key, "console")) {
			CHECK_STR(s->origin, "built-in");
			n++;
		}
		if (s->next)
			CHECK(strcmp(s->key, s->next->key) < 0);
	}
	CHECK_INT(n, 3);
}

/* Limits end in complaints, never beyond the arrays. */
TEST(too_much)
{
	BUF_AUTO text = {0};

	for (int i = 0; i < 200; i++)
		buf_add_fmt(&text,
			    "[net.if%d]\nmtu = 1500\n[service.s%d]\nexec = \"/x\"\n", i,
			    i);
	buf_add_str(&text, "[sysctl]\n");
	for (int i = 0; i < 200; i++)
		buf_add_fmt(&text, "\"a.b%d\" = 1\n", i);
	load(buf_str(&text));
	CHECK_INT(c.nlinks, NODE_LINKS);
	CHECK_INT(c.nservices, NODE_SERVICES);
	CHECK_INT(c.nsysctls, NODE_SYSCTLS);
	CHECK_INT(c.ncomplaints, 600 - NODE_LINKS - (NODE_SERVICES - 3) - NODE_SYSCTLS);
	buf_reset(&text);
	buf_add_str(&text, "[service.x]\nexec = [");
	for (int i = 0; i < 2000; i++)
		buf_add_str(&text, "\"/xx\", ");
	buf_add_str(&text, "]\n[modules]\nload = [");
	for (int i = 0; i < 200; i++)
		buf_add_fmt(&text, "\"m%d\",", i);
	buf_add_str(&text, "]\n");
	load(buf_str(&text));
	CHECK_INT(c.nload, 0);
	CHECK_INT(c.ncomplaints, 3);
}

TEST(names_of_the_node)
{
	CHECK(node_config_names("net") && node_config_names("service") &&
	      node_config_names("hostname"));
	CHECK(!node_config_names("root") && !node_config_names("listen") &&
	      !node_config_names("nett") && !node_config_names("ne"));
}

TEST(clean_up)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK(system(command) == 0);
}
