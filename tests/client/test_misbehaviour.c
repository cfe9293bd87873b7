/* SPDX-License-Identifier: MIT */
/* Clients that say nothing, send rubbish, die, or do not read; and those that may not. */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bufshare/bufshare.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

#define STRANGER 65534

/* That the server still serves. */
static void expect_alive(const struct fixture *f)
{
	struct bufshare_msg_hdr hdr;
	int fd = raw_client(f);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STATS, &hdr, sizeof(hdr), NULL),
			 BUFSHARE_S_OK);
	close(fd);
}

static void says_nothing(void **state)
{
	int fds[20];

	for (int i = 0; i < 20; i++)
		fds[i] = raw_connect(*state);
	expect_alive(*state);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	expect_alive(*state);
}

static void rubbish(void **state)
{
	static uint8_t data[BUFSHARE_MSG_MAX];
	unsigned int seed = 1;

	for (size_t len = 1; len <= sizeof(data); len = len < 300 ? len + 1 : len * 2) {
		int fd = raw_connect(*state);

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)rand_r(&seed);
		(void)send(fd, data, len, MSG_NOSIGNAL);
		close(fd);
	}
	expect_alive(*state);
}

static void too_short_or_long(void **state)
{
	uint8_t data[257] = { 1, 0, 0, 0, 7 };
	int fd;

	for (size_t len = 1; len < sizeof(struct bufshare_msg_hdr); len++) {
		fd = raw_client(*state);
		raw_send(fd, data, len);
		raw_expect_end(fd);
		close(fd);
	}
	fd = raw_client(*state);
	raw_send(fd, data, sizeof(data));
	raw_expect_end(fd);
	close(fd);
	fd = raw_client(*state);
	assert_int_equal(send(fd, data, 0, 0), 0);
	raw_expect_end(fd);
	close(fd);
	expect_alive(*state);
}

static unsigned int count_fds(void)
{
	unsigned int num = 0;

	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			num++;
	return num;
}

static void sends_fds(void **state)
{
	unsigned int before = count_fds();

	for (uint32_t num = 1; num <= 40; num += 13) {
		union {
			char buf[CMSG_SPACE(sizeof(int) * 40)];
			struct cmsghdr align;
		} control = { 0 };
		struct bufshare_msg_hdr hdr = { .type = htole32(BUFSHARE_MSG_STATS),
						.serial = htole32(1) };
		struct iovec iov = { .iov_base = &hdr, .iov_len = sizeof(hdr) };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = CMSG_SPACE(sizeof(int) * num),
		};
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		int fd = raw_client(*state), fds[40];

		for (uint32_t i = 0; i < num; i++)
			fds[i] = STDIN_FILENO;
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * num);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * num);
		assert_int_equal(sendmsg(fd, &msg, 0), sizeof(hdr));
		raw_expect_end(fd);
		close(fd);
	}
	expect_alive(*state);
	/* The last connection ends after the round of the loop that sees it: wait for the next. */
	(void)fixture_stats(*state);
	(void)fixture_stats(*state);
	assert_int_equal(count_fds(), before);
}

/* Dies with a hold and a frame: both go back to the guest. */
static void dies_holding(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get get = { .access = htole32(1), .paths = htole32(2) };
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "camera" };
	uint32_t stream = guest_make_stream(f, "camera"), page = 1, num_fds;
	int fd = raw_client(f), fds[BUFSHARE_MSG_MAX_FDS];

	guest_make_buffer(f, &page, 1, get.uuid);
	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &get, sizeof(get));
	(void)raw_receive(fd, reply, sizeof(reply), fds, &num_fds);
	close(fds[0]);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &join, sizeof(join), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(guest_next(f).listeners, 1);
	assert_int_equal(guest_publish(f, stream, get.uuid, 1), 1);
	assert_int_equal(guest_destroy_buffer(f, get.uuid), 2);
	close(fd);
	assert_int_equal(guest_next(f).type, GUEST_RELEASED);
	assert_int_equal(guest_next(f).type, GUEST_LISTENERS);
	assert_int_equal(guest_next(f).type, GUEST_IDLE);
}

