/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util/log.h"

/* ---- the guest ---- */

static void tell(struct peer *peer, const struct guest_event *event)
{
	struct fixture *f = peer_priv(peer);

	(void)pthread_mutex_lock(&f->lock);
	if (f->num_events < sizeof(f->events) / sizeof(f->events[0]))
		f->events[f->num_events++] = *event;
	(void)pthread_cond_broadcast(&f->changed);
	(void)pthread_mutex_unlock(&f->lock);
}

static void on_idle(struct peer *peer, const uint8_t uuid[UUID_SIZE])
{
	struct guest_event event = { .type = GUEST_IDLE };

	memcpy(event.uuid, uuid, UUID_SIZE);
	tell(peer, &event);
}

static void on_released(struct peer *peer, const struct stream *stream,
			const uint8_t uuid[UUID_SIZE], uint64_t sequence)
{
	struct guest_event event = { .type = GUEST_RELEASED, .sequence = sequence };

	(void)stream;
	memcpy(event.uuid, uuid, UUID_SIZE);
	tell(peer, &event);
}

static void on_listeners(struct peer *peer, const struct stream *stream, uint32_t listeners)
{
	struct guest_event event = { .type = GUEST_LISTENERS, .listeners = listeners };

	(void)stream;
	tell(peer, &event);
}

static const struct peer_ops guest_ops = {
	.buffer_idle = on_idle,
	.frame_released = on_released,
	.listeners_changed = on_listeners,
};

static const struct core_limits guest_limits = {
	.max_bytes = UINT64_MAX,
	.max_buffers = 100000,
	.max_extents = 1000000,
	.max_arenas = 32,
	.max_streams = 64,
	.max_frames = VIRTIO_BUFSHARE_MAX_FRAMES,
};

struct make_buffer {
	const struct virtio_bufshare_desc *desc;
	const void *user;
	const uint32_t *pages; /* NULL: one extent from first_page on */
	uint32_t first_page, num;
	uint8_t *ret_uuid;
};

static void do_make_buffer(struct fixture *f, void *arg)
{
	static const struct virtio_bufshare_desc no_picture;
	const struct make_buffer *make = arg;
	uint32_t num = make->pages != NULL ? make->num : 1;
	struct buffer_spec spec = {
		.size = (uint64_t)make->num * PAGE,
		.num_extents = num,
		.desc = make->desc != NULL ? make->desc : &no_picture,
		.user = make->user,
	};
	struct extent *extents = calloc(num, sizeof(*extents));
	struct buffer *buffer = NULL;

	for (uint32_t i = 0; i < num; i++) {
		extents[i].arena = f->ram;
		extents[i].offset =
			(uint64_t)(make->pages != NULL ? make->pages[i] : make->first_page) * PAGE;
		extents[i].len = make->pages != NULL ? PAGE : (uint64_t)make->num * PAGE;
	}
	if (buffer_create(f->guest, &spec, &buffer) < 0 ||
	    buffer_add_extents(buffer, 0, num, extents, num) < 0)
		abort();
	memcpy(make->ret_uuid, buffer_uuid(buffer), UUID_SIZE);
	free(extents);
}

void guest_make_buffer(struct fixture *f, const uint32_t *pages, uint32_t num,
		       uint8_t ret_uuid[UUID_SIZE])
{
	struct make_buffer make = { .pages = pages, .num = num, .ret_uuid = ret_uuid };

	fixture_call(f, do_make_buffer, &make);
}

void guest_make_picture(struct fixture *f, const struct virtio_bufshare_desc *desc,
			const void *user, uint32_t first_page, uint32_t num_pages,
			uint8_t ret_uuid[UUID_SIZE])
{
	struct make_buffer make = {
		.desc = desc,
		.user = user,
		.first_page = first_page,
		.num = num_pages,
		.ret_uuid = ret_uuid,
	};

	fixture_call(f, do_make_buffer, &make);
}

struct destroy {
	const uint8_t *uuid;
	uint32_t users;
};

static void do_destroy(struct fixture *f, void *arg)
{
	struct destroy *destroy = arg;

	buffer_destroy(buffer_find_owned(f->guest, destroy->uuid), &destroy->users);
}

uint32_t guest_destroy_buffer(struct fixture *f, const uint8_t uuid[UUID_SIZE])
{
	struct destroy destroy = { .uuid = uuid };

	fixture_call(f, do_destroy, &destroy);
	return destroy.users;
}

static void do_users(struct fixture *f, void *arg)
{
	struct destroy *query = arg;

	query->users = buffer_users(buffer_find_owned(f->guest, query->uuid));
}

uint32_t guest_users(struct fixture *f, const uint8_t uuid[UUID_SIZE])
{
	struct destroy query = { .uuid = uuid };

	fixture_call(f, do_users, &query);
	return query.users;
}

struct make_stream {
	const char *name;
	uint32_t id;
};

