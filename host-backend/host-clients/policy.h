/* SPDX-License-Identifier: MIT */
/*
 * Who may have memory, and by which way.
 *
 * The administrators' programs get dma-bufs over exactly one buffer.  The memfd of a guest's RAM goes only to uids trusted by name, because
 * it holds the whole guest.  A udmabuf cannot be made read-only, so a program that is
 * trusted to read only, and is not the administrator's, gets none.
 */
#ifndef HOST_CLIENTS_POLICY_H
#define HOST_CLIENTS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host-clients/server.h"

struct client_policy {
	uid_t uid;
	bool admitted;	      /* may use the socket at all */
	bool trusted;	      /* named by --trust */
	bool trusted_write;
	bool have_udmabuf;
	uint32_t read_paths;  /* BUFSHARE_PATH_* for BUFSHARE_ACCESS_READ */
	uint32_t write_paths; /* ... when BUFSHARE_ACCESS_WRITE is asked */
};

/* @admin: whether the uid is an administrator's. */
void policy_find(const struct client_trust *trust, size_t num_trust, uid_t uid, bool admin,
		 bool have_udmabuf, struct client_policy *ret_policy);

/*
 * The paths that are allowed out of those that the client takes.  When there is none:
 * returns 0 and says in @ret_why (@why_size bytes) why, and what an administrator can
 * do; *@ret_permission tells whether permission is what lacks.
 */
uint32_t policy_paths(const struct client_policy *policy, uint32_t access, uint32_t paths,
		      bool *ret_permission, char *ret_why, size_t why_size);

#endif /* HOST_CLIENTS_POLICY_H */
