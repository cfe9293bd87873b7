/* SPDX-License-Identifier: MIT */
/* Buffers as dma-bufs: needs /dev/udmabuf; exit status 77 (skipped) where there is none. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bufshare/bufshare.h>

#define PARAMETERS "/sys/module/udmabuf/parameters/"

static int setup_untrusted(void **state)
{
	const struct client_server_options options = { .listen_fd = -1 };

	*state = fixture_start(&options);
	return 0;
}

static struct bufshare *open_library(const struct fixture *f)
{
	struct bufshare *handle;

	assert_int_equal(bufshare_open(f->path, &handle), 0);
	return handle;
}

static struct bufshare_buffer *get(struct bufshare *handle, const uint8_t uuid[UUID_SIZE])
{
	struct bufshare_buffer *buffer;

	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE,
				      BUFSHARE_TAKE_DMABUF, &buffer),
			 0);
	assert_int_equal(bufshare_buffer_get_path(buffer), BUFSHARE_VIA_DMABUF);
	return buffer;
}

/* Exactly the buffer's pages, in its order, and the same pages on both sides. */
static void same_pages(void **state)
{
	struct fixture *f = *state;
	const uint32_t pages[] = { 40, 3, 17, 18, 2 };
	struct bufshare *handle = open_library(f);
	struct bufshare_buffer *buffer;
	uint8_t uuid[UUID_SIZE];
	uint8_t *data;
	void *map;

	for (uint32_t i = 0; i < 5; i++)
		memset(f->ram_map + (size_t)pages[i] * PAGE, (int)i + 1, PAGE);
	guest_make_buffer(f, pages, 5, uuid);
	buffer = get(handle, uuid);
	assert_int_equal(lseek(bufshare_buffer_get_fd(buffer), 0, SEEK_END), 5 * PAGE);
	assert_int_equal(bufshare_buffer_map(buffer, &map), 0);
	data = map;
	assert_int_equal(bufshare_buffer_begin(buffer,
					       BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE),
			 0);
	for (size_t i = 0; i < (size_t)5 * PAGE; i++)
		assert_int_equal(data[i], i / PAGE + 1);
	(void)strcpy((char *)data + (size_t)4 * PAGE, "from the host");
	assert_int_equal(bufshare_buffer_end(buffer, BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE),
			 0);
	assert_memory_equal(f->ram_map + (size_t)2 * PAGE, "from the host", 13);
	(void)strcpy((char *)f->ram_map + (size_t)40 * PAGE, "from the guest");
	assert_memory_equal(data, "from the guest", 14);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

/* Two clients have one dma-buf; after the last one a new one is made. */
static void made_once(void **state)
{
	struct fixture *f = *state;
	struct bufshare *one = open_library(f), *two = open_library(f);
	struct bufshare_buffer *first, *second;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 9;

	guest_make_buffer(f, &page, 1, uuid);
	first = get(one, uuid);
	second = get(two, uuid);
	assert_int_equal(inode(bufshare_buffer_get_fd(first)),
			 inode(bufshare_buffer_get_fd(second)));
	assert_int_equal(bufshare_put(first), 0);
	assert_int_equal(bufshare_put(second), 0);
	first = get(one, uuid);
	assert_int_equal(bufshare_put(first), 0);
	bufshare_close(one);
	bufshare_close(two);
}

/* The administrator's client gets the buffer and not the guest. */
static void ram_is_refused(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	struct bufshare_range *ranges;
	struct bufshare_buffer *buffer;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 9;
	size_t num;

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_RAM,
				      &buffer),
			 -EPERM);
	assert_non_null(strstr(bufshare_error_text(handle), "--trust uid="));
	assert_int_equal(bufshare_get_extents(handle, uuid, &ranges, &num), -EPERM);
	buffer = get(handle, uuid);
	assert_int_equal(bufshare_put(buffer), 0);
	assert_int_equal(guest_destroy_buffer(f, uuid), 0);
	bufshare_close(handle);
}

static void expect_limit(void **state, const uint32_t *pages, uint32_t num, const char *parameter)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	struct bufshare_buffer *buffer;
	uint8_t uuid[UUID_SIZE];

	if (pages != NULL)
		guest_make_buffer(f, pages, num, uuid);
	else
		guest_make_picture(f, NULL, NULL, 0, num, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_DMABUF,
				      &buffer),
			 -ENXIO);
	assert_non_null(strstr(bufshare_error_text(handle), parameter));
	assert_int_equal(guest_destroy_buffer(f, uuid), 0);
	bufshare_close(handle);
}

static void too_many_pieces(void **state)
{
	uint32_t pages[1025];

	for (uint32_t i = 0; i < 1025; i++)
		pages[i] = i * 2;
	expect_limit(state, pages, 1025, PARAMETERS "list_limit");
}

static void too_large(void **state)
{
	expect_limit(state, NULL, (64 << 8) + 1, PARAMETERS "size_limit_mb");
}

/* Whom the administrator trusts with RAM gets on where udmabuf does not. */
static void falls_back_to_ram(void **state)
{
	struct fixture *f = *state;
	struct bufshare *handle = open_library(f);
	struct bufshare_buffer *buffer;
	uint8_t uuid[UUID_SIZE];
	uint32_t pages[1025];

	for (uint32_t i = 0; i < 1025; i++)
		pages[i] = i * 2;
	guest_make_buffer(f, pages, 1025, uuid);
	assert_int_equal(bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY,
				      &buffer),
			 0);
	assert_int_equal(bufshare_buffer_get_path(buffer), BUFSHARE_VIA_RAM);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
}

#define UNTRUSTED(name) cmocka_unit_test_setup_teardown(name, setup_untrusted, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNTRUSTED(same_pages),	    UNTRUSTED(made_once),
		UNTRUSTED(ram_is_refused),  UNTRUSTED(too_many_pieces),
		UNTRUSTED(too_large),
		cmocka_unit_test_setup_teardown(falls_back_to_ram, fixture_setup, fixture_teardown),
	};

	if (access("/dev/udmabuf", R_OK | W_OK) < 0) {
		(void)fprintf(stderr, "skipped: /dev/udmabuf: %s\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
