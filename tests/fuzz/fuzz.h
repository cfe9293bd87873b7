/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target: LLVMFuzzerTestOneInput() for libFuzzer (build with clang), and the same
 * function under driver.c, which mutates the target's own seeds from a fixed random seed,
 * so that `meson test` runs the same inputs every time and needs nothing but a compiler.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_MAX_INPUT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes seed number @n to @buf (FUZZ_MAX_INPUT bytes); returns its size, 0: no more seeds. */
size_t fuzz_seed(unsigned int n, uint8_t *buf);

#endif /* FUZZ_H */
