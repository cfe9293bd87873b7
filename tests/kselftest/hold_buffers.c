/* SPDX-License-Identifier: MIT */
/*
 * hold_buffers COUNT [STREAM]: exports buffers, says their UUIDs, and holds them.
 * hold_buffers --stats: says how many buffers of the test exporter are mapped.
 *
 * With a stream it waits for a consumer and publishes a frame of each buffer.  Then it
 * reads events and says them, until the device is gone or standard input ends.  Each
 * line of standard input has a number of buffers to unexport, the oldest first.  For
 * tests that act on a guest while somebody has buffers exported.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fixture.h"

static void say_uuid(const uint8_t *uuid)
{
	printf("uuid ");
	for (int i = 0; i < BUFSHARE_UUID_SIZE; i++)
		printf("%02x", uuid[i]);
	printf("\n");
}

static int export_some(int node, int count, struct bufshare_export *buffers)
{
	struct test_exporter_piece piece = { 16 * PAGE, PAGE };

	for (int i = 0; i < count; i++) {
		/* The test exporter counts what is mapped; without it any buffer will do. */
		int fd = have_odd_buffers() ? odd_buffer(&piece, 1, 0) : heap_buffer(PAGE);

		if (fd < 0 || export_fd(node, fd, &buffers[i]) < 0)
			return -1;
		close(fd);
		say_uuid(buffers[i].uuid);
	}
	return 0;
}

static int publish_all(int node, const char *name, int count,
		       const struct bufshare_export *buffers)
{
	struct bufshare_stream_create create = { 0 };
	struct bufshare_event event;

	(void)snprintf((char *)create.name, sizeof(create.name), "%s", name);
	if (ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &create) < 0)
		return -1;
	printf("stream %s\n", name);
	if (!next_event(node, 60, &event))
		return -1;
	for (int i = 0; i < count; i++) {
		if (publish(node, create.stream_id, buffers[i].uuid, (uint64_t)i + 1, NULL) < 0)
			return -1;
	}
	return 0;
}

/* False: the device is gone. */
static bool say_events(int node, short revents)
{
	struct bufshare_event event;

	if (revents & POLLIN) {
		if (read(node, &event, sizeof(event)) != (ssize_t)sizeof(event)) {
			printf("read: %s\n", strerror(errno));
			return false;
		}
		printf("event type=%u value=%u sequence=%llu\n", event.type, event.value,
		       (unsigned long long)event.sequence);
	}
	if (revents & POLLHUP)
		printf("hangup\n");
	return !(revents & POLLHUP) || event.type != BUFSHARE_EVENT_GONE;
}

int main(int argc, char **argv)
{
	bool stats = argc > 1 && !strcmp(argv[1], "--stats");
	int count = argc > 1 && !stats ? (int)strtol(argv[1], NULL, 10) : 1, next = 0, node = open_node(0);
	struct bufshare_export *buffers = calloc((size_t)count, sizeof(*buffers));
	struct pollfd pfds[2] = { { .fd = node, .events = POLLIN },
				  { .fd = STDIN_FILENO, .events = POLLIN } };
	struct bufshare_info info;
	char line[16];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (stats) {
		printf("mapped %u alive %u\n", odd_stats().mapped, odd_stats().alive);
		return EXIT_SUCCESS;
	}
	if (!buffers || node < 0 || export_some(node, count, buffers) < 0 ||
	    (argc > 2 && publish_all(node, argv[2], count, buffers) < 0)) {
		perror("export");
		return EXIT_FAILURE;
	}
	printf("ready\n");
	while (poll(pfds, 2, -1) > 0) {
		if (pfds[0].revents && !say_events(node, pfds[0].revents)) {
			if (ioctl(node, BUFSHARE_IOC_INFO, &info) < 0)
				printf("ioctl: %s\n", strerror(errno));
			break;
		}
		if (!pfds[1].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			break;
		for (long i = strtol(line, NULL, 10); i > 0 && next < count; i--) {
			if (unexport(node, buffers[next++].uuid) < 0)
				printf("unexport: %s\n", strerror(errno));
		}
		printf("unexported %d\n", next);
	}
	free(buffers);
	return EXIT_SUCCESS;
}
