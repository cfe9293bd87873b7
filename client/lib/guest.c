/* SPDX-License-Identifier: MIT */
/* The node of the guest driver: guest-driver/uapi/linux/bufshare.h. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/bufshare.h>

_Static_assert(BUFSHARE_FRAME_CLOCK_TAI == (int)BUFSHARE_CLOCK_TAI &&
		       BUFSHARE_FRAME_CLOCK_REALTIME == (int)BUFSHARE_CLOCK_REALTIME &&
		       BUFSHARE_FRAME_CLOCK_MONOTONIC == (int)BUFSHARE_CLOCK_MONOTONIC,
	       "the library's clocks are the driver's");

/* Returns 0 or a negative errno. */
static int node_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static const char *words(int error)
{
	switch (error) {
	case -EXDEV:
		return "the memory is not RAM of this machine";
	case -EDQUOT:
		return "a quota that the host gives this machine is reached";
	case -ENODEV:
		return "the device is gone";
	case -EBADF:
		return "this is not a dma-buf";
	default:
		return strerror(-error);
	}
}

/* As node_ioctl() for an open handle, with words for a failure. */
static int request(struct bufshare *handle, unsigned long request, void *arg, const char *what)
{
	int error;

	if (handle->side != BUFSHARE_SIDE_GUEST)
		return fail_side(handle, what);
	error = node_ioctl(handle->fd, request, arg);
	return error < 0 ? fail(handle, error, "%s: %s", what, words(error)) : 0;
}

int guest_open(struct bufshare *handle, const char *path)
{
	struct bufshare_info info;
	int error;

	handle->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (handle->fd < 0)
		return -errno;
	error = node_ioctl(handle->fd, BUFSHARE_IOC_INFO, &info);
	if (error < 0)
		return error;
	memcpy(handle->label, info.label, sizeof(handle->label) - 1);
	return 0;
}

int bufshare_get_limits(struct bufshare *handle, struct bufshare_limits *ret_limits)
{
	struct bufshare_info info;
	int error = request(handle, BUFSHARE_IOC_INFO, &info, "asking for the quotas");

	if (error < 0)
		return error;
	*ret_limits = (struct bufshare_limits){
		.max_bytes = info.max_bytes,
		.max_buffers = info.max_buffers,
		.max_extents = info.max_extents,
		.max_streams = info.max_streams,
		.max_frames = info.max_frames,
	};
	memcpy(ret_limits->label, handle->label, sizeof(ret_limits->label));
	return 0;
}

int guest_next_event(struct bufshare *handle, struct bufshare_ev *ret_event)
{
	struct bufshare_event event;
	ssize_t len;

	do {
		len = read(handle->fd, &event, sizeof(event));
	} while (len < 0 && errno == EINTR);
	if (len < 0)
		return errno == EAGAIN ? -EAGAIN
				       : fail(handle, -errno, "reading events: %s", words(-errno));
	if (len != (ssize_t)sizeof(event))
		return fail(handle, -ENOTCONN, "the device is gone");
	*ret_event = (struct bufshare_ev){
		.stream_id = event.stream_id,
		.sequence = event.sequence,
	};
	memcpy(ret_event->uuid, event.uuid, sizeof(ret_event->uuid));
	switch (event.type) {
	case BUFSHARE_EVENT_FRAME_RELEASED:
		ret_event->type = BUFSHARE_EV_FRAME_RELEASED;
		return 0;
	case BUFSHARE_EVENT_LISTENERS:
		ret_event->type = BUFSHARE_EV_LISTENERS;
		ret_event->listeners = event.value;
		return 0;
	case BUFSHARE_EVENT_GONE:
		ret_event->type = BUFSHARE_EV_GONE;
		return 0;
	default:
		return fail(handle, -EPROTO, "the driver sent an unknown event %u", event.type);
	}
}

/* ---- descriptions ---- */

