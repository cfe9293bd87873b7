/* SPDX-License-Identifier: MIT */
/*
 * What the daemon costs, measured from outside: this program plays VMM, guest and host
 * program towards the daemon's own process, all on one core.
 *
 * Usage: bench DAEMON [QUICK]: prints a JSON object.  Times are medians over rounds; what
 * is compared with each other is measured in turns within each round, together with the
 * floor: an eventfd ping-pong between two processes on the same core.
 */
#include <endian.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bufshare_client_protocol.h"
#include "guest.h"
#include "virtio_bufshare.h"
#include "vmm.h"

#define PAGE	  4096
#define RAM_SIZE  (UINT64_C(1) << 30)
#define FIRST	  UINT64_C(0x1000000) /* buffers from here on: above the harness' rings */
#define IDLE_VMS  100
#define MAX_CHUNK 4094 /* extents in one request */

static uint32_t rounds = 41, per_round = 200, heap_buffers = 50000;

static void die(const char *what, int error) __attribute__((noreturn));

static void die(const char *what, int error)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static void check(const char *what, int ret)
{
	if (ret < 0)
		die(what, ret);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void pin_to_one_core(void)
{
	cpu_set_t all, one;
	int cpu = 0;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		die("sched_getaffinity", errno);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	/* Children inherit it. */
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		die("sched_setaffinity", errno);
}

/* ---- the floor ---- */

struct floor {
	int ping, pong;
	pid_t child;
};

static void floor_start(struct floor *floor)
{
	uint64_t n;

	floor->ping = eventfd(0, EFD_CLOEXEC);
	floor->pong = eventfd(0, EFD_CLOEXEC);
	if (floor->ping < 0 || floor->pong < 0)
		die("eventfd", errno);
	floor->child = fork();
	if (floor->child < 0)
		die("fork", errno);
	if (floor->child)
		return;
	while (read(floor->ping, &n, sizeof(n)) == sizeof(n)) {
		if (write(floor->pong, &n, sizeof(n)) < 0)
			break;
	}
	_exit(0);
}

static void floor_once(struct floor *floor)
{
	uint64_t n = 1;

	if (write(floor->ping, &n, sizeof(n)) < 0 || read(floor->pong, &n, sizeof(n)) < 0)
		die("eventfd", errno);
}

static void floor_end(struct floor *floor)
{
	(void)kill(floor->child, SIGKILL);
	(void)waitpid(floor->child, NULL, 0);
	close(floor->ping);
	close(floor->pong);
}

/* ---- the daemon and its peers ---- */

struct daemon {
	pid_t pid;
	char dir[32];
};

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *format(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		die("vasprintf", ENOMEM);
	va_end(args);
	return text;
}

static void daemon_start(struct daemon *daemon, const char *program, int vms)
{
	char **argv = calloc((size_t)vms + 8, sizeof(char *));
	char line[8];
	int ready[2], argc = 0;

	memcpy(daemon->dir, "/tmp/bufshare-bench-XXXXXX", sizeof("/tmp/bufshare-bench-XXXXXX"));
	if (!argv || !mkdtemp(daemon->dir) || pipe(ready) < 0)
		die("cannot prepare", errno);
	argv[argc++] = (char *)program;
	for (int i = 0; i < vms; i++)
		argv[argc++] = format("--socket-path=vm%d=%s/vm%d", i, daemon->dir, i);
	argv[argc++] = format("--client-socket=%s/clients", daemon->dir);
	argv[argc++] = format("--ready-fd=%d", ready[1]);
	argv[argc++] = format("--max-buffers=%u", heap_buffers + 16);
	daemon->pid = fork();
	if (daemon->pid < 0)
		die("fork", errno);
	if (daemon->pid == 0) {
		/* Its messages about clients and VMs are not what is measured. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(127);
		execv(program, argv);
		_exit(127);
	}
	close(ready[1]);
	if (read(ready[0], line, sizeof(line)) != 6)
		die(program, ECHILD);
	close(ready[0]);
	for (int i = 1; i < argc; i++)
		free(argv[i]);
	free(argv);
}

static void daemon_end(struct daemon *daemon)
{
	int status;

	(void)kill(daemon->pid, SIGTERM);
	if (waitpid(daemon->pid, &status, 0) != daemon->pid || status)
		die("the daemon did not end well", ECHILD);
	(void)rmdir(daemon->dir);
}

/* A number from /proc/PID/status, as "VmData". */
static uint64_t daemon_status(const struct daemon *daemon, const char *field)
{
	char path[64], line[256];
	uint64_t value = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", daemon->pid);
	file = fopen(path, "re");
	if (!file)
		die(path, errno);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			value = strtoull(line + strlen(field) + 1, NULL, 10);
	}
	(void)fclose(file);
	return value;
}

struct vm {
	struct vmm *vmm;
	struct guest *guest;
	struct guest_queue *control, *events;
};

static void vm_request(struct vm *vm, const void *req, size_t len, void *resp, uint32_t resp_len)
{
	const struct virtio_bufshare_resp_hdr *hdr = resp;
	uint32_t used;

	check("request", guest_request(vm->control, req, (uint32_t)len, resp, resp_len, &used));
	if (used != resp_len || hdr->status)
		die("a request was refused", used < sizeof(*hdr) ? EPROTO : EINVAL);
}

static void vm_open(struct vm *vm, const struct daemon *daemon, int index, uint64_t ram)
{
	const struct vmm_region region = { .guest_addr = 0, .size = ram };
	const struct vmm_options options = { .regions = &region, .num_regions = 1 };
	struct virtio_bufshare_start start = { .hdr.type = htole32(VIRTIO_BUFSHARE_REQ_START) };
	struct virtio_bufshare_start_resp resp;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/vm%d", daemon->dir, index);
	check("connect", vmm_create_path(&vm->vmm, path, &options));
	check("handshake", vmm_handshake(vm->vmm));
	check("memory", vmm_send_memory(vm->vmm));
	check("guest", guest_create(&vm->guest, vm->vmm, VIRTIO_BUFSHARE_NUM_VQS, 64));
	vm->control = &vm->guest->queues[VIRTIO_BUFSHARE_VQ_CONTROL];
	vm->events = &vm->guest->queues[VIRTIO_BUFSHARE_VQ_EVENT];
	check("start", guest_start(vm->guest));
	vm_request(vm, &start, sizeof(start), &resp, sizeof(resp));
}

static void vm_close(struct vm *vm)
{
	guest_destroy(vm->guest);
	vmm_destroy(vm->vmm);
}

static void vm_post_event(struct vm *vm, uint64_t addr)
{
	const struct guest_part part = { .addr = addr, .len = VIRTIO_BUFSHARE_EVENT_SPACE };

	check("event buffer", guest_submit(vm->events, &part, 0, 1));
	guest_kick(vm->events);
}

static void vm_wait_event(struct vm *vm)
{
	uint16_t head;
	uint32_t len;

	check("event", guest_wait(vm->events, &head, &len));
}

/* A buffer of @bytes, of @extents pieces that do not touch (1: in one piece). */
static void vm_export(struct vm *vm, uint64_t bytes, uint32_t extents, uint32_t width,
		      uint32_t height, uint8_t ret_uuid[VIRTIO_BUFSHARE_UUID_SIZE])
{
	static struct {
		struct virtio_bufshare_buffer_add_extents add;
		struct virtio_bufshare_extent extents[MAX_CHUNK];
	} chunk;
	struct {
		struct virtio_bufshare_buffer_create create;
		struct virtio_bufshare_extent extent;
	} req = {
		.create = {
			.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_CREATE),
			.size = htole64(bytes),
			.num_extents = htole32(extents),
			.num_inline = htole32(extents == 1),
		},
		.extent = { .addr = htole64(FIRST), .len = htole64(bytes) },
	};
	struct virtio_bufshare_buffer_create_resp resp;
	struct virtio_bufshare_resp_hdr hdr;
	uint64_t each = bytes / extents;

	if (width) {
		req.create.desc.width = htole32(width);
		req.create.desc.height = htole32(height);
		req.create.desc.fourcc = htole32(0x34325258); /* XR24 */
		req.create.desc.num_planes = htole32(1);
		req.create.desc.planes[0].stride = htole32(width * 4);
	}
	vm_request(vm, &req, sizeof(req.create) + (extents == 1 ? sizeof(req.extent) : 0), &resp,
		   sizeof(resp));
	memcpy(ret_uuid, resp.uuid, sizeof(resp.uuid));
	if (extents == 1)
		return;
	for (uint32_t first = 0; first < extents; first += MAX_CHUNK) {
		uint32_t n = extents - first < MAX_CHUNK ? extents - first : MAX_CHUNK;

		chunk.add.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS);
		memcpy(chunk.add.uuid, resp.uuid, sizeof(resp.uuid));
		chunk.add.first = htole32(first);
		chunk.add.count = htole32(n);
		for (uint32_t i = 0; i < n; i++) {
			chunk.extents[i].addr = htole64(FIRST + 2 * each * (first + i));
			chunk.extents[i].len = htole64(each);
		}
		vm_request(vm, &chunk, sizeof(chunk.add) + n * sizeof(chunk.extents[0]), &hdr,
			   sizeof(hdr));
	}
}

