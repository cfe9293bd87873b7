/* SPDX-License-Identifier: MIT */
/* What the parts of libbufshare share.  Nothing here is exported. */
#ifndef LIBBUFSHARE_INTERNAL_H
#define LIBBUFSHARE_INTERNAL_H

#include <bufshare/bufshare.h>

#include "bufshare_client_protocol.h"

#define ERROR_TEXT_MAX 256

/* Events kept while a reply is awaited; more is a daemon gone mad. */
#define MAX_QUEUED_EVENTS 16384

/* Buffers or streams in a list, extents in a buffer: more is a daemon gone mad. */
#define MAX_LISTED (1u << 20)

struct bufshare {
	enum bufshare_side side;
	int fd; /* owned: the node or the socket */
	char error[ERROR_TEXT_MAX];

	/* host */
	int poll_fd;   /* owned: an epoll over the socket and @ready_fd */
	int ready_fd;  /* owned: an eventfd, readable while events are queued */
	int timeout_ms;
	bool broken;   /* ended, or out of step: no more requests; see end_connection() */
	uint32_t serial;
	uint8_t *packet; /* BUFSHARE_MSG_MAX bytes: what was received last */
	struct bufshare_ev *events; /* a ring */
	size_t event_head, num_events, event_capacity;

	/* guest */
	char label[BUFSHARE_LABEL_SIZE];
};

/* A reply: @data lies in the handle's packet, valid until the next request or event. */
struct reply {
	const void *data;
	size_t len;
	uint32_t num_fds;
	int fds[BUFSHARE_MSG_MAX_FDS]; /* owned by who asked; see reply_close() */
};

/* Notes the words for bufshare_error_text() and returns @error. */
int fail(struct bufshare *handle, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int fail_side(struct bufshare *handle, const char *what);

/* ---- image.c ---- */

bool image_reserved_is_0(const struct bufshare_image *image);

/* ---- host.c ---- */

int host_open(struct bufshare *handle, const char *path);
void host_close(struct bufshare *handle);
int host_next_event(struct bufshare *handle, struct bufshare_ev *ret_event);
/* A person reads them on a terminal: control characters become '?'. */
void host_clean_text(char *text);
/* The daemon broke the protocol: says how, and ends the connection. */
int host_fail_protocol(struct bufshare *handle, const char *what);
/*
 * Sends @msg (its header is filled in) and waits for the reply, which is at least @min
 * and at most @max bytes long.  @max_fds: file descriptors that the reply may carry.
 */
int host_request(struct bufshare *handle, uint32_t type, void *msg, size_t len, size_t min,
		 size_t max, uint32_t max_fds, struct reply *ret_reply);
/* The same for a reply of exactly a header. */
int host_command(struct bufshare *handle, uint32_t type, void *msg, size_t len);
void reply_close(struct reply *reply);

/* ---- host_decode.c: they return false when a number or a name does not hold ---- */

bool decode_buffer(const struct bufshare_msg_buffer_info *msg,
		   struct bufshare_buffer_info *ret_info);
bool decode_stream(const struct bufshare_msg_stream_info *msg,
		   struct bufshare_stream_info *ret_info);
/* @data: @len bytes, at least a header. */
bool decode_event(const void *data, size_t len, struct bufshare_ev *ret_event);

/* ---- host_list.c, host_buffer.c ---- */

int host_list_buffers(struct bufshare *handle, struct bufshare_buffer_info **ret_list,
		      size_t *ret_num);
int host_get_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		     struct bufshare_range **ret_list, size_t *ret_num);

struct bufshare_buffer {
	struct bufshare *handle; /* borrowed */
	struct bufshare_buffer_info info;
	uint8_t *user;
	enum bufshare_path path;
	uint32_t access;
	uint32_t num_fds;
	int fds[BUFSHARE_MSG_MAX_FDS]; /* owned */
	struct bufshare_range *ranges; /* by RAM */
	size_t num_ranges;
	void *map; /* of map_len bytes; NULL: not mapped */
	size_t map_len;
	void *data; /* in map */
};

/* ---- guest.c ---- */

int guest_open(struct bufshare *handle, const char *path);
int guest_next_event(struct bufshare *handle, struct bufshare_ev *ret_event);
int guest_list_buffers(struct bufshare *handle, struct bufshare_buffer_info **ret_list,
		       size_t *ret_num);
int guest_get_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		      struct bufshare_range **ret_list, size_t *ret_num);

#endif /* LIBBUFSHARE_INTERNAL_H */
