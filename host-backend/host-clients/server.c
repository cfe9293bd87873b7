/* SPDX-License-Identifier: MIT */
#include "host-clients/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/core.h"
#include "host-clients/server_private.h"
#include "host-clients/udmabuf.h"
#include "loop/loop.h"
#include "util/fd.h"
#include "util/log.h"

/*
 * The socket is open to all, because who may use it is decided by uid.  Those who may
 * not are told so, but however many users a host has, only so many wait for it.
 */
#define MAX_STRANGERS 8
#define ACCEPTS_PER_ROUND 16

struct client_server {
	struct loop *loop;
	struct core *core;
	struct loop_source source;
	int listen_fd; /* owned */
	int udmabuf_fd; /* owned; -1: none */
	char *path;    /* to be removed; NULL: not ours */
	struct client_trust *trust;
	size_t num_trust;
	uint32_t max_clients, max_clients_per_uid;
	struct core_limits limits; /* of each client */
	void (*device_stats)(void *arg, struct client_device_stats *ret_stats);
	void *device_stats_arg;
	struct log_peer log;
	struct client_conn *conns;
	bool out_of_fds; /* accept() failed for want of fds: not listening now */
	uint64_t scratch[BUFSHARE_MSG_MAX / sizeof(uint64_t)];
};

struct loop *client_server_loop(struct client_server *server)
{
	return server->loop;
}

struct core *client_server_core(struct client_server *server)
{
	return server->core;
}

const struct core_limits *client_server_limits(const struct client_server *server)
{
	return &server->limits;
}

struct log_peer *client_server_log(struct client_server *server)
{
	return &server->log;
}

int client_server_udmabuf(const struct client_server *server)
{
	return server->udmabuf_fd;
}

void client_server_device_stats(struct client_server *server,
				struct client_device_stats *ret_stats)
{
	if (server->device_stats != NULL)
		server->device_stats(server->device_stats_arg, ret_stats);
}

void *client_server_scratch(struct client_server *server)
{
	return server->scratch;
}

void client_server_link(struct client_server *server, struct client_conn *conn)
{
	conn->next = server->conns;
	conn->link = &server->conns;
	if (conn->next != NULL)
		conn->next->link = &conn->next;
	server->conns = conn;
}

void client_server_unlink(struct client_conn *conn)
{
	struct client_server *server = conn->server;

	*conn->link = conn->next;
	if (conn->next != NULL)
		conn->next->link = conn->link;
	/* A connection that ends makes room for one that waits. */
	if (server->out_of_fds && loop_modify(&server->source, EPOLLIN) == 0)
		server->out_of_fds = false;
}

/* ---- connections ---- */

/* Returns NULL when the client may have a connection, else why not. */
static const char *refuse(const struct client_server *server, const struct client_policy *policy)
{
	uint32_t total = 0, same_uid = 0, strangers = 0;

	for (const struct client_conn *conn = server->conns; conn != NULL; conn = conn->next) {
		total++;
		if (conn->policy.uid == policy->uid)
			same_uid++;
		if (!conn->policy.admitted)
			strangers++;
	}
	if (total >= server->max_clients)
		return "too many clients";
	if (same_uid >= server->max_clients_per_uid)
		return "too many clients of this uid";
	if (!policy->admitted && strangers >= MAX_STRANGERS)
		return "too many clients without permission";
	return NULL;
}

static void adopt(struct client_server *server, int fd)
{
	struct client_policy policy;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	const char *why;
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		fd_close(&fd);
		return;
	}
	policy_find(server->trust, server->num_trust, cred.uid, server->udmabuf_fd >= 0, &policy);
	why = refuse(server, &policy);
	if (why != NULL) {
		log_peer(&server->log, LOG_LEVEL_WARNING, "uid %u, pid %d is refused: %s",
			 (unsigned int)cred.uid, (int)cred.pid, why);
		fd_close(&fd);
		return;
	}
	error = client_conn_create(server, fd, cred.pid, &policy);
	if (error < 0)
		log_peer(&server->log, LOG_LEVEL_WARNING, "uid %u, pid %d is refused: %s",
			 (unsigned int)cred.uid, (int)cred.pid, strerror(-error));
}

static void on_listen(struct loop_source *source, uint32_t events)
{
	struct client_server *server =
		(struct client_server *)((char *)source - offsetof(struct client_server, source));

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			adopt(server, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		log_peer(&server->log, LOG_LEVEL_WARNING, "accept: %s", strerror(errno));
		/* The one who waits stays readable: without this the loop would spin. */
		if (server->conns != NULL && loop_modify(&server->source, 0) == 0)
			server->out_of_fds = true;
		return;
	}
}

