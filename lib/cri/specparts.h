/* specparts: pieces of a container's runtime-spec config. Internal to spec. */
#ifndef CRI_SPECPARTS_H
#define CRI_SPECPARTS_H

#include "cri/spec.h"

int spec_add_capabilities(const Cri__Capability *c, bool privileged, yyjson_mut_doc *d,
			  yyjson_mut_val *process, struct err *err);
int spec_add_resources(const Cri__LinuxContainerResources *r, yyjson_mut_doc *d,
		       yyjson_mut_val *resources, struct err *err);
/* A mount of an image instead of a directory of the host's. */
bool spec_is_image_volume(const Cri__Mount *m);
int spec_add_mounts(const struct cri_ctr_source *src, bool privileged, bool host_net,
		    yyjson_mut_doc *d, yyjson_mut_val *spec, yyjson_mut_val *lin,
		    struct err *err);
/*
 * Host devices are looked up by the shim, which may block: obj gets "devices"
 * [{path host_path permissions}] and "host_devices" (all of them).
 */
int spec_add_devices(const Cri__ContainerConfig *c, bool privileged, yyjson_mut_doc *d,
		     yyjson_mut_val *obj, yyjson_mut_val *lin, struct err *err);

#endif
