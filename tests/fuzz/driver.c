/* SPDX-License-Identifier: MIT */
/*
 * driver [-n ITERATIONS] [FILE...]: runs the files, or else the target's seeds and
 * ITERATIONS mutations of them.  A failure is the sanitizer's, or an abort of the target.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* Marsaglia's xorshift64: the same everywhere, unlike rand(3). */
static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t random_u64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static size_t below(size_t n)
{
	return (size_t)(random_u64() % n);
}

static size_t mutate(uint8_t *data, size_t size)
{
	static const uint64_t interesting[] = { 0, 1, 7, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff,
						0xffffffff, INT64_MAX, UINT64_MAX, 0x1000 };
	size_t at, n;

	switch (below(6)) {
	case 0:
		data[below(size)] ^= (uint8_t)(1u << below(8));
		break;
	case 1:
		data[below(size)] = (uint8_t)random_u64();
		break;
	case 2: /* a number of 1 to 8 bytes */
		n = (size_t)1 << below(4);
		if (size >= n)
			memcpy(data + below(size - n + 1), &interesting[below(12)], n);
		break;
	case 3: /* a part again, elsewhere */
		n = 1 + below(size);
		at = below(size - n + 1);
		memmove(data + below(size - n + 1), data + at, n);
		break;
	case 4: /* a part left out */
		n = 1 + below(size < 32 ? size : 32);
		at = below(size - n + 1);
		memmove(data + at, data + at + n, size - at - n);
		size -= n;
		break;
	default: /* a part twice */
		n = 1 + below(size < 64 ? size : 64);
		at = below(size - n + 1);
		if (size + n <= FUZZ_MAX_INPUT) {
			memmove(data + at + n, data + at, size - at);
			size += n;
		}
		break;
	}
	return size;
}

static int run_file(const char *path)
{
	uint8_t data[FUZZ_MAX_INPUT];
	FILE *file = fopen(path, "rbe");
	size_t n;

	if (!file) {
		perror(path);
		return -1;
	}
	n = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t data[FUZZ_MAX_INPUT];
	unsigned long iterations = 20000;
	unsigned int seeds = 0;
	int option;

	while ((option = getopt(argc, argv, "n:")) != -1) {
		if (option != 'n')
			return 2;
		iterations = strtoul(optarg, NULL, 10);
	}
	for (int i = optind; i < argc; i++) {
		if (run_file(argv[i]) < 0)
			return 1;
	}
	if (optind < argc)
		return 0;
	for (size_t n; (n = fuzz_seed(seeds, data)) > 0; seeds++)
		(void)LLVMFuzzerTestOneInput(data, n);
	for (unsigned long i = 0; i < iterations; i++) {
		size_t n = fuzz_seed((unsigned int)below(seeds), data);

		for (size_t m = 1 + below(8); m > 0 && n > 0; m--)
			n = mutate(data, n);
		(void)LLVMFuzzerTestOneInput(data, n);
	}
	(void)printf("%u seeds, %lu mutations\n", seeds, iterations);
	return 0;
}