/* Many requests and nothing read: it is not read from, others are served, nothing breaks. */
static void does_not_read_replies(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_list list = { .hdr = { .type = htole32(BUFSHARE_MSG_LIST_BUFFERS),
						   .serial = htole32(1) } };
	uint8_t uuid[UUID_SIZE];
	unsigned int sent = 0, received = 0;
	int fd = raw_client(f);

	for (uint32_t i = 0; i < 200; i++)
		guest_make_buffer(f, &i, 1, uuid);
	/*
	 * Until the daemon's socket is full and stays so: it does not read on.  A list has 32 KiB,
	 * so what waits anywhere is some dozens of them and not thousands.
	 */
	for (unsigned int rounds = 0; rounds < 50; rounds++) {
		while (send(fd, &list, sizeof(list), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			sent++;
		assert_int_equal(errno, EAGAIN);
		(void)fixture_stats(f);
	}
	assert_in_range(sent, 10, 1000);
	expect_alive(f);
	/* Then it reads: each request gets its reply. */
	while (received < sent) {
		assert_true(raw_receive(fd, reply, sizeof(reply), NULL, NULL) > 1000);
		received++;
	}
	close(fd);
}

/* Gets and puts without reading: fds in sockets are the daemon's, so there is a limit. */
static void does_not_read_fds(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get get = {
		.hdr = { .type = htole32(BUFSHARE_MSG_BUFFER_GET), .serial = htole32(1) },
		.access = htole32(1),
		.paths = htole32(2),
	};
	unsigned int refused = 0, given = 0;
	uint32_t page = 1;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, get.uuid);
	for (unsigned int i = 0; i < 100; i++)
		raw_send(fd, &get, sizeof(get));
	/* Some are handled in each round of the loop, and each of these calls is one. */
	for (unsigned int i = 0; i < 20; i++)
		(void)fixture_stats(f);
	for (unsigned int i = 0; i < 100; i++) {
		int fds[BUFSHARE_MSG_MAX_FDS];
		uint32_t num_fds;

		(void)raw_receive(fd, reply, sizeof(reply), fds, &num_fds);
		for (uint32_t n = 0; n < num_fds; n++)
			close(fds[n]);
		given += num_fds;
		if (le32toh(((struct bufshare_msg_hdr *)reply)->status) == BUFSHARE_S_LIMIT)
			refused++;
	}
	assert_true(given >= 16);
	assert_true(refused > 0);
	assert_int_equal(given + refused, 100);
	assert_int_equal(guest_destroy_buffer(f, get.uuid), given);
	close(fd);
}

/* A watcher that does not read loses events and is told so, once. */
static void slow_watcher(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_watch watch = { .what = htole32(BUFSHARE_WATCH_BUFFERS) };
	unsigned int added = 0, removed = 0, resyncs = 0;
	const unsigned int total = 4000;
	struct bufshare_msg_hdr hdr = { .type = htole32(BUFSHARE_MSG_STATS), .serial = htole32(9) };
	int fd = raw_client(f);
	uint32_t page = 1, type;

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &watch, sizeof(watch), NULL),
			 BUFSHARE_S_OK);
	for (unsigned int i = 0; i < total; i++) {
		uint8_t uuid[UUID_SIZE];

		guest_make_buffer(f, &page, 1, uuid);
		(void)guest_destroy_buffer(f, uuid);
	}
	expect_alive(f);
	raw_send(fd, &hdr, sizeof(hdr));
	do {
		assert_true(raw_receive(fd, reply, sizeof(reply), NULL, NULL) >= sizeof(hdr));
		type = le32toh(((struct bufshare_msg_hdr *)reply)->type);
		added += type == BUFSHARE_MSG_EVENT_BUFFER_ADDED;
		removed += type == BUFSHARE_MSG_EVENT_BUFFER_REMOVED;
		resyncs += type == BUFSHARE_MSG_EVENT_RESYNC;
	} while (type != BUFSHARE_MSG_STATS);
	assert_true(added > 100 && added < total);
	assert_true(removed <= added);
	assert_int_equal(resyncs, 1);
	close(fd);
}

static void too_many_clients(void **state)
{
	const struct client_server_options options = { .listen_fd = -1,
						       .max_clients = 4,
						       .max_clients_per_uid = 3 };
	struct fixture *f = fixture_start(&options);
	int fds[3], fd;

	(void)state;
	for (int i = 0; i < 3; i++)
		fds[i] = raw_client(f);
	fd = raw_connect(f);
	raw_expect_end(fd);
	close(fd);
	close(fds[0]);
	(void)fixture_stats(f);
	expect_alive(f);
	close(fds[1]);
	close(fds[2]);
	fixture_stop(f);
}

/* ---- other users: in a child, because a uid is not to be had back ---- */

static int as_stranger(const struct fixture *f, int (*fn)(const struct fixture *f))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		/* What fails in here must not go on in a copy of the test program. */
		(void)alarm(20);
		if (setgid(STRANGER) < 0 || setuid(STRANGER) < 0)
			_exit(100);
		_exit(fn(f));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int try_hello(const struct fixture *f)
{
	struct bufshare_msg_hello hello = { .name = "stranger" };
	int fd = raw_connect(f);
	uint32_t status = raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), reply);

	if (status != BUFSHARE_S_NOT_PERMITTED)
		return 1;
	if (strstr(((struct bufshare_msg_error *)reply)->text, "--trust uid=65534") == NULL)
		return 2;
	return raw_receive(fd, reply, sizeof(reply), NULL, NULL) == 0 ? 0 : 3;
}

