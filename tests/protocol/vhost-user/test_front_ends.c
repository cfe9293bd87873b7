/* SPDX-License-Identifier: MIT */
/* Whole sessions: of QEMU 11.1, of older front-ends, over pauses and resets. */
#include <errno.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static void session(const struct vmm_options *options)
{
	struct fixture *f = fixture_ready(options);

	assert_int_equal(f->seen.started, 1);
	assert_int_equal(f->seen.resumed, 0);
	for (int i = 0; i < 3 * QUEUE_SIZE; i++)
		assert_echo(f);
	assert_int_equal(guest_stop(f->guest), 0);
	fixture_wait(f, &f->seen.stopped, 1);
	fixture_destroy(f);
}

static void test_qemu_11(void **state)
{
	(void)state;
	session(NULL);
}

static void test_without_memory_slots(void **state)
{
	struct vmm_options options = {
		.protocol_mask = ~BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS),
	};

	(void)state;
	session(&options);
}

static void test_without_reply_ack(void **state)
{
	struct vmm_options options = {
		.protocol_mask = BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_CONFIG),
	};

	(void)state;
	session(&options);
}

/* Rings start enabled, by the kick. */
static void test_without_protocol_features(void **state)
{
	struct vmm_options options = { .no_protocol_features = true };

	(void)state;
	session(&options);
}

static void test_pause(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_echo(f);
	assert_int_equal(guest_stop(f->guest), 0);
	fixture_wait(f, &f->seen.stopped, 1);
	assert_int_equal(guest_start(f->guest), 0);
	fixture_wait(f, &f->seen.started, 2);
	/* The indices are not 0: it is certainly the same driver. */
	assert_int_equal(f->seen.resumed, 1);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_reset(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_echo(f);
	assert_int_equal(guest_stop(f->guest), 0);
	guest_reset(f->guest);
	assert_int_equal(guest_start(f->guest), 0);
	fixture_wait(f, &f->seen.started, 2);
	assert_int_equal(f->seen.resumed, 0);
	assert_echo(f);
	fixture_destroy(f);
}

/* Made available before the queues started, and never kicked. */
static void test_request_before_start(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct guest_part parts[2];
	uint16_t head;
	uint32_t len;

	(void)state;
	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	parts[0] = (struct guest_part){ guest_alloc(f->guest, 16, 8), 16 };
	parts[1] = (struct guest_part){ guest_alloc(f->guest, 16, 8), 16 };
	*(char *)guest_ptr(f->guest, parts[0].addr, 1) = OP_ECHO;
	assert_int_equal(guest_submit(&f->guest->queues[0], parts, 1, 1), 0);
	assert_int_equal(guest_start(f->guest), 0);
	assert_int_equal(guest_wait(&f->guest->queues[0], &head, &len), 0);
	assert_int_equal(len, 16);
	fixture_destroy(f);
}

/* What is made available during a pause waits for its end. */
static void test_request_during_pause(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	struct guest_part parts[2];
	uint16_t head;
	uint32_t len;

	(void)state;
	parts[0] = (struct guest_part){ guest_alloc(f->guest, 16, 8), 16 };
	parts[1] = (struct guest_part){ guest_alloc(f->guest, 16, 8), 16 };
	*(char *)guest_ptr(f->guest, parts[0].addr, 1) = OP_ECHO;
	assert_int_equal(guest_stop(f->guest), 0);
	fixture_wait(f, &f->seen.stopped, 1);
	assert_int_equal(guest_submit(q, parts, 1, 1), 0);
	guest_kick(q);
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(guest_poll(q, &head, &len), -EAGAIN);
	assert_int_equal(guest_start(f->guest), 0);
	assert_int_equal(guest_wait(q, &head, &len), 0);
	fixture_destroy(f);
}

static void test_one_queue_is_not_enough(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	assert_int_equal(guest_setup_queue(&f->guest->queues[0]), 0);
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(fixture_count(f, &f->seen.started), 0);
	fixture_destroy(f);
}

/* QEMU with share=off sends no memory table and starts the queues all the same. */
static void test_share_off(void **state)
{
	struct vmm_options options = { .no_memory = true };
	struct fixture *f = fixture_handshake(&options);

	(void)state;
	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	assert_int_equal(guest_start(f->guest), 0);
	assert_broken(f, "-object memory-backend-memfd,share=on");
	assert_int_equal(fixture_count(f, &f->seen.started), 0);
	fixture_destroy(f);
}

static void test_driver_without_version_1(void **state)
{
	struct vmm_options options = { .features = DEVICE_FEATURES };
	struct fixture *f = fixture_handshake(&options);

	(void)state;
	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	assert_int_equal(guest_start(f->guest), 0);
	assert_broken(f, "VIRTIO_F_VERSION_1");
	fixture_destroy(f);
}

/* A front-end that ends between any two messages of its start. */
static void test_death_at_any_point(void **state)
{
	(void)state;
	for (int point = 0; point < 6; point++) {
		struct fixture *f = fixture_create(NULL);

		if (point >= 1)
			assert_int_equal(vmm_handshake(f->vmm), 0);
		if (point >= 2)
			assert_int_equal(vmm_send_memory(f->vmm), 0);
		if (point >= 3) {
			assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES,
						      QUEUE_SIZE),
					 0);
			assert_int_equal(guest_setup_queue(&f->guest->queues[0]), 0);
		}
		if (point >= 4)
			assert_int_equal(guest_start(f->guest), 0);
		if (point >= 5)
			guest_kick(&f->guest->queues[0]);
		fixture_destroy(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qemu_11),
		cmocka_unit_test(test_without_memory_slots),
		cmocka_unit_test(test_without_reply_ack),
		cmocka_unit_test(test_without_protocol_features),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_request_before_start),
		cmocka_unit_test(test_request_during_pause),
		cmocka_unit_test(test_one_queue_is_not_enough),
		cmocka_unit_test(test_share_off),
		cmocka_unit_test(test_driver_without_version_1),
		cmocka_unit_test(test_death_at_any_point),
	};

	return cmocka_run_group_tests_name("vhost-user front-ends", tests, NULL, NULL);
}
