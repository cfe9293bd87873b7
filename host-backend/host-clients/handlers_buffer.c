/* SPDX-License-Identifier: MIT */
#include "host-clients/handlers.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host-clients/server_private.h"
#include "host-clients/udmabuf.h"
#include "util/fd.h"

#define WHY_SIZE 200 /* bytes of a sentence that goes into an error */

/*
 * Returns an fd of the memfd behind @arena, owned by the caller, or a negative errno.
 *
 * A memfd is mode 0777 (Linux, mm/memfd.c), so whoever has it read-only could open it
 * again to write by /proc/self/fd: before it leaves for a reader, the right to do so is
 * taken from everybody but the file's owner.
 */
static int arena_fd_for_client(const struct arena *arena, bool write)
{
	char path[32];
	struct stat st;
	int fd;

	if (write)
		return fd_dup(arena_fd(arena));
	if (fstat(arena_fd(arena), &st) < 0)
		return -errno;
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 &&
	    fchmod(arena_fd(arena), st.st_mode & 07777 & ~(mode_t)(S_IWGRP | S_IWOTH)) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", arena_fd(arena));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Fills @ret_fds (owned by the caller); returns 0 or a negative errno with a sentence. */
static int open_ram(const struct buffer *buffer, bool write, int ret_fds[BUFSHARE_MSG_MAX_FDS],
		    uint32_t *ret_num, char *ret_why)
{
	int fds[BUFSHARE_MSG_MAX_FDS];
	struct arena *const *arenas;
	uint32_t num;

	arenas = buffer_arenas(buffer, &num);
	if (num > BUFSHARE_MSG_MAX_FDS) {
		(void)snprintf(ret_why, WHY_SIZE,
			       "the buffer lies in %u memory files, more than the %d that can be "
			       "given out",
			       num, BUFSHARE_MSG_MAX_FDS);
		return -E2BIG;
	}
	for (uint32_t i = 0; i < num; i++) {
		fds[i] = arena_fd_for_client(arenas[i], write);
		if (fds[i] < 0) {
			int error = fds[i];

			fd_close_many(fds, i);
			(void)snprintf(ret_why, WHY_SIZE,
				       "the guest's RAM cannot be opened %s: %s",
				       write ? "again" : "read-only (the daemon must own the memfd)",
				       strerror(-error));
			return error;
		}
	}
	memcpy(ret_fds, fds, sizeof(fds[0]) * num);
	*ret_num = num;
	return 0;
}

/* Returns an fd of the buffer's dma-buf, owned by the caller, or a negative errno. */
static int open_dmabuf(struct client_conn *conn, struct buffer *buffer, char *ret_why)
{
	int fd = buffer_dmabuf(buffer);

	if (fd < 0) {
		const struct extent *extents;
		uint32_t num;

		extents = buffer_extents(buffer, &num);
		fd = udmabuf_make(client_server_udmabuf(conn->server), extents, num, ret_why,
				  WHY_SIZE);
		if (fd < 0)
			return fd;
		/* Made once: the next client gets the same one. */
		buffer_set_dmabuf(buffer, fd);
	}
	fd = fd_dup(fd);
	if (fd < 0)
		(void)snprintf(ret_why, WHY_SIZE, "%s", strerror(-fd));
	return fd;
}

static bool get_request_ok(struct client_conn *conn, uint32_t access, uint32_t paths)
{
	if (access == 0 || (access & ~(BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE)) != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID, "BUFFER_GET: no such access: 0x%x",
				  access);
		return false;
	}
	if (paths == 0 || (paths & ~(BUFSHARE_PATH_DMABUF | BUFSHARE_PATH_RAM)) != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID, "BUFFER_GET: no such path: 0x%x",
				  paths);
		return false;
	}
	if (!client_conn_can_send_fds(conn, BUFSHARE_MSG_MAX_FDS)) {
		client_conn_error(conn, BUFSHARE_S_LIMIT,
				  "file descriptors wait to be read: read the replies first");
		return false;
	}
	return true;
}

