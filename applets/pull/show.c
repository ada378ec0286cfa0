/* show: the progress of a pull, for people */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "pull/pull.h"

enum { BAR = 30, SHORT_DIGEST = 12 };

static const int64_t REDRAW_EVERY = 100 * NS_PER_MS;

struct show {
	struct loop *loop;
	const struct pull_job *job;
	struct loop_timer timer;
	bool terminal;
	unsigned rows;				/* of the terminal */
	unsigned drawn;				/* lines of the last picture */
	enum pull_state told[IMAGE_MAX_LAYERS]; /* lines: what was said of a layer */
};

static const char *short_digest(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

static void add_size(struct buf *b, uint64_t n)
{
	if (n < 10000)
		buf_add_fmt(b, "%4llu B ", (unsigned long long)n);
	else if (n < 10000000)
		buf_add_fmt(b, "%4llu kB", (unsigned long long)(n / 1000));
	else
		buf_add_fmt(b, "%4llu MB", (unsigned long long)(n / 1000000));
}

static void add_bar(struct buf *b, uint64_t done, uint64_t total)
{
	unsigned full = total ? (unsigned)(MIN(done, total) * BAR / total) : BAR;

	buf_add_char(b, '[');
	for (unsigned i = 0; i < BAR; i++)
		buf_add_char(b, i < full ? '=' : i == full ? '>' : ' ');
	buf_add_str(b, "] ");
	add_size(b, done);
	buf_add_str(b, " of ");
	add_size(b, total);
}

static void draw_layer(struct buf *b, const struct pull_layer_view *l)
{
	buf_add_fmt(b, "\r\033[K%.*s ", SHORT_DIGEST, short_digest(l->digest));
	add_bar(b, l->done, l->total);
	buf_add_fmt(b, "  %s\n", pull_state_names[l->state]);
}

/* One line for all: there are more layers than lines. */
static void draw_sum(struct buf *b, const struct show *s)
{
	uint64_t done = 0, total = 0;
	size_t ready = 0, n = pull_layers(s->job);

	for (size_t i = 0; i < n; i++) {
		struct pull_layer_view l = pull_layer(s->job, i);

		done += l.done;
		total += l.total;
		ready += l.state >= PULL_UNPACKED;
	}
	buf_add_str(b, "\r\033[K");
	add_bar(b, done, total);
	buf_add_fmt(b, "  %zu of %zu layers\n", ready, n);
}

static void draw(struct show *s)
{
	size_t n = pull_layers(s->job);
	BUF_AUTO b = {0};

	if (s->drawn)
		buf_add_fmt(&b, "\033[%uA", s->drawn);
	if (n < s->rows) {
		for (size_t i = 0; i < n; i++) {
			struct pull_layer_view l = pull_layer(s->job, i);

			draw_layer(&b, &l);
		}
		s->drawn = (unsigned)n;
	} else {
		draw_sum(&b, s);
		s->drawn = 1;
	}
	fwrite(b.data, 1, b.len, stderr);
}

/* A line when a layer has come, was there, or is ready. */
static void tell(struct show *s)
{
	for (size_t i = 0; i < pull_layers(s->job); i++) {
		struct pull_layer_view l = pull_layer(s->job, i);

		if (l.state == s->told[i] || l.state < PULL_UNPACKED)
			continue;
		s->told[i] = l.state;
		fprintf(stderr, "layer %zu of %zu: %s %s, %llu bytes\n", i + 1,
			pull_layers(s->job), l.digest, pull_state_names[l.state],
			(unsigned long long)l.total);
	}
}

static void on_timer(struct loop_timer *t)
{
	struct show *s = container_of(t, struct show, timer);

	if (s->terminal)
		draw(s);
	else
		tell(s);
	loop_timer_set(s->loop, t, time_mono() + REDRAW_EVERY);
}

struct show *show_new(const struct pull_job *j, struct loop *l)
{
	struct show *s = xcalloc(1, sizeof(*s));
	struct winsize size;

	*s = (struct show){.loop = l, .job = j, .timer = {.fn = on_timer}, .rows = 24};
	s->terminal = isatty(STDERR_FILENO);
	if (s->terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row)
		s->rows = size.ws_row;
	on_timer(&s->timer);
	return s;
}

void show_free(struct show *s)
{
	if (!s)
		return;
	on_timer(&s->timer);
	loop_timer_del(&s->timer);
	free(s);
}
