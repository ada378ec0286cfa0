/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"
#include "unit.h"

static struct loop *l;
static unsigned ran;

static void stop(struct loop_later *later)
{
	(void)later;
	loop_stop(l, 7);
}

static void count(struct loop_later *later)
{
	(void)later;
	ran++;
}

/* Who steps through a loop that has been stopped, e.g. to send what is left, gets on. */
TEST(step_after_stop)
{
	struct loop_later end = {.fn = stop}, more = {.fn = count};
	struct err err;

	l = loop_new(&err);
	CHECK(l != NULL);
	loop_later_add(l, &end);
	CHECK_INT(loop_run(l, &err), 7);
	loop_later_add(l, &more);
	CHECK_INT(loop_step(l, 0, &err), 0);
	CHECK_INT(ran, 1);
	loop_free(l);
}
