/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 16

void fixture_path(const struct fixture *f, const char *name, char *ret_path, size_t size)
{
	assert_true((size_t)snprintf(ret_path, size, "%s/%s", f->dir, name) < size);
}

static void run_daemon(const struct fixture *f, int ready_fd, const char *const *args)
{
	char vm0[128], vm1[128], clients[128], ready[32], trust[32];
	const char *argv[MAX_ARGS] = {
		getenv("BUFSHARE_DAEMON"), vm0, vm1, clients, ready, trust, NULL,
	};
	int argc = 6;

	(void)snprintf(vm0, sizeof(vm0), "--socket-path=vm0=%s/vm0", f->dir);
	(void)snprintf(vm1, sizeof(vm1), "--socket-path=vm1=%s/vm1", f->dir);
	(void)snprintf(clients, sizeof(clients), "--client-socket=%s/clients", f->dir);
	(void)snprintf(ready, sizeof(ready), "--ready-fd=%d", ready_fd);
	(void)snprintf(trust, sizeof(trust), "--trust=uid=%u:rw", geteuid());
	while (args && *args && argc < MAX_ARGS - 1)
		argv[argc++] = *args++;
	argv[argc] = NULL;
	execv(argv[0], (char **)argv);
	perror("BUFSHARE_DAEMON");
	_exit(127);
}

