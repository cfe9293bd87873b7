/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

static struct virtio_bufshare_stream_create good_request(void)
{
	return (struct virtio_bufshare_stream_create){
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_CREATE),
		.name = "camera",
		.max_frames = htole32(4),
	};
}

static uint32_t status_of(struct vm *vm, const struct virtio_bufshare_stream_create *req)
{
	return vm_request(vm, req, sizeof(*req), NULL,
			  sizeof(struct virtio_bufshare_stream_create_resp));
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_stream_create req = good_request();

	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_EXISTS);
	memset(req.name, 'x', sizeof(req.name));
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	req.name[sizeof(req.name) - 1] = 0;
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_OK);
	memset(req.name, 0, sizeof(req.name));
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	memcpy(req.name, "a\0b", 3);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	memcpy(req.name, "a/b", 3);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	memcpy(req.name, "a\nb", 3);
	assert_int_equal(status_of(vm, &req), VIRTIO_BUFSHARE_S_INVALID);
	/* Another VM may use the same name. */
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	req = good_request();
	assert_int_equal(status_of(&f->vms[1], &req), VIRTIO_BUFSHARE_S_OK);
}

static void test_fields(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_stream_create req = good_request();

	req.max_frames = 0;
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_INVALID);
	req.max_frames = htole32(VIRTIO_BUFSHARE_MAX_FRAMES + 1);
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_INVALID);
	req = good_request();
	req.reserved = htole32(1);
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_INVALID);
}

static void test_strict(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_stream_create req = good_request();

	expect_strict(&f->vms[0], &req, sizeof(req),
		      sizeof(struct virtio_bufshare_stream_create_resp));
	assert_int_equal(status_of(&f->vms[0], &req), VIRTIO_BUFSHARE_S_OK);
}

static void test_needs_start(void **state)
{
	struct virtio_bufshare_stream_create req = good_request();

	(void)state;
	expect_needs_start(VIRTIO_BUFSHARE_REQ_STREAM_CREATE, &req, sizeof(req));
}

static void test_quota(void **state)
{
	static const char *const args[] = { "--max-streams=2", "--max-frames=3", NULL };
	struct fixture *f = fixture_create(args);
	uint32_t id, other;

	(void)state;
	vm_connect(f, 0);
	vm_start(&f->vms[0]);
	assert_int_equal(vm_stream(&f->vms[0], "a", 4, &id), VIRTIO_BUFSHARE_S_INVALID);
	assert_int_equal(vm_stream(&f->vms[0], "a", 3, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_stream(&f->vms[0], "b", 1, &other), VIRTIO_BUFSHARE_S_OK);
	assert_int_not_equal(id, other);
	assert_int_equal(vm_stream(&f->vms[0], "c", 1, &id), VIRTIO_BUFSHARE_S_LIMIT);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_fields),
		TEST(test_strict),
		cmocka_unit_test(test_needs_start),
		cmocka_unit_test(test_quota),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
