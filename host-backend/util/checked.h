/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on numbers that a peer chose.  Each function returns false, and leaves
 * *@ret untouched, when the result does not fit.
 */
#ifndef UTIL_CHECKED_H
#define UTIL_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

static inline bool checked_mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

static inline bool checked_add_size(size_t a, size_t b, size_t *ret)
{
	size_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

static inline bool checked_mul_size(size_t a, size_t b, size_t *ret)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

static inline bool is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/* @align: a power of two. */
static inline bool is_aligned(uint64_t n, uint64_t align)
{
	return (n & (align - 1)) == 0;
}

/* The next multiple of @align (a power of two). */
static inline bool checked_align_up(uint64_t n, uint64_t align, uint64_t *ret)
{
	uint64_t sum;

	if (!checked_add_u64(n, align - 1, &sum))
		return false;
	*ret = sum & ~(align - 1);
	return true;
}

/* Whether [start, start + len) lies in [outer, outer + outer_len); none of them may wrap. */
static inline bool range_contains(uint64_t outer, uint64_t outer_len, uint64_t start, uint64_t len)
{
	return start >= outer && start - outer <= outer_len && len <= outer_len - (start - outer);
}

#endif /* UTIL_CHECKED_H */
