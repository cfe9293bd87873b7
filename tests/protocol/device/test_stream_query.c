/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

struct query_response {
	struct virtio_bufshare_stream_query_resp head;
	__le64 sequences[VIRTIO_BUFSHARE_MAX_FRAMES];
};

static struct virtio_bufshare_stream_ref query_request(uint32_t id)
{
	return (struct virtio_bufshare_stream_ref){
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_QUERY),
		.stream_id = htole32(id),
	};
}

static void test_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_stream_ref req;
	struct query_response resp;
	uint8_t uuid[4][UUID_SIZE];
	uint32_t id, consumer, listeners;

	client_connect(f);
	assert_int_equal(vm_stream(vm, "s", 4, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	for (uint32_t i = 0; i < 4; i++) {
		vm_buffer(vm, i, uuid[i]);
		assert_int_equal(vm_publish(vm, id, uuid[i], 10 + i, &listeners),
				 VIRTIO_BUFSHARE_S_OK);
	}
	assert_int_equal(client_release(f, consumer, 10), BUFSHARE_S_OK);
	assert_int_equal(client_release(f, consumer, 12), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, uuid[0], 20, &listeners), VIRTIO_BUFSHARE_S_OK);
	req = query_request(id);
	/* Room for the head alone is not enough. */
	assert_int_equal(vm_request(vm, &req, sizeof(req), NULL, sizeof(resp.head) + 23),
			 VIRTIO_BUFSHARE_S_SHORT_REPLY);
	vm_request_ok(vm, &req, sizeof(req), &resp, sizeof(resp.head) + 24);
	assert_int_equal(le32toh(resp.head.listeners), 1);
	assert_int_equal(le32toh(resp.head.num_frames), 3);
	assert_int_equal(le64toh(resp.sequences[0]), 11);
	assert_int_equal(le64toh(resp.sequences[1]), 13);
	assert_int_equal(le64toh(resp.sequences[2]), 20);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_stream_ref req;
	uint32_t id;

	assert_int_equal(vm_stream(&f->vms[0], "s", 4, &id), VIRTIO_BUFSHARE_S_OK);
	req = query_request(id);
	expect_strict(&f->vms[0], &req, sizeof(req),
		      sizeof(struct virtio_bufshare_stream_query_resp));
	req.reserved = htole32(1);
	assert_int_equal(vm_request(&f->vms[0], &req, sizeof(req), NULL, 64),
			 VIRTIO_BUFSHARE_S_INVALID);
	req = query_request(id + 1);
	assert_int_equal(vm_request(&f->vms[0], &req, sizeof(req), NULL, 64),
			 VIRTIO_BUFSHARE_S_NOT_FOUND);
}

static void test_needs_start(void **state)
{
	struct virtio_bufshare_stream_ref req = query_request(1);

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_STREAM_QUERY, &req, sizeof(req));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_flight),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
