/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static struct virtio_bufshare_buffer_ref query_request(const uint8_t uuid[UUID_SIZE])
{
	struct virtio_bufshare_buffer_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_QUERY),
	};

	memcpy(req.uuid, uuid, UUID_SIZE);
	return req;
}

static void test_counts_users(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users, id, consumer, listeners;

	vm_buffer(vm, 0, uuid);
	client_connect(f);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(vm_stream(vm, "s", 2, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(now, VIRTIO_BUFSHARE_BUFFER_LIVE);
	assert_int_equal(users, 2);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_buffer_ref req;
	uint8_t uuid[UUID_SIZE];

	vm_buffer(&f->vms[0], 0, uuid);
	req = query_request(uuid);
	expect_strict(&f->vms[0], &req, sizeof(req),
		      sizeof(struct virtio_bufshare_buffer_state_resp));
}

static void test_needs_start(void **state)
{
	static const uint8_t uuid[UUID_SIZE];
	struct virtio_bufshare_buffer_ref req = query_request(uuid);

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_BUFFER_QUERY, &req, sizeof(req));
}

static void test_not_yours(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	vm_buffer(&f->vms[0], 0, uuid);
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	assert_int_equal(vm_query(&f->vms[1], uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	vm_kill(&f->vms[0]);
	assert_int_equal(vm_query(&f->vms[1], uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_counts_users),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		TEST(test_not_yours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
