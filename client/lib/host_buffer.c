/* SPDX-License-Identifier: MIT */
/* Buffers that this program holds: getting them, and checking what the daemon sent. */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/magic.h>

static int send_put(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	struct bufshare_msg_buffer_put msg = { 0 };

	memcpy(msg.uuid, uuid, sizeof(msg.uuid));
	return host_command(handle, BUFSHARE_MSG_BUFFER_PUT, &msg, sizeof(msg));
}

static void buffer_free(struct bufshare_buffer *buffer)
{
	bufshare_buffer_unmap(buffer);
	for (uint32_t i = 0; i < buffer->num_fds; i++)
		close(buffer->fds[i]);
	free(buffer->ranges);
	free(buffer->user);
	free(buffer);
}

/*
 * The fd must hold what the daemon says, and go on holding it: a short one is a SIGBUS.  A
 * dma-buf never changes its size; what only looks like one, e.g. a memfd, may.
 */
static int check_dmabuf(struct bufshare *handle, const struct bufshare_buffer *buffer)
{
	struct statfs fs;
	off_t end;

	if (fstatfs(buffer->fds[0], &fs) < 0 || (uint32_t)fs.f_type != DMA_BUF_MAGIC)
		return host_fail_protocol(handle, "a dma-buf that is none");
	end = lseek(buffer->fds[0], 0, SEEK_END);
	if (end < 0 || (uint64_t)end < buffer->info.size)
		return host_fail_protocol(handle, "a dma-buf smaller than its buffer");
	return 0;
}

static int check_memfds(struct bufshare *handle, const struct bufshare_buffer *buffer,
			uint64_t ret_sizes[BUFSHARE_MSG_MAX_FDS])
{
	for (uint32_t i = 0; i < buffer->num_fds; i++) {
		int seals = fcntl(buffer->fds[i], F_GET_SEALS);
		struct stat st;

		if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
			return host_fail_protocol(handle,
						  "memory that is not a memfd sealed against "
						  "shrinking");
		if (fstat(buffer->fds[i], &st) < 0 || st.st_size < 0)
			return host_fail_protocol(handle, "memory without a size");
		ret_sizes[i] = (uint64_t)st.st_size;
	}
	return 0;
}

/* Takes a page of extents; *@sum is what they and those before have in bytes. */
static int add_extents(struct bufshare_buffer *buffer, const struct reply *reply,
		       const uint64_t sizes[], uint64_t *sum)
{
	const struct bufshare_msg_buffer_extents_reply *msg = reply->data;
	const struct bufshare_msg_extent *wire = (const void *)(msg + 1);
	uint32_t count = le32toh(msg->count);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (count == 0 || count > buffer->info.num_extents - buffer->num_ranges ||
	    le32toh(msg->total) != buffer->info.num_extents ||
	    reply->len != sizeof(*msg) + (size_t)count * sizeof(*wire))
		return host_fail_protocol(buffer->handle, "a list of extents that does not hold");
	for (uint32_t i = 0; i < count; i++) {
		struct bufshare_range range = {
			.start = le64toh(wire[i].offset),
			.len = le64toh(wire[i].len),
			.fd_index = le32toh(wire[i].fd_index),
		};

		if (range.fd_index >= buffer->num_fds || range.len == 0 ||
		    range.start % page != 0 || range.len % page != 0 ||
		    range.start > sizes[range.fd_index] ||
		    range.len > sizes[range.fd_index] - range.start ||
		    range.len > buffer->info.size - *sum)
			return host_fail_protocol(buffer->handle,
						  "an extent outside of its memory or its buffer");
		*sum += range.len;
		buffer->ranges[buffer->num_ranges++] = range;
	}
	return 0;
}

static int fetch_extents(struct bufshare *handle, struct bufshare_buffer *buffer)
{
	uint64_t sizes[BUFSHARE_MSG_MAX_FDS];
	uint64_t sum = 0;
	int error = check_memfds(handle, buffer, sizes);

	if (error < 0)
		return error;
	if (buffer->info.num_extents == 0 || buffer->info.num_extents > MAX_LISTED)
		return host_fail_protocol(handle, "a buffer of too many extents");
	buffer->ranges = calloc(buffer->info.num_extents, sizeof(*buffer->ranges));
	if (buffer->ranges == NULL)
		return fail(handle, -ENOMEM, "out of memory");
	while (buffer->num_ranges < buffer->info.num_extents) {
		struct bufshare_msg_buffer_extents msg = {
			.first = htole32((uint32_t)buffer->num_ranges),
		};
		struct reply reply;

		memcpy(msg.uuid, buffer->info.uuid, sizeof(msg.uuid));
		error = host_request(handle, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg),
				     sizeof(struct bufshare_msg_buffer_extents_reply),
				     BUFSHARE_MSG_MAX, 0, &reply);
		if (error == 0)
			error = add_extents(buffer, &reply, sizes, &sum);
		if (error < 0)
			return error;
	}
	if (sum != buffer->info.size)
		return host_fail_protocol(handle, "extents that are not the whole buffer");
	return 0;
}

