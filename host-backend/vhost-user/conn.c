/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fd.h"
#include "notify.h"

/* A front-end that never waits for a reply does not keep the others from being served. */
#define MESSAGES_PER_ROUND 32

/* Of vu_init(); 0: it was not called. */
static uint64_t max_mapped;

int vu_init(uint64_t max_memory)
{
	int r = vu_notify_init();

	if (r == 0)
		max_mapped = max_memory;
	return r;
}

static void conn_free(struct vu_conn *conn)
{
	/* The guest may live on, and have another connection later. */
	vu_queues_tell(conn);
	loop_cancel(conn->loop, &conn->work);
	loop_remove(&conn->source);
	for (unsigned int i = 0; i < conn->ops->num_queues; i++)
		vu_queue_finish(&conn->queues[i]);
	vu_mem_finish(&conn->mem);
	vu_sock_finish(&conn->sock);
	free(conn->req);
	free(conn->resp);
	free(conn);
}

static void conn_end(struct vu_conn *conn, int error)
{
	/* The device may call vu_push() from closed(): nothing runs any more. */
	conn->told = false;
	conn->ops->closed(conn->dev, error);
	conn_free(conn);
}

/* 0: go on; -ENODATA: an orderly end; another negative errno: the connection ends. */
static int receive(struct vu_conn *conn)
{
	for (int i = 0; i < MESSAGES_PER_ROUND && !vu_sock_pending(&conn->sock); i++) {
		const char *why = NULL;
		int r = vu_sock_receive(&conn->sock, &why);

		if (r == 0 || r == -ENODATA)
			return r;
		if (r < 0) {
			log_peer(&conn->log, LOG_LEVEL_ERROR, "the connection ends: %s",
				 why ? why : strerror(-r));
			return r;
		}
		r = vu_handle_message(conn);
		vu_sock_done(&conn->sock);
		if (r < 0)
			return r;
	}
	return 0;
}

static void on_socket(struct loop_source *source, uint32_t events)
{
	struct vu_conn *conn =
		(struct vu_conn *)((char *)source - offsetof(struct vu_conn, source));
	int r = 0;

	(void)events;
	if (vu_sock_pending(&conn->sock))
		r = vu_sock_flush(&conn->sock);
	if (r == 0)
		r = receive(conn);
	/* While a reply waits nothing is read: a peer that does not read cannot make us store. */
	if (r == 0)
		r = loop_modify(source, vu_sock_pending(&conn->sock) ? EPOLLOUT : EPOLLIN);
	if (r < 0)
		conn_end(conn, r == -ENODATA ? 0 : r);
}

int vu_conn_create(struct loop *loop, int fd, const char *name, const struct vu_device_ops *ops,
		   void *dev, struct vu_conn **ret_conn)
{
	struct vu_conn *conn;
	int r, error = 0;

	if (!max_mapped) {
		fd_close(&fd);
		return -EINVAL;
	}
	conn = ops->num_queues > 0 && ops->num_queues <= 32 && ops->config_size <= VU_MAX_CONFIG
		       ? calloc(1, sizeof(*conn) + ops->num_queues * sizeof(struct vu_queue))
		       : NULL;
	if (!conn) {
		fd_close(&fd);
		return -ENOMEM;
	}
	conn->loop = loop;
	conn->ops = ops;
	conn->dev = dev;
	conn->work.fn = vu_queues_work;
	log_peer_init(&conn->log, name);
	vu_mem_init(&conn->mem, max_mapped, &conn->log);
	for (unsigned int i = 0; i < ops->num_queues; i++) {
		r = vu_queue_init(&conn->queues[i], conn);
		if (r < 0)
			error = r;
	}
	conn->req = malloc(ops->max_request + 1);
	conn->resp = malloc(ops->max_response);
	r = vu_sock_init(&conn->sock, fd);
	if (r == 0 && (!conn->req || !conn->resp))
		r = -ENOMEM;
	if (r == 0)
		r = error;
	if (r == 0)
		r = loop_add(loop, &conn->source, fd, EPOLLIN, on_socket);
	if (r < 0) {
		conn_free(conn);
		return r;
	}
	*ret_conn = conn;
	return 0;
}

void vu_conn_share_log(struct vu_conn *conn, struct log_peer *account)
{
	conn->log.account = account;
}

void vu_conn_destroy(struct vu_conn *conn)
{
	if (conn)
		conn_free(conn);
}

int vu_mem_walk(struct vu_conn *conn, uint64_t addr, uint64_t len, vu_mem_fn fn, void *arg)
{
	return vu_mem_walk_files(&conn->mem, addr, len, fn, arg);
}

uint64_t vu_bytes_copied(const struct vu_conn *conn)
{
	return conn->bytes_copied;
}

uint64_t vu_protocol_features(const struct vu_conn *conn)
{
	return conn->protocol_features;
}
