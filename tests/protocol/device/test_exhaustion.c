/* SPDX-License-Identifier: MIT */
/*
 * What one VM, or whoever has taken over its VMM, can use up: descriptors, time.
 * The others are served all the same.
 */
#include "fixture.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FAR_BASE (UINT64_C(1) << 40)

static unsigned int daemon_fds(const struct fixture *f)
{
	char path[64];
	unsigned int num = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", f->daemon);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		num++;
	closedir(dir);
	return num;
}

static int add_region(struct vm *vm, uint64_t addr, uint64_t size, int fd)
{
	struct vu_mem_region_msg msg = { .region = { addr, size, addr, 0 } };

	return vmm_ack(vm->vmm, VU_ADD_MEM_REG, &msg, sizeof(msg), &fd, 1);
}

static int remove_region(struct vm *vm, uint64_t addr, uint64_t size)
{
	struct vu_mem_region_msg msg = { .region = { addr, size, addr, 0 } };

	return vmm_ack(vm->vmm, VU_REM_MEM_REG, &msg, sizeof(msg), NULL, 0);
}

/* A buffer of one page in a file of its own, which is taken out of the memory again. */
static uint32_t buffer_in_new_file(struct vm *vm, uint8_t ret_uuid[UUID_SIZE])
{
	struct create_request req = create_request(FAR_BASE, 1);
	int fd = vmm_memfd(PAGE, F_SEAL_SHRINK, false);
	uint32_t status;

	assert_int_equal(add_region(vm, FAR_BASE, PAGE, fd), 0);
	close(fd);
	status = vm_create(vm, &req, ret_uuid);
	assert_int_equal(remove_region(vm, FAR_BASE, PAGE), 0);
	return status;
}

static void test_files_of_buffers_are_limited(void **state)
{
	static const char *const args[] = { "--max-arenas=8", NULL };
	struct fixture *f = fixture_create(args);
	struct vm *vm = &f->vms[0];
	uint8_t uuid[UUID_SIZE];
	unsigned int before;
	uint32_t users;

	(void)state;
	vm_connect(f, 0);
	vm_start(vm);
	before = daemon_fds(f);
	for (int i = 0; i < 8; i++)
		assert_int_equal(buffer_in_new_file(vm, uuid), VIRTIO_BUFSHARE_S_OK);
	for (int i = 0; i < 100; i++) {
		uint8_t none[UUID_SIZE];

		assert_int_equal(buffer_in_new_file(vm, none), VIRTIO_BUFSHARE_S_LIMIT);
	}
	assert_int_equal(daemon_fds(f), before + 8);
	/* One that goes makes room; another VM has its own. */
	assert_int_equal(vm_destroy(vm, uuid, &users), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(buffer_in_new_file(vm, uuid), VIRTIO_BUFSHARE_S_OK);
	vm_connect(f, 1);
	vm_start(&f->vms[1]);
	assert_int_equal(buffer_in_new_file(&f->vms[1], uuid), VIRTIO_BUFSHARE_S_OK);
	vm_start(vm);
	for (int i = 0; i < 8; i++)
		assert_int_equal(buffer_in_new_file(vm, uuid), VIRTIO_BUFSHARE_S_OK);
	fixture_destroy(f);
}

/*
 * Extents that cannot be right are refused before the daemon finds out where they lie, which
 * is the work that a list of them could multiply: that one is outside of RAM goes unseen.
 */
static void test_wrong_sums_cost_no_translation(void **state)
{
	struct fixture *f = *state;
	struct vm *vm = &f->vms[0];
	struct create_request req = create_request(BUFFERS, 2);
	struct {
		struct virtio_bufshare_buffer_add_extents add;
		struct virtio_bufshare_extent extent;
	} more = {
		.add.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS),
		.add.count = htole32(1),
		.extent = { htole64(LOW_SIZE), htole64(2 * PAGE) },
	};
	uint8_t uuid[UUID_SIZE];

	req.extents[1].addr = htole64(LOW_SIZE);
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_NOT_RAM);
	req.extents[1].len = htole64(2 * PAGE);
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req.create.size = htole64(4 * PAGE);
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_BAD_EXTENT);
	req.extents[0].len = htole64(UINT64_MAX - PAGE + 1);
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_BAD_EXTENT);

	req = create_request(BUFFERS, 2);
	req.create.num_inline = htole32(1);
	assert_int_equal(vm_create(vm, &req, uuid), VIRTIO_BUFSHARE_S_OK);
	memcpy(more.add.uuid, uuid, UUID_SIZE);
	more.add.first = htole32(1);
	assert_int_equal(vm_request(vm, &more, sizeof(more), NULL, 8),
			 VIRTIO_BUFSHARE_S_BAD_EXTENT);
	more.add.first = htole32(2);
	assert_int_equal(vm_request(vm, &more, sizeof(more), NULL, 8), VIRTIO_BUFSHARE_S_INVALID);
	more.add.first = htole32(1);
	more.extent.len = htole64(PAGE);
	assert_int_equal(vm_request(vm, &more, sizeof(more), NULL, 8), VIRTIO_BUFSHARE_S_NOT_RAM);
}