/* Fills @buffer from the reply, whose fds become the buffer's. */
static int take_reply(struct bufshare *handle, struct bufshare_buffer *buffer, struct reply *reply,
		      const uint8_t uuid[BUFSHARE_UUID_SIZE], uint32_t take)
{
	const struct bufshare_msg_buffer_get_reply *wire = reply->data;
	uint32_t path = le32toh(wire->path);

	memcpy(buffer->fds, reply->fds, sizeof(reply->fds[0]) * reply->num_fds);
	buffer->num_fds = reply->num_fds;
	reply->num_fds = 0;
	if (!decode_buffer(&wire->info, &buffer->info) ||
	    memcmp(buffer->info.uuid, uuid, BUFSHARE_UUID_SIZE) != 0 ||
	    reply->len != sizeof(*wire) + buffer->info.user_len || (path & take) == 0 ||
	    (path & (path - 1)) != 0 || le32toh(wire->access) != buffer->access ||
	    buffer->num_fds == 0 || (path == BUFSHARE_PATH_DMABUF && buffer->num_fds != 1))
		return host_fail_protocol(handle, "a buffer that does not hold");
	buffer->path = path == BUFSHARE_PATH_DMABUF ? BUFSHARE_VIA_DMABUF : BUFSHARE_VIA_RAM;
	if (buffer->info.user_len > 0) {
		buffer->user = malloc(buffer->info.user_len);
		if (buffer->user == NULL)
			return fail(handle, -ENOMEM, "out of memory");
		memcpy(buffer->user, wire + 1, buffer->info.user_len);
	}
	return buffer->path == BUFSHARE_VIA_DMABUF ? check_dmabuf(handle, buffer)
						   : fetch_extents(handle, buffer);
}

int bufshare_get(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE], uint32_t access,
		 uint32_t take, struct bufshare_buffer **ret_buffer)
{
	struct bufshare_msg_buffer_get msg = {
		.access = htole32(access),
		.paths = htole32(take),
	};
	struct bufshare_buffer *buffer;
	struct reply reply;
	int error;

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "getting a buffer");
	buffer = calloc(1, sizeof(*buffer));
	if (buffer == NULL)
		return fail(handle, -ENOMEM, "out of memory");
	buffer->handle = handle;
	buffer->access = access;
	memcpy(msg.uuid, uuid, sizeof(msg.uuid));
	error = host_request(handle, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg),
			     sizeof(struct bufshare_msg_buffer_get_reply), BUFSHARE_MSG_MAX,
			     BUFSHARE_MSG_MAX_FDS, &reply);
	if (error < 0) {
		buffer_free(buffer);
		return error;
	}
	error = take_reply(handle, buffer, &reply, uuid, take);
	if (error < 0) {
		char words[ERROR_TEXT_MAX];

		/* Giving it back must not hide what went wrong. */
		memcpy(words, handle->error, sizeof(words));
		if (!handle->broken)
			(void)send_put(handle, uuid);
		memcpy(handle->error, words, sizeof(words));
		buffer_free(buffer);
		return error;
	}
	*ret_buffer = buffer;
	return 0;
}

int bufshare_put(struct bufshare_buffer *buffer)
{
	struct bufshare *handle;
	uint8_t uuid[BUFSHARE_UUID_SIZE];

	if (buffer == NULL)
		return 0;
	handle = buffer->handle;
	memcpy(uuid, buffer->info.uuid, sizeof(uuid));
	/* First out of our hands, then back to the guest. */
	buffer_free(buffer);
	return send_put(handle, uuid);
}

const struct bufshare_buffer_info *bufshare_buffer_get_info(const struct bufshare_buffer *buffer)
{
	return &buffer->info;
}

const void *bufshare_buffer_get_user_data(const struct bufshare_buffer *buffer)
{
	return buffer->user;
}

enum bufshare_path bufshare_buffer_get_path(const struct bufshare_buffer *buffer)
{
	return buffer->path;
}

int bufshare_buffer_get_fd(const struct bufshare_buffer *buffer)
{
	if (buffer->path != BUFSHARE_VIA_DMABUF)
		return fail(buffer->handle, -EOPNOTSUPP,
			    "the buffer came as guest RAM: it has no dma-buf");
	return buffer->fds[0];
}

static int sync_dmabuf(struct bufshare_buffer *buffer, uint32_t access, uint64_t phase)
{
	struct dma_buf_sync sync = { .flags = phase };
	int ret;

	if (access == 0 || (access & ~buffer->access) != 0)
		return fail(buffer->handle, -EINVAL, "the buffer was not got for this access");
	if (buffer->path != BUFSHARE_VIA_DMABUF)
		return 0;
	if ((access & BUFSHARE_ACCESS_READ) != 0)
		sync.flags |= DMA_BUF_SYNC_READ;
	if ((access & BUFSHARE_ACCESS_WRITE) != 0)
		sync.flags |= DMA_BUF_SYNC_WRITE;
	do {
		ret = ioctl(buffer->fds[0], DMA_BUF_IOCTL_SYNC, &sync);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	if (ret < 0)
		return fail(buffer->handle, -errno, "DMA_BUF_IOCTL_SYNC: %s", strerror(errno));
	return 0;
}

int bufshare_buffer_begin(struct bufshare_buffer *buffer, uint32_t access)
{
	return sync_dmabuf(buffer, access, DMA_BUF_SYNC_START);
}

int bufshare_buffer_end(struct bufshare_buffer *buffer, uint32_t access)
{
	return sync_dmabuf(buffer, access, DMA_BUF_SYNC_END);
}

int host_get_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		     struct bufshare_range **ret_list, size_t *ret_num)
{
	struct bufshare_buffer *buffer;
	struct bufshare_range *ranges;
	size_t num;
	int error;

	error = bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_RAM, &buffer);
	if (error < 0)
		return error;
	ranges = buffer->ranges;
	num = buffer->num_ranges;
	buffer->ranges = NULL;
	error = bufshare_put(buffer);
	if (error < 0) {
		free(ranges);
		return error;
	}
	*ret_list = ranges;
	*ret_num = num;
	return 0;
}
