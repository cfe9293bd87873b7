/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uuid/uuid.h>

#define DEFAULT_NODE	   "/dev/bufshare0"
#define DEFAULT_SOCKET	   "/run/bufshare/client.sock"
#define DEFAULT_TIMEOUT_MS 10000

int fail(struct bufshare *handle, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(handle->error, sizeof(handle->error), fmt, args);
	va_end(args);
	return error;
}

int fail_side(struct bufshare *handle, const char *what)
{
	return fail(handle, -EOPNOTSUPP, "%s is not to be had %s", what,
		    handle->side == BUFSHARE_SIDE_GUEST ? "in a guest, only on the host"
							: "on the host, only in a guest");
}

static const char *default_path(void)
{
	const char *path = secure_getenv("BUFSHARE");

	if (path != NULL && path[0] != '\0')
		return path;
	return access(DEFAULT_NODE, F_OK) == 0 ? DEFAULT_NODE : DEFAULT_SOCKET;
}

int bufshare_open(const char *path, struct bufshare **ret_handle)
{
	char text[ERROR_TEXT_MAX];

	return bufshare_open_explained(path, ret_handle, text, sizeof(text));
}

static int explain(int error, const char *words, char *ret_text, size_t text_size)
{
	(void)snprintf(ret_text, text_size, "%s", words[0] != '\0' ? words : strerror(-error));
	return error;
}

int bufshare_open_explained(const char *path, struct bufshare **ret_handle, char *ret_text,
			    size_t text_size)
{
	struct bufshare *handle;
	struct stat st;
	int error;

	if (path == NULL)
		path = default_path();
	if (stat(path, &st) < 0)
		return explain(-errno, "", ret_text, text_size);
	handle = calloc(1, sizeof(*handle));
	if (handle == NULL)
		return explain(-ENOMEM, "", ret_text, text_size);
	handle->fd = -1;
	handle->poll_fd = -1;
	handle->ready_fd = -1;
	handle->timeout_ms = DEFAULT_TIMEOUT_MS;
	if (S_ISCHR(st.st_mode)) {
		handle->side = BUFSHARE_SIDE_GUEST;
		error = guest_open(handle, path);
	} else {
		handle->side = BUFSHARE_SIDE_HOST;
		error = S_ISSOCK(st.st_mode) ? host_open(handle, path) : -ENOTSOCK;
	}
	if (error < 0) {
		(void)explain(error, handle->error, ret_text, text_size);
		bufshare_close(handle);
		return error;
	}
	*ret_handle = handle;
	return 0;
}

void bufshare_close(struct bufshare *handle)
{
	if (handle == NULL)
		return;
	host_close(handle);
	if (handle->fd >= 0)
		close(handle->fd);
	free(handle);
}

enum bufshare_side bufshare_get_side(const struct bufshare *handle)
{
	return handle->side;
}

int bufshare_get_fd(const struct bufshare *handle)
{
	return handle->side == BUFSHARE_SIDE_GUEST ? handle->fd : handle->poll_fd;
}

const char *bufshare_error_text(const struct bufshare *handle)
{
	return handle->error;
}

void bufshare_set_timeout(struct bufshare *handle, int milliseconds)
{
	handle->timeout_ms = milliseconds;
}

int bufshare_next_event(struct bufshare *handle, struct bufshare_ev *ret_event)
{
	return handle->side == BUFSHARE_SIDE_GUEST ? guest_next_event(handle, ret_event)
						   : host_next_event(handle, ret_event);
}

int bufshare_wait(struct bufshare *handle, int milliseconds)
{
	struct pollfd pfd = { .fd = bufshare_get_fd(handle), .events = POLLIN };
	int n = poll(&pfd, 1, milliseconds);

	if (n < 0)
		return fail(handle, -errno, "poll: %s", strerror(errno));
	return n > 0 ? 1 : 0;
}

int bufshare_list_buffers(struct bufshare *handle, struct bufshare_buffer_info **ret_list,
			  size_t *ret_num)
{
	return handle->side == BUFSHARE_SIDE_GUEST ? guest_list_buffers(handle, ret_list, ret_num)
						   : host_list_buffers(handle, ret_list, ret_num);
}

int bufshare_get_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
			 struct bufshare_range **ret_list, size_t *ret_num)
{
	return handle->side == BUFSHARE_SIDE_GUEST
		       ? guest_get_extents(handle, uuid, ret_list, ret_num)
		       : host_get_extents(handle, uuid, ret_list, ret_num);
}

/* ---- small things ---- */

_Static_assert(sizeof(uuid_t) == BUFSHARE_UUID_SIZE, "libuuid's is the same 16 bytes");

void bufshare_uuid_format(const uint8_t uuid[BUFSHARE_UUID_SIZE], char ret_text[BUFSHARE_UUID_TEXT])
{
	uuid_unparse_lower(uuid, ret_text);
}

int bufshare_uuid_parse(const char *text, uint8_t ret_uuid[BUFSHARE_UUID_SIZE])
{
	uuid_t uuid;

	if (uuid_parse(text, uuid) != 0)
		return -EINVAL;
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

const char *bufshare_version(void)
{
	return BUFSHARE_VERSION;
}
