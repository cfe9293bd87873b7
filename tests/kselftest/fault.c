/* SPDX-License-Identifier: MIT */
/*
 * fault gate: blocks in requests whose memory faults, until standard input has a line.
 * fault read: destroys a stream while a read(2) is in a fault, then reads on.
 *
 * The faults are those of userfaultfd(2), which last for as long as this program likes.
 * The other side is tests/vm/test_driver.py.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define HOLES 4

static int node, faults;
static uint8_t *holes;

static void *hole(int n)
{
	return holes + (size_t)n * PAGE;
}

static void make_holes(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	holes = mmap(NULL, HOLES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)holes;
	range.range.len = HOLES * PAGE;
	faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (faults < 0 || ioctl(faults, UFFDIO_API, &api) < 0 ||
	    ioctl(faults, UFFDIO_REGISTER, &range) < 0)
		tap_bail_out("userfaultfd");
}

static void wait_for_faults(int count)
{
	struct uffd_msg msg;

	while (count--) {
		if (read(faults, &msg, sizeof(msg)) != (ssize_t)sizeof(msg))
			tap_bail_out("reading faults");
	}
}

static void fill_holes(int count)
{
	for (int i = 0; i < count; i++) {
		struct uffdio_zeropage zero = { .range = { (uintptr_t)hole(i), PAGE } };

		if (ioctl(faults, UFFDIO_ZEROPAGE, &zero) < 0)
			tap_bail_out("filling a hole");
	}
}

static uint32_t make_stream(const char *name)
{
	struct bufshare_stream_create args = { 0 };

	(void)snprintf((char *)args.name, sizeof(args.name), "%s", name);
	if (ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &args) < 0)
		tap_bail_out("stream");
	return args.stream_id;
}

static void make_buffer(struct bufshare_export *ret_args)
{
	int fd = heap_buffer(PAGE);

	if (fd < 0 || export_fd(node, fd, ret_args) < 0)
		tap_bail_out("buffer");
	close(fd);
}

/* ---- gate ---- */

struct request {
	unsigned long cmd;
	void *arg;
	int error;
};

static void *run_request(void *data)
{
	struct request *request = data;

	request->error = ioctl(node, request->cmd, request->arg) < 0 ? errno : 0;
	return NULL;
}

static int block_in_requests(void)
{
	struct bufshare_export first, second;
	struct bufshare_export export = { .fd = heap_buffer(PAGE),
					  .user = (uintptr_t)hole(1), .user_len = 8 };
	struct bufshare_next_buffer next = { .user = (uintptr_t)hole(2) };
	struct bufshare_extents extents = { .count = 1, .extents = (uintptr_t)hole(3) };
	struct request requests[HOLES] = {
		{ BUFSHARE_IOC_UNEXPORT, hole(0), 0 },
		{ BUFSHARE_IOC_EXPORT, &export, 0 },
		{ BUFSHARE_IOC_NEXT_BUFFER, &next, 0 },
		{ BUFSHARE_IOC_EXTENTS, &extents, 0 },
	};
	static const char *const names[HOLES] = { "UNEXPORT", "EXPORT", "NEXT_BUFFER", "EXTENTS" };
	/* What was found before the device went is told; what was not begun is refused. */
	static const int wanted[HOLES] = { ENODEV, ENODEV, 0, 0 };
	pthread_t threads[HOLES];
	char line[8];

	first = (struct bufshare_export){ .fd = export.fd, .user = (uintptr_t)"12345678",
					  .user_len = 8 };
	if (ioctl(node, BUFSHARE_IOC_EXPORT, &first) < 0)
		tap_bail_out("buffer with user data");
	make_buffer(&second);
	memcpy(extents.uuid, second.uuid, sizeof(extents.uuid));
	for (int i = 0; i < HOLES; i++) {
		if (pthread_create(&threads[i], NULL, run_request, &requests[i]))
			tap_bail_out("thread");
	}
	wait_for_faults(HOLES);
	printf("# blocked\n");
	(void)fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		tap_bail_out("standard input");
	fill_holes(HOLES);
	for (int i = 0; i < HOLES; i++) {
		pthread_join(threads[i], NULL);
		tap_ok(requests[i].error == wanted[i], "%s ends with %d (%s)", names[i], wanted[i],
		       strerror(requests[i].error));
	}
	tap_errno(0, close(node), "close");
	return tap_done();
}

/* ---- read ---- */

static void *read_into_hole(void *data)
{
	*(ssize_t *)data = read(node, hole(0), sizeof(struct bufshare_event));
	return NULL;
}

static int read_with_fault(void)
{
	const struct bufshare_event *first = hole(0);
	struct bufshare_export buffers[2];
	struct bufshare_stream_destroy destroy = { 0 };
	struct bufshare_event event;
	uint32_t streams[2];
	pthread_t thread;
	ssize_t len = 0;
	char line[8];

	make_buffer(&buffers[0]);
	make_buffer(&buffers[1]);
	streams[0] = make_stream("A");
	streams[1] = make_stream("B");
	printf("# streams are there\n");
	(void)fflush(stdout);
	for (int i = 0; i < 2; i++) {
		if (!next_event(node, 60, &event) || event.type != BUFSHARE_EVENT_LISTENERS)
			tap_bail_out("listeners");
	}
	for (int i = 0; i < 2; i++)
		tap_errno(0, publish(node, streams[i], buffers[i].uuid, 7, NULL), "PUBLISH");
	/* Once both frames are back. */
	if (!fgets(line, sizeof(line), stdin))
		tap_bail_out("standard input");
	if (pthread_create(&thread, NULL, read_into_hole, &len))
		tap_bail_out("thread");
	wait_for_faults(1);
	destroy.stream_id = streams[1];
	tap_errno(0, ioctl(node, BUFSHARE_IOC_STREAM_DESTROY, &destroy), "STREAM_DESTROY");
	(void)fcntl(node, F_SETFL, O_NONBLOCK);
	tap_errno(EAGAIN, read(node, &event, sizeof(event)), "a second reader does not wait");
	fill_holes(1);
	pthread_join(thread, NULL);
	tap_ok(len == sizeof(event) && first->stream_id == streams[0] && first->sequence == 7,
	       "the first frame's event");
	tap_errno(EAGAIN, read(node, &event, sizeof(event)), "once, and no other");
	return tap_done();
}

int main(int argc, char **argv)
{
	node = open_node(0);
	if (node < 0)
		tap_bail_out("/dev/bufshare0");
	make_holes();
	return argc > 1 && !strcmp(argv[1], "gate") ? block_in_requests() : read_with_fault();
}