static void encode_image(const struct bufshare_image *image, struct bufshare_desc *ret_desc)
{
	*ret_desc = (struct bufshare_desc){
		.width = image->width,
		.height = image->height,
		.fourcc = image->fourcc,
		.num_planes = image->num_planes,
		.modifier = image->modifier,
		.color_primaries = image->color_primaries,
		.transfer = image->transfer,
		.matrix = image->matrix,
		.range = image->range,
	};
	for (unsigned int i = 0; i < image->num_planes; i++) {
		ret_desc->planes[i].offset = image->planes[i].offset;
		ret_desc->planes[i].stride = image->planes[i].stride;
	}
}

static void decode_image(const struct bufshare_desc *desc, struct bufshare_image *ret_image)
{
	*ret_image = (struct bufshare_image){
		.width = desc->width,
		.height = desc->height,
		.fourcc = desc->fourcc,
		.num_planes = desc->num_planes,
		.modifier = desc->modifier,
		.color_primaries = desc->color_primaries,
		.transfer = desc->transfer,
		.matrix = desc->matrix,
		.range = desc->range,
	};
	for (unsigned int i = 0; i < BUFSHARE_MAX_PLANES; i++) {
		ret_image->planes[i].offset = desc->planes[i].offset;
		ret_image->planes[i].stride = desc->planes[i].stride;
	}
}

/* ---- buffers ---- */

int bufshare_export(struct bufshare *handle, int fd, const struct bufshare_image *image,
		    const void *user, size_t user_len, struct bufshare_exported *ret_exported)
{
	struct bufshare_export msg = { .fd = fd, .user = (uintptr_t)user };
	int error;

	if (user_len > BUFSHARE_MAX_USER_LEN)
		return fail(handle, -EINVAL, "%zu bytes of user data, the limit is %d", user_len,
			    BUFSHARE_MAX_USER_LEN);
	if (image != NULL) {
		if (image->num_planes > BUFSHARE_MAX_PLANES)
			return fail(handle, -EINVAL, "%u planes, the limit is %d",
				    image->num_planes, BUFSHARE_MAX_PLANES);
		if (!image_reserved_is_0(image))
			return fail(handle, -EINVAL, "reserved room of the image is not 0");
		encode_image(image, &msg.desc);
	}
	msg.user_len = (uint32_t)user_len;
	error = request(handle, BUFSHARE_IOC_EXPORT, &msg, "exporting a buffer");
	if (error < 0)
		return error;
	*ret_exported = (struct bufshare_exported){
		.size = msg.size,
		.num_extents = msg.num_extents,
	};
	memcpy(ret_exported->uuid, msg.uuid, sizeof(msg.uuid));
	return 0;
}

int bufshare_unexport(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	struct bufshare_unexport msg = { 0 };

	memcpy(msg.uuid, uuid, sizeof(msg.uuid));
	return request(handle, BUFSHARE_IOC_UNEXPORT, &msg, "ending an export");
}

int guest_list_buffers(struct bufshare *handle, struct bufshare_buffer_info **ret_list,
		       size_t *ret_num)
{
	struct bufshare_next_buffer msg = { 0 };
	struct bufshare_buffer_info *list = NULL;
	size_t num = 0, room = 0;
	int error;

	while ((error = node_ioctl(handle->fd, BUFSHARE_IOC_NEXT_BUFFER, &msg)) == 0) {
		struct bufshare_buffer_info *info;

		if (num == room) {
			struct bufshare_buffer_info *more;

			room = room != 0 ? room * 2 : 16;
			more = reallocarray(list, room, sizeof(*list));
			if (more == NULL) {
				free(list);
				return fail(handle, -ENOMEM, "out of memory");
			}
			list = more;
		}
		info = &list[num++];
		*info = (struct bufshare_buffer_info){
			.size = msg.size,
			.num_extents = msg.num_extents,
			.state = msg.state == BUFSHARE_BUFFER_LIVE ? BUFSHARE_STATE_LIVE
								   : BUFSHARE_STATE_DETACHED,
			.pid = msg.pid,
			.user_len = msg.user_len,
		};
		memcpy(info->uuid, msg.uuid, sizeof(info->uuid));
		memcpy(info->owner, handle->label, sizeof(info->owner));
		decode_image(&msg.desc, &info->image);
		/* The driver takes a request only with the answers of the last one cleared. */
		msg = (struct bufshare_next_buffer){ .cursor = msg.cursor };
	}
	if (error != -ENOENT) {
		free(list);
		return fail(handle, error, "listing buffers: %s", words(error));
	}
	*ret_list = list;
	*ret_num = num;
	return 0;
}

