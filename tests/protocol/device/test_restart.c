/* SPDX-License-Identifier: MIT */
/*
 * Queues that stop and start again: a pause, a reset, a killed VMM, and what of a
 * guest's is there afterwards.
 */
#include "fixture.h"

#include <endian.h>
#include <string.h>

static void test_pause_and_go_on(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct virtio_bufshare_event event;
	uint8_t uuid[UUID_SIZE], held[UUID_SIZE];
	uint32_t now, users;

	client_connect(f);
	vm_post_events(vm, 4, VIRTIO_BUFSHARE_EVENT_SPACE);
	vm_buffer(vm, 0, uuid);
	vm_buffer(vm, 1, held);
	assert_int_equal(client_get(f, held), BUFSHARE_S_OK);
	assert_int_equal(vm_destroy(vm, held, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(guest_stop(vm->guest), 0);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_SUSPENDED);
	/* The event is kept for when it goes on, without any request. */
	assert_int_equal(client_put(f, held), BUFSHARE_S_OK);
	assert_int_equal(guest_start(vm->guest), 0);
	event = vm_event(vm);
	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE);
	assert_memory_equal(event.uuid, held, UUID_SIZE);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(now, VIRTIO_BUFSHARE_BUFFER_LIVE);
}

static void test_reset_and_new_driver(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE], held[UUID_SIZE];
	uint32_t now, users, id;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	vm_buffer(vm, 1, held);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_get(f, held), BUFSHARE_S_OK);
	assert_int_equal(guest_stop(vm->guest), 0);
	guest_reset(vm->guest);
	assert_int_equal(guest_start(vm->guest), 0);
	/* Until its first request says who it is, nobody gets at anything. */
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_SUSPENDED);
	vm_start(vm);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	vm_post_events(vm, 2, VIRTIO_BUFSHARE_EVENT_SPACE);
	assert_int_equal(client_put(f, held), BUFSHARE_S_OK);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	vm_expect_no_event(vm);
}

/* Events that the old driver had no buffers for, and one that comes before START. */
static void test_new_driver_gets_no_old_events(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE], held[UUID_SIZE];
	uint32_t id, listeners, users;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	vm_buffer(vm, 1, held);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_get(f, held), BUFSHARE_S_OK);
	assert_int_equal(vm_destroy(vm, held, &users), VIRTIO_BUFSHARE_S_OK);
	for (uint64_t i = 1; i < 4; i++)
		assert_int_equal(vm_publish(vm, id, uuid, i, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(guest_stop(vm->guest), 0);
	guest_reset(vm->guest);
	assert_int_equal(guest_start(vm->guest), 0);
	vm_post_events(vm, 8, VIRTIO_BUFSHARE_EVENT_SPACE);
	/* Answered after the buffers were seen: both are in the same round, or before. */
	assert_int_equal(client_put(f, held), BUFSHARE_S_OK);
	assert_int_equal(client_put(f, held), BUFSHARE_S_NOT_FOUND);
	vm_expect_no_event(vm);
	vm_start(vm);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, uuid, 77, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(le64toh(vm_event(vm).sequence), 77);
	vm_expect_no_event(vm);
}

/* Queues at index 0, but the first request is not START: it was no reset. */
static void test_same_driver_at_index_0(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(guest_stop(vm->guest), 0);
	guest_reset(vm->guest);
	assert_int_equal(guest_start(vm->guest), 0);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_SUSPENDED);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
}

static void test_reset_device_is_certain(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	uint32_t now, users;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(guest_stop(vm->guest), 0);
	assert_int_equal(vmm_ack(vm->vmm, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	guest_reset(vm->guest);
	assert_int_equal(guest_start(vm->guest), 0);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_STATE);
	vm_start(vm);
	assert_int_equal(vm_query(vm, uuid, &now, &users), VIRTIO_BUFSHARE_S_NOT_FOUND);
}

/* A broken ring serves nobody until a new driver comes; others do not notice. */
static void test_broken_ring_until_reset(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];

	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	guest_set_desc(vm->control, 0, 0, 8, GUEST_DESC_NEXT, 0);
	guest_publish(vm->control, 0);
	guest_kick(vm->control);
	assert_true(vmm_alive(vm->vmm));
	vm_buffer(&f->vms[1], 0, uuid);
	assert_int_equal(guest_stop(vm->guest), 0);
	guest_reset(vm->guest);
	assert_int_equal(guest_start(vm->guest), 0);
	vm_start(vm);
	vm_buffer(vm, 0, uuid);
}

