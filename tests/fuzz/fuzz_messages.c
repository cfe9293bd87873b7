/* SPDX-License-Identifier: MIT */
/*
 * A whole vhost-user session from bytes: records of {u8 request, u8 how, u8 length} and a
 * payload.  Bits of how: 0 NEED_REPLY; 1..2 which descriptor comes along (none, memfd,
 * eventfd, /dev/null); 3 it comes twice; 4 the header's size is one too large; 5 a kick
 * of the eventfd follows.  The guest's memory holds one well-formed request and two
 * buffers for events, the second of them too small.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "fuzz.h"
#include "log.h"
#include "loop.h"
#include "vhost_user.h"
#include "wire.h"

#define RAM_SIZE 0x10000
#define DESC	 0x1000
#define AVAIL	 0x2000
#define USED	 0x3000
#define USER	 UINT64_C(0x700000)

#define NEXT_QUEUE UINT64_C(0x800) /* from the parts of queue 0 to those of queue 1 */

#define NEED_REPLY 0x01
#define WITH_MEMFD 0x02
#define WITH_EVENT 0x04
#define TWICE	   0x08
#define ONE_MORE   0x10
#define KICK	   0x20

struct session {
	struct loop *loop;
	struct vu_conn *conn;
	struct loop_source peer;
	struct loop_deferred feed;
	int sock;
	const uint8_t *data;
	size_t size;
};

static int ram = -1, event = -1, null_fd = -1;
static uint8_t *ram_map;

static void get_config(void *dev, uint8_t *config)
{
	(void)dev;
	memset(config, 1, 64);
}

static void started(void *dev, uint64_t features, bool maybe_reset)
{
	(void)dev;
	(void)features;
	(void)maybe_reset;
}

static void nothing(void *dev)
{
	(void)dev;
}

static int walk_piece(void *arg, const struct vu_mem_piece *piece)
{
	(void)arg;
	if (piece->len == 0 || piece->offset + piece->len > RAM_SIZE)
		abort();
	return 0;
}

static size_t request(void *dev, unsigned int queue, const void *req, size_t req_len, void *resp,
		      size_t resp_cap)
{
	struct session *s = dev;
	uint64_t range[2];

	if (queue != 0 || req_len > 65 || resp_cap > 64)
		abort();
	(void)vu_push(s->conn, 1, "event", 5);
	if (req_len >= sizeof(range)) {
		memcpy(range, req, sizeof(range));
		(void)vu_mem_walk(s->conn, range[0], range[1], walk_piece, NULL);
	}
	memset(resp, 0x55, resp_cap);
	return resp_cap;
}

static void queue_ready(void *dev, unsigned int queue)
{
	struct session *s = dev;

	(void)vu_push(s->conn, queue, "ready", 5);
}

static void closed(void *dev, int error)
{
	struct session *s = dev;

	(void)error;
	s->conn = NULL;
	loop_quit(s->loop, 0);
}

static const struct vu_device_ops ops = {
	.features = 1,
	.num_queues = 2,
	.config_size = 64,
	.max_request = 64,
	.max_response = 64,
	.get_config = get_config,
	.started = started,
	.stopped = nothing,
	.reset = nothing,
	.request = request,
	.queue_ready = queue_ready,
	.request_queues = 1,
	.closed = closed,
};

static void quiet(enum log_level level, const char *peer, const char *line)
{
	(void)level;
	(void)peer;
	(void)line;
}

