/* selfexe: our own program, for a process that containers can see. */
#ifndef SHIM_SELFEXE_H
#define SHIM_SELFEXE_H

#include <sys/types.h>

#include "base/err.h"

/*
 * Starts the pause process as init of a new PID namespace owned by the user
 * namespace (-1: the present one), as a child of the caller's parent. Leaves
 * the caller in that user namespace: the last thing that a worker does.
 */
pid_t pause_start(int userns, struct err *err);

#endif
