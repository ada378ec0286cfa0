/*
 * initjob: what init has done by children, because it may hang, or because it looks at
 * bytes that others wrote (init/init.h). Each verb is one short-lived process, "log" aside.
 */
#ifndef INITJOB_INITJOB_H
#define INITJOB_INITJOB_H

#include <stddef.h>

#include "base/err.h"

/* Where init keeps what is to survive a reboot; there only if there is a state partition. */
#define NODE_FILES "/state/node"

/* A line on standard error, which is the kernel's log: "cribox: PHASE: text". */
void job_say(int level, const char *phase, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define tell(...) job_say(6, __VA_ARGS__)
/* What a person must see: it comes on every console. */
#define complain(...) job_say(3, __VA_ARGS__)

/* args: as many as the table in initjob.c says. All return the exit status, or -1 with *err set. */
int job_state(char **args, struct err *err);
int job_payload(char **args, struct err *err);
int job_ident(char **args, struct err *err);
int job_goodbye(char **args, struct err *err);
int job_log(char **args, struct err *err);
int job_stop_pods(char **args, struct err *err);
int job_unmount(char **args, struct err *err);
int job_sync(char **args, struct err *err);

#endif
