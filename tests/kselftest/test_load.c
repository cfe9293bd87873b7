/* SPDX-License-Identifier: MIT */
/* Many processes at once, killed in the middle of what they do. */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define WORKERS 4
#define ROUNDS	12

/* Exports, publishes and unexports until it is killed; tells of each step. */
static void work(int number, int steps)
{
	struct bufshare_stream_create create = { .max_frames = 4 };
	int node = open_node(0), fd = scattered_buffer(64, NULL);
	struct bufshare_export args[8];

	(void)snprintf((char *)create.name, sizeof(create.name), "load-%d", number);
	if (node < 0 || fd < 0 || ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &create) < 0)
		_exit(1);
	for (uint64_t sequence = 1;; sequence++) {
		int i = (int)(sequence % 8);

		if (sequence > 8 && unexport(node, args[i].uuid) < 0)
			_exit(2);
		if (export_fd(node, fd, &args[i]) < 0)
			_exit(3);
		if (publish(node, create.stream_id, args[i].uuid, sequence, NULL) < 0)
			_exit(4);
		if (write(steps, "s", 1) != 1)
			_exit(5);
	}
}

static bool round_of_workers(int round)
{
	/* A different moment in each round. */
	int steps = WORKERS * 8 + round * 13;
	pid_t pids[WORKERS];
	bool good = true;
	int pipefd[2];
	char c;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		tap_bail_out("pipe");
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (!pids[i])
			work(i, pipefd[1]);
	}
	close(pipefd[1]);
	while (good && steps--)
		good = read(pipefd[0], &c, 1) == 1;
	for (int i = 0; i < WORKERS; i++) {
		int status;

		kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		if (!WIFSIGNALED(status)) {
			printf("#   worker %d ended with %d\n", i, WEXITSTATUS(status));
			good = false;
		}
	}
	close(pipefd[0]);
	return good;
}

int main(void)
{
	struct bufshare_next_buffer next = { 0 };
	int node;

	for (int round = 0; round < ROUNDS; round++)
		tap_ok(round_of_workers(round), "round %d of %d killed processes", round, WORKERS);
	node = open_node(0);
	tap_errno(ENOENT, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "they left no buffer");
	close(node);
	return tap_done();
}