/*
 * The daemon may open no descriptor more, or as many as it likes again.  Its limit is one
 * above the highest it has, so those below must have no gaps: see test_no_descriptors_left().
 */
static void allow_fds(const struct fixture *f, bool more)
{
	struct rlimit limit;

	assert_int_equal(prlimit(f->daemon, RLIMIT_NOFILE, NULL, &limit), 0);
	limit.rlim_cur = more ? limit.rlim_max : daemon_fds(f) - 2; /* "." and ".." */
	assert_int_equal(prlimit(f->daemon, RLIMIT_NOFILE, &limit, NULL), 0);
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Who comes when there are no descriptors is served when there are some, and not refused. */
static void test_no_descriptors_left(void **state)
{
	struct fixture *f;
	struct virtio_bufshare_start start = { .hdr.type = htole32(VIRTIO_BUFSHARE_REQ_START) };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct bufshare_msg_hello hello = {
		.hdr = { .type = htole32(BUFSHARE_MSG_HELLO), .serial = htole32(1) },
		.name = "late",
	};
	struct bufshare_msg_hello_reply reply;
	struct timeval timeout = { .tv_sec = 5 };
	struct vmm *vmm;
	char path[128];
	int fd;

	(void)state;
	/* What the test inherited lies anywhere, and the daemon would inherit it. */
	assert_int_equal(close_range(3, ~0U, 0), 0);
	f = fixture_create(NULL);
	vm_connect(f, 0);
	vm_start(&f->vms[0]);
	client_connect(f);
	allow_fds(f, false);
	fixture_path(f, "clients", addr.sun_path, sizeof(addr.sun_path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	fixture_path(f, "vm1", path, sizeof(path));
	assert_int_equal(vmm_create_path(&vmm, path, NULL), 0);
	/* The others' requests are served; after some of them it has looked at those who wait. */
	for (int i = 0; i < 3; i++) {
		(void)client_stats(f);
		assert_int_equal(vm_request(&f->vms[0], &start, sizeof(start), NULL, 512),
				 VIRTIO_BUFSHARE_S_OK);
	}
	assert_false(is_readable(fd));
	assert_false(is_readable(vmm->sock));
	allow_fds(f, true);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), sizeof(reply));
	assert_int_equal(le32toh(reply.hdr.status), BUFSHARE_S_OK);
	assert_int_equal(vmm_handshake(vmm), 0);
	vmm_destroy(vmm);
	close(fd);
	fixture_destroy(f);
}

/* Connects to the client socket, with a timeout. */
static int raw_connect(const struct fixture *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = 5 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	fixture_path(f, "clients", addr.sun_path, sizeof(addr.sun_path));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* HELLO is answered with @status and words that name @option, and then it is over. */
static void expect_refusal(const struct fixture *f, uint32_t status, const char *option)
{
	struct bufshare_msg_hello hello = {
		.hdr = { .type = htole32(BUFSHARE_MSG_HELLO), .serial = htole32(7) },
		.name = "one too many",
	};
	struct bufshare_msg_error error;
	int fd = raw_connect(f);

	assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
	assert_int_equal(recv(fd, &error, sizeof(error), 0), sizeof(error));
	assert_int_equal(le32toh(error.hdr.serial), 7);
	assert_int_equal(le32toh(error.hdr.status), status);
	assert_non_null(strstr(error.text, option));
	assert_int_equal(recv(fd, &error, sizeof(error), 0), 0);
	close(fd);
}

/* Both limits are options, hold for root too, and are told to who meets them. */
static void test_clients_are_limited(void **state)
{
	static const char *const args[][3] = {
		{ "--max-clients-per-uid=70", "--max-clients=100", NULL },
		{ "--max-clients-per-uid=100", "--max-clients=70", NULL },
	};
	static const char *const options[] = { "70 clients already: see --max-clients-per-uid",
					       "70 clients already: see --max-clients" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fixture *f = fixture_create(args[i]);
		int fds[70], silent[20];

		for (int n = 0; n < 69; n++)
			fds[n] = raw_connect(f);
		client_connect(f);
		expect_refusal(f, BUFSHARE_S_LIMIT, options[i]);
		/* Who says nothing does not keep its place, nor those of others. */
		for (int n = 0; n < 20; n++)
			silent[n] = raw_connect(f);
		for (int n = 0; n < 20; n++) {
			char byte;

			assert_int_equal(recv(silent[n], &byte, 1, 0), 0);
			close(silent[n]);
		}
		expect_refusal(f, BUFSHARE_S_LIMIT, options[i]);
		close(fds[0]);
		(void)client_stats(f);
		client_close(f);
		client_connect(f);
		for (int n = 1; n < 69; n++)
			close(fds[n]);
		fixture_destroy(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_descriptors_left),
		cmocka_unit_test(test_files_of_buffers_are_limited),
		TEST(test_wrong_sums_cost_no_translation),
		cmocka_unit_test(test_clients_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
