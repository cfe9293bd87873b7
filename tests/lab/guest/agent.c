// SPDX-License-Identifier: MIT
/*
 * agent - runs commands in a guest for the host.
 *
 * Theory of operation: a virtio-serial port carries frames in both directions, {le32 id, le32 type, le32
 * length} and the payload. The host opens a command with RUN (a shell script) under an id of its
 * choice, feeds its standard input with INPUT (an empty one is end of file), and may send KILL. The
 * agent answers with OUTPUT and ERRORS as they come, and one EXIT, after the last of them. Any number of
 * commands run at once. A command that leaves a background process with its output open is over
 * when its shell is: nobody waits for what a daemon may print later.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

enum frame_type { HELLO = 0, RUN = 1, INPUT = 2, KILL = 3, OUTPUT = 4, ERRORS = 5, EXIT = 6 };

struct header {
	uint32_t id;
	uint32_t type;
	uint32_t length;
};

#define MAX_COMMANDS 64
#define MAX_PAYLOAD (1u << 20)

struct command {
	uint32_t id;
	pid_t pid;		/* 0: this slot is free */
	int in, out, err;	/* our ends; -1 when closed */
};

static struct command commands[MAX_COMMANDS];
static int port;
static int child_died[2];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void read_all(void *data, size_t size)
{
	char *p = data;

	while (size) {
		ssize_t n = read(port, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("agent: read");
		if (n == 0)
			exit(0);	/* the host closed its end: nobody to work for */
		p += n;
		size -= (size_t)n;
	}
}

static int write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static void send_frame(uint32_t id, uint32_t type, const void *data, uint32_t length)
{
	struct header header = { .id = id, .type = type, .length = length };

	if (write_all(port, &header, sizeof(header)) || write_all(port, data, length))
		die("agent: write");
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct command *find(uint32_t id)
{
	for (int i = 0; i < MAX_COMMANDS; i++)
		if (commands[i].pid && commands[i].id == id)
			return &commands[i];
	return NULL;
}

static void send_exit(uint32_t id, uint32_t status)
{
	send_frame(id, EXIT, &status, sizeof(status));
}

static void run(uint32_t id, const char *script)
{
	struct command *command = NULL;
	int in[2], out[2], err[2];

	for (int i = 0; i < MAX_COMMANDS && !command; i++)
		if (!commands[i].pid)
			command = &commands[i];
	if (!command || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		send_exit(id, 126);
		return;
	}
	command->id = id;
	command->pid = fork();
	if (command->pid < 0)
		die("agent: fork");
	if (command->pid == 0) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	command->in = in[1];
	command->out = out[0];
	command->err = err[0];
	fcntl(command->out, F_SETFL, O_NONBLOCK);
	fcntl(command->err, F_SETFL, O_NONBLOCK);
}

static void host_says(void)
{
	static char payload[MAX_PAYLOAD + 1];
	struct command *command;
	struct header header;

	read_all(&header, sizeof(header));
	if (header.length > MAX_PAYLOAD) {
		fprintf(stderr, "agent: a frame of %u bytes\n", header.length);
		exit(1);
	}
	read_all(payload, header.length);
	payload[header.length] = '\0';
	command = find(header.id);
	if (header.type == RUN && !command) {
		run(header.id, payload);
	} else if (header.type == INPUT && command && command->in >= 0) {
		/* Blocks while the command does not read: the host sends input only to those that do. */
		if (!header.length || write_all(command->in, payload, header.length))
			close_fd(&command->in);
	} else if (header.type == KILL && command) {
		kill(-command->pid, payload[0]);
	}
}

/* Passes on what is there; closes at the end of file. Returns whether there was something. */
static int drain(struct command *command, int *fd, uint32_t type)
{
	char data[65536];
	ssize_t n;

	if (*fd < 0)
		return 0;
	n = read(*fd, data, sizeof(data));
	if (n > 0) {
		send_frame(command->id, type, data, (uint32_t)n);
		return 1;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(fd);
	return 0;
}

static void reap(void)
{
	char drop[64];
	pid_t pid;
	int status;

	while (read(child_died[0], drop, sizeof(drop)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < MAX_COMMANDS; i++) {
			struct command *command = &commands[i];

			if (command->pid != pid)
				continue;
			while (drain(command, &command->out, OUTPUT))
				;
			while (drain(command, &command->err, ERRORS))
				;
			close_fd(&command->in);
			close_fd(&command->out);
			close_fd(&command->err);
			command->pid = 0;
			send_exit(command->id, WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status) :
								     (uint32_t)WEXITSTATUS(status));
		}
	}
}

static void on_child(int number)
{
	int saved = errno;

	(void)number;
	(void)!write(child_died[1], "", 1);
	errno = saved;
}

/*
 * The kernel makes the port's node a moment after the driver's probe, when the host announces
 * it. The watch comes before the look: a node that appears in between is not missed.
 */
static int open_port(const char *pattern)
{
	int watch = inotify_init1(IN_CLOEXEC);
	char events[4096];
	glob_t found;
	int fd;

	if (watch < 0 || inotify_add_watch(watch, "/dev", IN_CREATE) < 0)
		die("agent: inotify");
	while (glob(pattern, 0, NULL, &found))
		if (read(watch, events, sizeof(events)) < 0 && errno != EINTR)
			die("agent: inotify");
	fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(found.gl_pathv[0]);
	globfree(&found);
	close(watch);
	return fd;
}

int main(void)
{
	port = open_port("/dev/vport*p1");
	if (pipe2(child_died, O_CLOEXEC | O_NONBLOCK))
		die("agent: pipe");
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = on_child, .sa_flags = SA_RESTART }, NULL);
	for (int i = 0; i < MAX_COMMANDS; i++)
		commands[i] = (struct command){ .in = -1, .out = -1, .err = -1 };
	send_frame(0, HELLO, NULL, 0);

	for (;;) {
		struct pollfd fds[2 + 2 * MAX_COMMANDS];

		fds[0] = (struct pollfd){ .fd = port, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = child_died[0], .events = POLLIN };
		for (int i = 0; i < MAX_COMMANDS; i++) {
			fds[2 + 2 * i] = (struct pollfd){ .fd = commands[i].out, .events = POLLIN };
			fds[3 + 2 * i] = (struct pollfd){ .fd = commands[i].err, .events = POLLIN };
		}
		if (poll(fds, 2 + 2 * MAX_COMMANDS, -1) < 0) {
			if (errno != EINTR)
				die("agent: poll");
			continue;
		}
		for (int i = 0; i < MAX_COMMANDS; i++) {
			if (fds[2 + 2 * i].revents)
				drain(&commands[i], &commands[i].out, OUTPUT);
			if (fds[3 + 2 * i].revents)
				drain(&commands[i], &commands[i].err, ERRORS);
		}
		if (fds[1].revents)
			reap();
		if (fds[0].revents)
			host_says();
	}
}
