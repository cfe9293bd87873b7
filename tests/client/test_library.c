/* SPDX-License-Identifier: MIT */
/* The real library against the real server, by the RAM path. */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bufshare/bufshare.h>

static struct bufshare *open_library(const struct fixture *f)
{
	struct bufshare *handle;

	assert_int_equal(bufshare_open(f->path, &handle), 0);
	assert_int_equal(bufshare_get_side(handle), BUFSHARE_SIDE_HOST);
	return handle;
}

static struct bufshare_ev next_event(struct bufshare *handle)
{
	struct bufshare_ev event = { 0 };
	int error;

	while ((error = bufshare_next_event(handle, &event)) == -EAGAIN)
		assert_int_equal(bufshare_wait(handle, 10000), 1);
	assert_int_equal(error, 0);
	return event;
}

static void opening(void **state)
{
	struct bufshare *handle = NULL;

	(void)state;
	assert_int_equal(bufshare_open("/nonexistent/bufshare", &handle), -ENOENT);
	assert_int_equal(bufshare_open("/dev/null", &handle), -ENOTTY);
	assert_int_equal(bufshare_open("/etc/passwd", &handle), -ENOTSOCK);
	assert_null(handle);
	bufshare_close(NULL);
}

static void info_and_user_data(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	const char user[] = "serial 42";
	struct virtio_bufshare_desc desc = {
		.width = htole32(64),
		.height = htole32(16),
		.fourcc = htole32(BUFSHARE_FOURCC('X', 'R', '2', '4')),
		.num_planes = htole32(1),
		.planes = { { .stride = htole32(256) } },
		.user_len = htole32(sizeof(user)),
		.range = 2,
	};
	struct bufshare_buffer_info *list;
	const struct bufshare_buffer_info *info;
	struct bufshare_buffer *buffer;
	uint8_t uuid[UUID_SIZE];
	size_t num;

	guest_make_picture(f, &desc, user, 8, 4, uuid);
	assert_int_equal(bufshare_list_buffers(handle, &list, &num), 0);
	assert_int_equal(num, 1);
	assert_string_equal(list[0].owner, "vm0");
	assert_int_equal(list[0].image.width, 64);
	assert_int_equal(list[0].image.planes[0].stride, 256);
	assert_int_equal(bufshare_image_check(&list[0].image, list[0].size), 0);
	free(list);

	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_RAM,
				      &buffer),
			 0);
	info = bufshare_buffer_get_info(buffer);
	assert_int_equal(info->size, 4 * PAGE);
	assert_int_equal(info->user_len, sizeof(user));
	assert_string_equal(bufshare_buffer_get_user_data(buffer), user);
	assert_int_equal(bufshare_buffer_get_path(buffer), BUFSHARE_VIA_RAM);
	assert_int_equal(bufshare_buffer_get_fd(buffer), -EOPNOTSUPP);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
}

/* Extents in any order and more than one page of them in a reply. */
static void stitched_mapping(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	const uint32_t num = 6000;
	uint32_t *pages = calloc(num, sizeof(*pages));
	struct bufshare_buffer *buffer;
	uint8_t uuid[UUID_SIZE];
	uint8_t *data;
	void *map;

	for (uint32_t i = 0; i < num; i++) {
		/* Each second of three pages lies behind the first, and is one extent with it. */
		pages[i] = i % 3 == 1 ? pages[i - 1] + 1 : (num - i) * 2;
		memcpy(f->ram_map + (size_t)pages[i] * PAGE, &i, sizeof(i));
	}
	guest_make_buffer(f, pages, num, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE,
				      BUFSHARE_TAKE_ANY & ~BUFSHARE_TAKE_DMABUF, &buffer),
			 0);
	assert_int_equal(bufshare_buffer_get_info(buffer)->num_extents, num / 3 * 2);
	assert_int_equal(bufshare_buffer_map(buffer, &map), 0);
	data = map;
	assert_int_equal(bufshare_buffer_begin(buffer, BUFSHARE_ACCESS_READ), 0);
	for (uint32_t i = 0; i < num; i++) {
		uint32_t seen;

		memcpy(&seen, data + (size_t)i * PAGE, sizeof(seen));
		assert_int_equal(seen, i);
	}
	/* The same pages: what is written here is there. */
	(void)strcpy((char *)data + (size_t)77 * PAGE + 100, "marker");
	assert_int_equal(bufshare_buffer_end(buffer, BUFSHARE_ACCESS_READ), 0);
	assert_memory_equal(f->ram_map + (size_t)pages[77] * PAGE + 100, "marker", 6);
	assert_int_equal(bufshare_put(buffer), 0);
	free(pages);
	bufshare_close(handle);
}