struct fixture *fixture_create(const char *const *args)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char line[16] = "";
	int ready[2];

	assert_non_null(f);
	assert_non_null(getenv("BUFSHARE_DAEMON"));
	f->client = -1;
	memcpy(f->dir, "/tmp/bufshare-XXXXXX", sizeof("/tmp/bufshare-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(pipe(ready), 0);
	f->daemon = fork();
	assert_true(f->daemon >= 0);
	if (f->daemon == 0)
		run_daemon(f, ready[1], args);
	close(ready[1]);
	assert_int_equal(read(ready[0], line, sizeof(line)), 6);
	assert_string_equal(line, "ready\n");
	close(ready[0]);
	return f;
}

void fixture_destroy(struct fixture *f)
{
	int status;

	client_close(f);
	for (int i = 0; i < 2; i++)
		vm_kill(&f->vms[i]);
	assert_int_equal(kill(f->daemon, SIGTERM), 0);
	assert_int_equal(waitpid(f->daemon, &status, 0), f->daemon);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* It has removed its sockets, so this works. */
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
}

int fixture_setup(void **state)
{
	struct fixture *f = fixture_create(NULL);

	vm_connect(f, 0);
	vm_start(&f->vms[0]);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

void vm_connect(struct fixture *f, int index)
{
	static const struct vmm_region ram[] = {
		{ .guest_addr = 0, .size = LOW_SIZE },
		{ .guest_addr = HIGH_BASE, .size = HIGH_SIZE },
	};
	const struct vmm_options options = { .regions = ram, .num_regions = 2 };
	struct vm *vm = &f->vms[index];
	char path[128];

	fixture_path(f, index ? "vm1" : "vm0", path, sizeof(path));
	assert_int_equal(vmm_create_path(&vm->vmm, path, &options), 0);
	assert_int_equal(vmm_handshake(vm->vmm), 0);
	assert_int_equal(vmm_send_memory(vm->vmm), 0);
	assert_int_equal(guest_create(&vm->guest, vm->vmm, VIRTIO_BUFSHARE_NUM_VQS, QUEUE_SIZE), 0);
	vm->control = &vm->guest->queues[VIRTIO_BUFSHARE_VQ_CONTROL];
	vm->events = &vm->guest->queues[VIRTIO_BUFSHARE_VQ_EVENT];
	assert_int_equal(guest_start(vm->guest), 0);
}

void vm_kill(struct vm *vm)
{
	if (!vm->vmm)
		return;
	guest_destroy(vm->guest);
	vmm_destroy(vm->vmm);
	memset(vm, 0, sizeof(*vm));
}

void vm_start(struct vm *vm)
{
	struct virtio_bufshare_start req = { .hdr.type = htole32(VIRTIO_BUFSHARE_REQ_START) };
	struct virtio_bufshare_start_resp resp;

	vm_request_ok(vm, &req, sizeof(req), &resp, sizeof(resp));
}

uint32_t vm_request(struct vm *vm, const void *req, size_t len, void *resp, uint32_t resp_cap)
{
	unsigned char any[1024];
	struct virtio_bufshare_resp_hdr hdr;
	uint32_t used = 0;

	assert_true(resp || resp_cap <= sizeof(any));
	assert_int_equal(guest_request(vm->control, req, (uint32_t)len, resp ? resp : any, resp_cap,
				       &used),
			 0);
	assert_true(used >= sizeof(hdr));
	memcpy(&hdr, resp ? resp : any, sizeof(hdr));
	assert_int_equal(hdr.reserved, 0);
	if (hdr.status)
		assert_int_equal(used, sizeof(hdr));
	return le32toh(hdr.status);
}

void vm_request_ok(struct vm *vm, const void *req, size_t len, void *resp, uint32_t resp_len)
{
	unsigned char room[1024];
	struct virtio_bufshare_resp_hdr hdr;
	uint32_t used;

	assert_true(resp_len < sizeof(room));
	/* More room than needed, to see the length. */
	assert_int_equal(guest_request(vm->control, req, (uint32_t)len, room, resp_len + 16, &used),
			 0);
	memcpy(&hdr, room, sizeof(hdr));
	assert_int_equal(le32toh(hdr.status), VIRTIO_BUFSHARE_S_OK);
	assert_int_equal(used, resp_len);
	memcpy(resp, room, resp_len);
}

void vm_post_events(struct vm *vm, int n, uint32_t size)
{
	for (int i = 0; i < n; i++) {
		struct guest_part part = { .addr = guest_alloc(vm->guest, 64, 8), .len = size };
		int head;

		assert_int_not_equal(part.addr, 0);
		head = guest_submit(vm->events, &part, 0, 1);
		assert_true(head >= 0);
		vm->event_addr[head] = part.addr;
	}
	guest_kick(vm->events);
}

struct virtio_bufshare_event vm_event(struct vm *vm)
{
	struct virtio_bufshare_event event;
	uint16_t head;
	uint32_t len;

	assert_int_equal(guest_wait(vm->events, &head, &len), 0);
	assert_int_equal(len, sizeof(event));
	memcpy(&event, guest_ptr(vm->guest, vm->event_addr[head], sizeof(event)), sizeof(event));
	assert_int_equal(event.reserved, 0);
	return event;
}

void vm_expect_no_event(struct vm *vm)
{
	uint16_t head;
	uint32_t len;

	assert_int_equal(guest_poll(vm->events, &head, &len), -EAGAIN);
}

void expect_strict(struct vm *vm, const void *req, size_t len, uint32_t resp_len)
{
	unsigned char longer[2048] = { 0 };
	uint32_t used, flags = htole32(1);

	assert_true(len + 64 < sizeof(longer));
	memcpy(longer, req, len);
	for (size_t n = 1; n <= len + 64; n++) {
		if (n != len)
			assert_int_equal(vm_request(vm, longer, n, NULL, 512),
					 VIRTIO_BUFSHARE_S_INVALID);
	}
	for (uint32_t cap = sizeof(struct virtio_bufshare_resp_hdr); cap < resp_len; cap++)
		assert_int_equal(vm_request(vm, req, len, NULL, cap),
				 VIRTIO_BUFSHARE_S_SHORT_REPLY);
	for (uint32_t cap = 0; cap < sizeof(struct virtio_bufshare_resp_hdr); cap++) {
		unsigned char resp[8];

		assert_int_equal(guest_request(vm->control, req, (uint32_t)len, resp, cap, &used),
				 0);
		assert_int_equal(used, 0);
	}
	memcpy(longer + offsetof(struct virtio_bufshare_req_hdr, flags), &flags, sizeof(flags));
	assert_int_equal(vm_request(vm, longer, len, NULL, 512), VIRTIO_BUFSHARE_S_INVALID);
}

void expect_needs_start(uint32_t type, const void *req, size_t len)
{
	struct fixture *f = fixture_create(NULL);
	struct virtio_bufshare_req_hdr hdr;

	memcpy(&hdr, req, sizeof(hdr));
	assert_int_equal(le32toh(hdr.type), type);
	vm_connect(f, 0);
	assert_int_equal(vm_request(&f->vms[0], req, len, NULL, 512), VIRTIO_BUFSHARE_S_STATE);
	fixture_destroy(f);
}

/* ---- requests in short ---- */

struct create_request create_request(uint64_t addr, uint32_t n)
{
	struct create_request req = {
		.create = {
			.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_CREATE),
			.size = htole64((uint64_t)n * PAGE),
			.num_extents = htole32(n),
			.num_inline = htole32(n),
		},
	};

	for (uint32_t i = 0; i < n; i++) {
		req.extents[i].addr = htole64(addr + (uint64_t)i * 2 * PAGE);
		req.extents[i].len = htole64(PAGE);
	}
	return req;
}

size_t create_len(const struct create_request *req)
{
	return sizeof(req->create) + le32toh(req->create.num_inline) * sizeof(req->extents[0]);
}

uint32_t vm_create(struct vm *vm, const struct create_request *req, uint8_t ret_uuid[UUID_SIZE])
{
	struct virtio_bufshare_buffer_create_resp resp = { 0 };
	uint32_t status = vm_request(vm, req, create_len(req), &resp, sizeof(resp));

	if (!status)
		memcpy(ret_uuid, resp.uuid, UUID_SIZE);
	return status;
}

void vm_buffer(struct vm *vm, uint64_t page, uint8_t ret_uuid[UUID_SIZE])
{
	struct create_request req = create_request(BUFFERS + page * PAGE, 1);

	assert_int_equal(vm_create(vm, &req, ret_uuid), VIRTIO_BUFSHARE_S_OK);
}

static uint32_t buffer_request(struct vm *vm, uint32_t type, const uint8_t uuid[UUID_SIZE],
			       uint32_t *ret_state, uint32_t *ret_users)
{
	struct virtio_bufshare_buffer_ref req = { .hdr.type = htole32(type) };
	struct virtio_bufshare_buffer_state_resp resp = { 0 };
	uint32_t status;

	memcpy(req.uuid, uuid, UUID_SIZE);
	status = vm_request(vm, &req, sizeof(req), &resp, sizeof(resp));
	if (!status) {
		*ret_state = le32toh(resp.state);
		*ret_users = le32toh(resp.users);
	}
	return status;
}

uint32_t vm_destroy(struct vm *vm, const uint8_t uuid[UUID_SIZE], uint32_t *ret_users)
{
	uint32_t state = 0;
	uint32_t status = buffer_request(vm, VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY, uuid, &state,
					 ret_users);

	if (!status)
		assert_int_equal(state, *ret_users ? VIRTIO_BUFSHARE_BUFFER_DETACHED : 0);
	return status;
}

uint32_t vm_query(struct vm *vm, const uint8_t uuid[UUID_SIZE], uint32_t *ret_state,
		  uint32_t *ret_users)
{
	return buffer_request(vm, VIRTIO_BUFSHARE_REQ_BUFFER_QUERY, uuid, ret_state, ret_users);
}

uint32_t vm_stream(struct vm *vm, const char *name, uint32_t max_frames, uint32_t *ret_id)
{
	struct virtio_bufshare_stream_create req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_CREATE),
		.max_frames = htole32(max_frames),
	};
	struct virtio_bufshare_stream_create_resp resp = { 0 };
	uint32_t status;

	assert_true(strlen(name) < sizeof(req.name));
	memcpy(req.name, name, strlen(name));
	status = vm_request(vm, &req, sizeof(req), &resp, sizeof(resp));
	if (!status) {
		*ret_id = le32toh(resp.stream_id);
		assert_int_not_equal(*ret_id, 0);
	}
	return status;
}

