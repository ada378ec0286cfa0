/* confine: what the fetcher gives up before it hears from the network. */
#ifndef APPLETS_FETCH_CONFINE_H
#define APPLETS_FETCH_CONFINE_H

#include "base/err.h"

/*
 * From here on: user nobody without capabilities and without a way to new
 * ones, a parent whose death is ours, no files but those that name resolution
 * reads and those below readable (-1: none), and only the system calls that
 * talking to a registry takes. What the kernel does not have is left out
 * (Landlock before 5.13).
 */
int fetch_confine(int readable, struct err *err);

#endif
