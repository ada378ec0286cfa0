#include "unit.h"

#include <sys/mount.h>

#include "mount/options.h"

static struct mount_options o;
static struct err err;

static int parse(const char *text)
{
	mount_options_done(&o);
	o = (struct mount_options){0};
	return mount_options_add(&o, text, &err);
}

TEST(flags)
{
	CHECK_INT(parse("ro,nosuid,nodev,noexec,bind"), 0);
	CHECK_INT(o.flags, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_BIND);
	CHECK_INT(o.data.len, 0);
	CHECK_INT(parse("ro,rw"), 0);
	CHECK_INT(o.flags, 0);
	CHECK_INT(o.cleared, MS_RDONLY);
	CHECK_INT(parse("rw,ro"), 0);
	CHECK_INT(o.flags, MS_RDONLY);
	CHECK_INT(o.cleared, 0);
	CHECK_INT(parse("rbind"), 0);
	CHECK_INT(o.flags, MS_BIND | MS_REC);
}

TEST(what_is_the_file_systems_own)
{
	CHECK_INT(parse("size=1m,,ro,mode=700,"), 0);
	CHECK_STR(buf_str(&o.data), "size=1m,mode=700");
	CHECK_INT(parse("context=\"a,b\",x=y"), 0);
	CHECK_STR(buf_str(&o.data), "context=\"a,b\",x=y");
	CHECK_INT(parse("offset=5"), 0); /* without loop it is not ours */
	CHECK_STR(buf_str(&o.data), "offset=5");
	CHECK_INT(parse("\"unclosed,ro"), 0);
	CHECK_STR(buf_str(&o.data), "\"unclosed,ro");
}

TEST(words_for_other_programs_are_dropped)
{
	CHECK_INT(
		parse("defaults,noauto,user,_netdev,x-systemd.automount,X-a=b,comment=c"),
		0);
	CHECK_INT(o.flags, 0);
	CHECK_INT(o.data.len, 0);
	CHECK(!o.nofail);
	CHECK_INT(parse("nofail"), 0);
	CHECK(o.nofail);
}

TEST(propagation_and_loop)
{
	CHECK_INT(parse("bind,rshared,slave"), 0);
	CHECK_INT(o.npropagation, 2);
	CHECK_INT(o.propagation[0], MS_SHARED | MS_REC);
	CHECK_INT(o.propagation[1], MS_SLAVE);
	CHECK_INT(parse("shared,shared,shared,shared,shared,shared,shared,shared,shared"),
		  -1);
	CHECK_INT(parse("loop,offset=1M,sizelimit=4096"), 0);
	CHECK(o.loop);
	CHECK_INT(o.offset, 1 << 20);
	CHECK_INT(o.size_limit, 4096);
	CHECK_INT(parse("loop,offset=x"), -1);
	mount_options_done(&o);
}
