/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static uint32_t destroy(struct vm *vm, uint32_t id, uint32_t reserved)
{
	struct virtio_bufshare_stream_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_DESTROY),
		.stream_id = htole32(id),
		.reserved = htole32(reserved),
	};

	return vm_request(vm, &req, sizeof(req), NULL, sizeof(struct virtio_bufshare_resp_hdr));
}

static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t id, again, listeners;

	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(destroy(vm, id, 1), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(destroy(vm, id, 0), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(destroy(vm, id, 0), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(destroy(vm, 0, 0), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_stream(vm, "s", 1, &again), VIRTIO_BUFSHARE_S_OK);
	assert_int_not_equal(again, id);
}

static void test_not_yours(void **state)
{
	struct fixture *f = *state;
	uint32_t id, consumer;

	assert_int_equal(vm_stream(&f->vms[0], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	assert_int_equal(destroy(&f->vms[1], id, 0), VIRTIO_BUFSHARE_S_NOT_FOUND);
	client_connect(f);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_stream_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_DESTROY),
	};
	uint32_t id;

	assert_int_equal(vm_stream(&f->vms[0], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	req.stream_id = htole32(id);
	expect_strict(&f->vms[0], &req, sizeof(req), sizeof(struct virtio_bufshare_resp_hdr));
	assert_int_equal(destroy(&f->vms[0], id, 0), VIRTIO_BUFSHARE_S_OK);
}

static void test_needs_start(void **state)
{
	struct virtio_bufshare_stream_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_DESTROY),
		.stream_id = htole32(1),
	};

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_STREAM_DESTROY, &req, sizeof(req));
}

/* Frames stay with their consumer, the buffer is busy until it gave them back. */
static void test_with_frames_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t id, other, consumer, listeners, now, users;

	vm_buffer(vm, 0, uuid);
	client_connect(f);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_stream(vm, "t", 1, &other), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(destroy(vm, id, 0), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, other, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_BUSY);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(users, 1);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, other, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
}

/* What the driver had no buffer for is not reported any more; other events are. */
static void test_its_events_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_event event;
	uint8_t uuid[UUID_SIZE];
	uint32_t id, other, listeners;

	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_stream(vm, "t", 1, &other), VIRTIO_BUFSHARE_S_OK);
	for (uint64_t i = 1; i < 20; i++) {
		assert_int_equal(vm_publish(vm, id, uuid, i, &listeners), VIRTIO_BUFSHARE_S_OK);
		if (i % 8 == 0)
			assert_int_equal(vm_publish(vm, other, uuid, i, &listeners),
					 VIRTIO_BUFSHARE_S_OK);
	}
	assert_int_equal(destroy(vm, id, 0), VIRTIO_BUFSHARE_S_OK);
	vm_post_events(vm, 4, VIRTIO_BUFSHARE_EVENT_SPACE);
	for (uint64_t i = 8; i < 20; i += 8) {
		event = vm_event(vm);
		assert_int_equal(le32toh(event.stream_id), other);
		assert_int_equal(le64toh(event.sequence), i);
	}
	assert_int_equal(vm_publish(vm, other, uuid, 100, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(le64toh(vm_event(vm).sequence), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_gone),
		TEST(test_not_yours),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		TEST(test_with_frames_in_flight),
		TEST(test_its_events_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
