/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* As many as one request of 64 KiB holds. */
#define MOST ((65536 - sizeof(struct virtio_bufshare_buffer_add_extents)) / \
	      sizeof(struct virtio_bufshare_extent))

struct add_request {
	struct virtio_bufshare_buffer_add_extents add;
	struct virtio_bufshare_extent extents[MOST + 1];
};

static size_t add_len(const struct add_request *req)
{
	return sizeof(req->add) + le32toh(req->add.count) * sizeof(req->extents[0]);
}

static struct add_request *add_request(const uint8_t uuid[UUID_SIZE], uint32_t first, uint32_t n)
{
	struct add_request *req = calloc(1, sizeof(*req));

	assert_non_null(req);
	req->add.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS);
	memcpy(req->add.uuid, uuid, UUID_SIZE);
	req->add.first = htole32(first);
	req->add.count = htole32(n);
	for (uint32_t i = 0; i < n; i++) {
		req->extents[i].addr = htole64(BUFFERS + (uint64_t)(first + i) * 2 * PAGE);
		req->extents[i].len = htole64(PAGE);
	}
	return req;
}

static uint32_t add(struct vm *vm, const uint8_t uuid[UUID_SIZE], uint32_t first, uint32_t n)
{
	struct add_request *req = add_request(uuid, first, n);
	uint32_t status = vm_request(vm, req, add_len(req), NULL,
				     sizeof(struct virtio_bufshare_resp_hdr));

	free(req);
	return status;
}

/* A buffer of @n pages of which none or the first @num_inline are there. */
static void filling(struct vm *vm, uint32_t n, uint32_t num_inline, uint8_t ret_uuid[UUID_SIZE])
{
	struct create_request req = create_request(BUFFERS, num_inline);

	req.create.size = htole64((uint64_t)n * PAGE);
	req.create.num_extents = htole32(n);
	assert_int_equal(vm_create(vm, &req, ret_uuid), VIRTIO_BUFSHARE_S_OK);
}

static uint32_t state_of(struct vm *vm, const uint8_t uuid[UUID_SIZE])
{
	uint32_t now = 0, users;

	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	return now;
}

static void test_the_last_makes_it_live(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];

	filling(vm, 5, 2, uuid);
	client_connect(f);
	assert_int_equal(state_of(vm, uuid), VIRTIO_BUFSHARE_BUFFER_FILLING);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(add(vm, uuid, 2, 2), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(state_of(vm, uuid), VIRTIO_BUFSHARE_BUFFER_FILLING);
	assert_int_equal(add(vm, uuid, 4, 1), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(state_of(vm, uuid), VIRTIO_BUFSHARE_BUFFER_LIVE);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(add(vm, uuid, 5, 1), VIRTIO_BUFSHARE_S_STATE);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];
	struct add_request *req;

	filling(&f->vms[0], 2, 0, uuid);
	req = add_request(uuid, 0, 2);
	expect_strict(&f->vms[0], req, add_len(req), sizeof(struct virtio_bufshare_resp_hdr));
	free(req);
	assert_int_equal(state_of(&f->vms[0], uuid), VIRTIO_BUFSHARE_BUFFER_FILLING);
}

static void test_needs_start(void **state)
{
	static const uint8_t uuid[UUID_SIZE];
	struct add_request *req = add_request(uuid, 0, 1);

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS, req, add_len(req));
	free(req);
}

static void test_bad_ones_change_nothing(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	struct add_request *req;
	uint32_t cap = sizeof(struct virtio_bufshare_resp_hdr);

	filling(vm, 3, 1, uuid);
	assert_int_equal(add(vm, uuid, 0, 1), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(add(vm, uuid, 2, 1), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(add(vm, uuid, 1, 0), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(add(vm, uuid, 1, 3), VIRTIO_BUFSHARE_S_BAD_EXTENT);

	req = add_request(uuid, 1, 2);
	req->extents[1].addr = htole64(LOW_SIZE);
	assert_int_equal(vm_request(vm, req, add_len(req), NULL, cap), VIRTIO_BUFSHARE_S_NOT_RAM);
	free(req);
	req = add_request(uuid, 1, 1);
	req->extents[0].addr = htole64(HIGH_BASE + HIGH_SIZE - PAGE);
	req->extents[0].len = htole64(2 * PAGE);
	assert_int_equal(vm_request(vm, req, add_len(req), NULL, cap), VIRTIO_BUFSHARE_S_NOT_RAM);
	free(req);
	req = add_request(uuid, 1, 2);
	req->extents[1].len = htole64(2 * PAGE);
	assert_int_equal(vm_request(vm, req, add_len(req), NULL, cap),
			 VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req->extents[1].len = htole64(1);
	assert_int_equal(vm_request(vm, req, add_len(req), NULL, cap),
			 VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req->add.count = htole32(UINT32_MAX);
	assert_int_equal(vm_request(vm, req, sizeof(req->add) + 32, NULL, cap),
			 VIRTIO_BUFSHARE_S_INVALID);
	free(req);

	assert_int_equal(add(vm, uuid, 1, 2), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(state_of(vm, uuid), VIRTIO_BUFSHARE_BUFFER_LIVE);
}

static void test_whose(void **state)
{
	struct fixture *f = *state;
	static const uint8_t unknown[UUID_SIZE] = { 1, 2, 3 };
	uint8_t uuid[UUID_SIZE];
	uint32_t users;

	filling(&f->vms[0], 1, 0, uuid);
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	assert_int_equal(add(&f->vms[1], uuid, 0, 1), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(add(&f->vms[0], unknown, 0, 1), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_destroy(&f->vms[0], uuid, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(add(&f->vms[0], uuid, 0, 1), VIRTIO_BUFSHARE_S_NOT_FOUND);
}

/* An 8K picture of single pages, 132 MB: nothing special. */
static void test_33177_extents(void **state)
{
	enum { PAGES = 33177 };
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct bufshare_msg_stats_reply stats;
	uint8_t uuid[UUID_SIZE];

	client_connect(f);
	filling(vm, PAGES, 0, uuid);
	for (uint32_t first = 0; first < PAGES; first += MOST) {
		uint32_t n = PAGES - first < MOST ? PAGES - first : MOST;

		assert_int_equal(add(vm, uuid, first, n), VIRTIO_BUFSHARE_S_OK);
	}
	assert_int_equal(state_of(vm, uuid), VIRTIO_BUFSHARE_BUFFER_LIVE);
	stats = client_stats(f);
	assert_int_equal(le64toh(stats.extents), PAGES);
	assert_int_equal(le64toh(stats.bytes_shared), (uint64_t)PAGES * PAGE);
}

/* A request of one extent more than max_request holds. */
static void test_too_long(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];

	filling(&f->vms[0], MOST + 1, 0, uuid);
	assert_int_equal(add(&f->vms[0], uuid, 0, MOST + 1), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(state_of(&f->vms[0], uuid), VIRTIO_BUFSHARE_BUFFER_FILLING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_last_makes_it_live),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		TEST(test_bad_ones_change_nothing),
		TEST(test_whose),
		TEST(test_33177_extents),
		TEST(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
