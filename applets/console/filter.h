/*
 * filter: makes of what a program prints something that cannot control a terminal. Control
 * bytes other than \n, \t and \r, C1 controls, and what is no UTF-8 become "\xNN". Two
 * exceptions, as both do nothing: "\b \b", with which the terminal itself rubs a character
 * out, is passed on; a change of colour (SGR, "ESC [ ... m") is left out.
 */
#ifndef CONSOLE_FILTER_H
#define CONSOLE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The beginning of something whose end has not come yet. {0} at first. */
struct filter {
	uint8_t held[32];
	size_t n;
};

/* Appends to out what n more bytes make. */
void filter_add(struct filter *f, const void *data, size_t n, struct buf *out);

/* At the end: what is still held. */
void filter_end(struct filter *f, struct buf *out);

#endif
