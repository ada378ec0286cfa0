/* blkid: what is on block devices, for people and for the kubelet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/str.h"
#include "devlinks/blockdev.h"
#include "tool.h"

/* Exit statuses of util-linux's blkid. */
enum { STATUS_NOTHING = 2, STATUS_UNREADABLE = 4 };

enum format { FULL, VALUE, EXPORT, DEVICE };

struct blkid {
	struct tool t;
	enum format format;
	bool low;		      /* -p: look at the device itself, tell all */
	const struct opt_value *tags; /* to show; none: all */
	const char *key, *value;      /* to look for */
	bool first_only;
	unsigned printed;
	bool failed; /* a device could not be read: "nothing" would be a lie */
};

static const char usage[] =
	"  -p, --probe             by the device, with all that it says (always so)\n"
	"  -s, --match-tag TAG     show only these: LABEL UUID TYPE PTTYPE PARTUUID...\n"
	"  -o, --output FORMAT     full (default), value, export or device\n"
	"  -t, --match-token TOKEN only devices with NAME=VALUE\n"
	"  -l, --list-one          with -t: only the first\n"
	"  -L, --label LABEL       print the device with this label\n"
	"  -U, --uuid UUID         print the device with this id\n"
	"  -c, --cache-file FILE   there is no cache\n"
	"  -g, --garbage-collect   there is none\n"
	"\n"
	"Exit status: 2 if nothing was found, 4 if a device cannot be read.\n";

static bool wanted(const struct blkid *b, const char *tag)
{
	for (unsigned i = 0; i < b->tags->n; i++)
		if (str_eq(b->tags->list[i], tag))
			return true;
	return b->tags->n == 0;
}

/* A value for a shell (export), or between quotes. */
static void add_value(struct buf *out, const char *value, const char *special)
{
	BUF_AUTO text = {0};

	str_escape(&text, value, strlen(value));
	for (const char *p = buf_str(&text); *p; p++) {
		if (strchr(special, *p))
			buf_add_char(out, '\\');
		buf_add_char(out, *p);
	}
}

static void add_tag(struct blkid *b, struct buf *out, const char *tag, const char *value)
{
	if (!*value || !wanted(b, tag))
		return;
	if (b->format == VALUE) {
		add_value(out, value, "");
		buf_add_char(out, '\n');
	} else if (b->format == EXPORT) {
		buf_add_fmt(out, "%s=", tag);
		add_value(out, value, " \"'\\$`<>&;|()");
		buf_add_char(out, '\n');
	} else {
		buf_add_fmt(out, " %s=\"", tag);
		add_value(out, value, "\"\\");
		buf_add_char(out, '"');
	}
}

/* The tags in the order in which they are told. */
static void add_tags(struct blkid *b, struct buf *out, const struct blockdev_info *i)
{
	char block_size[16] = "";

	if (i->fs.block_size)
		snprintf(block_size, sizeof(block_size), "%u", i->fs.block_size);
	add_tag(b, out, "LABEL", i->fs.label);
	add_tag(b, out, "UUID", i->fs.uuid);
	add_tag(b, out, "UUID_SUB", i->fs.uuid_sub);
	if (b->low)
		add_tag(b, out, "VERSION", i->fs.version);
	add_tag(b, out, "BLOCK_SIZE", block_size);
	add_tag(b, out, "SEC_TYPE", i->fs.sec_type);
	add_tag(b, out, "TYPE", i->fs.type);
	if (b->low)
		add_tag(b, out, "USAGE", i->fs.usage);
	add_tag(b, out, "PTUUID", i->fs.ptuuid);
	add_tag(b, out, "PTTYPE", i->fs.pttype);
	add_tag(b, out, "PARTLABEL", i->part.label);
	add_tag(b, out, "PARTUUID", i->part.uuid);
}

static bool matches(const struct blkid *b, const struct blockdev_info *i)
{
	const struct {
		const char *tag, *value;
	} all[] = {
		{"LABEL", i->fs.label},	    {"UUID", i->fs.uuid},
		{"TYPE", i->fs.type},	    {"PTTYPE", i->fs.pttype},
		{"PTUUID", i->fs.ptuuid},   {"PARTLABEL", i->part.label},
		{"PARTUUID", i->part.uuid},
	};

	if (!b->key)
		return true;
	for (size_t k = 0; k < ARRAY_LEN(all); k++)
		if (str_eq(all[k].tag, b->key))
			return str_eq(all[k].value, b->value);
	return false;
}

