/* password: a line that nobody should see. */
#ifndef CTL_PASSWORD_H
#define CTL_PASSWORD_H

#include "ctl.h"

/*
 * Asks on standard output and reads a line from standard input into dst, without its
 * newline; a terminal does not show it, and shows again what is typed when this returns,
 * also after Ctrl-C (ERR_CANCELLED). 0 or -1.
 */
int password_ask(struct ctl *c, char *dst, size_t size, struct err *err);

#endif
