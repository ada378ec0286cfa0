/* accept: the listening sockets of a server. */
#ifndef LOOP_ACCEPT_H
#define LOOP_ACCEPT_H

#include "loop/loop.h"

/* Part of the server's struct. */
struct acceptor {
	struct loop *loop;
	struct list listeners; /* private */
	struct loop_timer again;
	/* A connection: non-blocking, close-on-exec, the server's. Not a place to close. */
	void (*on_conn)(struct acceptor *a, int fd_taken);
	/*
	 * No fd is left: the server closes a connection that it can do without, and
	 * returns whether it did. NULL: it has none.
	 */
	bool (*make_room)(struct acceptor *a);
};

void acceptor_init(struct acceptor *a, struct loop *l,
		   void (*on_conn)(struct acceptor *a, int fd_taken));

/*
 * Accepts on a listening stream socket (non-blocking), any number of them. When there is no
 * fd or memory for a connection it pauses for a second: accept would fail again at once and
 * for ever. 0 or -1; the fd is closed then.
 */
int acceptor_listen(struct acceptor *a, int fd_taken, struct err *err);

/* Closes the listening sockets; acceptor_listen may be called again. */
void acceptor_close(struct acceptor *a);

#endif