void client_buffer_get(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_buffer_get *req = data;
	uint32_t access = le32toh(req->access);
	uint32_t paths = le32toh(req->paths);
	struct bufshare_msg_buffer_get_reply *reply = client_server_scratch(conn->server);
	char why[WHY_SIZE] = "";
	int fds[BUFSHARE_MSG_MAX_FDS];
	uint32_t num_fds = 0, path = 0;
	struct buffer *buffer;
	bool permission = false;
	size_t user_len;
	int error;

	if (!get_request_ok(conn, access, paths))
		return;
	error = buffer_get(conn->peer, req->uuid, &buffer);
	if (error < 0) {
		client_core_error(conn, error, "buffer");
		return;
	}

	paths = policy_paths(&conn->policy, access, paths, &permission, why, sizeof(why));
	if ((paths & BUFSHARE_PATH_DMABUF) != 0) {
		fds[0] = open_dmabuf(conn, buffer, why);
		if (fds[0] >= 0) {
			path = BUFSHARE_PATH_DMABUF;
			num_fds = 1;
		}
	}
	if (path == 0 && (paths & BUFSHARE_PATH_RAM) != 0) {
		error = open_ram(buffer, (access & BUFSHARE_ACCESS_WRITE) != 0, fds, &num_fds, why);
		if (error == 0)
			path = BUFSHARE_PATH_RAM;
	}
	if (path == 0) {
		(void)buffer_put(conn->peer, req->uuid);
		client_conn_error(conn, permission ? BUFSHARE_S_NOT_PERMITTED : BUFSHARE_S_NO_PATH,
				  "%s", why);
		return;
	}

	*reply = (struct bufshare_msg_buffer_get_reply){
		.path = htole32(path),
		.access = htole32(access),
	};
	client_encode_buffer(buffer, &reply->info);
	user_len = le32toh(buffer_desc(buffer)->user_len);
	if (user_len > 0)
		memcpy(reply + 1, buffer_user_data(buffer), user_len);
	client_conn_reply(conn, reply, sizeof(*reply) + user_len, fds, num_fds);
}

/* An extent's arena is one of its buffer's. */
static uint32_t index_of(struct arena *const *arenas, const struct arena *arena)
{
	uint32_t i = 0;

	while (arenas[i] != arena)
		i++;
	return i;
}

void client_buffer_extents(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_buffer_extents *req = data;
	struct bufshare_msg_buffer_extents_reply *reply = client_server_scratch(conn->server);
	struct bufshare_msg_extent *out = (struct bufshare_msg_extent *)(reply + 1);
	const uint32_t room = (BUFSHARE_MSG_MAX - sizeof(*reply)) / sizeof(*out);
	uint32_t first = le32toh(req->first);
	const struct buffer *buffer;
	const struct extent *extents;
	struct arena *const *arenas;
	uint32_t total, count, num_arenas;

	if (req->reserved != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID,
				  "BUFFER_EXTENTS: the reserved field is not 0");
		return;
	}
	buffer = buffer_find_held(conn->peer, req->uuid);
	if (buffer == NULL) {
		client_conn_error(conn, BUFSHARE_S_NOT_FOUND, "you do not hold such a buffer");
		return;
	}
	/* Where a guest's memory lies is for those to know who may have it. */
	if ((conn->policy.read_paths & BUFSHARE_PATH_RAM) == 0) {
		client_conn_error(conn, BUFSHARE_S_NOT_PERMITTED,
				  "uid %u may not know where a guest's RAM lies: start the daemon "
				  "with --trust uid=%u",
				  (unsigned int)conn->policy.uid, (unsigned int)conn->policy.uid);
		return;
	}
	extents = buffer_extents(buffer, &total);
	arenas = buffer_arenas(buffer, &num_arenas);
	if (total == 0) {
		client_conn_error(conn, BUFSHARE_S_NOT_FOUND,
				  "the guest of this buffer was reset or is gone: where it lay "
				  "is known no more");
		return;
	}
	if (num_arenas > BUFSHARE_MSG_MAX_FDS) {
		client_conn_error(conn, BUFSHARE_S_NO_PATH,
				  "the buffer lies in %u memory files, more than the %d that can be "
				  "given out",
				  num_arenas, BUFSHARE_MSG_MAX_FDS);
		return;
	}
	if (first > total) {
		client_conn_error(conn, BUFSHARE_S_INVALID,
				  "BUFFER_EXTENTS: the buffer has %u extents, there is no number %u",
				  total, first);
		return;
	}
	count = total - first < room ? total - first : room;
	for (uint32_t i = 0; i < count; i++) {
		const struct extent *extent = &extents[first + i];

		out[i] = (struct bufshare_msg_extent){
			.offset = htole64(extent->offset),
			.len = htole64(extent->len),
			.fd_index = htole32(index_of(arenas, extent->arena)),
		};
	}
	*reply = (struct bufshare_msg_buffer_extents_reply){
		.total = htole32(total),
		.count = htole32(count),
	};
	client_conn_reply(conn, reply, sizeof(*reply) + count * sizeof(*out), NULL, 0);
}

void client_buffer_put(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_buffer_put *req = data;
	struct bufshare_msg_hdr reply;
	int error = buffer_put(conn->peer, req->uuid);

	if (error < 0) {
		client_conn_error(conn, BUFSHARE_S_NOT_FOUND, "you do not hold such a buffer");
		return;
	}
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}
