/* SPDX-License-Identifier: MIT */
/* Every ioctl of /dev/bufshareN, with good and bad input. */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

#define FOURCC(a, b, c, d) ((uint32_t)(a) | (b) << 8 | (c) << 16 | (uint32_t)(d) << 24)
#define XR24 FOURCC('X', 'R', '2', '4')
#define SIZE (64 * PAGE)

/* An address where no memory is. */
#define NOWHERE_ADDRESS 8
#define NOWHERE		((void *)NOWHERE_ADDRESS)

static const uint8_t nobody[BUFSHARE_UUID_SIZE] = { 1, 2, 3, 4, 5, 6, 0x40, 7, 0x80 };

static void test_info(int node)
{
	struct bufshare_info info;

	memset(&info, 0xff, sizeof(info));
	tap_errno(0, ioctl(node, BUFSHARE_IOC_INFO, &info), "INFO");
	tap_ok(memchr(info.label, 0, sizeof(info.label)) && info.label[0], "label is a name");
	tap_ok(info.max_bytes >= SIZE && info.max_buffers && info.max_extents, "quotas are told");
	tap_ok(!info.reserved[0] && !info.reserved[3], "reserved fields are 0");
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_INFO, NOWHERE), "INFO to nowhere");
	tap_errno(ENOTTY, ioctl(node, _IO(BUFSHARE_IOC_MAGIC, 0x7f), 0), "unknown ioctl");
	tap_errno(ENOTTY, ioctl(node, _IOWR(BUFSHARE_IOC_MAGIC, 0x01, int), &info),
		  "EXPORT of another size");
}

static int export_with(int node, int fd, void (*change)(struct bufshare_export *))
{
	struct bufshare_export args = {
		.fd = fd,
		.desc = { .width = 128, .height = 64, .fourcc = XR24, .num_planes = 1,
			  .planes = { { .stride = 512 } } },
	};
	int ret;

	if (change)
		change(&args);
	ret = ioctl(node, BUFSHARE_IOC_EXPORT, &args);
	return ret < 0 ? ret : unexport(node, args.uuid);
}

#define CHANGE(name, what)                                                                     \
	static void name(struct bufshare_export *args)                                        \
	{                                                                                     \
		args->what;                                                                   \
	}

CHANGE(set_flags, flags = 1)
CHANGE(set_reserved, reserved = 1)
CHANGE(set_reserved2, reserved2 = 1)
CHANGE(set_desc_reserved, desc.reserved = 1)
CHANGE(set_plane_reserved, desc.planes[3].reserved = 1)
CHANGE(set_many_planes, desc.num_planes = 5)
CHANGE(set_no_planes, desc.num_planes = 0)
CHANGE(set_no_fourcc, desc.fourcc = 0)
CHANGE(set_no_width, desc.width = 0)
CHANGE(set_far_plane, desc.planes[0].offset = SIZE)
CHANGE(set_wide_stride, desc.planes[0].stride = 1 << 20)
CHANGE(set_huge_stride, desc.planes[0].stride = 0xffffffff)
CHANGE(set_unused_plane, desc.planes[1].stride = 512)
CHANGE(set_range, desc.range = 3)
CHANGE(set_user_nowhere, user_len = 16)
CHANGE(set_user_long, user_len = BUFSHARE_MAX_USER_LEN + 1)

