/* SPDX-License-Identifier: MIT */
/* Exports of dma-bufs from several exporters, and where their pages are said to be. */
#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "tap.h"

/* An 8K picture of single pages: what the issue of this project asks for. */
#define MANY_PAGES 33177

/* /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PFN     ((1ULL << 55) - 1)
#define PAGEMAP_PRESENT (1ULL << 63)

/* Beyond any RAM that a test guest has, below the limit of the address space. */
#define NO_RAM (1ULL << 40)

static struct bufshare_extent *get_extents(int node, const struct bufshare_export *args)
{
	struct bufshare_extent *list = calloc(args->num_extents, sizeof(*list));
	struct bufshare_extents get = { .count = args->num_extents, .extents = (uintptr_t)list };

	memcpy(get.uuid, args->uuid, sizeof(get.uuid));
	if (ioctl(node, BUFSHARE_IOC_EXTENTS, &get) < 0 || get.count != args->num_extents) {
		free(list);
		return NULL;
	}
	return list;
}

/* Whether the extents are the physical pages of @map, page n of the buffer being page_of(n). */
static bool same_pages(const struct bufshare_extent *list, uint32_t count, const uint8_t *map,
		       size_t pages, size_t (*page_of)(size_t n, size_t pages))
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t done = 0, entry;
	uint32_t at = 0;
	bool same = pagemap >= 0;

	for (size_t n = 0; n < pages && same; n++) {
		uintptr_t address = (uintptr_t)map + (page_of ? page_of(n, pages) : n) * PAGE;

		same = at < count &&
		       pread(pagemap, &entry, sizeof(entry),
			     (off_t)(address / PAGE * sizeof(entry))) == sizeof(entry) &&
		       (entry & PAGEMAP_PRESENT) &&
		       (entry & PAGEMAP_PFN) * PAGE == list[at].addr + done;
		done += PAGE;
		if (same && done == list[at].len) {
			at++;
			done = 0;
		}
	}
	close(pagemap);
	return same && at == count;
}

static void test_heap(int node)
{
	size_t size = 1280UL * 720 * 4;
	struct bufshare_export args;
	struct bufshare_extent *list;
	int fd = heap_buffer(size);
	uint64_t sum = 0;

	tap_errno(0, export_fd(node, fd, &args), "system heap, 1280x720");
	list = get_extents(node, &args);
	for (uint32_t i = 0; list && i < args.num_extents; i++)
		sum += list[i].len;
	tap_ok(list && sum == args.size && sum >= size, "%u extents make up its %llu bytes",
	       args.num_extents, (unsigned long long)args.size);
	tap_ok(args.num_extents < args.size / PAGE, "neighbours are merged");
	free(list);
	tap_errno(0, unexport(node, args.uuid), "unexport");
	close(fd);
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void test_scattered(int node, size_t pages, const char *what)
{
	struct bufshare_export args;
	struct bufshare_extent *list;
	double began;
	uint8_t *map;
	int fd, memfd;

	fd = scattered_buffer(pages, &memfd);
	if (fd < 0)
		tap_bail_out("/dev/udmabuf");
	began = now();
	if (!tap_ok(!export_fd(node, fd, &args), "%s", what)) {
		printf("#   %s\n", strerror(errno));
		return;
	}
	printf("# %zu pages, %u extents: exported in %.1f ms\n", pages, args.num_extents,
	       (now() - began) * 1e3);
	tap_ok(args.num_extents >= pages - pages / 16, "hardly any pages are merged");
	list = get_extents(node, &args);
	map = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, memfd, 0);
	tap_ok(list && map != MAP_FAILED &&
	       same_pages(list, args.num_extents, map, pages, scattered_page),
	       "the extents are the pages, in order");
	munmap(map, pages * PAGE);
	free(list);
	tap_errno(0, unexport(node, args.uuid), "unexport");
	close(memfd);
	close(fd);
}

static int camera_buffer(int camera)
{
	struct v4l2_requestbuffers request = {
		.count = 2, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP,
	};
	struct v4l2_exportbuffer export = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .flags = O_RDWR | O_CLOEXEC,
	};

	if (ioctl(camera, VIDIOC_REQBUFS, &request) < 0 ||
	    ioctl(camera, VIDIOC_EXPBUF, &export) < 0)
		return -1;
	return export.fd;
}

