/* config: crictl's configuration file, and the command that shows and changes it. */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

#include "ctl.h"

/* Fills c from the options before the command, the environment and the file, in this order. */
int config_apply(struct ctl *c, const struct opts *o, struct err *err);

#endif
