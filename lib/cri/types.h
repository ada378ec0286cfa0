/*
 * types: the generated structs of runtime.v1 (proto/cri.proto): Cri__Mount and the like.
 * To be included instead of "cri.pb-c.h": messages have members named stdin, stdout and
 * stderr, and musl's <stdio.h> defines those as macros, "(stdin)", which no member access
 * survives. The objects of these names stay usable without the macros.
 */
#ifndef CRI_TYPES_H
#define CRI_TYPES_H

#include <stdio.h>

#undef stdin
#undef stdout
#undef stderr

#include "cri.pb-c.h"

#endif