static void vm_destroy_buffer(struct vm *vm, const uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE])
{
	struct virtio_bufshare_buffer_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY),
	};
	struct virtio_bufshare_buffer_state_resp resp;

	memcpy(req.uuid, uuid, sizeof(req.uuid));
	vm_request(vm, &req, sizeof(req), &resp, sizeof(resp));
}

/* ---- the host program ---- */

static int client_open(const struct daemon *daemon)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/clients", daemon->dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("client socket", errno);
	return fd;
}

/* The next message; it must be of @type and without error. */
static void client_receive(int fd, uint32_t type, void *msg, size_t size)
{
	const struct bufshare_msg_hdr *hdr = msg;
	ssize_t n = recv(fd, msg, size, 0);

	if (n < (ssize_t)sizeof(*hdr) || le32toh(hdr->type) != type || hdr->status)
		die("client: not the message that was expected", EPROTO);
}

static void client_call(int fd, uint32_t type, void *msg, size_t len, void *reply, size_t size)
{
	struct bufshare_msg_hdr *hdr = msg;

	hdr->type = htole32(type);
	hdr->serial = htole32(1);
	if (send(fd, msg, len, 0) != (ssize_t)len)
		die("client: send", errno);
	client_receive(fd, type, reply, size);
}

/* ---- frames ---- */