/* A 132 MB picture of single pages, none next to the other. */
static void many_extents(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	const uint32_t total = 33177;
	uint32_t *pages = calloc(total, sizeof(*pages));
	struct bufshare_range *ranges;
	uint8_t uuid[UUID_SIZE];
	size_t num;

	for (uint32_t i = 0; i < total; i++)
		pages[i] = i * 2;
	guest_make_buffer(f, pages, total, uuid);
	assert_int_equal(bufshare_get_extents(handle, uuid, &ranges, &num), 0);
	assert_int_equal(num, total);
	for (uint32_t i = 0; i < total; i++) {
		assert_int_equal(ranges[i].start, (uint64_t)i * 2 * PAGE);
		assert_int_equal(ranges[i].len, PAGE);
	}
	free(ranges);
	free(pages);
	assert_int_equal(guest_destroy_buffer(f, uuid), 0);
	bufshare_close(handle);
}

static void hold_and_idle(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	const uint32_t pages[] = { 4, 5 };
	struct bufshare_buffer *first, *second;
	struct bufshare_ev event;
	uint8_t uuid[UUID_SIZE];
	struct guest_event told;

	guest_make_buffer(f, pages, 2, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY, &first),
			 0);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY,
				      &second),
			 0);
	/* Two pages that touch are one extent. */
	assert_int_equal(bufshare_buffer_get_info(first)->num_extents, 1);
	assert_int_equal(guest_destroy_buffer(f, uuid), 2);
	event = next_event(handle);
	assert_int_equal(event.type, BUFSHARE_EV_BUFFER_REMOVED);
	assert_int_equal(event.reason, BUFSHARE_REASON_DESTROYED);
	assert_memory_equal(event.uuid, uuid, UUID_SIZE);
	assert_int_equal(bufshare_put(first), 0);
	assert_int_equal(bufshare_put(second), 0);
	told = guest_next(f);
	assert_int_equal(told.type, GUEST_IDLE);
	assert_memory_equal(told.uuid, uuid, UUID_SIZE);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY, &first),
			 -ENOENT);
	bufshare_close(handle);
}

static void reset_tells_holders(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	struct bufshare_buffer *buffer;
	struct bufshare_ev event;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 1;

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY,
				      &buffer),
			 0);
	guest_reset(f);
	event = next_event(handle);
	assert_int_equal(event.type, BUFSHARE_EV_BUFFER_REMOVED);
	assert_int_equal(event.reason, BUFSHARE_REASON_RESET);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
}

static void stream_of_frames(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	uint32_t stream, consumer, page = 3;
	struct bufshare_stream_info *list;
	struct bufshare_ev event;
	struct guest_event told;
	uint8_t uuid[UUID_SIZE];
	size_t num;

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(bufshare_stream_join(handle, "vm0", "camera", &consumer), -ENOENT);
	assert_int_equal(bufshare_watch(handle, BUFSHARE_WATCH_STREAMS), 0);
	stream = guest_make_stream(f, "camera");
	event = next_event(handle);
	assert_int_equal(event.type, BUFSHARE_EV_STREAM_ADDED);
	assert_string_equal(event.stream.name, "camera");
	assert_int_equal(bufshare_stream_join(handle, "vm0", "camera", &consumer), 0);
	told = guest_next(f);
	assert_int_equal(told.listeners, 1);
	for (uint64_t sequence = 1; sequence <= 200; sequence++) {
		assert_int_equal(guest_publish(f, stream, uuid, sequence), 1);
		assert_int_equal(guest_publish(f, stream, uuid, sequence + 1), -EBUSY);
		event = next_event(handle);
		assert_int_equal(event.type, BUFSHARE_EV_FRAME);
		assert_int_equal(event.consumer_id, consumer);
		assert_int_equal(event.sequence, sequence);
		assert_int_equal(event.timestamp, sequence * 1000);
		assert_int_equal(bufshare_frame_release(handle, consumer, sequence), 0);
		told = guest_next(f);
		assert_int_equal(told.type, GUEST_RELEASED);
		assert_int_equal(told.sequence, sequence);
		assert_memory_equal(told.uuid, uuid, UUID_SIZE);
	}
	assert_int_equal(bufshare_frame_release(handle, consumer, 200), -ENOENT);
	assert_int_equal(bufshare_list_streams(handle, &list, &num), 0);
	assert_int_equal(num, 1);
	assert_int_equal(list[0].published, 200);
	assert_int_equal(list[0].listeners, 1);
	free(list);
	guest_end_stream(f, stream);
	event = next_event(handle);
	if (event.type == BUFSHARE_EV_STREAM_REMOVED)
		event = next_event(handle);
	assert_int_equal(event.type, BUFSHARE_EV_STREAM_ENDED);
	assert_int_equal(bufshare_stream_leave(handle, consumer), 0);
	bufshare_close(handle);
}

