/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

int core_create(struct core **ret_core)
{
	struct core *core = calloc(1, sizeof(*core));

	if (!core)
		return -ENOMEM;
	core->num_buckets = 16;
	core->buckets = calloc(core->num_buckets, sizeof(struct buffer *));
	if (!core->buckets) {
		free(core);
		return -ENOMEM;
	}
	list_init(&core->peers);
	list_init(&core->watchers);
	slots_init(&core->buffers);
	slots_init(&core->streams);
	*ret_core = core;
	return 0;
}

void core_destroy(struct core *core)
{
	if (!core)
		return;
	slots_finish(&core->buffers);
	slots_finish(&core->streams);
	free((void *)core->buckets);
	free(core);
}

void core_get_stats(const struct core *core, struct core_stats *ret_stats)
{
	*ret_stats = core->stats;
}

bool name_is_valid(const char *name)
{
	size_t n;

	for (n = 0; name[n]; n++) {
		char c = name[n];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			  (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';

		if (!ok || n == LABEL_SIZE - 1)
			return false;
	}
	return n > 0;
}
