/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <errno.h>

#define XR24 0x34325258 /* DRM_FORMAT_XRGB8888 */
#define NV12 0x3231564e
#define X0L2 0x324c3058 /* rows of 2x2 blocks */
#define TILED UINT64_C(0x0100000000000001) /* I915_FORMAT_MOD_X_TILED */

static struct virtio_bufshare_desc xr24(void)
{
	return (struct virtio_bufshare_desc){
		.width = htole32(64),
		.height = htole32(16),
		.fourcc = htole32(XR24),
		.num_planes = htole32(1),
		.planes[0].stride = htole32(256),
	};
}

static void test_no_picture(void **state)
{
	struct virtio_bufshare_desc desc = { .user_len = htole32(VIRTIO_BUFSHARE_MAX_USER_LEN) };

	(void)state;
	assert_int_equal(desc_check(&desc, PAGE), 0);
	desc.user_len = htole32(VIRTIO_BUFSHARE_MAX_USER_LEN + 1);
	assert_int_equal(desc_check(&desc, PAGE), -EINVAL);
	desc.user_len = 0;
	desc.range = 1;
	assert_int_equal(desc_check(&desc, PAGE), -EINVAL);
	desc.range = 0;
	desc.planes[3].reserved = 1;
	assert_int_equal(desc_check(&desc, PAGE), -EINVAL);
	desc.planes[3].reserved = 0;
	desc.modifier = 1;
	assert_int_equal(desc_check(&desc, PAGE), -EINVAL);
}

static void test_dimensions(void **state)
{
	struct virtio_bufshare_desc desc = xr24();

	(void)state;
	assert_int_equal(desc_check(&desc, 16384), 0);
	desc.width = 0;
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc.width = htole32(65537);
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc = xr24();
	desc.height = 0;
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc.height = htole32(UINT32_MAX);
	assert_int_equal(desc_check(&desc, UINT64_MAX), -EINVAL);
	desc = xr24();
	desc.range = 3;
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
}

static void test_plane_count(void **state)
{
	struct virtio_bufshare_desc desc = xr24();

	(void)state;
	desc.num_planes = 0;
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc.num_planes = htole32(VIRTIO_BUFSHARE_MAX_PLANES + 1);
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc = xr24();
	desc.planes[1].stride = htole32(1);
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
}

static void test_linear_plane_must_fit(void **state)
{
	struct virtio_bufshare_desc desc = xr24();

	(void)state;
	desc.planes[0].stride = 0;
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc.planes[0].stride = htole32(1024);
	assert_int_equal(desc_check(&desc, 16384), 0);
	/* The last row may be short, but it must begin inside. */
	assert_int_equal(desc_check(&desc, 15361), 0);
	assert_int_equal(desc_check(&desc, 15360), -EINVAL);
	desc.planes[0].offset = htole64(1);
	assert_int_equal(desc_check(&desc, 15361), -EINVAL);
	desc.planes[0].offset = htole64(UINT64_MAX);
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc = xr24();
	desc.planes[0].stride = htole32(UINT32_MAX);
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
	desc = xr24();
	desc.planes[0].reserved = htole32(1);
	assert_int_equal(desc_check(&desc, 16384), -EINVAL);
}

static void test_chroma_has_fewer_rows(void **state)
{
	struct virtio_bufshare_desc desc = xr24();

	(void)state;
	desc.fourcc = htole32(NV12);
	desc.num_planes = htole32(2);
	desc.planes[0].stride = htole32(64);
	desc.planes[1].stride = htole32(64);
	desc.planes[1].offset = htole64(1024);
	assert_int_equal(desc_check(&desc, 1536), 0);
	desc.planes[1].offset = htole64(1536);
	assert_int_equal(desc_check(&desc, 1536), -EINVAL);
	desc.planes[1].offset = htole64(1535);
	assert_int_equal(desc_check(&desc, 1536), -EINVAL);
}

static void test_blocks_of_two_rows(void **state)
{
	struct virtio_bufshare_desc desc = xr24();

	(void)state;
	desc.fourcc = htole32(X0L2);
	assert_int_equal(desc_check(&desc, 2048), 0);
	assert_int_equal(desc_check(&desc, 1792), -EINVAL);
}

static void test_tiled_stride_means_something_else(void **state)
{
	struct virtio_bufshare_desc desc = xr24();

	(void)state;
	desc.modifier = htole64(TILED);
	desc.planes[0].stride = htole32(1 << 20);
	assert_int_equal(desc_check(&desc, 4096), 0);
	desc.planes[0].offset = htole64(4096);
	assert_int_equal(desc_check(&desc, 4096), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_picture),
		cmocka_unit_test(test_dimensions),
		cmocka_unit_test(test_plane_count),
		cmocka_unit_test(test_linear_plane_must_fit),
		cmocka_unit_test(test_chroma_has_fewer_rows),
		cmocka_unit_test(test_blocks_of_two_rows),
		cmocka_unit_test(test_tiled_stride_means_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