struct frames {
	struct vm vm;
	struct floor floor;
	int client;
	uint32_t stream, consumer;
	uint64_t sequence, event_addr;
};

static void frames_open(struct frames *f, const struct daemon *daemon)
{
	struct virtio_bufshare_stream_create create = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_CREATE),
		.name = "bench",
		.max_frames = htole32(4),
	};
	struct virtio_bufshare_stream_create_resp resp;
	struct bufshare_msg_hello hello = { .name = "bench" };
	struct bufshare_msg_hello_reply welcome;
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "bench" };
	struct bufshare_msg_stream_join_reply joined;

	vm_open(&f->vm, daemon, 0, RAM_SIZE);
	vm_request(&f->vm, &create, sizeof(create), &resp, sizeof(resp));
	f->stream = resp.stream_id;
	f->event_addr = guest_alloc(f->vm.guest, VIRTIO_BUFSHARE_EVENT_SPACE, 64);
	vm_post_event(&f->vm, f->event_addr);
	f->client = client_open(daemon);
	client_call(f->client, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), &welcome,
		    sizeof(welcome));
	client_call(f->client, BUFSHARE_MSG_STREAM_JOIN, &join, sizeof(join), &joined,
		    sizeof(joined));
	f->consumer = joined.consumer_id;
	vm_wait_event(&f->vm); /* of the new listener */
	floor_start(&f->floor);
}

