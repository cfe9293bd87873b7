/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <sys/random.h>

/*
 * "Never reused" needs no memory of old UUIDs: with 122 random bits, 2^40 buffers
 * over a daemon's life repeat one with a probability of 2^-43.  registry_add()
 * excludes those that are in use.
 */
int uuid_generate_v4(uint8_t ret_uuid[UUID_SIZE])
{
	uint8_t uuid[UUID_SIZE];
	ssize_t n;

	/* Up to 256 bytes come whole or not at all (getrandom(2), "Interruption"). */
	do
		n = getrandom(uuid, sizeof(uuid), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < UUID_SIZE; i++)
		ret_uuid[i] = uuid[i];
	return 0;
}