static void do_make_stream(struct fixture *f, void *arg)
{
	struct make_stream *make = arg;
	struct stream *stream;

	if (stream_create(f->guest, make->name, VIRTIO_BUFSHARE_MAX_FRAMES, &stream) < 0)
		abort();
	make->id = stream_id(stream);
}

uint32_t guest_make_stream(struct fixture *f, const char *name)
{
	struct make_stream make = { .name = name };

	fixture_call(f, do_make_stream, &make);
	return make.id;
}

static void do_end_stream(struct fixture *f, void *arg)
{
	const uint32_t *id = arg;

	stream_destroy(stream_find_owned(f->guest, *id));
}

void guest_end_stream(struct fixture *f, uint32_t id)
{
	fixture_call(f, do_end_stream, &id);
}

struct publish {
	uint32_t id;
	const uint8_t *uuid;
	uint64_t sequence;
	int result;
};

static void do_publish(struct fixture *f, void *arg)
{
	struct publish *publish = arg;
	struct frame_info frame = {
		.sequence = publish->sequence,
		.timestamp = publish->sequence * 1000,
		.received = 5,
		.clock = VIRTIO_BUFSHARE_CLOCK_MONOTONIC,
	};
	uint32_t listeners = 0;

	publish->result = stream_publish(stream_find_owned(f->guest, publish->id), publish->uuid,
					 &frame, &listeners);
	if (publish->result == 0)
		publish->result = (int)listeners;
}

int guest_publish(struct fixture *f, uint32_t id, const uint8_t uuid[UUID_SIZE], uint64_t sequence)
{
	struct publish publish = { .id = id, .uuid = uuid, .sequence = sequence };

	fixture_call(f, do_publish, &publish);
	return publish.result;
}

static void do_reset(struct fixture *f, void *arg)
{
	(void)arg;
	peer_reset(f->guest);
}

void guest_reset(struct fixture *f)
{
	fixture_call(f, do_reset, NULL);
}

static void do_suspend(struct fixture *f, void *arg)
{
	const bool *suspended = arg;

	peer_set_suspended(f->guest, *suspended);
}

void guest_suspend(struct fixture *f, bool suspended)
{
	fixture_call(f, do_suspend, &suspended);
}

static void do_leave(struct fixture *f, void *arg)
{
	(void)arg;
	peer_destroy(f->guest);
	f->guest = NULL;
}

void guest_leave(struct fixture *f)
{
	fixture_call(f, do_leave, NULL);
}

struct guest_event guest_next(struct fixture *f)
{
	struct guest_event event = { 0 };
	struct timespec deadline;
	int error = 0;

	(void)clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 10;
	(void)pthread_mutex_lock(&f->lock);
	while (error == 0 && f->taken_events == f->num_events)
		error = pthread_cond_timedwait(&f->changed, &f->lock, &deadline);
	if (error == 0)
		event = f->events[f->taken_events++];
	(void)pthread_mutex_unlock(&f->lock);
	assert_int_equal(error, 0);
	return event;
}

static void do_stats(struct fixture *f, void *arg)
{
	core_get_stats(f->core, arg);
}

struct core_stats fixture_stats(struct fixture *f)
{
	struct core_stats stats;

	fixture_call(f, do_stats, &stats);
	return stats;
}

/* ---- the thread ---- */

static void on_call(struct loop_source *source, uint32_t events)
{
	struct fixture *f = (struct fixture *)((char *)source - offsetof(struct fixture, calls));
	eventfd_t count;

	(void)events;
	(void)eventfd_read(f->call_fd, &count);
	f->call(f, f->call_arg);
	(void)pthread_mutex_lock(&f->lock);
	f->call = NULL;
	(void)pthread_cond_broadcast(&f->changed);
	(void)pthread_mutex_unlock(&f->lock);
}

void fixture_call(struct fixture *f, void (*fn)(struct fixture *f, void *arg), void *arg)
{
	(void)pthread_mutex_lock(&f->lock);
	f->call = fn;
	f->call_arg = arg;
	(void)eventfd_write(f->call_fd, 1);
	while (f->call != NULL)
		(void)pthread_cond_wait(&f->changed, &f->lock);
	(void)pthread_mutex_unlock(&f->lock);
}

static void *run(void *arg)
{
	struct fixture *f = arg;

	(void)loop_run(f->loop);
	return NULL;
}

static void do_quit(struct fixture *f, void *arg)
{
	(void)arg;
	loop_quit(f->loop, 0);
}

