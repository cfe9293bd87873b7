/* SPDX-License-Identifier: MIT */
/* Framing: whatever arrives in whatever pieces. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

static void send_header(struct fixture *f, uint32_t request, uint32_t flags, uint32_t size)
{
	struct vu_header header = { .request = request, .flags = flags, .size = size };

	assert_int_equal(vmm_send_raw(f->vmm, &header, sizeof(header), NULL, 0), 0);
}

static void test_byte_by_byte(void **state)
{
	struct fixture *f = fixture_create(NULL);
	const struct vu_header header = { VU_SET_FEATURES, VU_VERSION, 8 };
	char msg[sizeof(header) + 8] = "";

	(void)state;
	memcpy(msg, &header, sizeof(header));
	for (size_t i = 0; i < sizeof(msg); i++)
		assert_int_equal(vmm_send_raw(f->vmm, &msg[i], 1, NULL, 0), 0);
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

static void test_many_at_once(void **state)
{
	struct fixture *f = fixture_create(NULL);
	struct vu_header headers[200];
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < 200; i++)
		headers[i] = (struct vu_header){ VU_GET_FEATURES, VU_VERSION, 0 };
	assert_int_equal(vmm_send_raw(f->vmm, headers, sizeof(headers), NULL, 0), 0);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(vmm_receive(f->vmm, VU_GET_FEATURES, &value, 8), 8);
	fixture_destroy(f);
}

/* Replies pile up in the socket; the back-end waits, and stores no more than one. */
static void test_peer_that_does_not_read(void **state)
{
	struct fixture *f = fixture_create(NULL);
	struct vu_header header = { VU_GET_FEATURES, VU_VERSION, 0 };
	int sent = 0, small = 4608;
	uint64_t value;

	(void)state;
	assert_int_equal(setsockopt(f->vmm->sock, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (send(f->vmm->sock, &header, sizeof(header), MSG_DONTWAIT) == sizeof(header))
		sent++;
	assert_int_equal(errno, EAGAIN);
	assert_true(sent > 1);
	for (int i = 0; i < sent; i++)
		assert_int_equal(vmm_receive(f->vmm, VU_GET_FEATURES, &value, 8), 8);
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

static void test_orderly_end(void **state)
{
	struct fixture *f = fixture_create(NULL);

	(void)state;
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(shutdown(f->vmm->sock, SHUT_RDWR), 0);
	assert_ended(f, 0, NULL);
	fixture_destroy(f);
}

static void test_truncated_header(void **state)
{
	struct fixture *f = fixture_create(NULL);

	(void)state;
	assert_int_equal(vmm_send_raw(f->vmm, "\1\0\0", 3, NULL, 0), 0);
	assert_int_equal(shutdown(f->vmm->sock, SHUT_WR), 0);
	assert_ended(f, -ECONNRESET, "the connection ends");
	fixture_destroy(f);
}

static void test_truncated_payload(void **state)
{
	struct fixture *f = fixture_create(NULL);

	(void)state;
	send_header(f, VU_SET_FEATURES, VU_VERSION, 8);
	assert_int_equal(vmm_send_raw(f->vmm, "\1\0\0\0", 4, NULL, 0), 0);
	assert_int_equal(shutdown(f->vmm->sock, SHUT_WR), 0);
	assert_ended(f, -ECONNRESET, "the connection ends");
	fixture_destroy(f);
}

static void test_wrong_version(void **state)
{
	(void)state;
	for (uint32_t version = 0; version < 4; version++) {
		struct fixture *f;

		if (version == VU_VERSION)
			continue;
		f = fixture_create(NULL);
		send_header(f, VU_GET_FEATURES, version, 0);
		assert_ended(f, -EPROTO, "version");
		fixture_destroy(f);
	}
}

static void test_wrong_flags(void **state)
{
	const uint32_t flags[] = { VU_REPLY, 1u << 4, 1u << 31 };

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct fixture *f = fixture_create(NULL);

		send_header(f, VU_GET_FEATURES, VU_VERSION | flags[i], 0);
		assert_ended(f, -EPROTO, "flags");
		fixture_destroy(f);
	}
}

/* The size is refused before anything of the payload is waited for. */
static void test_oversized(void **state)
{
	const uint32_t sizes[] = { 269, 4096, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fixture *f = fixture_create(NULL);

		send_header(f, VU_SET_MEM_TABLE, VU_VERSION, sizes[i]);
		assert_ended(f, -EMSGSIZE, "larger");
		fixture_destroy(f);
	}
}

/* fixture_destroy() sees any that is left open. */
static void test_too_many_descriptors(void **state)
{
	struct fixture *f = fixture_create(NULL);
	int fds[9];

	(void)state;
	for (size_t i = 0; i < 9; i++)
		fds[i] = f->vmm->memfd;
	assert_int_equal(vmm_send(f->vmm, VU_SET_MEM_TABLE, 0, "\0\0\0\0\0\0\0", 8, fds, 9), 0);
	assert_ended(f, -EPROTO, "more than 8");
	fixture_destroy(f);
}

static void test_descriptors_in_pieces(void **state)
{
	struct fixture *f = fixture_create(NULL);
	struct vu_header header = { VU_SET_MEM_TABLE, VU_VERSION, 8 };
	int fds[5];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		fds[i] = f->vmm->memfd;
	assert_int_equal(vmm_send_raw(f->vmm, &header, sizeof(header), fds, 5), 0);
	assert_int_equal(vmm_send_raw(f->vmm, "\0\0\0\0\0\0\0", 8, fds, 4), 0);
	assert_ended(f, -EPROTO, "more than 8");
	fixture_destroy(f);
}

static void test_descriptors_with_a_message_that_has_none(void **state)
{
	struct fixture *f = fixture_create(NULL);

	(void)state;
	assert_int_equal(vmm_send(f->vmm, VU_GET_FEATURES, 0, NULL, 0, &f->vmm->memfd, 1), 0);
	assert_ended(f, -EINVAL, "GET_FEATURES: 1 file descriptors");
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_peer_that_does_not_read),
		cmocka_unit_test(test_orderly_end),
		cmocka_unit_test(test_truncated_header),
		cmocka_unit_test(test_truncated_payload),
		cmocka_unit_test(test_wrong_version),
		cmocka_unit_test(test_wrong_flags),
		cmocka_unit_test(test_oversized),
		cmocka_unit_test(test_too_many_descriptors),
		cmocka_unit_test(test_descriptors_in_pieces),
		cmocka_unit_test(test_descriptors_with_a_message_that_has_none),
	};

	return cmocka_run_group_tests_name("vhost-user header", tests, NULL, NULL);
}
