/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static uint32_t status_of(struct vm *vm, const struct create_request *req)
{
	uint8_t uuid[UUID_SIZE];

	return vm_create(vm, req, uuid);
}

/* What was refused left nothing behind. */
static void expect_no_buffers(struct fixture *f)
{
	struct bufshare_msg_stats_reply stats;

	client_connect(f);
	stats = client_stats(f);
	assert_int_equal(le64toh(stats.buffers), 0);
	assert_int_equal(le64toh(stats.bytes_shared), 0);
	assert_int_equal(le64toh(stats.extents), 0);
}

static void test_live(void **state)
{
	struct fixture *f = *state;
	struct create_request req = create_request(BUFFERS, 3);
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	assert_int_equal(vm_create(&f->vms[0], &req, uuid), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(uuid[6] >> 4, 4);
	assert_int_equal(vm_query(&f->vms[0], uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(now, VIRTIO_BUFSHARE_BUFFER_LIVE);
	assert_int_equal(users, 0);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct create_request req = create_request(BUFFERS, 2);

	expect_strict(&f->vms[0], &req, create_len(&req),
		      sizeof(struct virtio_bufshare_buffer_create_resp));
	expect_no_buffers(f);
}

static void test_needs_start(void **state)
{
	struct create_request req = create_request(BUFFERS, 1);

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_BUFFER_CREATE, &req, create_len(&req));
}

static void test_extents_outside_ram(void **state)
{
	static const struct {
		uint64_t addr, len;
	} bad[] = {
		{ LOW_SIZE, PAGE },			       /* in the hole */
		{ LOW_SIZE - PAGE, 2 * PAGE },		       /* over the end of a region */
		{ HIGH_BASE - PAGE, 2 * PAGE },		       /* over its beginning */
		{ HIGH_BASE + HIGH_SIZE - PAGE, 2 * PAGE },    /* over the end of RAM */
		{ LOW_SIZE - PAGE, HIGH_BASE },		       /* over the hole */
		{ UINT64_MAX - PAGE + 1, PAGE },
		{ UINT64_MAX - PAGE + 1, 2 * PAGE },	       /* wraps */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct create_request req = create_request(BUFFERS, 1);

		req.extents[0].addr = htole64(bad[i].addr);
		req.extents[0].len = htole64(bad[i].len);
		req.create.size = htole64(bad[i].len);
		/* A size beyond the quota would be LIMIT; HIGH_BASE is within it. */
		assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_NOT_RAM);
	}
	expect_no_buffers(f);
}

static void test_bad_extents(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 2);

	req.extents[1].addr = htole64(BUFFERS + 1);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req = create_request(BUFFERS, 2);
	req.extents[1].len = htole64(PAGE / 2);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req = create_request(BUFFERS, 2);
	req.extents[1].len = 0;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	expect_no_buffers(f);
}

static void test_sum_is_not_the_size(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 2);

	req.create.size = htole64(3 * PAGE);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req.create.size = htole64(PAGE);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req.create.size = 0;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req.create.size = htole64(2 * PAGE + 1);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	expect_no_buffers(f);
}

static void test_counts(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 2);

	req.create.num_extents = htole32(1);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req.create.num_extents = 0;
	req.create.num_inline = 0;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	/* More than the request holds: its length is wrong. */
	req = create_request(BUFFERS, 2);
	req.create.num_extents = htole32(UINT32_MAX);
	req.create.num_inline = htole32(UINT32_MAX);
	assert_int_equal(vm_request(vm, &req, sizeof(req.create) + 2 * sizeof(req.extents[0]), NULL,
				    64),
			 VIRTIO_BUFSHARE_S_INVALID);
	expect_no_buffers(f);
}

static void test_descriptions(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request good = create_request(BUFFERS, 1), req;

	good.create.desc = (struct virtio_bufshare_desc){
		.width = htole32(16),
		.height = htole32(16),
		.fourcc = htole32(0x34325258), /* XR24 */
		.num_planes = htole32(1),
		.planes[0].stride = htole32(64),
	};
	assert_int_equal(status_of(vm, &good), VIRTIO_BUFSHARE_S_OK);
	req = good;
	req.create.desc.fourcc = 0;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req = good;
	req.create.desc.num_planes = htole32(5);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req = good;
	req.create.desc.planes[0].offset = htole64(PAGE);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req = good;
	req.create.desc.planes[0].stride = htole32(300);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req = good;
	req.create.desc.planes[1].reserved = htole32(1);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req = good;
	req.create.desc.range = 3;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
}

/* The request with @user_len bytes of user data, padding of @pad bytes of @filler. */
static uint32_t with_user_data(struct vm *vm, uint32_t user_len, size_t pad, uint8_t filler)
{
	struct create_request req = create_request(BUFFERS, 1);
	uint8_t wire[sizeof(req) + VIRTIO_BUFSHARE_MAX_USER_LEN + 16];
	size_t len = sizeof(req.create);

	req.create.desc.user_len = htole32(user_len);
	memcpy(wire, &req.create, len);
	memset(wire + len, 'u', user_len);
	len += user_len;
	memset(wire + len, filler, pad);
	len += pad;
	memcpy(wire + len, req.extents, sizeof(req.extents[0]));
	len += sizeof(req.extents[0]);
	return vm_request(vm, wire, len, NULL, 64);
}

static void test_user_data(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];

	assert_int_equal(with_user_data(vm, 8, 0, 0), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(with_user_data(vm, 5, 3, 0), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(with_user_data(vm, 1024, 0, 0), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(with_user_data(vm, 5, 0, 0), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(with_user_data(vm, 5, 11, 0), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(with_user_data(vm, 5, 3, 1), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(with_user_data(vm, 1025, 7, 0), VIRTIO_BUFSHARE_S_INVALID);
}

static void test_quotas(void **state)
{
	static const char *const args[] = {
		"--max-bytes=4M", "--max-buffers=3", "--max-extents=6", NULL,
	};
	struct fixture *f = fixture_create(args);
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 1);
	uint8_t uuid[UUID_SIZE];
	uint32_t users;

	(void)state;
	vm_connect(f, 0);
	vm_start(vm);
	req.create.size = htole64((4 << 20) + PAGE);
	req.extents[0].len = req.create.size;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_LIMIT);
	req.create.size = htole64(UINT64_MAX - PAGE + 1);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_LIMIT);
	req = create_request(BUFFERS, 7);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_LIMIT);
	req.create.num_extents = htole32(UINT32_MAX);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_LIMIT);

	req = create_request(BUFFERS, 1);
	req.create.size = htole64(4 << 20);
	req.extents[0].len = req.create.size;
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_OK);
	req = create_request(BUFFERS, 1);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_LIMIT);
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_LIMIT);
	/* Another VM has its own. */
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	assert_int_equal(status_of(&f->vms[1], &req), VIRTIO_BUFSHARE_S_OK);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_live),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		TEST(test_extents_outside_ram),
		TEST(test_bad_extents),
		TEST(test_sum_is_not_the_size),
		TEST(test_counts),
		TEST(test_descriptions),
		TEST(test_user_data),
		cmocka_unit_test(test_quotas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
