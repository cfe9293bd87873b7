/* SPDX-License-Identifier: MIT */
#include "host-clients/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/core.h"
#include "host-clients/server_private.h"
#include "host-clients/udmabuf.h"
#include "listener/listener.h"
#include "loop/loop.h"
#include "util/fd.h"
#include "util/log.h"

/*
 * The socket is open to all, because who may use it is decided by uid.  Those who may
 * not, and those who are too many, are told so, but however many come, only so many wait
 * for it.
 */
#define MAX_STRANGERS 8

#define RETRY_MS 50

struct client_server {
	struct loop *loop;
	struct core *core;
	struct listener listener;
	struct loop_source retry;
	int retry_fd;	/* owned: a timer */
	bool retrying;	/* it runs */
	int udmabuf_fd; /* owned; -1: none */
	uid_t *admins; /* beside uid 0 */
	size_t num_admins;
	struct client_trust *trust;
	size_t num_trust;
	uint32_t max_clients, max_clients_per_uid;
	struct core_limits limits; /* of each client */
	void (*device_stats)(void *arg, struct client_device_stats *ret_stats);
	void *device_stats_arg;
	struct log_peer log;
	struct client_conn *conns;
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

static void on_retry(struct loop_source *source, uint32_t events)
{
	struct client_server *server =
		(struct client_server *)((char *)source - offsetof(struct client_server, retry));
	uint64_t expired;

	(void)events;
	if (read(server->retry_fd, &expired, sizeof(expired)) != sizeof(expired))
		return;
	server->retrying = false;
	for (struct client_conn *conn = server->conns; conn != NULL; conn = conn->next)
		client_conn_retry(conn);
}

void client_server_retry_later(struct client_server *server)
{
	const struct itimerspec once = { .it_value.tv_nsec = RETRY_MS * 1000000L };

	/* Who asks again and again must not put off the others. */
	if (server->retrying)
		return;
	server->retrying = true;
	(void)timerfd_settime(server->retry_fd, 0, &once, NULL); /* it cannot fail */
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
	*conn->link = conn->next;
	if (conn->next != NULL)
		conn->next->link = conn->link;
}

bool client_server_is_admin(const struct client_server *server, uid_t uid)
{
	for (size_t i = 0; i < server->num_admins; i++) {
		if (server->admins[i] == uid)
			return true;
	}
	return uid == 0;
}

/* ---- connections ---- */

/*
 * Whether the client may have a connection.  If not, @ret_why says so; and whether it may
 * wait to be told, because only few do, *@ret_tell.
 */
static bool admit(const struct client_server *server, const struct client_policy *policy,
		  bool *ret_tell, char ret_why[CLIENT_REFUSAL_SIZE])
{
	uint32_t total = 0, same_uid = 0, strangers = 0;

	for (const struct client_conn *conn = server->conns; conn != NULL; conn = conn->next) {
		if (conn->refusal[0] != '\0' || !conn->policy.admitted)
			strangers++;
		if (conn->refusal[0] != '\0')
			continue;
		total++;
		if (conn->policy.uid == policy->uid)
			same_uid++;
	}
	*ret_tell = strangers < MAX_STRANGERS;
	if (total >= server->max_clients)
		(void)snprintf(ret_why, CLIENT_REFUSAL_SIZE,
			       "there are %u clients already: see --max-clients",
			       server->max_clients);
	else if (same_uid >= server->max_clients_per_uid)
		(void)snprintf(ret_why, CLIENT_REFUSAL_SIZE,
			       "uid %u has %u clients already: see --max-clients-per-uid",
			       (unsigned int)policy->uid, server->max_clients_per_uid);
	else if (!policy->admitted && !*ret_tell)
		(void)snprintf(ret_why, CLIENT_REFUSAL_SIZE, "too many clients without permission");
	else
		return true;
	return false;
}

static void adopt(struct client_server *server, int fd)
{
	char why[CLIENT_REFUSAL_SIZE] = "";
	struct client_policy policy;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	bool tell;
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		fd_close(&fd);
		return;
	}
	policy_find(server->trust, server->num_trust, cred.uid,
		    client_server_is_admin(server, cred.uid), server->udmabuf_fd >= 0, &policy);
	if (!admit(server, &policy, &tell, why)) {
		log_peer(&server->log, LOG_LEVEL_WARNING, "uid %u, pid %d is refused: %s",
			 (unsigned int)cred.uid, (int)cred.pid, why);
		if (!tell) {
			fd_close(&fd);
			return;
		}
		/* That is how long it has to say HELLO, so that it can be answered. */
		client_server_retry_later(server);
	}
	error = client_conn_create(server, fd, cred.pid, &policy, why);
	if (error < 0)
		log_peer(&server->log, LOG_LEVEL_WARNING, "uid %u, pid %d is refused: %s",
			 (unsigned int)cred.uid, (int)cred.pid, strerror(-error));
}

static void on_connection(struct listener *listener, int fd)
{
	adopt((struct client_server *)((char *)listener - offsetof(struct client_server, listener)),
	      fd);
}

static int start_listening(struct client_server *server, const struct client_server_options *options)
{
	struct listener *listener = &server->listener;
	int error;

	if ((options->path == NULL) == (listener->fd < 0))
		return -EINVAL;
	if (options->path != NULL) {
		/* Who may use it is decided by uid, after the connection. */
		error = listener_bind(listener, options->path, SOCK_SEQPACKET, true, SOMAXCONN);
	} else {
		error = listener_adopt(listener, listener->fd);
		/* Of a socket that listens already this only sets the backlog again. */
		if (error == 0 && listen(listener->fd, SOMAXCONN) < 0)
			error = -errno;
	}
	return error < 0 ? error : listener_start(listener);
}

/* ---- life ---- */

static int copy_users(struct client_server *server, const struct client_server_options *options)
{
	const uid_t self = geteuid();
	const uid_t *admins = options->num_admins > 0 ? options->admins : &self;

	server->num_admins = options->num_admins > 0 ? options->num_admins : 1;
	server->admins = calloc(server->num_admins, sizeof(*server->admins));
	if (server->admins == NULL)
		return -ENOMEM;
	memcpy(server->admins, admins, server->num_admins * sizeof(*server->admins));
	if (options->num_trust == 0)
		return 0;
	server->trust = calloc(options->num_trust, sizeof(*server->trust));
	if (server->trust == NULL)
		return -ENOMEM;
	memcpy(server->trust, options->trust, options->num_trust * sizeof(*server->trust));
	server->num_trust = options->num_trust;
	return 0;
}

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
	listener_init(&server->listener, loop, &server->log, on_connection);
	server->listener.fd = listen_fd;
	server->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	server->udmabuf_fd = udmabuf[0] != '\0' ? udmabuf_open(udmabuf) : -1;

	error = copy_users(server, options);
	if (error < 0)
		goto fail;
	error = server->retry_fd < 0 ? -EMFILE
				     : loop_add(loop, &server->retry, server->retry_fd, EPOLLIN,
						on_retry);
	if (error == 0)
		error = start_listening(server, options);
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
	listener_finish(&server->listener);
	loop_remove(&server->retry);
	fd_close(&server->retry_fd);
	if (server->udmabuf_fd >= 0)
		fd_close(&server->udmabuf_fd);
	free(server->admins);
	free(server->trust);
	free(server);
}
