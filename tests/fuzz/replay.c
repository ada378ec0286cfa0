/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over its corpus without a fuzzing engine: each input as it is, cut short at
 * many places, and with a fixed series of small damages, so that a run repeats exactly.
 * Usage: TARGET NAME [FILE...]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*fn)(void));

enum { CUTS = 64, DAMAGES = 192 };

static const char *current = "(empty)";
static const char *how = "as it is";
static size_t arg;

static void say_where(void)
{
	fprintf(stderr, "replay: while running %s, %s %zu\n", current, how, arg);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* The target gets a heap copy of exactly this size, so that ASan sees each byte beyond it. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void damage(uint8_t *data, size_t size, uint64_t *seed)
{
	size_t n = 1 + next(seed) % 3;

	while (n--) {
		uint8_t *p = &data[next(seed) % size];

		switch (next(seed) % 4) {
		case 0:
			*p ^= (uint8_t)(1u << next(seed) % 8);
			break;
		case 1:
			*p = (uint8_t)next(seed);
			break;
		case 2:
			*p = 0xff;
			break;
		default:
			*p = 0;
			break;
		}
	}
}

static void run_input(const uint8_t *data, size_t size)
{
	uint64_t seed = 0x9e3779b97f4a7c15u ^ size;
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	how = "as it is", arg = 0;
	run(data, size);
	how = "cut at byte";
	for (size_t i = 0; i < CUTS && size; i++) {
		arg = size <= CUTS ? i : next(&seed) % size;
		if (arg < size)
			run(data, arg);
	}
	how = "with damage number";
	for (arg = 0; arg < DAMAGES && size; arg++) {
		memcpy(copy, data, size);
		damage(copy, size, &seed);
		run(copy, size);
	}
	free(copy);
}

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t size;
	uint8_t *data = malloc(1 << 20);

	if (!f || !data) {
		fprintf(stderr, "replay: cannot open %s\n", path);
		exit(1);
	}
	size = fread(data, 1, 1 << 20, f);
	fclose(f);
	current = path;
	run_input(data, size);
	free(data);
}

int main(int argc, char **argv)
{
	__sanitizer_set_death_callback(say_where);
	run_input(NULL, 0);
	for (int i = 2; i < argc; i++)
		run_file(argv[i]);
	printf("ok %s: %d inputs\n", argc > 1 ? argv[1] : argv[0],
	       argc > 2 ? argc - 2 : 0);
	return 0;
}
