/*
 * spec: from CRI messages to what a pod's shim is told (applets/shim/protocol.h)
 * and to the runtime-spec config of a container. Pure: no I/O, no state.
 */
#ifndef CRI_SPEC_H
#define CRI_SPEC_H

#include "base/err.h"
#include "cri/pb.h"
#include "cri/types.h"
#include "image/image.h"
#include "wire/json.h"

/* What the daemon's configuration says about every pod. */
struct cri_defaults {
	const char *root; /* --root: records of pods are below it */
	bool systemd;	  /* makes the control groups: parents are slices */
	/* of struct cni_dirs; NULL: its defaults */
	const char *cni_conf_dir, *cni_bin_dirs, *cni_cache_dir, *cni_subnet;
	const char *cni_builtin; /* "auto" (NULL too), "never" */
};

/*
 * Checks a RunPodSandbox request and adds the members of "pod.run" to obj.
 * ERR_INVALID names the field.
 */
int cri_pod_spec(const Cri__RunPodSandboxRequest *req, const struct cri_defaults *def,
		 yyjson_mut_doc *d, yyjson_mut_val *obj, struct err *err);

/* A container's creation, with all that its spec depends on. */
struct cri_ctr_source {
	const char *id;
	const char *pod_id;
	const Cri__ContainerConfig *config;
	const Cri__PodSandboxConfig *pod; /* as the pod was made */
	const struct image_config *image;
	const struct cri_defaults *def;
};

/*
 * Checks a CreateContainer request and adds the members of "ctr.create" that
 * depend on it (spec, user, tty, ..., log_path) to obj. ERR_INVALID names the
 * field.
 */
int cri_ctr_spec(const struct cri_ctr_source *src, yyjson_mut_doc *d, yyjson_mut_val *obj,
		 struct err *err);

/* The user namespace of a pod or container: the mode POD with its mapping, or NULL. */
const Cri__UserNamespace *cri_userns(const Cri__NamespaceOption *o);

/* The signal number (Linux, glibc's numbering of real-time signals) of a CRI Signal; 0: default. */
int cri_signal_number(Cri__Signal sig);

/* The reverse: a name or number of an image's StopSignal ("SIGTERM", "TERM", "15"); 0: none. */
int cri_signal_parse(const char *s);

#endif
