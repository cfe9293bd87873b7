/* SPDX-License-Identifier: MIT */
#include "host-clients/policy.h"

#include <stdio.h>

#include "bufshare_client_protocol.h"

void policy_find(const struct client_trust *trust, size_t num_trust, uid_t uid, bool admin,
		 bool have_udmabuf, struct client_policy *ret_policy)
{
	struct client_policy policy = { .uid = uid, .have_udmabuf = have_udmabuf };

	for (size_t i = 0; i < num_trust; i++) {
		if (trust[i].uid != uid)
			continue;
		policy.trusted = true;
		policy.trusted_write = policy.trusted_write || trust[i].write;
	}
	policy.admitted = admin || policy.trusted;
	if (have_udmabuf && (admin || policy.trusted_write)) {
		policy.read_paths |= BUFSHARE_PATH_DMABUF;
		policy.write_paths |= BUFSHARE_PATH_DMABUF;
	}
	if (policy.trusted)
		policy.read_paths |= BUFSHARE_PATH_RAM;
	if (policy.trusted_write)
		policy.write_paths |= BUFSHARE_PATH_RAM;
	*ret_policy = policy;
}

uint32_t policy_paths(const struct client_policy *policy, uint32_t access, uint32_t paths,
		      bool *ret_permission, char *ret_why, size_t why_size)
{
	bool write = (access & BUFSHARE_ACCESS_WRITE) != 0;
	uint32_t allowed = paths & (write ? policy->write_paths : policy->read_paths);
	unsigned int uid = policy->uid;

	if (allowed != 0)
		return allowed;

	*ret_permission = true;
	if (write && (policy->read_paths & paths) != 0) {
		(void)snprintf(ret_why, why_size,
			       "uid %u is trusted to read only: to let it write, start the daemon "
			       "with --trust uid=%u:rw",
			       uid, uid);
	} else if ((paths & BUFSHARE_PATH_DMABUF) == 0) {
		(void)snprintf(ret_why, why_size,
			       "uid %u may not have a guest's RAM: take the dma-buf, or start the "
			       "daemon with --trust uid=%u",
			       uid, uid);
	} else if (policy->have_udmabuf) {
		(void)snprintf(ret_why, why_size,
			       "uid %u is trusted to read only, and a dma-buf cannot be made "
			       "read-only: take the RAM path, or start the daemon with --trust "
			       "uid=%u:rw",
			       uid, uid);
	} else {
		*ret_permission = false;
		(void)snprintf(ret_why, why_size,
			       "this host has no /dev/udmabuf to make a dma-buf of the buffer: load "
			       "udmabuf and restart the daemon, or start it with --trust uid=%u%s "
			       "to give that user the guest's RAM",
			       uid, write ? ":rw" : "");
	}
	return 0;
}
