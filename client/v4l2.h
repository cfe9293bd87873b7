/* SPDX-License-Identifier: MIT */
/* A V4L2 capture device whose buffers are dma-bufs. */
#ifndef CLIENT_V4L2_H
#define CLIENT_V4L2_H

#include <stdbool.h>
#include <stdint.h>

#include <bufshare/bufshare.h>

#define CAMERA_MAX_BUFFERS 32

struct camera_buffer {
	int dmabuf; /* owned by the camera */
	void *map;  /* writable; of @size bytes */
	uint32_t size;
	bool queued; /* with the driver */
};

struct camera {
	int fd; /* owned */
	struct bufshare_image image; /* as the driver set it */
	uint32_t num_buffers;
	uint32_t num_queued;
	struct camera_buffer buffers[CAMERA_MAX_BUFFERS];
};

struct camera_frame {
	uint32_t index;	    /* of the buffer */
	uint32_t sequence;  /* the driver's */
	uint64_t timestamp; /* ns */
	bool monotonic;	    /* of CLOCK_MONOTONIC; else of an unknown clock */
	bool damaged;	    /* what is in the buffer is not to be relied on */
};

/*
 * Opens @device, sets the format nearest to the wanted one (width, height and fourcc 0: what
 * is set), and makes @num_buffers.  On failure says why on stderr and returns a negative
 * errno; camera_close() is due in any case.
 */
int camera_open(struct camera *camera, const char *device, uint32_t width, uint32_t height,
		uint32_t fourcc, uint32_t num_buffers);
void camera_close(struct camera *camera);

/* They return 0 or a negative errno. */
int camera_start(struct camera *camera); /* queues all buffers */
int camera_stop(struct camera *camera);	 /* no buffer is queued afterwards */
int camera_queue(struct camera *camera, uint32_t index);
/* -EAGAIN: no frame now. */
int camera_dequeue(struct camera *camera, struct camera_frame *ret_frame);

#endif /* CLIENT_V4L2_H */