static void test_export(int node)
{
	int fd = heap_buffer(SIZE), memfd = memfd_create("no dma-buf", MFD_CLOEXEC);
	struct bufshare_export a, b;

	if (fd < 0)
		tap_bail_out("/dev/dma_heap/system");
	tap_errno(0, export_with(node, fd, NULL), "EXPORT of a picture");
	tap_errno(EBADF, export_with(node, -1, NULL), "fd -1");
	tap_errno(EBADF, export_with(node, memfd, NULL), "an fd that is no dma-buf");
	tap_errno(EBADF, export_with(node, node, NULL), "the node itself");
	tap_errno(EINVAL, export_with(node, fd, set_flags), "flags");
	tap_errno(EINVAL, export_with(node, fd, set_reserved), "reserved");
	tap_errno(EINVAL, export_with(node, fd, set_reserved2), "reserved2");
	tap_errno(EINVAL, export_with(node, fd, set_desc_reserved), "desc.reserved");
	tap_errno(EINVAL, export_with(node, fd, set_plane_reserved), "planes[3].reserved");
	tap_errno(EINVAL, export_with(node, fd, set_many_planes), "5 planes");
	tap_errno(EINVAL, export_with(node, fd, set_no_planes), "no planes");
	tap_errno(EINVAL, export_with(node, fd, set_no_fourcc), "a picture without a format");
	tap_errno(EINVAL, export_with(node, fd, set_no_width), "no width");
	tap_errno(EINVAL, export_with(node, fd, set_far_plane), "a plane at the end");
	tap_errno(EINVAL, export_with(node, fd, set_wide_stride), "a plane beyond the end");
	tap_errno(EINVAL, export_with(node, fd, set_huge_stride), "a stride of 4 GiB");
	tap_errno(EINVAL, export_with(node, fd, set_unused_plane), "a plane that does not count");
	tap_errno(EINVAL, export_with(node, fd, set_range), "range 3");
	tap_errno(EFAULT, export_with(node, fd, set_user_nowhere), "user data at NULL");
	tap_errno(EINVAL, export_with(node, fd, set_user_long), "1025 bytes of user data");
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_EXPORT, NOWHERE), "EXPORT from nowhere");

	tap_errno(0, export_fd(node, fd, &a), "EXPORT of bytes");
	tap_ok(a.size == SIZE && a.num_extents >= 1 && !a.reserved2, "size and extents are told");
	tap_ok((a.uuid[6] & 0xf0) == 0x40 && (a.uuid[8] & 0xc0) == 0x80, "UUID of version 4");
	tap_errno(0, export_fd(node, fd, &b), "EXPORT of the same dma-buf once more");
	tap_ok(memcmp(a.uuid, b.uuid, sizeof(a.uuid)), "another UUID");
	tap_errno(0, unexport(node, a.uuid), "UNEXPORT of the first");
	tap_errno(ENOENT, unexport(node, a.uuid), "UNEXPORT of the first, again");
	tap_errno(0, unexport(node, b.uuid), "UNEXPORT of the second");
	close(memfd);
	close(fd);
}

/* The kernel writes the result where it may not: nothing must stay exported. */
static void test_export_unreported(int node)
{
	struct bufshare_export *args = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct bufshare_next_buffer next = { 0 };
	int fd = heap_buffer(PAGE);

	args->fd = fd;
	mprotect(args, PAGE, PROT_READ);
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_EXPORT, args), "EXPORT with a read-only argument");
	tap_errno(ENOENT, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "nothing is exported");
	munmap(args, PAGE);
	close(fd);
}

static void test_unexport(int node)
{
	int fd = heap_buffer(PAGE), other = open_node(0);
	struct bufshare_unexport odd = { 0 };
	struct bufshare_export args;

	tap_errno(ENOENT, unexport(node, nobody), "UNEXPORT of nobody's UUID");
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_UNEXPORT, NOWHERE), "UNEXPORT from nowhere");
	export_fd(node, fd, &args);
	tap_errno(ENOENT, unexport(other, args.uuid), "UNEXPORT by another file");
	memcpy(odd.uuid, args.uuid, sizeof(odd.uuid));
	odd.flags = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_UNEXPORT, &odd), "UNEXPORT with flags");
	odd.flags = 0;
	odd.reserved = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_UNEXPORT, &odd), "UNEXPORT with reserved");
	tap_errno(0, unexport(node, args.uuid), "UNEXPORT by its own");
	close(other);
	close(fd);
}