static void test_camera(int node)
{
	int camera = open("/dev/video0", O_RDWR | O_CLOEXEC);
	struct bufshare_export args;
	struct bufshare_extent *list;
	uint8_t *map;
	int fd;

	if (camera < 0) {
		tap_skip("no camera: modprobe vivid", "V4L2 buffer");
		return;
	}
	fd = camera_buffer(camera);
	if (fd < 0)
		tap_bail_out("VIDIOC_EXPBUF");
	if (tap_ok(!export_fd(node, fd, &args), "V4L2 buffer")) {
		list = get_extents(node, &args);
		map = mmap(NULL, args.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		for (size_t i = 0; map != MAP_FAILED && i < args.size; i += PAGE)
			map[i] = 1;
		tap_ok(list && map != MAP_FAILED &&
		       same_pages(list, args.num_extents, map, args.size / PAGE, NULL),
		       "its extents are its pages");
		munmap(map, args.size);
		free(list);
		/* The camera may take its buffers back only after us. */
		close(fd);
		close(camera);
		tap_errno(0, unexport(node, args.uuid), "unexport, the camera being closed");
	}
}

static void test_odd(int node, int wanted, const char *what, uint64_t size, uint32_t count,
		     const struct test_exporter_piece *pieces)
{
	struct bufshare_export args = { .size = 0 };
	int fd = odd_buffer(pieces, count, size);

	if (fd < 0)
		tap_bail_out("/dev/bufshare_test_exporter");
	tap_errno(wanted, export_fd(node, fd, &args), "%s", what);
	close(fd);
	if (args.size)
		unexport(node, args.uuid);
}

#define ODD(node, wanted, what, size, ...)                                                    \
	do {                                                                                  \
		const struct test_exporter_piece odd[] = { __VA_ARGS__ };                     \
		test_odd(node, wanted, what, size, sizeof(odd) / sizeof(odd[0]), odd);        \
	} while (0)

static void test_odd_addresses(int node)
{
	struct test_exporter_stats stats;
	struct bufshare_export args;
	struct bufshare_extent *list;
	int fd;

	if (!have_odd_buffers()) {
		tap_skip("no module bufshare_test_exporter", "odd addresses");
		return;
	}
	ODD(node, 0, "a page of low RAM", 0, { 16 * PAGE, PAGE });
	ODD(node, EXDEV, "beyond RAM", 0, { NO_RAM, PAGE });
	ODD(node, EXDEV, "RAM, then beyond", 0, { 16 * PAGE, PAGE }, { NO_RAM, PAGE });
	ODD(node, EXDEV, "the interrupt controller's registers", 0, { 0xfee00000, PAGE });
	ODD(node, EXDEV, "from RAM across its end", 0, { 16 * PAGE, 1ULL << 31 });
	ODD(node, EINVAL, "an address between pages", 0, { 16 * PAGE + 64, PAGE });
	ODD(node, EINVAL, "half a page", 0, { 16 * PAGE, PAGE / 2 });
	ODD(node, EINVAL, "two halves that do not meet", 0, { 16 * PAGE, PAGE / 2 },
	    { 32 * PAGE, PAGE / 2 });
	ODD(node, EINVAL, "an empty piece", PAGE, { 16 * PAGE, PAGE }, { 32 * PAGE, 0 });
	ODD(node, EINVAL, "less than the size", 2 * PAGE, { 16 * PAGE, PAGE });
	ODD(node, EINVAL, "more than the size", PAGE, { 16 * PAGE, 2 * PAGE });
	ODD(node, EINVAL, "up to the end of the address space", 0, { -PAGE, PAGE });
	ODD(node, EDQUOT, "more than any quota", 1ULL << 60, { 16 * PAGE, PAGE });

	fd = odd_buffer((struct test_exporter_piece[]){ { 16 * PAGE, PAGE / 2 },
							 { 16 * PAGE + PAGE / 2, PAGE / 2 },
							 { 17 * PAGE, 3 * PAGE },
							 { 40 * PAGE, PAGE } }, 4, 0);
	tap_errno(0, export_fd(node, fd, &args), "pieces that meet");
	list = get_extents(node, &args);
	tap_ok(list && args.num_extents == 2 && list[0].addr == 16 * PAGE &&
	       list[0].len == 4 * PAGE && list[1].addr == 40 * PAGE && list[1].len == PAGE,
	       "are one");
	free(list);
	close(fd);
	stats = odd_stats();
	tap_ok(stats.mapped == 1 && stats.alive == 1, "it lives while it is exported");
	unexport(node, args.uuid);
	stats = odd_stats();
	tap_ok(stats.mapped == 0 && stats.alive == 0, "nothing is mapped after the last unexport");
}

static void test_close(void)
{
	struct test_exporter_piece piece = { 16 * PAGE, PAGE };
	int node = open_node(0), fd;

	if (!have_odd_buffers())
		return;
	fd = odd_buffer(&piece, 1, 0);
	for (int i = 0; i < 32; i++)
		export_fd(node, fd, NULL);
	close(fd);
	tap_ok(odd_stats().mapped == 32, "exported 32 times");
	close(node);
	tap_ok(odd_stats().mapped == 0 && odd_stats().alive == 0, "none is left after close");
}

int main(void)
{
	int node = open_node(0);

	if (node < 0)
		tap_bail_out("/dev/bufshare0");
	test_heap(node);
	test_scattered(node, 1, "udmabuf, one page");
	test_scattered(node, 1500, "udmabuf, 1500 single pages");
	test_scattered(node, MANY_PAGES, "udmabuf, 33177 single pages");
	test_camera(node);
	test_odd_addresses(node);
	close(node);
	test_close();
	return tap_done();
}