static void frames_close(struct frames *f)
{
	floor_end(&f->floor);
	close(f->client);
	vm_close(&f->vm);
}

/* Publish, receive, release, and the release's event in the guest. */
static void frame_once(struct frames *f, const uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE])
{
	struct virtio_bufshare_stream_publish publish = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH),
		.stream_id = f->stream,
		.sequence = htole64(++f->sequence),
	};
	struct virtio_bufshare_stream_publish_resp published;
	struct bufshare_msg_event_frame frame;
	struct bufshare_msg_frame_release release = {
		.consumer_id = f->consumer,
		.sequence = htole64(f->sequence),
	};
	struct bufshare_msg_hdr released;

	memcpy(publish.uuid, uuid, sizeof(publish.uuid));
	vm_post_event(&f->vm, f->event_addr);
	vm_request(&f->vm, &publish, sizeof(publish), &published, sizeof(published));
	client_receive(f->client, BUFSHARE_MSG_EVENT_FRAME, &frame, sizeof(frame));
	client_call(f->client, BUFSHARE_MSG_FRAME_RELEASE, &release, sizeof(release), &released,
		    sizeof(released));
	vm_wait_event(&f->vm);
}

static void query_once(struct frames *f, const uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE])
{
	struct virtio_bufshare_buffer_ref req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_REQ_BUFFER_QUERY),
	};
	struct virtio_bufshare_buffer_state_resp resp;

	memcpy(req.uuid, uuid, sizeof(req.uuid));
	vm_request(&f->vm, &req, sizeof(req), &resp, sizeof(resp));
}

enum what { FLOOR, QUERY, SMALL, LARGE, SCATTERED, NUM_WHAT };

_Static_assert(NUM_WHAT == 5, "the order of turns wants a prime");

static void one_turn(struct frames *f, int turn, uint8_t uuids[NUM_WHAT][16])
{
	if (turn == FLOOR)
		floor_once(&f->floor);
	else if (turn == QUERY)
		query_once(f, uuids[SMALL]);
	else
		frame_once(f, uuids[turn]);
}

static void measure_frames(const struct daemon *daemon)
{
	static const char *const names[NUM_WHAT] = {
		"eventfd_ping_pong", "control_request", "frame_64x64", "frame_4k",
		"frame_4k_scattered",
	};
	uint8_t uuids[NUM_WHAT][16];
	double *times[NUM_WHAT];
	struct frames f = { 0 };

	frames_open(&f, daemon);
	vm_export(&f.vm, UINT64_C(64) * 64 * 4, 1, 64, 64, uuids[SMALL]);
	vm_export(&f.vm, UINT64_C(3840) * 2160 * 4, 1, 3840, 2160, uuids[LARGE]);
	vm_export(&f.vm, UINT64_C(3840) * 2160 * 4, 8100, 3840, 2160, uuids[SCATTERED]);
	for (int w = 0; w < NUM_WHAT; w++) {
		times[w] = calloc(rounds, sizeof(double));
		if (!times[w])
			die("times", ENOMEM);
	}
	for (uint32_t round = 0; round < rounds; round++) {
		uint64_t spent[NUM_WHAT] = { 0 };

		/* In turns, one by one: what disturbs the machine disturbs all alike. */
		for (uint32_t i = 0; i < per_round; i++) {
			for (int w = 0; w < NUM_WHAT; w++) {
				/*
				 * Steps of 1 to 4 through five places (a prime): each comes
				 * after each of the others equally often, and none profits
				 * from what another left in the caches.
				 */
				int turn = (int)((i + (uint32_t)w * (1 + i % 4)) % NUM_WHAT);
				uint64_t start;

				/* Once unmeasured: the floor's process runs less often. */
				one_turn(&f, turn, uuids);
				start = now_ns();
				one_turn(&f, turn, uuids);
				spent[turn] += now_ns() - start;
			}
		}
		for (int w = 0; w < NUM_WHAT; w++)
			times[w][round] = (double)spent[w] / per_round / 1000;
	}
	printf("  \"us\": {");
	for (int w = 0; w < NUM_WHAT; w++) {
		printf("%s\"%s\": %.3f", w ? ", " : "", names[w], median(times[w], rounds));
		free(times[w]);
	}
	printf("},\n");
	frames_close(&f);
}