static void show(struct blkid *b, const char *path, const struct blockdev_info *i)
{
	BUF_AUTO out = {0};

	if (!matches(b, i))
		return;
	add_tags(b, &out, i);
	if (!out.len)
		return;
	if (b->format == DEVICE) {
		printf("%s\n", path);
	} else {
		if (b->format == FULL)
			printf("%s:", path);
		if (b->format == EXPORT)
			printf("%sDEVNAME=%s\n", b->printed ? "\n" : "", path);
		fwrite(out.data, 1, out.len, stdout);
		if (b->format == FULL)
			putchar('\n');
	}
	b->printed++;
}

static int show_device(void *arg, const struct blockdev *d)
{
	struct blkid *b = arg;
	STR_AUTO path = xasprintf("/dev/%s", d->name);
	struct blockdev_info i = {0};
	struct err ignored; /* a drive without a medium, say */

	if (blockdev_probe(d, &i, &ignored) == 0)
		show(b, path, &i);
	return b->first_only && b->printed;
}

static void show_path(struct blkid *b, const char *path)
{
	struct blockdev_info i = {0};
	struct err err;

	if (blockdev_probe_path(path, true, &i, &err) == 0) {
		show(b, path, &i);
		return;
	}
	tool_complain(&b->t, &err);
	if (err.sys != ENOENT && err.sys != ENXIO)
		b->failed = true;
}

static int print_one(struct blkid *b, const char *key, const char *value, struct err *err)
{
	STR_AUTO spec = xasprintf("%s=%s", key, value);
	char path[128];

	if (blockdev_find(spec, path, sizeof(path), err) == 0)
		puts(path);
	else if (err->code == ERR_NOT_FOUND)
		b->t.status = STATUS_NOTHING;
	else
		return -1;
	return 0;
}

static int set_format(struct blkid *b, struct err *err)
{
	static const char names[][8] = {"full", "value", "export", "device"};
	const char *text = opts_text(&b->t.o, "output");

	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], text)) {
			b->format = (enum format)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, "blkid: unsupported output format: %.100s",
		       text);
}

static int work(struct blkid *b, struct err *err)
{
	const char *token = opts_text(&b->t.o, "match-token");

	b->low = opts_flag(&b->t.o, "probe");
	b->first_only = opts_flag(&b->t.o, "list-one");
	b->tags = opts_get(&b->t.o, "match-tag");
	if (token) {
		const char *eq = strchr(token, '=');

		if (!eq)
			return err_set(err, ERR_INVALID,
				       "blkid: -t: NAME=VALUE is needed");
		b->key = arena_strndup(&b->t.arena, token, (size_t)(eq - token));
		b->value = eq + 1;
	}
	if (set_format(b, err) < 0)
		return -1;
	if (opts_text(&b->t.o, "label"))
		return print_one(b, "LABEL", opts_text(&b->t.o, "label"), err);
	if (opts_text(&b->t.o, "uuid"))
		return print_one(b, "UUID", opts_text(&b->t.o, "uuid"), err);
	for (int i = 0; i < b->t.o.argc; i++)
		show_path(b, b->t.o.argv[i]);
	if (b->t.o.argc == 0 && blockdev_each(show_device, b, err) < 0)
		return -1;
	b->t.status = b->failed ? STATUS_UNREADABLE : b->printed ? 0 : STATUS_NOTHING;
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct blkid b = {0};

	if (tool_start(&b.t, &applet_blkid, argc, argv, 0, -1, err) < 0 ||
	    work(&b, err) < 0)
		return -1;
	return tool_end(&b.t, err);
}

const struct applet applet_blkid = {
	.name = "blkid",
	.purpose = "show what is on block devices: types, labels, ids",
	.synopsis = "[OPTION]... [DEVICE]...",
	.usage = usage,
	.run = run,
};
