/* words: a typed line as the arguments of a command. */
#ifndef CONSOLE_WORDS_H
#define CONSOLE_WORDS_H

#include "base/arena.h"
#include "base/err.h"

/*
 * Splits at blanks; '...' and "..." keep them, '\' takes the next character as it is (between
 * "..." only '"' and '\'). A word that begins with '#' ends the line. What a shell would do
 * more (| < > & ; $ * ?) is refused if it is not quoted and would change the meaning of the
 * command: '|', '<', '>', '&' and ';' as a word or at the end of one. Returns the number of
 * words and a NULL-ended array in the arena, or -1: ERR_INVALID.
 */
int words_split(const char *line, struct arena *a, char ***ret, struct err *err);

#endif
