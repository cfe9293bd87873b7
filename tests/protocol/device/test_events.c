/* SPDX-License-Identifier: MIT */
/* Events that the driver has no buffers for, and buffers that are too small. */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* As many as the daemon keeps for a guest (host-backend/device/device.h). */
#define BACKLOG 256

/* Each makes an event: there is no consumer. */
static void make_events(struct vm *vm, uint32_t stream, const uint8_t uuid[UUID_SIZE],
			uint64_t first, uint64_t n)
{
	uint32_t listeners;

	for (uint64_t i = first; i < first + n; i++)
		assert_int_equal(vm_publish(vm, stream, uuid, i, &listeners), VIRTIO_BUFSHARE_S_OK);
}

static void test_backlog_comes_in_order(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t id;

	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	make_events(vm, id, uuid, 1, BACKLOG);
	for (uint64_t i = 1; i <= BACKLOG; i++) {
		struct virtio_bufshare_event event;

		if (i % 64 == 1)
			vm_post_events(vm, 64, VIRTIO_BUFSHARE_EVENT_SPACE);
		event = vm_event(vm);
		assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED);
		assert_int_equal(le64toh(event.sequence), i);
	}
}

static void test_overflow_asks_for_resync(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct bufshare_msg_stats_reply stats;
	struct virtio_bufshare_event event;
	uint8_t uuid[UUID_SIZE];
	uint32_t id;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	make_events(vm, id, uuid, 1, BACKLOG + 10);
	stats = client_stats(f);
	assert_int_equal(le64toh(stats.event_overflows), 1);
	assert_int_equal(le64toh(stats.events), 0);
	vm_post_events(vm, 8, VIRTIO_BUFSHARE_EVENT_SPACE);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_RESYNC);
	assert_int_equal(event.stream_id, 0);
	/* From then on nothing is missing. */
	make_events(vm, id, uuid, 1000, 2);
	assert_int_equal(le64toh(vm_event(vm).sequence), 1000);
	assert_int_equal(le64toh(vm_event(vm).sequence), 1001);
	vm_expect_no_event(vm);
}

/* Buffers too small come back empty, and the event waits for a good one. */
static void test_small_buffers(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t id, len;
	uint16_t head;

	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	vm_post_events(vm, 20, sizeof(struct virtio_bufshare_event) - 1);
	make_events(vm, id, uuid, 1, 1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(guest_wait(vm->events, &head, &len), 0);
		assert_int_equal(len, 0);
	}
	vm_post_events(vm, 2, sizeof(struct virtio_bufshare_event));
	assert_int_equal(le64toh(vm_event(vm).sequence), 1);
	make_events(vm, id, uuid, 2, 1);
	assert_int_equal(le64toh(vm_event(vm).sequence), 2);
}

/* A driver that never posts a buffer disturbs nobody. */
static void test_silent_driver(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];
	uint32_t id;

	vm_buffer(&f->vms[0], 0, uuid);
	assert_int_equal(vm_stream(&f->vms[0], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	make_events(&f->vms[0], id, uuid, 1, 3000);
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	vm_post_events(&f->vms[1], 1, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(&f->vms[1], 0, uuid);
	assert_int_equal(vm_stream(&f->vms[1], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	make_events(&f->vms[1], id, uuid, 1, 1);
	assert_int_equal(le64toh(vm_event(&f->vms[1]).sequence), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_backlog_comes_in_order),
		TEST(test_overflow_asks_for_resync),
		TEST(test_small_buffers),
		TEST(test_silent_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
