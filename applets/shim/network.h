/* network: a pod's CNI network and the request that it is made of. Blocks. */
#ifndef SHIM_NETWORK_H
#define SHIM_NETWORK_H

#include "shim/shim.h"

/* Attaches the pod; adds "ips" [] to obj. 0 or -1. */
int network_up(struct shim *s, yyjson_mut_doc *d, yyjson_mut_val *obj, struct err *err);

/* Detaches it, however far it came. 0 or -1: try again. */
int network_down(struct shim *s, struct err *err);

#endif
