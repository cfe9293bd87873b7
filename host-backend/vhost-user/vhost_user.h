/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user transport: one front-end (a VMM) on one socket.
 *
 * It speaks QEMU's docs/interop/vhost-user.rst, keeps the memory table, runs split
 * virtqueues (virtio 1.x, 2.7), and knows nothing of buffers.  What the device is
 * lies behind struct vu_device_ops.  It calls nothing that can block, and neither
 * may the device.
 *
 * Words: the peer is the front-end, "guest address" is a guest-physical address,
 * a request is one descriptor chain.
 */
#ifndef VHOST_USER_VHOST_USER_H
#define VHOST_USER_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_peer;
struct loop;
struct vu_conn;

/* A contiguous piece of guest memory in one file of the memory table. */
struct vu_mem_piece {
	int fd;		 /* borrowed; valid during the call */
	uint64_t offset; /* bytes in the file */
	uint64_t len;
};

/* Returns 0 to go on, a negative errno to stop with it. */
typedef int (*vu_mem_fn)(void *arg, const struct vu_mem_piece *piece);

struct vu_device_ops {
	/* Device feature bits (0..23); the transport adds its own. */
	uint64_t features;
	uint32_t num_queues;
	size_t config_size; /* at most 256, what one message carries */
	/* The largest device-readable and -writable part of a request, bytes. */
	size_t max_request;
	size_t max_response;

	/* Fills @config (config_size bytes). */
	void (*get_config)(void *dev, uint8_t *config);
	/*
	 * All queues of a driver run, with the agreed @features.  @maybe_reset: the
	 * driver may be a new one (queues start at index 0); otherwise it is certainly
	 * the one that was stopped.
	 */
	void (*started)(void *dev, uint64_t features, bool maybe_reset);
	/*
	 * The queues stopped: the VM pauses, the driver reset the device, or the
	 * guest rebooted; vhost-user does not tell which.
	 */
	void (*stopped)(void *dev);
	/*
	 * RESET_DEVICE came: certainly a reset.  (STATUS is not offered: QEMU sends
	 * SET_STATUS 0 whenever the VM pauses.)
	 */
	void (*reset)(void *dev);
	/*
	 * One request from a queue of request_queues.  @req is a private copy of the
	 * device-readable part; a part longer than max_request is cut to max_request + 1
	 * bytes, which tells.  Writes the response to @resp (capacity @resp_cap, the
	 * driver's own room or max_response, whichever is less; may be 0) and returns its
	 * length; 0 gives the request back without a response, with a log line.  It may
	 * call vu_* functions on the connection, but not destroy it.
	 */
	size_t (*request)(void *dev, unsigned int queue, const void *req, size_t req_len,
			  void *resp, size_t resp_cap);
	/* The driver posted buffers on a queue of which vu_push() had found none. */
	void (*queue_ready)(void *dev, unsigned int queue);
	/* Bit q (num_queues is at most 32): set: requests; clear: vu_push() fills its buffers. */
	uint32_t request_queues;
	/*
	 * The connection ended, by the peer or by its fault (@error, negative errno,
	 * 0 for an orderly end).  @conn is freed after this returns.
	 */
	void (*closed)(void *dev, int error);
};

/*
 * Before the first connection; again changes the limit for those that come.  @max_memory:
 * bytes of guest memory that one connection may have us map, above 0.  -ENOSYS, -EPERM:
 * the kernel, or a seccomp filter, has no Linux AIO (io_setup(2)); -EAGAIN: fs.aio-max-nr
 * is reached.  There is no way without: a write to an eventfd can be made to block.
 */
int vu_init(uint64_t max_memory);

/*
 * @fd: a connected AF_UNIX stream socket; owned by the connection from now on, also
 * when this fails.  @name: for log lines, copied.  @ops and @dev: borrowed until
 * closed() was called.
 */
int vu_conn_create(struct loop *loop, int fd, const char *name, const struct vu_device_ops *ops,
		   void *dev, struct vu_conn **ret_conn);
/*
 * Its log lines count against @account's rate limit, so that a peer that connects again and
 * again gets no fresh one.  @account: borrowed until the connection is gone.
 */
void vu_conn_share_log(struct vu_conn *conn, struct log_peer *account);
/* Ends the connection without calling closed().  NULL is fine. */
void vu_conn_destroy(struct vu_conn *conn);

/*
 * Puts @len bytes into the next buffer of @queue and notifies the driver, once for all that
 * is pushed in a round of the loop, at its end, or when the queues stop.
 * -EAGAIN: the driver posted none (queue_ready() will be called once there is one),
 * or the queue does not run.  -EMSGSIZE: the posted buffer is too small; it was
 * returned with length 0.  -EPROTO: the queue is broken.
 */
int vu_push(struct vu_conn *conn, unsigned int queue, const void *data, size_t len);

/*
 * Walks the files behind guest addresses [addr, addr + len), merging what is
 * contiguous in one file.  -EFAULT: a part is not in the memory table (and then
 * fn() may have been called for the parts before).  -EOVERFLOW: addr + len wraps.
 */
int vu_mem_walk(struct vu_conn *conn, uint64_t addr, uint64_t len, vu_mem_fn fn, void *arg);

/* Bytes copied out of and into guest memory since the connection began. */
uint64_t vu_bytes_copied(const struct vu_conn *conn);

/* Bits of the vhost-user protocol features that the front-end acknowledged. */
uint64_t vu_protocol_features(const struct vu_conn *conn);

#endif /* VHOST_USER_VHOST_USER_H */
