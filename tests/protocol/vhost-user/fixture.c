/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

/* The log has no argument for its user, and there is one fixture at a time. */
static struct fixture *current;

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void capture(enum log_level level, const char *peer, const char *line)
{
	struct fixture *f = current;
	int n;

	(void)level;
	(void)peer;
	pthread_mutex_lock(&f->lock);
	n = snprintf(f->log + f->log_len, sizeof(f->log) - f->log_len, "%s\n", line);
	if (n > 0 && f->log_len + (size_t)n < sizeof(f->log))
		f->log_len += (size_t)n;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void add(struct fixture *f, int *counter)
{
	pthread_mutex_lock(&f->lock);
	(*counter)++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void dev_get_config(void *dev, uint8_t *config)
{
	(void)dev;
	for (int i = 0; i < DEVICE_CONFIG_SIZE; i++)
		config[i] = (uint8_t)(i + 1);
}

static void dev_started(void *dev, uint64_t features, bool maybe_reset)
{
	struct fixture *f = dev;

	f->seen.features = features;
	if (!maybe_reset)
		add(f, &f->seen.resumed);
	add(f, &f->seen.started);
}

static void dev_stopped(void *dev)
{
	struct fixture *f = dev;

	add(f, &f->seen.stopped);
}

static void dev_reset(void *dev)
{
	struct fixture *f = dev;

	add(f, &f->seen.reset);
}

static void dev_queue_ready(void *dev, unsigned int queue)
{
	struct fixture *f = dev;

	(void)queue;
	add(f, &f->seen.ready);
}

static void dev_closed(void *dev, int error)
{
	struct fixture *f = dev;

	f->conn = NULL;
	f->seen.error = error;
	add(f, &f->seen.closed);
}

struct walk {
	struct walked_piece pieces[64];
	size_t n;
};

static int add_piece(void *arg, const struct vu_mem_piece *piece)
{
	struct walk *walk = arg;

	if (walk->n == 64)
		return -ENOSPC;
	walk->pieces[walk->n++] = (struct walked_piece){ piece->offset, piece->len };
	return 0;
}

static size_t dev_request(void *dev, unsigned int queue, const void *req, size_t req_len,
			  void *resp, size_t resp_cap)
{
	static const uint8_t zeroes[65536];
	struct fixture *f = dev;
	const uint8_t *bytes = req;
	int32_t r;
	size_t len = 0;

	assert_int_equal(queue, 0);
	if (req_len > f->seen.longest)
		f->seen.longest = req_len;
	if (req_len >= 1 && bytes[0] == OP_ECHO) {
		len = req_len < resp_cap ? req_len : resp_cap;
		memcpy(resp, req, len);
	} else if (req_len >= 5 && bytes[0] == OP_PUSH && resp_cap >= sizeof(r)) {
		uint32_t n;

		memcpy(&n, bytes + 1, sizeof(n));
		r = vu_push(f->conn, 1, zeroes, n);
		memcpy(resp, &r, sizeof(r));
		len = sizeof(r);
	} else if (req_len >= 17 && bytes[0] == OP_WALK && resp_cap >= sizeof(r)) {
		struct walk walk = { .n = 0 };
		uint64_t arg[2];

		memcpy(arg, bytes + 1, sizeof(arg));
		r = vu_mem_walk(f->conn, arg[0], arg[1], add_piece, &walk);
		memcpy(resp, &r, sizeof(r));
		len = walk.n * sizeof(struct walked_piece);
		if (len > resp_cap - sizeof(r))
			len = resp_cap - sizeof(r);
		memcpy((uint8_t *)resp + sizeof(r), walk.pieces, len);
		len += sizeof(r);
	}
	f->copied = vu_bytes_copied(f->conn);
	add(f, &f->seen.requests);
	return len;
}

static const struct vu_device_ops device_ops = {
	.features = DEVICE_FEATURES,
	.num_queues = DEVICE_QUEUES,
	.config_size = DEVICE_CONFIG_SIZE,
	.max_request = DEVICE_MAX_REQUEST,
	.max_response = DEVICE_MAX_RESPONSE,
	.get_config = dev_get_config,
	.started = dev_started,
	.stopped = dev_stopped,
	.reset = dev_reset,
	.request = dev_request,
	.queue_ready = dev_queue_ready,
	.request_queues = 1 << 0,
	.closed = dev_closed,
};

static void on_wake(struct loop_source *source, uint32_t events)
{
	(void)events;
	loop_quit(source->loop, 0);
}

static void *run(void *arg)
{
	struct fixture *f = arg;

	(void)loop_run(f->loop);
	return NULL;
}

struct fixture *fixture_create(const struct vmm_options *options)
{
	struct fixture *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;
	int sv[2];

	assert_non_null(f);
	current = f;
	assert_int_equal(vu_init(DEVICE_MAX_MEMORY), 0);
	f->fds_before = count_fds();
	log_set_sink(capture);
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->changed, &attr);
	assert_int_equal(loop_create(&f->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(vu_conn_create(f->loop, sv[1], "vm0", &device_ops, f, &f->conn), 0);
	assert_int_equal(vmm_create(&f->vmm, sv[0], options), 0);
	f->wake_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(loop_add(f->loop, &f->wake, f->wake_fd, EPOLLIN, on_wake), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	return f;
}

struct fixture *fixture_handshake(const struct vmm_options *options)
{
	struct fixture *f = fixture_create(options);

	assert_int_equal(vmm_handshake(f->vmm), 0);
	assert_int_equal(vmm_send_memory(f->vmm), 0);
	return f;
}

struct fixture *fixture_ready(const struct vmm_options *options)
{
	struct fixture *f = fixture_handshake(options);

	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	assert_int_equal(guest_start(f->guest), 0);
	fixture_wait(f, &f->seen.started, 1);
	return f;
}

void fixture_destroy(struct fixture *f)
{
	const uint64_t one = 1;

	guest_destroy(f->guest);
	vmm_destroy(f->vmm);
	fixture_wait(f, &f->seen.closed, 1);
	assert_int_equal(write(f->wake_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(f->thread, NULL);
	loop_remove(&f->wake);
	fd_close(&f->wake_fd);
	loop_destroy(f->loop);
	log_set_sink(NULL);
	assert_int_equal(count_fds(), f->fds_before);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
	free(f);
}

static struct timespec deadline(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += VMM_TIMEOUT_MS / 1000;
	return ts;
}

void fixture_wait(struct fixture *f, const int *counter, int n)
{
	struct timespec until = deadline();
	int got, r = 0;

	pthread_mutex_lock(&f->lock);
	while (*counter < n && r == 0)
		r = pthread_cond_timedwait(&f->changed, &f->lock, &until);
	got = *counter;
	pthread_mutex_unlock(&f->lock);
	if (got < n)
		fail_msg("waited in vain; the log says:\n%s", f->log);
}

int fixture_count(struct fixture *f, const int *counter)
{
	int n;

	pthread_mutex_lock(&f->lock);
	n = *counter;
	pthread_mutex_unlock(&f->lock);
	return n;
}

static int count_text(const char *log, const char *text)
{
	int n = 0;

	for (const char *at = log; (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

void fixture_wait_log(struct fixture *f, const char *text)
{
	struct timespec until = deadline();
	int n, r = 0;

	pthread_mutex_lock(&f->lock);
	while (!(n = count_text(f->log, text)) && r == 0)
		r = pthread_cond_timedwait(&f->changed, &f->lock, &until);
	pthread_mutex_unlock(&f->lock);
	if (!n)
		fail_msg("no log line with '%s'; the log says:\n%s", text, f->log);
}

int fixture_count_log(struct fixture *f, const char *text)
{
	int n;

	pthread_mutex_lock(&f->lock);
	n = count_text(f->log, text);
	pthread_mutex_unlock(&f->lock);
	return n;
}

void assert_echo(struct fixture *f)
{
	static const char req[] = "echo: does it work?";
	char resp[sizeof(req)] = "";
	uint32_t len = 0;
	int r = guest_request(&f->guest->queues[0], req, sizeof(req), resp, sizeof(resp), &len);

	if (r < 0)
		fail_msg("echo: %s; the log says:\n%s", strerror(-r), f->log);
	assert_int_equal(len, sizeof(req));
	assert_memory_equal(resp, req, sizeof(req));
}

void assert_ended(struct fixture *f, int error, const char *text)
{
	fixture_wait(f, &f->seen.closed, 1);
	assert_int_equal(f->seen.error, error);
	if (text)
		fixture_wait_log(f, text);
}

void assert_refused(struct fixture *f, int ack, const char *text)
{
	if (ack <= 0)
		fail_msg("not refused: %d; the log says:\n%s", ack, f->log);
	fixture_wait_log(f, text);
	assert_true(vmm_alive(f->vmm));
}

void assert_broken(struct fixture *f, const char *text)
{
	fixture_wait_log(f, text);
	fixture_wait_log(f, "does nothing more until the driver resets it");
	assert_true(vmm_alive(f->vmm));
}

static void send_bad(uint32_t request, size_t size, size_t num_fds, bool ack, const char *text,
		     int error)
{
	static const char payload[1024];
	struct fixture *f = fixture_handshake(NULL);
	int fds[VU_MAX_FDS];

	for (size_t i = 0; i < num_fds; i++)
		fds[i] = f->wake_fd;
	if (ack) {
		assert_refused(f, vmm_ack(f->vmm, request, payload, size, fds, num_fds), text);
	} else {
		assert_int_equal(vmm_send(f->vmm, request, 0, payload, size, fds, num_fds), 0);
		assert_ended(f, error, text);
	}
	fixture_destroy(f);
}

void assert_size_checked(uint32_t request, size_t min, size_t max, bool has_reply)
{
	const size_t sizes[] = { 0, min - 1, max + 1, 264, 268 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if ((sizes[i] >= min && sizes[i] <= max) || sizes[i] > 268)
			continue;
		send_bad(request, sizes[i], 0, false, "payload of", -EMSGSIZE);
		if (!has_reply)
			send_bad(request, sizes[i], 0, true, "payload of", 0);
	}
}

void assert_fds_checked(uint32_t request, size_t payload, size_t max, bool has_reply)
{
	for (size_t n = max + 1; n <= VU_MAX_FDS; n += VU_MAX_FDS - 1 - max) {
		send_bad(request, payload, n, false, "file descriptors", -EINVAL);
		if (!has_reply)
			send_bad(request, payload, n, true, "file descriptors", 0);
		if (n == VU_MAX_FDS)
			break;
	}
}

void assert_vring_fd_checked(uint32_t request)
{
	struct fixture *f = fixture_handshake(NULL);
	int pipefd[2];

	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	const struct {
		uint64_t value;
		int fd;
		const char *says;
	} bad[] = {
		{ DEVICE_QUEUES, f->wake_fd, "queue 2:" },
		{ 255, f->wake_fd, "queue 255:" },
		{ 512, f->wake_fd, "bits" },
		{ UINT64_C(1) << 32, f->wake_fd, "bits" },
		{ 0, -1, "were announced" },
		{ VU_VRING_FD_NONE, f->wake_fd, "were announced" },
		{ 0, f->vmm->memfd, "not an eventfd" },
		{ 0, f->vmm->sock, "not an eventfd" },
		{ 0, pipefd[0], "not an eventfd" },
		{ 0, pipefd[1], "not an eventfd" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(f, vmm_ack_vring_fd(f->vmm, request, bad[i].value, bad[i].fd),
			       bad[i].says);
	close(pipefd[0]);
	close(pipefd[1]);
	fixture_destroy(f);
	assert_size_checked(request, 8, 8, false);
	assert_fds_checked(request, 8, 1, false);
}
