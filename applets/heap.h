/* heap: memory for the applets that are brief. */
#ifndef APPLETS_HEAP_H
#define APPLETS_HEAP_H

/* From now on this process takes memory out of one piece of 256 KiB, as long as it lasts. */
void heap_brief(void);

#endif
