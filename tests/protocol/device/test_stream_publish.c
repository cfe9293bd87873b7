/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static struct virtio_bufshare_stream_publish publish_request(uint32_t id,
							      const uint8_t uuid[UUID_SIZE])
{
	struct virtio_bufshare_stream_publish req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH),
		.stream_id = htole32(id),
		.sequence = htole64(1),
	};

	memcpy(req.uuid, uuid, UUID_SIZE);
	return req;
}

static uint32_t status_of(struct vm *vm, const struct virtio_bufshare_stream_publish *req)
{
	return vm_request(vm, req, sizeof(*req), NULL,
			  sizeof(struct virtio_bufshare_stream_publish_resp));
}

static void test_without_consumer_released_at_once(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_event event;
	uint8_t uuid[UUID_SIZE];
	uint32_t id, listeners = 1;

	vm_post_events(vm, 2, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, uuid, 7, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(listeners, 0);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED);
	assert_int_equal(le32toh(event.stream_id), id);
	assert_int_equal(le64toh(event.sequence), 7);
	assert_memory_equal(event.uuid, uuid, UUID_SIZE);
	assert_int_equal(vm_publish(vm, id, uuid, 8, &listeners), VIRTIO_BUFSHARE_S_OK);
}

static void test_released_by_the_consumer(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_event event;
	uint8_t uuid[UUID_SIZE];
	uint32_t id, consumer, listeners;

	vm_post_events(vm, 4, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	client_connect(f);
	assert_int_equal(vm_stream(vm, "s", 2, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_STREAM_LISTENERS);
	assert_int_equal(le32toh(event.stream_id), id);
	assert_int_equal(le32toh(event.listeners), 1);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(listeners, 1);
	vm_expect_no_event(vm);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_OK);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED);
	assert_int_equal(le64toh(event.sequence), 1);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_NOT_FOUND);
	/* A consumer that dies gives back as well, and is a listener no more. */
	assert_int_equal(vm_publish(vm, id, uuid, 2, &listeners), VIRTIO_BUFSHARE_S_OK);
	client_close(f);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED);
	assert_int_equal(le64toh(event.sequence), 2);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_STREAM_LISTENERS);
	assert_int_equal(event.listeners, 0);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_stream_publish req;
	uint8_t uuid[UUID_SIZE];
	uint32_t id, listeners;

	vm_buffer(&f->vms[0], 0, uuid);
	assert_int_equal(vm_stream(&f->vms[0], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	req = publish_request(id, uuid);
	expect_strict(&f->vms[0], &req, sizeof(req),
		      sizeof(struct virtio_bufshare_stream_publish_resp));
	assert_int_equal(vm_publish(&f->vms[0], id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
}

static void test_needs_start(void **state)
{
	static const uint8_t uuid[UUID_SIZE];
	struct virtio_bufshare_stream_publish req = publish_request(1, uuid);

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH, &req, sizeof(req));
}

static void test_clock(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_stream_publish req;
	uint8_t uuid[UUID_SIZE];
	uint32_t id;

	vm_buffer(&f->vms[0], 0, uuid);
	assert_int_equal(vm_stream(&f->vms[0], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	req = publish_request(id, uuid);
	req.clock = htole32(VIRTIO_BUFSHARE_CLOCK_TAI + 1);
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_INVALID);
	req.clock = htole32(VIRTIO_BUFSHARE_CLOCK_NONE);
	req.timestamp = htole64(1);
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_INVALID);
	req.timestamp = 0;
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_OK);
}

static void test_order_and_limits(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t x[UUID_SIZE], y[UUID_SIZE], z[UUID_SIZE];
	uint32_t id, consumer, listeners;

	vm_buffer(vm, 0, x);
	vm_buffer(vm, 1, y);
	vm_buffer(vm, 2, z);
	client_connect(f);
	assert_int_equal(vm_stream(vm, "s", 2, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, x, 5, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, x, 6, &listeners), VIRTIO_BUFSHARE_S_BUSY);
	assert_int_equal(vm_publish(vm, id, y, 5, &listeners), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(vm_publish(vm, id, y, 4, &listeners), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(vm_publish(vm, id, y, 6, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, z, 7, &listeners), VIRTIO_BUFSHARE_S_LIMIT);
	assert_int_equal(client_release(f, consumer, 5), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, z, 7, &listeners), VIRTIO_BUFSHARE_S_OK);
}

static void test_whose(void **state)
{
	struct fixture *f = *state;
	struct create_request filling = create_request(BUFFERS, 1);
	uint8_t mine[UUID_SIZE], theirs[UUID_SIZE], uuid[UUID_SIZE];
	static const uint8_t unknown[UUID_SIZE] = { 3 };
	uint32_t id, listeners, users;

	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	vm_buffer(&f->vms[0], 0, mine);
	vm_buffer(&f->vms[1], 0, theirs);
	assert_int_equal(vm_stream(&f->vms[0], "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(&f->vms[0], id, theirs, 1, &listeners),
			 VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_publish(&f->vms[0], id, unknown, 1, &listeners),
			 VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_publish(&f->vms[1], id, theirs, 1, &listeners),
			 VIRTIO_BUFSHARE_S_NOT_FOUND);
	filling.create.num_inline = 0;
	assert_int_equal(vm_create(&f->vms[0], &filling, uuid), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(&f->vms[0], id, uuid, 1, &listeners),
			 VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_destroy(&f->vms[0], mine, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(&f->vms[0], id, mine, 1, &listeners),
			 VIRTIO_BUFSHARE_S_NOT_FOUND);
}

static void test_destroyed_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t id, consumer, listeners, users;

	vm_post_events(vm, 4, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	client_connect(f);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	(void)vm_event(vm);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(users, 1);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_OK);
	assert_int_equal(le32toh(vm_event(vm).type), VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED);
	assert_int_equal(le32toh(vm_event(vm).type), VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE);
}

/* The guest's program is gone before the consumer has looked at its last frame. */
static void test_last_frame_can_be_got(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint32_t stream, consumer, listeners, users;
	uint8_t uuid[UUID_SIZE];

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "last", 2, &stream), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "last", &consumer), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, stream, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(users, 1);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_OK);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(client_put(f, uuid), BUFSHARE_S_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_without_consumer_released_at_once),
		TEST(test_released_by_the_consumer),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		TEST(test_clock),
		TEST(test_order_and_limits),
		TEST(test_whose),
		TEST(test_destroyed_in_flight),
		TEST(test_last_frame_can_be_got),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
