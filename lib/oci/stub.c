#include "oci/oci.h"
#include "oci/oci-int.h"
#define W __attribute__((weak))
W int oci_user_resolve(int f, const struct oci_user_query *q, struct arena *a,
		       struct oci_user *r, struct err *e)
{
	(void)f;
	(void)q;
	(void)a;
	*r = (struct oci_user){.home = "/"};
	(void)e;
	return 0;
}
W void oci_spec_seccomp_default(struct oci_spec *s, struct arena *a)
{
	(void)s;
	(void)a;
}
W int oci_spec_seccomp_parse(struct oci_spec *s, const void *j, size_t n, struct arena *a,
			     struct err *e)
{
	(void)s;
	(void)j;
	(void)n;
	(void)a;
	(void)e;
	return 0;
}
W int oci_spec_add_host_devices(struct oci_spec *s, struct arena *a, struct err *e)
{
	(void)s;
	(void)a;
	(void)e;
	return 0;
}
W int oci_spec_add_device(struct oci_spec *s, struct arena *a, const char *p,
			  const char *h, const char *x, struct err *e)
{
	(void)s;
	(void)a;
	(void)p;
	(void)h;
	(void)x;
	(void)e;
	return 0;
}
W int oci_cgroup_apply(const struct cgroups *g, const char *p, const struct oci_spec *s,
		       struct err *e)
{
	(void)g;
	(void)p;
	(void)s;
	(void)e;
	return 0;
}
W void oci_start_init(struct oci_start *h)
{
	(void)h;
}
W int oci_start(const struct oci_start *h, struct oci_started *r, struct buf *w,
		struct err *e)
{
	(void)h;
	(void)r;
	(void)w;
	return err_set(e, ERR_UNIMPLEMENTED, "oci");
}
W void oci_exec_init(struct oci_exec *h)
{
	(void)h;
}
W int oci_exec(const struct oci_exec *h, struct oci_started *r, struct buf *w,
	       struct err *e)
{
	(void)h;
	(void)r;
	(void)w;
	return err_set(e, ERR_UNIMPLEMENTED, "oci");
}
W int oci_seccomp_compile(const struct oci_spec *s, struct buf *r, struct err *e)
{
	(void)s;
	(void)r;
	(void)e;
	return 0;
}
W int oci_swap_max(int64_t l, int64_t s, int64_t *r, struct err *e)
{
	(void)l;
	(void)s;
	(void)e;
	*r = 0;
	return 0;
}
W int oci_parse_seccomp(yyjson_val *obj, const char *where, struct arena *a,
			struct oci_seccomp **ret, struct err *err)
{
	(void)obj;
	(void)where;
	(void)a;
	(void)ret;
	(void)err;
	return 0;
}