static void test_killed_while_held(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct bufshare_msg_stats_reply stats;
	uint8_t uuid[UUID_SIZE];
	uint32_t id, consumer, listeners;

	client_connect(f);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	vm_kill(vm);
	/* A new VMM is served when the daemon has seen the old one end. */
	vm_connect(f, 0);
	vm_start(vm);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(le64toh(client_stats(f).buffers), 1);
	assert_int_equal(client_put(f, uuid), BUFSHARE_S_OK);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_OK);
	stats = client_stats(f);
	assert_int_equal(le64toh(stats.buffers), 0);
	assert_int_equal(le64toh(stats.guests), 1);
	vm_buffer(vm, 0, uuid);
	assert_int_equal(client_get(f, uuid), BUFSHARE_S_OK);
}

/* At each step of its life; the daemon serves the next one. */
static void test_killed_at_any_point(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 1);
	const struct guest_part part = { .addr = 0x1000, .len = 64 };
	uint8_t uuid[UUID_SIZE];
	char path[128];

	fixture_path(f, "vm0", path, sizeof(path));
	vm_kill(vm);
	for (int point = 0; point < 6; point++) {
		assert_int_equal(vmm_create_path(&vm->vmm, path, NULL), 0);
		if (point >= 1)
			assert_int_equal(vmm_handshake(vm->vmm), 0);
		if (point >= 2)
			assert_int_equal(vmm_send_memory(vm->vmm), 0);
		if (point >= 3)
			assert_int_equal(guest_create(&vm->guest, vm->vmm, VIRTIO_BUFSHARE_NUM_VQS,
						      QUEUE_SIZE),
					 0);
		if (point >= 4)
			assert_int_equal(guest_setup_queue(&vm->guest->queues[0]), 0);
		if (point >= 5) {
			/* With a request under way. */
			assert_int_equal(guest_start(vm->guest), 0);
			assert_true(guest_submit(&vm->guest->queues[0], &part, 1, 0) >= 0);
			guest_kick(&vm->guest->queues[0]);
		}
		vm_kill(vm);
	}
	vm_connect(f, 0);
	vm_start(vm);
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_OK);
}

/* Half of a message, then the end. */
static void test_killed_within_a_message(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	const uint32_t half[] = { VU_SET_FEATURES, 1 };

	assert_int_equal(vmm_send_raw(vm->vmm, half, sizeof(half), NULL, 0), 0);
	vm_kill(vm);
	vm_connect(f, 0);
	vm_start(vm);
}

/* One VMM at a time: the second one is served when the first has ended. */
static void test_second_vmm_waits(void **state)
{
	struct fixture *f = *state;
	struct vmm *second;
	uint8_t uuid[UUID_SIZE];
	char path[128];

	fixture_path(f, "vm0", path, sizeof(path));
	assert_int_equal(vmm_create_path(&second, path, NULL), 0);
	vm_buffer(&f->vms[0], 0, uuid);
	vm_kill(&f->vms[0]);
	assert_int_equal(vmm_handshake(second), 0);
	vmm_destroy(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pause_and_go_on),
		TEST(test_reset_and_new_driver),
		TEST(test_new_driver_gets_no_old_events),
		TEST(test_same_driver_at_index_0),
		TEST(test_reset_device_is_certain),
		TEST(test_broken_ring_until_reset),
		TEST(test_killed_while_held),
		TEST(test_killed_at_any_point),
		TEST(test_killed_within_a_message),
		TEST(test_second_vmm_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