/* ---- listening ---- */

/* Whether nobody listens at @address any more. */
static bool is_dead(const struct sockaddr_un *address)
{
	FD_OWNED int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	       errno == ECONNREFUSED;
}

/* Returns a listening socket, owned by the caller, or a negative errno. */
static int listen_at(const char *path)
{
	FD_OWNED int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno != EADDRINUSE || !is_dead(&address))
			return -errno;
		if (unlink(path) < 0 ||
		    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			return -errno;
	}
	if (chmod(path, 0666) < 0 || listen(fd, SOMAXCONN) < 0) {
		int error = -errno;

		(void)unlink(path);
		return error;
	}
	return fd_take(&fd);
}

static int start_listening(struct client_server *server, const struct client_server_options *options)
{
	int error;

	if (server->listen_fd >= 0) {
		if (options->path != NULL)
			return -EINVAL;
		error = fd_set_nonblock(server->listen_fd);
		if (error < 0)
			return error;
		/* Of a socket that listens already this only sets the backlog again. */
		return listen(server->listen_fd, SOMAXCONN) < 0 ? -errno : 0;
	}
	if (options->path == NULL)
		return -EINVAL;
	error = listen_at(options->path);
	if (error < 0)
		return error;
	server->listen_fd = error;
	server->path = strdup(options->path);
	if (server->path == NULL) {
		(void)unlink(options->path);
		return -ENOMEM;
	}
	return 0;
}

/* ---- life ---- */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
	return value != 0 ? value : fallback;
}

int client_server_create(struct loop *loop, struct core *core,
			 const struct client_server_options *options,
			 struct client_server **ret_server)
{
	const char *udmabuf = options->udmabuf_path != NULL ? options->udmabuf_path : "/dev/udmabuf";
	struct client_server *server = calloc(1, sizeof(*server));
	int error = -ENOMEM, listen_fd = options->listen_fd;

	if (server == NULL) {
		fd_close(&listen_fd);
		goto fail;
	}
	server->loop = loop;
	server->core = core;
	server->listen_fd = listen_fd;
	server->max_clients = or_default(options->max_clients, CLIENT_MAX_CLIENTS_DEFAULT);
	server->max_clients_per_uid =
		or_default(options->max_clients_per_uid, CLIENT_MAX_CLIENTS_PER_UID_DEFAULT);
	/* A client owns nothing so far: all other limits are 0. */
	server->limits.max_holds = or_default(options->max_holds, CLIENT_MAX_HOLDS_DEFAULT);
	server->limits.max_consumers =
		or_default(options->max_consumers, CLIENT_MAX_CONSUMERS_DEFAULT);
	server->device_stats = options->device_stats;
	server->device_stats_arg = options->device_stats_arg;
	log_peer_init(&server->log, "clients");
	server->udmabuf_fd = udmabuf[0] != '\0' ? udmabuf_open(udmabuf) : -1;

	if (options->num_trust > 0) {
		server->trust = calloc(options->num_trust, sizeof(*server->trust));
		if (server->trust == NULL)
			goto fail;
		memcpy(server->trust, options->trust, options->num_trust * sizeof(*server->trust));
		server->num_trust = options->num_trust;
	}
	error = start_listening(server, options);
	if (error < 0)
		goto fail;
	error = loop_add(loop, &server->source, server->listen_fd, EPOLLIN, on_listen);
	if (error < 0)
		goto fail;
	if (server->udmabuf_fd < 0 && udmabuf[0] != '\0')
		log_line(LOG_LEVEL_INFO,
			 "%s: %s: clients get no dma-bufs, only those trusted by --trust uid=N "
			 "get memory",
			 udmabuf, strerror(-server->udmabuf_fd));
	*ret_server = server;
	return 0;

fail:
	log_line(LOG_LEVEL_ERROR, "client socket %s: %s",
		 options->path != NULL ? options->path : "", strerror(-error));
	client_server_destroy(server);
	return error;
}

void client_server_destroy(struct client_server *server)
{
	if (server == NULL)
		return;
	while (server->conns != NULL)
		client_conn_destroy(server->conns);
	loop_remove(&server->source);
	fd_close(&server->listen_fd);
	if (server->udmabuf_fd >= 0)
		fd_close(&server->udmabuf_fd);
	if (server->path != NULL)
		(void)unlink(server->path);
	free(server->path);
	free(server->trust);
	free(server);
}