struct fixture *fixture_start(const struct client_server_options *options)
{
	const struct client_trust trust[] = { { .uid = 0, .write = true },
					      { .uid = getuid(), .write = true } };
	struct client_server_options with_path = { .listen_fd = -1,
						   .trust = trust,
						   .num_trust = 2 };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	log_set_level(getenv("TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : 0);
	(void)strcpy(f->dir, "/tmp/bufshare-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	/* A client of another uid has to get at the socket. */
	assert_int_equal(chmod(f->dir, 0755), 0);
	(void)snprintf(f->path, sizeof(f->path), "%s/client.sock", f->dir);
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->changed, NULL);
	f->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(loop_create(&f->loop), 0);
	assert_int_equal(core_create(&f->core), 0);
	f->ram_fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(f->ram_fd, (off_t)RAM_PAGES * PAGE), 0);
	assert_int_equal(fcntl(f->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	f->ram_map = mmap(NULL, (size_t)RAM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  f->ram_fd, 0);
	assert_true(f->ram_map != MAP_FAILED);
	assert_int_equal(peer_create(f->core, PEER_GUEST, "vm0", false, &guest_limits, &guest_ops, f,
				     &f->guest),
			 0);
	assert_int_equal(arena_get(f->guest, f->ram_fd, &f->ram), 0);
	if (options != NULL)
		with_path = *options;
	with_path.path = f->path;
	assert_int_equal(client_server_create(f->loop, f->core, &with_path, &f->server), 0);
	assert_int_equal(loop_add(f->loop, &f->calls, f->call_fd, EPOLLIN, on_call), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	return f;
}

void fixture_stop(struct fixture *f)
{
	fixture_call(f, do_quit, NULL);
	(void)pthread_join(f->thread, NULL);
	loop_remove(&f->calls);
	client_server_destroy(f->server);
	peer_destroy(f->guest);
	arena_unref(f->ram);
	core_destroy(f->core);
	loop_destroy(f->loop);
	(void)munmap(f->ram_map, (size_t)RAM_PAGES * PAGE);
	close(f->ram_fd);
	close(f->call_fd);
	/* The server took its name away; else this fails and the test with it. */
	assert_int_equal(rmdir(f->dir), 0);
	(void)pthread_mutex_destroy(&f->lock);
	(void)pthread_cond_destroy(&f->changed);
	free(f);
}

int fixture_setup(void **state)
{
	*state = fixture_start(NULL);
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_stop(*state);
	return 0;
}

/* ---- raw clients ---- */

int raw_connect(const struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval timeout = { .tv_sec = 10 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)strcpy(address.sun_path, f->path);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

int raw_client(const struct fixture *f)
{
	struct bufshare_msg_hello hello = { .name = "raw" };
	int fd = raw_connect(f);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), NULL),
			 BUFSHARE_S_OK);
	return fd;
}

void raw_send(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

void raw_request(int fd, uint32_t type, void *msg, size_t len)
{
	struct bufshare_msg_hdr hdr = { .type = htole32(type), .serial = htole32(7) };

	memcpy(msg, &hdr, sizeof(hdr));
	raw_send(fd, msg, len);
}

size_t raw_receive(int fd, void *data, size_t size, int *ret_fds, uint32_t *ret_num_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * BUFSHARE_MSG_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;

	if (len < 0 && errno == ECONNRESET)
		return 0;
	assert_true(len >= 0);
	cmsg = CMSG_FIRSTHDR(&msg);
	if (ret_fds == NULL) {
		assert_null(cmsg);
	} else {
		*ret_num_fds = 0;
		if (cmsg != NULL) {
			*ret_num_fds = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(ret_fds, CMSG_DATA(cmsg), *ret_num_fds * sizeof(int));
		}
	}
	return (size_t)len;
}

uint32_t raw_status(int fd, uint32_t type, void *msg, size_t len, void *ret_reply)
{
	static uint64_t scratch[BUFSHARE_MSG_MAX / sizeof(uint64_t)];
	uint64_t *reply = ret_reply != NULL ? ret_reply : scratch;
	struct bufshare_msg_hdr hdr;

	raw_request(fd, type, msg, len);
	assert_true(raw_receive(fd, reply, BUFSHARE_MSG_MAX, NULL, NULL) >= sizeof(hdr));
	memcpy(&hdr, reply, sizeof(hdr));
	assert_int_equal(le32toh(hdr.type), type);
	assert_int_equal(le32toh(hdr.serial), 7);
	return le32toh(hdr.status);
}

uint32_t raw_get(int fd, const uint8_t uuid[UUID_SIZE])
{
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(2) };
	static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];
	int fds[BUFSHARE_MSG_MAX_FDS];
	uint32_t num_fds;

	memcpy(msg.uuid, uuid, UUID_SIZE);
	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg));
	assert_true(raw_receive(fd, reply, sizeof(reply), fds, &num_fds) > 0);
	for (uint32_t i = 0; i < num_fds; i++)
		close(fds[i]);
	return le32toh(((struct bufshare_msg_hdr *)reply)->status);
}

uint32_t raw_put(int fd, const uint8_t uuid[UUID_SIZE])
{
	struct bufshare_msg_buffer_put msg = { 0 };

	memcpy(msg.uuid, uuid, UUID_SIZE);
	return raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &msg, sizeof(msg), NULL);
}

void raw_expect_end(int fd)
{
	uint64_t data[64];

	assert_int_equal(raw_receive(fd, data, sizeof(data), NULL, NULL), 0);
}
