/* SPDX-License-Identifier: MIT */
/* The daemon's command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "core.h"
#include "server.h"

/* One guest: a socket to make, or one that the parent passed. */
struct guest_option {
	char label[LABEL_SIZE];
	const char *path; /* of argv; NULL: @fd is given */
	int fd;		  /* owned by who runs the daemon */
};

enum options_action {
	OPTIONS_RUN,
	OPTIONS_PRINT_CAPABILITIES,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

struct options {
	enum options_action action;
	struct guest_option *guests; /* owned */
	size_t num_guests;
	bool unnamed; /* the only guest, and its label is a default */
	const char *client_path; /* of argv; NULL: none */
	uid_t *admins; /* owned */
	size_t num_admins;
	struct client_trust *trust; /* owned */
	size_t num_trust;
	struct core_limits limits; /* of a guest */
	uint64_t max_ram; /* bytes of a guest's memory; 0: see main.c */
	uint32_t max_clients, max_clients_per_uid, max_holds; /* 0: the server's own default */
	int ready_fd; /* -1: none */
	bool verbose;
};

/*
 * Fills @ret_options; options_finish() is due on success.  On failure -EINVAL or
 * -ENOMEM, and stderr says what is wrong with which argument.
 */
int options_parse(int argc, char **argv, struct options *ret_options);
void options_finish(struct options *options);
void options_print_help(void);

#endif /* OPTIONS_H */