/* Frames that come while a reply is awaited are neither lost nor hidden from poll(2). */
static void events_between(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	uint32_t stream = guest_make_stream(f, "camera"), consumer, page = 0;
	struct pollfd pfd = { .fd = bufshare_get_fd(handle), .events = POLLIN };
	uint8_t uuids[40][UUID_SIZE];
	struct bufshare_stats stats;
	struct bufshare_ev event;

	assert_int_equal(bufshare_stream_join(handle, "vm0", "camera", &consumer), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	/* One that came before a reply: only the library has it now. */
	guest_make_buffer(f, &page, 1, uuids[0]);
	assert_int_equal(guest_publish(f, stream, uuids[0], 1), 1);
	assert_int_equal(bufshare_get_stats(handle, &stats), 0);
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(bufshare_next_event(handle, &event), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	for (uint32_t i = 0; i < 40; i++) {
		guest_make_buffer(f, &i, 1, uuids[i]);
		assert_int_equal(guest_publish(f, stream, uuids[i], i + 2), 1);
	}
	assert_int_equal(bufshare_get_stats(handle, &stats), 0);
	assert_int_equal(stats.frames_published, 41);
	assert_int_equal(stats.buffers, 41);
	assert_int_equal(stats.guests, 1);
	for (uint64_t sequence = 2; sequence <= 41; sequence++) {
		assert_int_equal(poll(&pfd, 1, 0), 1);
		assert_int_equal(bufshare_next_event(handle, &event), 0);
		assert_int_equal(event.sequence, sequence);
	}
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(bufshare_next_event(handle, &event), -EAGAIN);
	bufshare_close(handle);
}

static void guest_only_calls(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	struct bufshare_exported exported;
	struct bufshare_limits limits;
	uint32_t id;

	assert_int_equal(bufshare_export(handle, 0, NULL, NULL, 0, &exported), -EOPNOTSUPP);
	assert_non_null(strstr(bufshare_error_text(handle), "only in a guest"));
	assert_int_equal(bufshare_stream_create(handle, "x", 0, &id), -EOPNOTSUPP);
	assert_int_equal(bufshare_get_limits(handle, &limits), -EOPNOTSUPP);
	bufshare_close(handle);
}

static void guest_ends(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	struct bufshare_buffer *buffer;
	struct bufshare_ev event;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 1;
	void *data;

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY,
				      &buffer),
			 0);
	guest_leave(f);
	event = next_event(handle);
	assert_int_equal(event.reason, BUFSHARE_REASON_OWNER_GONE);
	/* The memory stays as long as it is held. */
	assert_int_equal(bufshare_buffer_map(buffer, &data), 0);
	assert_int_equal(((uint8_t *)data)[0], f->ram_map[PAGE]);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
}

static void uuid_text(void **state)
{
	const char *text = "0123abcd-4567-4abc-9def-0123456789ab";
	char again[BUFSHARE_UUID_TEXT];
	uint8_t uuid[UUID_SIZE];

	(void)state;
	assert_int_equal(bufshare_uuid_parse(text, uuid), 0);
	bufshare_uuid_format(uuid, again);
	assert_string_equal(again, text);
	assert_int_equal(bufshare_uuid_parse("0123abcd", uuid), -EINVAL);
	assert_int_equal(bufshare_uuid_parse("", uuid), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening),
		cmocka_unit_test(uuid_text),
		TEST(info_and_user_data),
		TEST(stitched_mapping),
		TEST(many_extents),
		TEST(hold_and_idle),
		TEST(reset_tells_holders),
		TEST(stream_of_frames),
		TEST(events_between),
		TEST(guest_only_calls),
		TEST(guest_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
