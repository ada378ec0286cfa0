/* creation: who waits for a pod or container that is being made. Internal to the service. */
#ifndef CRI_CREATION_H
#define CRI_CREATION_H

#include <stdbool.h>

#include "base/list.h"
#include "cri/pb.h"
#include "rpc/grpc_server.h"

/* Part of the object that is made. */
struct creation {
	const ProtobufCMessageDescriptor *response; /* of the call: the id is its field */
	const char *id;				    /* the object's own */
	struct list waiters;			    /* calls of the same name */
	bool running;
	bool resumed; /* running for a crid that was before this one */
	bool unseen;  /* ended well, and nobody has got the answer */
};

void creation_init(struct creation *cr, const ProtobufCMessageDescriptor *response,
		   const char *id);

/* It has ended: call (may be NULL) and those that wait get the id, or err. */
void creation_answer(struct creation *cr, struct grpc_call *call, const struct err *err);

/*
 * A call for a name that is held: it waits while the creation runs, gets the id if nobody
 * has (unused: the object is as it was made), or ALREADY_EXISTS with the holder.
 */
void creation_again(struct creation *cr, struct grpc_call *call, bool unused,
		    const char *what, const char *name);

#endif