/* Replies are read, or the back-end would wait for that. */
static void on_reply(struct loop_source *source, uint32_t events)
{
	char buf[4096];

	if (!(events & EPOLLIN) || recv(source->fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0)
		loop_remove(source);
}

static void prepare(void)
{
	const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[2] = { { 0x4000, 16, 1, 1 }, { 0x5000, 64, 2, 0 } },
	  events[2] = { { 0x6000, 16, 2, 0 }, { 0x7000, 4, 2, 0 } };
	const uint16_t avail[3] = { 0, 1, 0 }, posted[4] = { 0, 2, 0, 1 };

	log_set_sink(quiet);
	if (ram < 0) {
		if (vu_init(UINT64_C(1) << 30) < 0)
			abort();
		ram = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (ram < 0 || event < 0 || null_fd < 0 || ftruncate(ram, RAM_SIZE) < 0 ||
		    fcntl(ram, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
			abort();
		ram_map = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
		if (ram_map == MAP_FAILED)
			abort();
	}
	memset(ram_map, 0, RAM_SIZE);
	memcpy(ram_map + DESC, desc, sizeof(desc));
	memcpy(ram_map + AVAIL, avail, sizeof(avail));
	memcpy(ram_map + DESC + NEXT_QUEUE, events, sizeof(events));
	memcpy(ram_map + AVAIL + NEXT_QUEUE, posted, sizeof(posted));
}

static void send_record(int sock, const uint8_t *record, const uint8_t *payload, size_t len)
{
	const int kinds[4] = { -1, ram, event, null_fd };
	int fd = kinds[record[1] >> 1 & 3];
	size_t num_fds = fd < 0 ? 0 : record[1] & TWICE ? 2 : 1;
	struct vu_header header = {
		.request = record[0],
		.flags = VU_VERSION | (record[1] & NEED_REPLY ? VU_NEED_REPLY : 0),
		.size = (uint32_t)len + (record[1] & ONE_MORE ? 1 : 0),
	};
	struct iovec iov[2] = { { &header, sizeof(header) }, { (void *)payload, len } };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (num_fds > 0) {
		const int fds[2] = { fd, fd };
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, num_fds * sizeof(int));
	}
	(void)sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (record[1] & KICK) {
		const uint64_t one = 1;
		ssize_t n = write(event, &one, sizeof(one));

		(void)n;
	}
}

/* One record in each round, so that the queues get their turn between two messages. */
static void feed(struct loop_deferred *deferred)
{
	struct session *s = (struct session *)((char *)deferred - offsetof(struct session, feed));
	const uint8_t *record = s->data;
	size_t len;

	if (s->size < 3) {
		(void)shutdown(s->sock, SHUT_WR);
		return;
	}
	s->data += 3;
	s->size -= 3;
	len = record[2] < s->size ? record[2] : s->size;
	send_record(s->sock, record, s->data, len);
	s->data += len;
	s->size -= len;
	loop_defer(s->loop, deferred);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session s = { .feed.fn = feed, .data = data, .size = size };
	int sv[2];

	prepare();
	if (loop_create(&s.loop) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 ||
	    vu_conn_create(s.loop, sv[0], "fuzz", &ops, &s, &s.conn) < 0 ||
	    loop_add(s.loop, &s.peer, sv[1], EPOLLIN, on_reply) < 0)
		abort();
	s.sock = sv[1];
	loop_defer(s.loop, &s.feed);
	if (loop_run(s.loop) < 0)
		abort();
	vu_conn_destroy(s.conn);
	loop_cancel(s.loop, &s.feed);
	loop_remove(&s.peer);
	fd_close(&sv[1]);
	loop_destroy(s.loop);
	return 0;
}

static size_t put(uint8_t *buf, size_t at, uint8_t request, uint8_t how, const void *payload,
		  size_t len)
{
	buf[at] = request;
	buf[at + 1] = how;
	buf[at + 2] = (uint8_t)len;
	if (len > 0)
		memcpy(buf + at + 3, payload, len);
	return at + 3 + len;
}

static size_t put_u64(uint8_t *buf, size_t at, uint8_t request, uint8_t how, uint64_t value)
{
	return put(buf, at, request, how, &value, sizeof(value));
}

static size_t put_queue(uint8_t *buf, size_t at, uint32_t index)
{
	const struct vu_vring_state num = { index, 8 }, base = { index, 0 }, on = { index, 1 };
	const struct vu_vring_addr addr = {
		.index = index,
		.descriptor = USER + DESC + index * NEXT_QUEUE,
		.available = USER + AVAIL + index * NEXT_QUEUE,
		.used = USER + USED + index * NEXT_QUEUE,
	};

	at = put(buf, at, VU_SET_VRING_NUM, NEED_REPLY, &num, sizeof(num));
	at = put(buf, at, VU_SET_VRING_BASE, NEED_REPLY, &base, sizeof(base));
	at = put(buf, at, VU_SET_VRING_ADDR, NEED_REPLY, &addr, sizeof(addr));
	at = put_u64(buf, at, VU_SET_VRING_KICK, NEED_REPLY | WITH_EVENT, index);
	at = put_u64(buf, at, VU_SET_VRING_CALL, NEED_REPLY, index | VU_VRING_FD_NONE);
	at = put_u64(buf, at, VU_SET_VRING_ERR, NEED_REPLY | WITH_EVENT, index);
	return put(buf, at, VU_SET_VRING_ENABLE, NEED_REPLY, &on, sizeof(on));
}

/* 0: as QEMU with memory slots; 1: with a memory table; 2: an old front-end. */
size_t fuzz_seed(unsigned int n, uint8_t *buf)
{
	const struct vu_mem_region_msg slot = { .region = { 0, RAM_SIZE, USER, 0 } };
	const struct vu_mem_table_msg table = { .num_regions = 1,
						.regions = { { 0, RAM_SIZE, USER, 0 } } };
	const struct vu_config_msg config = { .size = 64 };
	const struct vu_vring_state stop = { 0, 0 };
	const uint64_t features = UINT64_C(0x100000001) | (n == 2 ? 0 : 1u << 30);
	size_t at = 0;

	if (n > 2)
		return 0;
	at = put(buf, at, VU_GET_FEATURES, 0, NULL, 0);
	if (n < 2) {
		at = put(buf, at, VU_GET_PROTOCOL_FEATURES, 0, NULL, 0);
		at = put_u64(buf, at, VU_SET_PROTOCOL_FEATURES, 0,
			     1u << VU_PROTOCOL_F_MQ | 1u << VU_PROTOCOL_F_REPLY_ACK |
				     1u << VU_PROTOCOL_F_CONFIG | 1u << VU_PROTOCOL_F_RESET_DEVICE |
				     1u << VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
		at = put(buf, at, VU_GET_QUEUE_NUM, 0, NULL, 0);
		at = put(buf, at, VU_GET_MAX_MEM_SLOTS, 0, NULL, 0);
		at = put(buf, at, VU_GET_CONFIG, 0, &config, 12 + 64);
	}
	at = put(buf, at, VU_SET_OWNER, 0, NULL, 0);
	at = put_u64(buf, at, VU_SET_FEATURES, 0, features);
	if (n == 0)
		at = put(buf, at, VU_ADD_MEM_REG, NEED_REPLY | WITH_MEMFD, &slot, sizeof(slot));
	else
		at = put(buf, at, VU_SET_MEM_TABLE, WITH_MEMFD, &table, 8 + 32);
	at = put_queue(buf, at, 0);
	at = put_queue(buf, at, 1);
	at = put(buf, at, VU_GET_FEATURES, KICK, NULL, 0);
	at = put(buf, at, VU_GET_FEATURES, KICK, NULL, 0);
	if (n == 0) {
		at = put(buf, at, VU_REM_MEM_REG, NEED_REPLY, &slot, sizeof(slot));
		at = put(buf, at, VU_ADD_MEM_REG, NEED_REPLY | WITH_MEMFD, &slot, sizeof(slot));
		at = put(buf, at, VU_RESET_DEVICE, NEED_REPLY, NULL, 0);
	}
	return put(buf, at, VU_GET_VRING_BASE, 0, &stop, sizeof(stop));
}
