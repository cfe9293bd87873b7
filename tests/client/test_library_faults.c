/* SPDX-License-Identifier: MIT */
/*
 * What the library does when the system does not do what is asked: the library's sources are
 * in this program, whose linker wraps the calls that fail here.
 */
#include "fake_daemon.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

/* In this thread, which is the library's user. */
static __thread struct {
	bool poll_fails, calloc_fails, connect_hurries, huge_tmpfs, dmabuf;
} fault;

int __real_poll(struct pollfd *pfds, nfds_t num, int milliseconds);
int __wrap_poll(struct pollfd *pfds, nfds_t num, int milliseconds);
void *__real_calloc(size_t num, size_t size);
void *__wrap_calloc(size_t num, size_t size);
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __real_fstat64(int fd, struct stat *ret_st);
int __wrap_fstat64(int fd, struct stat *ret_st);
int __real_fstatfs64(int fd, struct statfs *ret_fs);
int __wrap_fstatfs64(int fd, struct statfs *ret_fs);

int __wrap_poll(struct pollfd *pfds, nfds_t num, int milliseconds)
{
	if (!fault.poll_fails)
		return __real_poll(pfds, num, milliseconds);
	errno = ENOMEM;
	return -1;
}

void *__wrap_calloc(size_t num, size_t size)
{
	return fault.calloc_fails ? NULL : __real_calloc(num, size);
}

/* Ten seconds are too long for a test. */
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	static const struct timeval soon = { .tv_usec = 20000 };

	return __real_setsockopt(fd, level, option,
				 fault.connect_hurries && option == SO_SNDTIMEO ? &soon : value, len);
}

/* As tmpfs mounted with huge=always tells it: Linux, mm/shmem.c, shmem_getattr(). */
int __wrap_fstat64(int fd, struct stat *ret_st)
{
	int ret = __real_fstat64(fd, ret_st);

	if (fault.huge_tmpfs)
		ret_st->st_blksize = 2 << 20;
	return ret;
}

int __wrap_fstatfs64(int fd, struct statfs *ret_fs)
{
	int ret = __real_fstatfs64(fd, ret_fs);

	if (fault.dmabuf)
		ret_fs->f_type = DMA_BUF_MAGIC;
	return ret;
}

static int reset_faults(void **state)
{
	memset(&fault, 0, sizeof(fault));
	return fake_teardown(state);
}

/* Not a word of it afterwards but that it has ended; poll(2) says that there is one. */
static void expect_ended(struct bufshare *handle)
{
	struct bufshare_stats stats;
	struct bufshare_ev event;

	assert_int_equal(bufshare_wait(handle, 0), 1);
	while (bufshare_next_event(handle, &event) == 0)
		assert_int_equal(bufshare_wait(handle, 0), 1);
	assert_int_equal(bufshare_next_event(handle, &event), -ENOTCONN);
	assert_int_equal(bufshare_wait(handle, 0), 1);
	assert_int_equal(bufshare_get_stats(handle, &stats), -ENOTCONN);
	bufshare_close(handle);
}

static void poll_fails(void **state)
{
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	add_answer(0)->silent = true;
	handle = open_fake();
	fault.poll_fails = true;
	assert_int_equal(bufshare_get_stats(handle, &stats), -ENOMEM);
	fault.poll_fails = false;
	expect_ended(handle);
}

static void no_memory_for_an_event(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_stats_reply));
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	answer->events_before = 1;
	answer->silent = true;
	handle = open_fake();
	fault.calloc_fails = true;
	assert_int_equal(bufshare_get_stats(handle, &stats), -ENOMEM);
	fault.calloc_fails = false;
	expect_ended(handle);
}

/* Those that were queued before are still to be had. */
static void no_memory_for_more_events(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_stats_reply));
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	answer->events_before = 10;
	answer = add_answer(sizeof(struct bufshare_msg_stats_reply));
	answer->events_before = 10;
	answer->silent = true;
	handle = open_fake();
	assert_int_equal(bufshare_get_stats(handle, &stats), 0);
	fault.calloc_fails = true;
	assert_int_equal(bufshare_get_stats(handle, &stats), -ENOMEM);
	fault.calloc_fails = false;
	expect_ended(handle);
}

/* The daemon takes nobody: connect(2) itself would wait for ever. */
static void nobody_accepts(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct bufshare *handle = NULL;
	char text[128] = "";
	int fds[8];

	(void)state;
	(void)strcpy(address.sun_path, fake.path);
	for (int i = 0; i < 8; i++) {
		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
	}
	assert_int_equal(errno, EAGAIN);
	(void)alarm(20);
	fault.connect_hurries = true;
	assert_int_equal(bufshare_open_explained(fake.path, &handle, text, sizeof(text)),
			 -ETIMEDOUT);
	(void)alarm(0);
	assert_null(handle);
	assert_non_null(strstr(text, "does not take the connection"));
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

/* Two extents of small pages can be mapped one behind the other there too. */
static void tmpfs_with_huge_pages(void **state)
{
	int fd = make_memfd((size_t)2 * PAGE, F_SEAL_SHRINK);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;
	void *data;

	(void)state;
	assert_int_equal(pwrite(fd, "two", 3, 0), 3);
	assert_int_equal(pwrite(fd, "one", 3, PAGE), 3);
	add_get(fd, BUFSHARE_PATH_RAM);
	(void)add_extents();
	(void)add_answer(sizeof(struct bufshare_msg_hdr));
	handle = open_fake();
	assert_int_equal(get_fake(handle, BUFSHARE_TAKE_ANY, &buffer), 0);
	fault.huge_tmpfs = true;
	assert_int_equal(bufshare_buffer_map(buffer, &data), 0);
	assert_memory_equal(data, "one", 3);
	assert_memory_equal((uint8_t *)data + PAGE, "two", 3);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
	close(fd);
}

static void dmabuf_too_short(void **state)
{
	int fd = make_memfd(PAGE, 0);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	(void)state;
	add_get(fd, BUFSHARE_PATH_DMABUF);
	handle = open_fake();
	fault.dmabuf = true;
	assert_int_equal(get_fake(handle, BUFSHARE_TAKE_DMABUF, &buffer), -EPROTO);
	assert_non_null(strstr(bufshare_error_text(handle), "smaller"));
	expect_ended(handle);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, reset_faults)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(poll_fails),
		TEST(no_memory_for_an_event),
		TEST(no_memory_for_more_events),
		TEST(tmpfs_with_huge_pages),
		TEST(dmabuf_too_short),
		TEST(nobody_accepts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
