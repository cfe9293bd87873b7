/* SPDX-License-Identifier: MIT */
/*
 * Frames that a consumer on the host takes and gives back.
 *
 * The other side is tests/vm/test_driver.py: it joins the stream "kselftest" and gives
 * each frame back at once, but one whose number ends in 9 only when it gets a later
 * one.  Without it nothing can be tested here.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define PATIENCE 20 /* seconds for an event */
#define BUFFERS  3
#define FRAMES	 2

static int node;
static uint32_t stream;
static struct bufshare_export buffers[BUFFERS];

static int try_publish(int buffer, uint64_t sequence)
{
	return publish(node, stream, buffers[buffer].uuid, sequence, NULL);
}

static bool released(uint64_t sequence, int buffer)
{
	struct bufshare_event event;

	return next_event(node, PATIENCE, &event) && event.type == BUFSHARE_EVENT_FRAME_RELEASED &&
	       event.stream_id == stream && event.sequence == sequence && !event.value &&
	       !memcmp(event.uuid, buffers[buffer].uuid, sizeof(event.uuid));
}

static void test_one_frame(void)
{
	uint32_t listeners = 0;

	tap_errno(0, publish(node, stream, buffers[0].uuid, 1, &listeners), "PUBLISH");
	tap_ok(listeners == 1, "to one listener");
	tap_ok(released(1, 0), "comes back");
}

static void test_in_flight(void)
{
	tap_errno(0, try_publish(0, 9), "PUBLISH of a frame that is kept");
	tap_errno(EBUSY, try_publish(0, 10), "its buffer is busy");
	tap_errno(0, try_publish(1, 10), "another buffer");
	tap_ok(released(9, 0), "the first comes back");
	tap_ok(released(10, 1), "then the second");
	tap_errno(0, try_publish(0, 11), "the first buffer again");
	tap_ok(released(11, 0), "comes back");
}

static void test_limit(void)
{
	struct bufshare_event events[BUFFERS];
	struct pollfd pfd = { .fd = node, .events = POLLIN };

	tap_errno(0, try_publish(0, 19), "one that is kept");
	tap_errno(0, try_publish(1, 29), "a second one");
	/* The first came back with the second, but nobody has read that: no room. */
	tap_ok(poll(&pfd, 1, PATIENCE * 1000) == 1, "an event");
	tap_errno(EAGAIN, try_publish(2, 30), "no room while the event is not read");
	tap_ok(read(node, events, sizeof(events)) == sizeof(events[0]) &&
	       events[0].sequence == 19, "exactly one event");
	tap_errno(0, try_publish(2, 31), "room now");
	tap_ok(released(29, 1), "the second comes back");
	tap_ok(released(31, 2), "the third too");
}

static void test_read_fault(void)
{
	struct bufshare_event event;
	struct pollfd pfd = { .fd = node, .events = POLLIN };
	void *unwritable = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	try_publish(0, 41);
	poll(&pfd, 1, PATIENCE * 1000);
	tap_errno(EFAULT, read(node, unwritable, sizeof(event)), "read to where it cannot be");
	tap_ok(next_event(node, 0, &event) && event.sequence == 41, "the event is not lost");
	munmap(unwritable, PAGE);
}

static void test_unexport_in_flight(void)
{
	struct bufshare_next_buffer next = { 0 };
	bool draining = false;

	tap_errno(0, try_publish(0, 49), "one that is kept");
	tap_errno(0, unexport(node, buffers[0].uuid), "UNEXPORT while it is in flight");
	while (!ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next)) {
		if (!memcmp(next.uuid, buffers[0].uuid, sizeof(next.uuid)))
			draining = next.state == BUFSHARE_BUFFER_DRAINING;
	}
	tap_ok(draining, "it is draining");
	tap_errno(ENOENT, try_publish(0, 50), "and cannot be published");
	tap_errno(ENOENT, unexport(node, buffers[0].uuid), "nor unexported again");
	tap_errno(0, try_publish(1, 51), "the next frame");
	tap_ok(released(49, 0), "frees it");
	tap_ok(released(51, 1), "and comes back itself");
}

static void test_destroy(void)
{
	struct bufshare_stream_destroy destroy = { .stream_id = stream };
	struct pollfd pfd = { .fd = node, .events = POLLIN };

	try_publish(1, 59);
	try_publish(2, 69); /* 59 is released, and its event is there or soon will be */
	tap_ok(poll(&pfd, 1, PATIENCE * 1000) == 1, "an event");
	tap_errno(0, ioctl(node, BUFSHARE_IOC_STREAM_DESTROY, &destroy), "STREAM_DESTROY");
	tap_ok(poll(&pfd, 1, 0) == 0, "no events of it are left");
	tap_errno(ENOENT, try_publish(1, 70), "nor can frames be published");
}

int main(void)
{
	struct bufshare_stream_create create = { .name = "kselftest", .max_frames = FRAMES };
	struct bufshare_event event;

	node = open_node(0);
	if (node < 0)
		tap_bail_out("/dev/bufshare0");
	for (int i = 0; i < BUFFERS; i++) {
		int fd = heap_buffer(PAGE);

		if (fd < 0 || export_fd(node, fd, &buffers[i]) < 0)
			tap_bail_out("buffers");
		close(fd);
	}
	if (ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &create) < 0)
		tap_bail_out("stream");
	stream = create.stream_id;
	printf("# stream is there\n");
	(void)fflush(stdout);
	if (!next_event(node, PATIENCE, &event)) {
		tap_skip("no consumer on the host", "frames");
		return tap_done();
	}
	tap_ok(event.type == BUFSHARE_EVENT_LISTENERS && event.value == 1 &&
	       event.stream_id == stream, "LISTENERS tells that somebody joined");
	test_one_frame();
	test_in_flight();
	test_limit();
	test_read_fault();
	test_unexport_in_flight();
	test_destroy();
	close(node);
	return tap_done();
}