static void test_next_buffer(int node)
{
	char user[BUFSHARE_MAX_USER_LEN], back[BUFSHARE_MAX_USER_LEN] = "";
	struct bufshare_export args = { .user = (uintptr_t)user, .user_len = sizeof(user) };
	struct bufshare_next_buffer next = { 0 };
	int other = open_node(0);
	int count = 0;

	memset(user, 'u', sizeof(user));
	tap_errno(ENOENT, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "no buffers");
	args.fd = heap_buffer(2 * PAGE);
	tap_errno(0, ioctl(node, BUFSHARE_IOC_EXPORT, &args), "EXPORT with 1024 bytes of user data");
	export_fd(other, args.fd, NULL);
	export_fd(node, args.fd, NULL);

	next.user = (uintptr_t)back;
	tap_errno(0, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "the first");
	tap_ok(!memcmp(next.uuid, args.uuid, sizeof(next.uuid)), "its UUID");
	tap_ok(next.size == 2 * PAGE && next.num_extents == args.num_extents &&
	       next.state == BUFSHARE_BUFFER_LIVE && next.pid == getpid(), "its size, state, pid");
	tap_ok(next.user_len == sizeof(user) && !memcmp(user, back, sizeof(user)), "its user data");
	next = (struct bufshare_next_buffer){ .flags = 1 };
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "NEXT_BUFFER with flags");
	next = (struct bufshare_next_buffer){ .reserved = 1 };
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "NEXT_BUFFER with reserved");
	next.reserved = 0;
	next.user = NOWHERE_ADDRESS;
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "user data to nowhere");

	/* We are the administrator, who sees those of every file. */
	for (next = (struct bufshare_next_buffer){ 0 };
	     !ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next); count++)
		;
	tap_ok(count == 3 && errno == ENOENT, "three, then ENOENT");
	close(other);
	count = 0;
	for (next = (struct bufshare_next_buffer){ 0 };
	     !ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next); count++)
		;
	tap_ok(count == 2, "two after the other file was closed");
	next.cursor = UINT64_MAX;
	tap_errno(ENOENT, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, &next), "cursor 2^64 - 1");
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_NEXT_BUFFER, NOWHERE), "NEXT_BUFFER from nowhere");
	close(args.fd);
}

static void test_extents(int node)
{
	struct bufshare_extent list[16] = { 0 };
	struct bufshare_extents args = { .count = 16, .extents = (uintptr_t)list };
	struct bufshare_export exported;
	int fd = heap_buffer(SIZE);
	uint64_t sum = 0;

	export_fd(node, fd, &exported);
	memcpy(args.uuid, exported.uuid, sizeof(args.uuid));
	tap_errno(0, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS");
	tap_ok(args.count == exported.num_extents || args.count == 16, "their number");
	for (uint32_t i = 0; i < args.count; i++)
		sum += list[i].len;
	tap_ok(exported.num_extents > 16 || sum == SIZE, "their sum");
	args.first = exported.num_extents;
	args.count = 16;
	tap_errno(0, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS from the end on");
	tap_ok(args.count == 0, "none");
	args.first = UINT32_MAX;
	args.count = UINT32_MAX;
	tap_errno(0, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS from 2^32 - 1 on");
	args.flags = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS with flags");
	args.flags = 0;
	args.reserved = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS with reserved");
	args = (struct bufshare_extents){ .count = 1, .extents = NOWHERE_ADDRESS };
	memcpy(args.uuid, exported.uuid, sizeof(args.uuid));
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS to nowhere");
	memcpy(args.uuid, nobody, sizeof(args.uuid));
	tap_errno(ENOENT, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS of nobody's UUID");
	if (!seteuid(65534)) {
		memcpy(args.uuid, exported.uuid, sizeof(args.uuid));
		tap_errno(EPERM, ioctl(node, BUFSHARE_IOC_EXTENTS, &args), "EXTENTS without CAP_SYS_ADMIN");
		if (seteuid(0))
			tap_bail_out("seteuid");
	}
	unexport(node, exported.uuid);
	close(fd);
}

static int create_stream(int node, const char *name, uint32_t max_frames,
			 struct bufshare_stream_create *ret_args)
{
	struct bufshare_stream_create args = { .max_frames = max_frames };
	int ret;

	memcpy(args.name, name, strlen(name));
	ret = ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &args);
	if (ret_args)
		*ret_args = args;
	return ret;
}

static void test_streams(int node)
{
	struct bufshare_stream_create args = { 0 };
	struct bufshare_stream_destroy destroy = { 0 };
	struct bufshare_info info;
	int other = open_node(0);

	ioctl(node, BUFSHARE_IOC_INFO, &info);
	tap_errno(0, create_stream(node, "a.b-c_D0", 0, &args), "STREAM_CREATE");
	tap_ok(args.stream_id && args.max_frames == info.max_frames, "its number and max_frames");
	tap_errno(EEXIST, create_stream(node, "a.b-c_D0", 0, NULL), "the same name");
	tap_errno(EEXIST, create_stream(other, "a.b-c_D0", 0, NULL), "the same name in another file");
	tap_errno(EINVAL, create_stream(node, "", 0, NULL), "no name");
	tap_errno(EINVAL, create_stream(node, "a b", 0, NULL), "a name with a blank");
	tap_errno(EINVAL, create_stream(node, "x", info.max_frames + 1, NULL), "too many frames");
	destroy.stream_id = args.stream_id;
	tap_errno(ENOENT, ioctl(other, BUFSHARE_IOC_STREAM_DESTROY, &destroy), "not by another file");
	destroy.reserved = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_STREAM_DESTROY, &destroy), "reserved");
	destroy.reserved = 0;
	tap_errno(0, ioctl(node, BUFSHARE_IOC_STREAM_DESTROY, &destroy), "STREAM_DESTROY");
	tap_errno(ENOENT, ioctl(node, BUFSHARE_IOC_STREAM_DESTROY, &destroy), "again");

	memset(args.name, 'n', sizeof(args.name));
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &args), "a name without end");
	memset(args.name, 0, sizeof(args.name));
	memcpy(args.name, "x\0y", 3);
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &args), "something after the name");
	args.name[2] = 0;
	args.flags = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &args), "flags");
	args.flags = 0;
	args.reserved = 1;
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_STREAM_CREATE, &args), "reserved");
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_STREAM_CREATE, NOWHERE), "from nowhere");
	tap_errno(0, create_stream(other, "y", 1, NULL), "a stream of another file");
	close(other);
	tap_errno(0, create_stream(node, "y", 1, &args), "its name, once that is closed");
	destroy.stream_id = args.stream_id;
	ioctl(node, BUFSHARE_IOC_STREAM_DESTROY, &destroy);
}

