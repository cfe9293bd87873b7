/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static void test_unknown_types(void **state)
{
	static const uint32_t types[] = {
		0, 1, 0x0101, 0x01ff, 0x0204, 0x0304, 0x8000, UINT32_MAX,
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct virtio_bufshare_req_hdr hdr = { .type = htole32(types[i]) };

		assert_int_equal(vm_request(&f->vms[0], &hdr, sizeof(hdr), NULL, 64),
				 VIRTIO_BUFSHARE_S_UNSUPPORTED);
		hdr.flags = htole32(UINT32_MAX);
		assert_int_equal(vm_request(&f->vms[0], &hdr, sizeof(hdr), NULL, 64),
				 VIRTIO_BUFSHARE_S_UNSUPPORTED);
	}
}

static void test_nothing_to_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vm_request(&f->vms[0], NULL, 0, NULL, 64), VIRTIO_BUFSHARE_S_INVALID);
}

/* A driver that did not take the feature knows no streams. */
static void test_streams_need_their_feature(void **state)
{
	static const uint32_t types[] = {
		VIRTIO_BUFSHARE_REQ_STREAM_CREATE,
		VIRTIO_BUFSHARE_REQ_STREAM_DESTROY,
		VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH,
		VIRTIO_BUFSHARE_REQ_STREAM_QUERY,
	};
	/* VIRTIO_F_VERSION_1, VHOST_USER_F_PROTOCOL_FEATURES */
	const struct vmm_options options = { .features = UINT64_C(1) << 32 | UINT64_C(1) << 30 };
	struct fixture *f = fixture_create(NULL);
	struct vm *vm = &f->vms[0];
	char path[128];
	uint8_t any[256] = { 0 };

	(void)state;
	fixture_path(f, "vm0", path, sizeof(path));
	assert_int_equal(vmm_create_path(&vm->vmm, path, &options), 0);
	assert_int_equal(vmm_handshake(vm->vmm), 0);
	assert_int_equal(vmm_send_memory(vm->vmm), 0);
	assert_int_equal(guest_create(&vm->guest, vm->vmm, VIRTIO_BUFSHARE_NUM_VQS, QUEUE_SIZE), 0);
	vm->control = &vm->guest->queues[VIRTIO_BUFSHARE_VQ_CONTROL];
	assert_int_equal(guest_start(vm->guest), 0);
	vm_start(vm);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint32_t type = htole32(types[i]);

		memcpy(any, &type, sizeof(type));
		assert_int_equal(vm_request(vm, any, sizeof(any), NULL, 64),
				 VIRTIO_BUFSHARE_S_UNSUPPORTED);
	}
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unknown_types),
		TEST(test_nothing_to_read),
		cmocka_unit_test(test_streams_need_their_feature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
