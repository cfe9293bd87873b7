/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static struct virtio_bufshare_buffer_ref destroy_request(const uint8_t uuid[UUID_SIZE])
{
	struct virtio_bufshare_buffer_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY),
	};

	memcpy(req.uuid, uuid, UUID_SIZE);
	return req;
}

static void test_unused_is_gone(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users = 1;

	vm_post_events(vm, 2, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(users, 0);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	vm_expect_no_event(vm);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_buffer_ref req;
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	vm_buffer(&f->vms[0], 0, uuid);
	req = destroy_request(uuid);
	expect_strict(&f->vms[0], &req, sizeof(req),
		      sizeof(struct virtio_bufshare_buffer_state_resp));
	assert_int_equal(vm_query(&f->vms[0], uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
}

static void test_needs_start(void **state)
{
	static const uint8_t uuid[UUID_SIZE];
	struct virtio_bufshare_buffer_ref req = destroy_request(uuid);

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY, &req, sizeof(req));
}

static void test_used_is_detached_until_idle(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_event event;
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	vm_post_events(vm, 2, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	client_connect(f);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(users, 2);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_STATE);
	assert_int_equal(client_put(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(now, VIRTIO_BUFSHARE_BUFFER_DETACHED);
	assert_int_equal(users, 1);
	vm_expect_no_event(vm);
	assert_int_equal(client_put(f, uuid), BUFSHARE_S_OK);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE);
	assert_memory_equal(event.uuid, uuid, UUID_SIZE);
	assert_int_equal(event.stream_id, 0);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(client_put(f, uuid), BUFSHARE_S_NOT_FOUND);
}

static void test_idle_when_the_client_dies(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t users;

	vm_post_events(vm, 2, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	client_connect(f);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	client_close(f);
	assert_int_equal(le32toh(vm_event(vm).type), VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE);
}

/* Another VM's UUID, one that is dead and one that never was look the same. */
static void test_not_yours(void **state)
{
	struct fixture *f = *state;
	static const uint8_t unknown[UUID_SIZE] = { 9 };
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	vm_buffer(&f->vms[0], 0, uuid);
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	assert_int_equal(vm_destroy(&f->vms[1], uuid, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_destroy(&f->vms[1], unknown, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_query(&f->vms[0], uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(now, VIRTIO_BUFSHARE_BUFFER_LIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unused_is_gone),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		TEST(test_used_is_detached_until_idle),
		TEST(test_idle_when_the_client_dies),
		TEST(test_not_yours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
