/* files: hostname, hosts and resolv.conf of a pod, bind-mounted into its containers. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/file.h"
#include "shim/shim.h"

enum { HOST_FILE_MAX = 1 << 20 };

/* A value that goes into a line of a file: no control characters (R16). */
static int check_value(const char *what, const char *s, struct err *err)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			return err_set(err, ERR_INVALID, "%s holds a control character",
				       what);
	return 0;
}

static int add_words(struct buf *b, yyjson_val *dns, const char *key, const char *word,
		     bool one_line, struct err *err)
{
	yyjson_val *v;
	bool first = true;

	json_each (v, json_arr(dns, key)) {
		const char *s = yyjson_get_str(v);

		if (!s || check_value("dns_config", s, err) < 0)
			return s ? -1
				 : err_set(err, ERR_INVALID, "dns_config: not a string");
		if (one_line)
			buf_add_fmt(b, "%s%s%s", first ? word : "", " ", s);
		else
			buf_add_fmt(b, "%s %s\n", word, s);
		first = false;
	}
	if (one_line && !first)
		buf_add_char(b, '\n');
	return 0;
}

/* A copy of the host's file, or empty if there is none. */
static int host_file(const char *path, struct buf *b, struct err *err)
{
	if (file_read(AT_FDCWD, path, HOST_FILE_MAX, b, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		buf_reset(b);
	}
	return 0;
}

static int resolv_conf(yyjson_val *dns, struct buf *b, struct err *err)
{
	if (!dns)
		return host_file("/etc/resolv.conf", b, err);
	if (add_words(b, dns, "searches", "search", true, err) < 0 ||
	    add_words(b, dns, "servers", "nameserver", false, err) < 0 ||
	    add_words(b, dns, "options", "options", true, err) < 0)
		return -1;
	return 0;
}

int pod_files(int podfd, yyjson_val *spec, struct err *err)
{
	const char *hostname = str_or_empty(json_str(spec, "hostname"));
	BUF_AUTO b = {0};
	char own[256];

	if (check_value("hostname", hostname, err) < 0)
		return -1;
	if (!*hostname) {
		if (gethostname(own, sizeof(own) - 1) < 0)
			return err_sys(err, errno, "gethostname");
		own[sizeof(own) - 1] = 0;
		hostname = own;
	}
	buf_add_fmt(&b, "%s\n", hostname);
	if (file_replace(podfd, "hostname", b.data, b.len, 0644, false, err) < 0)
		return -1;
	buf_reset(&b);
	if (host_file("/etc/hosts", &b, err) < 0 ||
	    file_replace(podfd, "hosts", b.data, b.len, 0644, false, err) < 0)
		return -1;
	buf_reset(&b);
	if (resolv_conf(json_obj(spec, "dns"), &b, err) < 0 ||
	    file_replace(podfd, "resolv.conf", b.data, b.len, 0644, false, err) < 0)
		return -1;
	return 0;
}