static void stranger_is_refused(void **state)
{
	if (getuid() != 0)
		skip();
	assert_int_equal(as_stranger(*state, try_hello), 0);
	expect_alive(*state);
}

static int greets(const struct fixture *f)
{
	close(raw_client(f));
	return 0;
}

/* Without any that is named, the daemon's own user is an administrator; else it is not. */
static void administrators(void **state)
{
	static const uid_t named[] = { 12345, STRANGER };

	(void)state;
	if (getuid() != 0)
		skip();
	for (size_t num = 0; num <= 2; num++) {
		const struct client_server_options options = {
			.listen_fd = -1,
			.admins = named,
			.num_admins = num,
		};
		struct fixture *f;

		assert_int_equal(seteuid(STRANGER), 0);
		f = fixture_start(&options);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(as_stranger(f, num == 1 ? try_hello : greets), 0);
		/* Root always is. */
		expect_alive(f);
		fixture_stop(f);
	}
}

static int crowd(const struct fixture *f)
{
	int fds[40], ended = 0;

	for (int i = 0; i < 40; i++)
		fds[i] = raw_connect(f);
	for (int i = 8; i < 40; i++)
		ended += raw_receive(fds[i], reply, sizeof(reply), NULL, NULL) == 0;
	return ended == 32 ? 0 : 1;
}

static void strangers_do_not_fill_it(void **state)
{
	if (getuid() != 0)
		skip();
	assert_int_equal(as_stranger(*state, crowd), 0);
	expect_alive(*state);
}

static uint8_t shared_uuid[UUID_SIZE];

static int get_mapped(const struct fixture *f, uint32_t access, void **ret_data)
{
	struct bufshare_buffer *buffer;
	struct bufshare *handle;
	int error = bufshare_open(f->path, &handle);

	if (error == 0)
		error = bufshare_get(handle, shared_uuid, access, BUFSHARE_TAKE_RAM, &buffer);
	return error == 0 ? bufshare_buffer_map(buffer, ret_data) : error;
}

/* Neither by asking nor by opening the memfd anew can a reader write. */
static int reads_only(const struct fixture *f)
{
	struct bufshare_msg_buffer_get get = { .access = htole32(1), .paths = htole32(2) };
	int fds[BUFSHARE_MSG_MAX_FDS], fd;
	uint32_t num_fds;
	char path[64];
	void *data;

	if (get_mapped(f, BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE, &data) != -EPERM)
		return 1;
	if (get_mapped(f, BUFSHARE_ACCESS_READ, &data) != 0 || memcmp(data, "secret", 6) != 0)
		return 2;
	fd = raw_client(f);
	memcpy(get.uuid, shared_uuid, UUID_SIZE);
	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &get, sizeof(get));
	(void)raw_receive(fd, reply, sizeof(reply), fds, &num_fds);
	if (num_fds != 1 || (fcntl(fds[0], F_GETFL) & O_ACCMODE) != O_RDONLY)
		return 3;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	if (open(path, O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES)
		return 4;
	return 0;
}

static int writes(const struct fixture *f)
{
	void *data;

	if (get_mapped(f, BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE, &data) != 0)
		return 1;
	memcpy(data, "marker", 6);
	return 0;
}

static void trusted(bool write)
{
	const struct client_trust trust = { .uid = STRANGER, .write = write };
	const struct client_server_options options = {
		.listen_fd = -1,
		.trust = &trust,
		.num_trust = 1,
		.udmabuf_path = "",
	};
	struct fixture *f = fixture_start(&options);
	uint32_t page = 10;

	memcpy(f->ram_map + (size_t)page * PAGE, "secret", 6);
	guest_make_buffer(f, &page, 1, shared_uuid);
	assert_int_equal(as_stranger(f, write ? writes : reads_only), 0);
	assert_memory_equal(f->ram_map + (size_t)page * PAGE, write ? "marker" : "secret", 6);
	fixture_stop(f);
}

static void trusted_to_read(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	trusted(false);
}

static void trusted_to_write(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	trusted(true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_nothing),
		TEST(rubbish),
		TEST(too_short_or_long),
		TEST(sends_fds),
		TEST(dies_holding),
		TEST(does_not_read_replies),
		TEST(does_not_read_fds),
		TEST(slow_watcher),
		TEST(stranger_is_refused),
		TEST(strangers_do_not_fill_it),
		cmocka_unit_test(too_many_clients),
		cmocka_unit_test(administrators),
		cmocka_unit_test(trusted_to_read),
		cmocka_unit_test(trusted_to_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
