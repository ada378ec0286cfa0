#include "unit.h"

#include "base/time.h"
#include "loop/loop.h"

struct mark {
	struct loop_timer timer;
	char name;
};

static char order[16];
static size_t marks;

static void on_mark(struct loop_timer *t)
{
	order[marks++] = container_of(t, struct mark, timer)->name;
}

static void set(struct loop *l, struct mark *m, char name, int64_t ms)
{
	m->name = name;
	m->timer.fn = on_mark;
	loop_timer_set(l, &m->timer, time_mono() + ms * NS_PER_MS);
}

static const char *run_for(struct loop *l, int64_t ms)
{
	int64_t end = time_mono() + ms * NS_PER_MS;
	struct err err;

	marks = 0;
	memset(order, 0, sizeof(order));
	while (time_mono() < end)
		CHECK(loop_step(l, end - time_mono() + NS_PER_MS, &err) == 0);
	return order;
}

TEST(timers_fire_in_order)
{
	struct mark a = {0}, b = {0}, c = {0};
	struct err err;
	struct loop *l = loop_new(&err);

	set(l, &b, 'b', 20);
	set(l, &a, 'a', 10);
	set(l, &c, 'c', 30);
	CHECK_STR(run_for(l, 60), "abc");
	loop_free(l);
}

/* The last timer of the list was lost when it was moved to another time. */
TEST(a_timer_can_be_moved)
{
	struct mark a = {0}, b = {0};
	struct err err;
	struct loop *l = loop_new(&err);

	set(l, &a, 'a', 100000);
	set(l, &a, 'a', 10);
	CHECK_STR(run_for(l, 40), "a");
	set(l, &a, 'a', 10);
	set(l, &b, 'b', 100000);
	set(l, &b, 'b', 20);
	set(l, &a, 'a', 30);
	CHECK_STR(run_for(l, 60), "ba");
	set(l, &a, 'a', 10);
	set(l, &b, 'b', 20);
	loop_timer_del(&a.timer);
	loop_timer_del(&a.timer);
	CHECK_STR(run_for(l, 40), "b");
	loop_free(l);
}
