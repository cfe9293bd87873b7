/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static const struct virtio_bufshare_start start = {
	.hdr.type = VIRTIO_BUFSHARE_REQ_START,
};

static void test_names_the_guest(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_start_resp resp;

	vm_request_ok(&f->vms[0], &start, sizeof(start), &resp, sizeof(resp));
	assert_string_equal((char *)resp.label, "vm0");
	vm_connect(f, 1);
	vm_request_ok(&f->vms[1], &start, sizeof(start), &resp, sizeof(resp));
	assert_string_equal((char *)resp.label, "vm1");
}

static void test_strict(void **state)
{
	struct fixture *f = *state;

	expect_strict(&f->vms[0], &start, sizeof(start), sizeof(struct virtio_bufshare_start_resp));
}

static void test_again_drops_everything(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE], held[UUID_SIZE];
	uint32_t id, now, users;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	vm_buffer(vm, 1, held);
	assert_int_equal(vm_stream(vm, "s", 2, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_get(f, held), BUFSHARE_S_OK);
	vm_start(vm);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_query(vm, held, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_stream(vm, "s", 2, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	/* No event for what was dropped. */
	vm_post_events(vm, 4, VIRTIO_BUFSHARE_EVENT_SPACE);
	assert_int_equal(client_put(f, held), BUFSHARE_S_OK);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	vm_expect_no_event(vm);
}

static void test_short_reply_drops_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	vm_buffer(&f->vms[0], 0, uuid);
	assert_int_equal(vm_request(&f->vms[0], &start, sizeof(start), NULL, 71),
			 VIRTIO_BUFSHARE_S_SHORT_REPLY);
	assert_int_equal(vm_query(&f->vms[0], uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names_the_guest),
		TEST(test_strict),
		TEST(test_again_drops_everything),
		TEST(test_short_reply_drops_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