static int find_num_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
			    uint32_t *ret_num)
{
	struct bufshare_buffer_info *list;
	size_t num;
	int error = guest_list_buffers(handle, &list, &num);

	if (error < 0)
		return error;
	error = fail(handle, -ENOENT, "there is no such buffer for you");
	for (size_t i = 0; i < num; i++) {
		if (memcmp(list[i].uuid, uuid, BUFSHARE_UUID_SIZE) == 0) {
			*ret_num = list[i].num_extents;
			error = 0;
		}
	}
	free(list);
	return error;
}

int guest_get_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		      struct bufshare_range **ret_list, size_t *ret_num)
{
	struct bufshare_extent chunk[256];
	struct bufshare_range *list;
	uint32_t total = 0, num = 0;
	int error = find_num_extents(handle, uuid, &total);

	if (error < 0)
		return error;
	list = calloc(total != 0 ? total : 1, sizeof(*list));
	if (list == NULL)
		return fail(handle, -ENOMEM, "out of memory");
	while (num < total) {
		struct bufshare_extents msg = {
			.first = num,
			.count = sizeof(chunk) / sizeof(chunk[0]),
			.extents = (uintptr_t)chunk,
		};

		memcpy(msg.uuid, uuid, sizeof(msg.uuid));
		error = request(handle, BUFSHARE_IOC_EXTENTS, &msg, "asking for the extents");
		if (error == 0 && (msg.count == 0 || msg.count > total - num))
			error = fail(handle, -EPROTO, "the driver's number of extents changed");
		if (error < 0) {
			free(list);
			return error;
		}
		for (uint32_t i = 0; i < msg.count; i++, num++) {
			list[num].start = chunk[i].addr;
			list[num].len = chunk[i].len;
		}
	}
	*ret_list = list;
	*ret_num = num;
	return 0;
}

/* ---- streams ---- */

int bufshare_stream_create(struct bufshare *handle, const char *name, uint32_t max_frames,
			   uint32_t *ret_stream_id)
{
	struct bufshare_stream_create msg = { .max_frames = max_frames };
	int error;

	if (strlen(name) >= sizeof(msg.name))
		return fail(handle, -EINVAL, "a name is at most %zu characters",
			    sizeof(msg.name) - 1);
	memcpy(msg.name, name, strlen(name));
	error = request(handle, BUFSHARE_IOC_STREAM_CREATE, &msg, "creating a stream");
	if (error < 0)
		return error;
	*ret_stream_id = msg.stream_id;
	return 0;
}

int bufshare_stream_destroy(struct bufshare *handle, uint32_t stream_id)
{
	struct bufshare_stream_destroy msg = { .stream_id = stream_id };

	return request(handle, BUFSHARE_IOC_STREAM_DESTROY, &msg, "ending a stream");
}

int bufshare_publish(struct bufshare *handle, uint32_t stream_id,
		     const struct bufshare_frame *frame, uint32_t *ret_listeners)
{
	struct bufshare_publish msg = {
		.stream_id = stream_id,
		.clock = frame->clock,
		.sequence = frame->sequence,
		.timestamp = frame->timestamp,
	};
	int error;

	for (size_t i = 0; i < sizeof(frame->reserved) / sizeof(frame->reserved[0]); i++)
		if (frame->reserved[i] != 0)
			return fail(handle, -EINVAL, "reserved room of the frame is not 0");
	memcpy(msg.uuid, frame->uuid, sizeof(msg.uuid));
	error = request(handle, BUFSHARE_IOC_PUBLISH, &msg, "publishing a frame");
	if (error < 0)
		return error;
	if (ret_listeners != NULL)
		*ret_listeners = msg.listeners;
	return 0;
}