uint32_t vm_publish(struct vm *vm, uint32_t stream_id, const uint8_t uuid[UUID_SIZE],
		    uint64_t sequence, uint32_t *ret_listeners)
{
	struct virtio_bufshare_stream_publish req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH),
		.stream_id = htole32(stream_id),
		.clock = htole32(VIRTIO_BUFSHARE_CLOCK_MONOTONIC),
		.sequence = htole64(sequence),
		.timestamp = htole64(sequence * 1000),
	};
	struct virtio_bufshare_stream_publish_resp resp = { 0 };
	uint32_t status;

	memcpy(req.uuid, uuid, UUID_SIZE);
	status = vm_request(vm, &req, sizeof(req), &resp, sizeof(resp));
	if (!status)
		*ret_listeners = le32toh(resp.listeners);
	return status;
}

/* ---- the host program ---- */

/* Sends, and reads until the reply to it: events in between are left out. */
static uint32_t call(struct fixture *f, uint32_t type, void *msg, size_t len, void *reply,
		     size_t reply_cap)
{
	struct bufshare_msg_hdr *hdr = msg, *answer = reply;
	union {
		char space[CMSG_SPACE(BUFSHARE_MSG_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;

	hdr->type = htole32(type);
	hdr->serial = htole32(++f->serial);
	assert_int_equal(send(f->client, msg, len, MSG_NOSIGNAL), len);
	do {
		struct pollfd p = { .fd = f->client, .events = POLLIN };
		struct iovec iov = { .iov_base = reply, .iov_len = reply_cap };
		struct msghdr m = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n;

		assert_int_equal(poll(&p, 1, VMM_TIMEOUT_MS), 1);
		n = recvmsg(f->client, &m, MSG_CMSG_CLOEXEC);
		assert_true(n >= (ssize_t)sizeof(*answer));
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			size_t num = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			int fds[BUFSHARE_MSG_MAX_FDS];

			memcpy(fds, CMSG_DATA(c), num * sizeof(int));
			for (size_t i = 0; i < num; i++)
				close(fds[i]);
		}
	} while (le32toh(answer->serial) != f->serial);
	return le32toh(answer->status);
}

void client_connect(struct fixture *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct bufshare_msg_hello hello = { .name = "test" };
	union {
		struct bufshare_msg_hello_reply reply;
		unsigned char room[BUFSHARE_MSG_MAX];
	} reply;

	fixture_path(f, "clients", addr.sun_path, sizeof(addr.sun_path));
	f->client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(f->client >= 0);
	assert_int_equal(connect(f->client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(call(f, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), &reply, sizeof(reply)),
			 BUFSHARE_S_OK);
}

void client_close(struct fixture *f)
{
	if (f->client >= 0)
		close(f->client);
	f->client = -1;
}

static unsigned char reply_room[BUFSHARE_MSG_MAX];

uint32_t client_get(struct fixture *f, const uint8_t uuid[UUID_SIZE])
{
	struct bufshare_msg_buffer_get msg = {
		.access = htole32(BUFSHARE_ACCESS_READ),
		.paths = htole32(BUFSHARE_PATH_DMABUF | BUFSHARE_PATH_RAM),
	};

	memcpy(msg.uuid, uuid, UUID_SIZE);
	return call(f, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), reply_room, sizeof(reply_room));
}

uint32_t client_put(struct fixture *f, const uint8_t uuid[UUID_SIZE])
{
	struct bufshare_msg_buffer_put msg = { 0 };

	memcpy(msg.uuid, uuid, UUID_SIZE);
	return call(f, BUFSHARE_MSG_BUFFER_PUT, &msg, sizeof(msg), reply_room, sizeof(reply_room));
}

uint32_t client_join(struct fixture *f, const char *owner, const char *name, uint32_t *ret_id)
{
	struct bufshare_msg_stream_join msg = { .mode = htole32(BUFSHARE_JOIN_ALL_FRAMES) };
	struct bufshare_msg_stream_join_reply *reply = (void *)reply_room;
	uint32_t status;

	memcpy(msg.owner, owner, strlen(owner));
	memcpy(msg.name, name, strlen(name));
	status = call(f, BUFSHARE_MSG_STREAM_JOIN, &msg, sizeof(msg), reply_room,
		      sizeof(reply_room));
	if (!status)
		*ret_id = le32toh(reply->consumer_id);
	return status;
}

uint32_t client_release(struct fixture *f, uint32_t consumer, uint64_t sequence)
{
	struct bufshare_msg_frame_release msg = {
		.consumer_id = htole32(consumer),
		.sequence = htole64(sequence),
	};

	return call(f, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), reply_room,
		    sizeof(reply_room));
}

struct bufshare_msg_stats_reply client_stats(struct fixture *f)
{
	struct bufshare_msg_hdr msg = { 0 };
	struct bufshare_msg_stats_reply reply;

	assert_int_equal(call(f, BUFSHARE_MSG_STATS, &msg, sizeof(msg), reply_room,
			      sizeof(reply_room)),
			 BUFSHARE_S_OK);
	memcpy(&reply, reply_room, sizeof(reply));
	return reply;
}