/* ---- export ---- */

static void measure_export(const struct daemon *daemon)
{
	static const uint32_t counts[] = { 1, 16, 256, 1024, 4096, 16384, 33177, 65536 };
	uint32_t repeats = rounds / 4 + 1;
	double *times = calloc(repeats, sizeof(double));
	struct vm vm;
	uint8_t uuid[16];

	if (!times)
		die("times", ENOMEM);
	vm_open(&vm, daemon, 0, RAM_SIZE);
	printf("  \"export_us\": {");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (uint32_t r = 0; r < repeats; r++) {
			uint64_t start = now_ns();

			vm_export(&vm, (uint64_t)counts[i] * PAGE, counts[i], 0, 0, uuid);
			times[r] = (double)(now_ns() - start) / 1000;
			vm_destroy_buffer(&vm, uuid);
		}
		printf("%s\"%u\": %.3f", i ? ", " : "", counts[i], median(times, repeats));
	}
	printf("},\n");
	free(times);
	vm_close(&vm);
}

/* ---- memory, wake-ups ---- */

/* A daemon of its own: what an earlier measurement freed would be used again unseen. */
static void measure_heap(const char *program)
{
	struct daemon daemon;
	struct vm vm;
	uint64_t before;
	uint8_t uuid[16];

	daemon_start(&daemon, program, 1);
	vm_open(&vm, &daemon, 0, RAM_SIZE);
	vm_export(&vm, PAGE, 1, 0, 0, uuid);
	before = daemon_status(&daemon, "VmData");
	for (uint32_t i = 0; i < heap_buffers; i++)
		vm_export(&vm, PAGE, 1, 0, 0, uuid);
	printf("  \"heap_bytes_per_buffer\": %.1f,\n",
	       (double)(daemon_status(&daemon, "VmData") - before) * 1024 / heap_buffers);
	vm_close(&vm);
	daemon_end(&daemon);
}

/* Time is what is waited for here: that nothing happens in it. */
static void measure_idle(const char *program)
{
	const struct timespec two_seconds = { .tv_sec = 2 };
	struct vm *vms = calloc(IDLE_VMS, sizeof(*vms));
	struct daemon daemon;
	uint64_t before;

	if (!vms)
		die("VMs", ENOMEM);
	daemon_start(&daemon, program, IDLE_VMS);
	for (int i = 0; i < IDLE_VMS; i++)
		vm_open(&vms[i], &daemon, i, 16 << 20);
	/* It sleeps after the last request was answered. */
	(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	before = daemon_status(&daemon, "voluntary_ctxt_switches");
	(void)nanosleep(&two_seconds, NULL);
	printf("  \"idle_vms\": %d,\n  \"idle_wakeups\": %llu,\n  \"idle_rss_kib\": %llu\n",
	       IDLE_VMS,
	       (unsigned long long)(daemon_status(&daemon, "voluntary_ctxt_switches") - before),
	       (unsigned long long)daemon_status(&daemon, "RssAnon"));
	for (int i = 0; i < IDLE_VMS; i++)
		vm_close(&vms[i]);
	free(vms);
	daemon_end(&daemon);
}

int main(int argc, char **argv)
{
	struct daemon daemon;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench DAEMON [quick]\n");
		return 2;
	}
	if (argc > 2) {
		rounds = 5;
		per_round = 20;
		heap_buffers = 10000;
	}
	pin_to_one_core();
	printf("{\n  \"rounds\": %u,\n  \"per_round\": %u,\n", rounds, per_round);
	daemon_start(&daemon, argv[1], 1);
	measure_frames(&daemon);
	measure_export(&daemon);
	daemon_end(&daemon);
	measure_heap(argv[1]);
	measure_idle(argv[1]);
	printf("}\n");
	return 0;
}
