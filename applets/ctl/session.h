/* session: a process's standard streams over WebSocket, on our own terminal or pipes. */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include "ctl.h"

/*
 * Connects to the URL that Exec or Attach has answered, and passes input (if `in`) and
 * output until the process has ended. With `tty` the terminal, which stdin must be, is raw
 * meanwhile, its size is passed on, and Ctrl-P Ctrl-Q leaves. The exit status, or -1.
 */
int session_run(struct ctl *c, const char *url, bool in, bool tty, struct err *err);

#endif
