/* SPDX-License-Identifier: MIT */
/*
 * hold_buffers COUNT: exports buffers, says their UUIDs, and holds them.
 *
 * Then it reads events and says them, until the device is gone or standard input ends.
 * Each line of standard input unexports the oldest buffer.  For tests that act on a
 * guest while somebody has buffers exported.
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

/* False: the device is gone. */
static bool say_events(int node, short revents)
{
	struct bufshare_event event;

	if (revents & POLLIN) {
		if (read(node, &event, sizeof(event)) != (ssize_t)sizeof(event)) {
			printf("read: %s\n", strerror(errno));
			return false;
		}
		printf("event type=%u value=%u\n", event.type, event.value);
	}
	if (revents & POLLHUP)
		printf("hangup\n");
	return !(revents & POLLHUP) || event.type != BUFSHARE_EVENT_GONE;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1, next = 0, node = open_node(0);
	struct bufshare_export *buffers = calloc((size_t)count, sizeof(*buffers));
	struct pollfd pfds[2] = { { .fd = node, .events = POLLIN },
				  { .fd = STDIN_FILENO, .events = POLLIN } };
	struct bufshare_info info;
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!buffers || node < 0 || export_some(node, count, buffers) < 0) {
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
		printf("unexport: %s\n",
		       next < count && !unexport(node, buffers[next++].uuid) ? "ok" : strerror(errno));
	}
	free(buffers);
	return EXIT_SUCCESS;
}