static void test_publish(int node)
{
	int fd = heap_buffer(PAGE), other = open_node(0);
	struct bufshare_stream_create stream;
	struct bufshare_export mine, theirs;
	struct bufshare_publish args;
	struct pollfd pfd = { .fd = node, .events = POLLIN };
	uint32_t listeners = 1;
	char buf[64];

	create_stream(node, "publish", 2, &stream);
	export_fd(node, fd, &mine);
	export_fd(other, fd, &theirs);
	tap_errno(0, publish(node, stream.stream_id, mine.uuid, 5, &listeners), "PUBLISH");
	tap_ok(listeners == 0, "no listeners");
	tap_errno(0, publish(node, stream.stream_id, mine.uuid, 6, NULL), "the same buffer at once");
	tap_errno(EINVAL, publish(node, stream.stream_id, mine.uuid, 6, NULL), "the same sequence");
	tap_errno(EINVAL, publish(node, stream.stream_id, mine.uuid, 4, NULL), "an earlier one");
	tap_errno(0, publish(node, stream.stream_id, mine.uuid, UINT64_MAX, NULL), "the last one");
	tap_errno(ENOENT, publish(node, stream.stream_id + 1, mine.uuid, 9, NULL), "unknown stream");
	tap_errno(ENOENT, publish(other, stream.stream_id, theirs.uuid, 9, NULL), "not my stream");
	tap_errno(ENOENT, publish(node, stream.stream_id, theirs.uuid, 9, NULL), "not my buffer");
	tap_errno(ENOENT, publish(node, stream.stream_id, nobody, 9, NULL), "unknown buffer");
	args = (struct bufshare_publish){ .stream_id = stream.stream_id, .flags = 1 };
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_PUBLISH, &args), "flags");
	args = (struct bufshare_publish){ .stream_id = stream.stream_id, .clock = 4 };
	tap_errno(EINVAL, ioctl(node, BUFSHARE_IOC_PUBLISH, &args), "clock 4");
	tap_errno(EFAULT, ioctl(node, BUFSHARE_IOC_PUBLISH, NOWHERE), "from nowhere");

	tap_ok(poll(&pfd, 1, 0) == 0, "no event of frames that nobody took");
	fcntl(node, F_SETFL, O_NONBLOCK);
	tap_errno(EAGAIN, read(node, buf, sizeof(buf)), "read without events");
	fcntl(node, F_SETFL, 0);
	tap_errno(EINVAL, read(node, buf, sizeof(struct bufshare_event) - 1), "read of less than one");
	unexport(node, mine.uuid);
	close(other);
	close(fd);
}

int main(void)
{
	int node = open_node(0);

	if (node < 0)
		tap_bail_out("/dev/bufshare0");
	test_info(node);
	test_export(node);
	test_export_unreported(node);
	test_unexport(node);
	test_next_buffer(node);
	close(node);
	node = open_node(0);
	test_extents(node);
	test_streams(node);
	test_publish(node);
	close(node);
	return tap_done();
}
