/* SPDX-License-Identifier: MIT */
/* Two VMs on one daemon at once, and what the daemon counts over both. */
#include "fixture.h"

#include <endian.h>
#include <string.h>

enum { FRAMES = 200 };

struct producer {
	struct vm *vm;
	const char *label;
	uint8_t uuid[2][UUID_SIZE];
	uint32_t stream, consumer;
};

static void producer_open(struct fixture *f, struct producer *p, int index, const char *label)
{
	p->vm = &f->vms[index];
	p->label = label;
	vm_post_events(p->vm, 8, VIRTIO_BUFSHARE_EVENT_SPACE);
	/* The same guest addresses in both: each means its own memory. */
	vm_buffer(p->vm, 0, p->uuid[0]);
	vm_buffer(p->vm, 1, p->uuid[1]);
	assert_int_equal(vm_stream(p->vm, "camera", 2, &p->stream), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, label, "camera", &p->consumer), BUFSHARE_S_OK);
	assert_int_equal(le32toh(vm_event(p->vm).type), VIRTIO_BUFSHARE_EVENT_STREAM_LISTENERS);
}

static void producer_publish(struct producer *p, uint64_t sequence)
{
	uint32_t listeners = 0;

	assert_int_equal(vm_publish(p->vm, p->stream, p->uuid[sequence % 2], sequence, &listeners),
			 VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(listeners, 1);
}

static void producer_released(struct producer *p, uint64_t sequence)
{
	struct virtio_bufshare_event event = vm_event(p->vm);

	assert_int_equal(le32toh(event.type), VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED);
	assert_int_equal(le32toh(event.stream_id), p->stream);
	assert_int_equal(le64toh(event.sequence), sequence);
	assert_memory_equal(event.uuid, p->uuid[sequence % 2], UUID_SIZE);
	vm_post_events(p->vm, 1, VIRTIO_BUFSHARE_EVENT_SPACE);
}

static void test_both_stream_at_once(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_stats_reply stats;
	struct producer a, b;

	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	client_connect(f);
	producer_open(f, &a, 0, "vm0");
	producer_open(f, &b, 1, "vm1");
	assert_memory_not_equal(a.uuid[0], b.uuid[0], UUID_SIZE);
	for (uint64_t i = 1; i <= FRAMES; i++) {
		producer_publish(&a, i);
		producer_publish(&b, i + 1000);
		assert_int_equal(client_release(f, b.consumer, i + 1000), BUFSHARE_S_OK);
		assert_int_equal(client_release(f, a.consumer, i), BUFSHARE_S_OK);
		producer_released(&a, i);
		producer_released(&b, i + 1000);
	}
	stats = client_stats(f);
	assert_int_equal(le64toh(stats.guests), 2);
	assert_int_equal(le64toh(stats.streams), 2);
	assert_int_equal(le64toh(stats.frames_published), 2 * FRAMES);
	assert_int_equal(le64toh(stats.frames_delivered), 2 * FRAMES);
	assert_int_equal(le64toh(stats.frames_released), 2 * FRAMES);
	assert_int_equal(le64toh(stats.event_overflows), 0);
}

static void test_one_is_killed(void **state)
{
	struct fixture *f = *state;
	struct producer a, b;

	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	client_connect(f);
	producer_open(f, &a, 0, "vm0");
	producer_open(f, &b, 1, "vm1");
	producer_publish(&a, 1);
	producer_publish(&b, 1);
	vm_kill(&f->vms[0]);
	assert_int_equal(client_release(f, b.consumer, 1), BUFSHARE_S_OK);
	producer_released(&b, 1);
	/* What the dead one gave can still be given back. */
	assert_int_equal(client_release(f, a.consumer, 1), BUFSHARE_S_OK);
	producer_publish(&b, 2);
}

/*
 * What the daemon copies out of and into guest memory: requests, responses, events, and
 * nothing that grows with the buffers.
 */
static void test_copies_no_pixels(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 1);
	struct bufshare_msg_stats_reply before, after;
	uint8_t uuid[UUID_SIZE];
	uint32_t id, consumer, listeners;

	client_connect(f);
	req.create.size = htole64(UINT64_C(256) << 20);
	req.extents[0].len = req.create.size;
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(vm_stream(vm, "s", 1, &id), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_join(f, "vm0", "s", &consumer), BUFSHARE_S_OK);
	vm_post_events(vm, 8, VIRTIO_BUFSHARE_EVENT_SPACE);
	(void)vm_event(vm);
	before = client_stats(f);
	assert_int_equal(vm_publish(vm, id, uuid, 1, &listeners), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(client_release(f, consumer, 1), BUFSHARE_S_OK);
	(void)vm_event(vm);
	after = client_stats(f);
	assert_int_equal(le64toh(after.requests) - le64toh(before.requests), 1);
	assert_int_equal(le64toh(after.events) - le64toh(before.events), 1);
	assert_int_equal(le64toh(after.control_bytes) - le64toh(before.control_bytes),
			 sizeof(struct virtio_bufshare_stream_publish) +
				 sizeof(struct virtio_bufshare_stream_publish_resp) +
				 sizeof(struct virtio_bufshare_event));
	assert_int_equal(le64toh(after.request_errors), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_stream_at_once),
		TEST(test_one_is_killed),
		TEST(test_copies_no_pixels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
