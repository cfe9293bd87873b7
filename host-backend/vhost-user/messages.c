/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the table at the end says for each message what its payload and
 * descriptors may be; vu_handle_message() holds every message against it before the
 * handler runs.  A handler checks everything before it changes anything.
 *
 * What is refused (unknown, wrong size, wrong number of descriptors, wrong state, a
 * value out of range) changes nothing.  The front-end is told so when it asked for an
 * acknowledgement (vhost-user.rst, "REPLY_ACK"); when it did not, it would go on as if
 * all were well, so the connection ends.
 *
 * Not offered, and why: STATUS, because QEMU sends SET_STATUS 0 whenever the VM pauses,
 * which says nothing about the driver; BACKEND_REQ, because nothing uses it yet;
 * LOG_SHMFD and PAGEFAULT, because migration is not supported yet.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "checked.h"
#include "conn.h"
#include "fd.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Tells why a message is refused; the outcome is told by vu_handle_message(). */
#define refuse(conn, ...) log_peer(&(conn)->log, LOG_LEVEL_ERROR, __VA_ARGS__)

struct reply {
	union vu_payload payload;
	size_t len;
};

typedef int (*handler_fn)(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply);

uint64_t vu_offered_features(const struct vu_conn *conn)
{
	return conn->ops->features | BIT(VU_VIRTIO_F_VERSION_1) | BIT(VU_F_PROTOCOL_FEATURES);
}

uint64_t vu_offered_protocol_features(void)
{
	return BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_REPLY_ACK) | BIT(VU_PROTOCOL_F_CONFIG) |
	       BIT(VU_PROTOCOL_F_RESET_DEVICE) | BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

static void reply_u64(struct reply *reply, uint64_t value)
{
	reply->payload.u64 = value;
	reply->len = sizeof(value);
}

/* The queue that a message names, or NULL. */
static struct vu_queue *find_queue(struct vu_conn *conn, uint64_t index)
{
	if (index < conn->ops->num_queues)
		return &conn->queues[index];
	refuse(conn, "queue %" PRIu64 ": there are %u queues", index, conn->ops->num_queues);
	return NULL;
}

static int get_features(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	(void)in;
	reply_u64(reply, vu_offered_features(conn));
	return 0;
}

static int set_features(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	uint64_t features = in->payload.u64;

	(void)reply;
	if (features & ~vu_offered_features(conn)) {
		refuse(conn, "features 0x%" PRIx64 ": only 0x%" PRIx64 " were offered", features,
		       vu_offered_features(conn));
		return -EINVAL;
	}
	if (conn->started && features != conn->features) {
		refuse(conn, "features cannot change while the queues run");
		return -EBUSY;
	}
	conn->features = features;
	return 0;
}

static int get_protocol_features(struct vu_conn *conn, struct vu_message_in *in,
				 struct reply *reply)
{
	(void)conn;
	(void)in;
	reply_u64(reply, vu_offered_protocol_features());
	return 0;
}

static int set_protocol_features(struct vu_conn *conn, struct vu_message_in *in,
				 struct reply *reply)
{
	uint64_t features = in->payload.u64;

	(void)reply;
	if (features & ~vu_offered_protocol_features()) {
		refuse(conn, "protocol features 0x%" PRIx64 ": only 0x%" PRIx64 " were offered",
		       features, vu_offered_protocol_features());
		return -EINVAL;
	}
	conn->protocol_features = features;
	return 0;
}

/* SET_OWNER: the session starts with the connection.  RESET_OWNER: "or ignore". */
static int do_nothing(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	(void)conn;
	(void)in;
	(void)reply;
	return 0;
}

static int get_queue_num(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	(void)in;
	reply_u64(reply, conn->ops->num_queues);
	return 0;
}

static int get_max_mem_slots(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	(void)conn;
	(void)in;
	reply_u64(reply, VU_MAX_MEM_SLOTS);
	return 0;
}

static int set_mem_table(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	const struct vu_mem_table_msg *msg = &in->payload.mem_table;
	uint32_t n = msg->num_regions;
	int r;

	(void)reply;
	if (n > VU_MAX_REGIONS || in->num_fds != n ||
	    in->header.size < offsetof(struct vu_mem_table_msg, regions[0]) +
				      n * sizeof(struct vu_mem_region)) {
		refuse(conn, "%u memory regions in %u bytes with %zu descriptors: at most %d, and"
		       " one descriptor for each",
		       n, in->header.size, in->num_fds, VU_MAX_REGIONS);
		return -EINVAL;
	}
	r = vu_mem_set(&conn->mem, msg->regions, n, in->fds);
	if (r == 0)
		vu_queues_relocate(conn, true);
	return r;
}

static int add_mem_reg(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	int r = vu_mem_add(&conn->mem, &in->payload.mem_region.region, &in->fds[0]);

	(void)reply;
	if (r == 0)
		vu_queues_relocate(conn, false);
	return r;
}

static int rem_mem_reg(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	int r = vu_mem_remove(&conn->mem, &in->payload.mem_region.region);

	(void)reply;
	if (r == 0)
		vu_queues_relocate(conn, false);
	return r;
}

static int set_vring_num(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	const struct vu_vring_state *state = &in->payload.state;
	struct vu_queue *queue = find_queue(conn, state->index);

	(void)reply;
	if (!queue)
		return -EINVAL;
	if (state->num == 0 || state->num > VU_RING_MAX_SIZE) {
		refuse(conn, "queue %u: size %u: 1 to %d is possible", state->index, state->num,
		       VU_RING_MAX_SIZE);
		return -EINVAL;
	}
	if (conn->started) {
		refuse(conn, "queue %u: its size cannot change while it runs", state->index);
		return -EBUSY;
	}
	/* Whether it is a power of two is the driver's business: see vu_ring_resolve(). */
	queue->ring.num = state->num;
	return 0;
}

static int set_vring_addr(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	const struct vu_vring_addr *addr = &in->payload.addr;
	struct vu_queue *queue = find_queue(conn, addr->index);

	(void)reply;
	if (!queue)
		return -EINVAL;
	if (addr->flags) {
		refuse(conn, "queue %u: flags 0x%x: none are possible (no dirty logging)",
		       addr->index, addr->flags);
		return -EINVAL;
	}
	/*
	 * Whether the addresses are in the memory table shows when the queue starts: the table
	 * may come later, and what the driver chose is not the front-end's fault.
	 */
	queue->ring.addr = *addr;
	queue->ring.have_addr = true;
	vu_queues_relocate(conn, true);
	return 0;
}

static int set_vring_base(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	const struct vu_vring_state *state = &in->payload.state;
	struct vu_queue *queue = find_queue(conn, state->index);

	(void)reply;
	if (!queue)
		return -EINVAL;
	if (state->num > UINT16_MAX) {
		refuse(conn, "queue %u: base %u: at most 65535", state->index, state->num);
		return -EINVAL;
	}
	if (conn->started) {
		refuse(conn, "queue %u: its base cannot change while it runs", state->index);
		return -EBUSY;
	}
	queue->ring.last_avail = (uint16_t)state->num;
	return 0;
}

static int get_vring_base(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	struct vu_queue *queue = find_queue(conn, in->payload.state.index);

	if (!queue)
		return -EINVAL;
	vu_queue_stop(queue);
	reply->payload.state.index = in->payload.state.index;
	reply->payload.state.num = queue->ring.last_avail;
	reply->len = sizeof(reply->payload.state);
	return 0;
}

static int set_vring_enable(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	const struct vu_vring_state *state = &in->payload.state;
	struct vu_queue *queue = find_queue(conn, state->index);

	(void)reply;
	if (!queue)
		return -EINVAL;
	if (state->num > 1 || !(conn->features & BIT(VU_F_PROTOCOL_FEATURES))) {
		refuse(conn, "queue %u: enable %u: 0 or 1, once VHOST_USER_F_PROTOCOL_FEATURES is"
		       " acknowledged",
		       state->index, state->num);
		return -EINVAL;
	}
	queue->enabled = state->num;
	return 0;
}

/*
 * SET_VRING_KICK, _CALL, _ERR: which queue, and whether there is a descriptor.  It is
 * checked: we wait for it or signal it, in ways that only an eventfd has.  Its flags are the
 * front-end's: neither way depends on them.
 */
static struct vu_queue *check_vring_fd(struct vu_conn *conn, struct vu_message_in *in)
{
	uint64_t value = in->payload.u64;
	bool none = value & VU_VRING_FD_NONE;
	struct vu_queue *queue;

	if (value & ~(uint64_t)(VU_VRING_FD_INDEX_MASK | VU_VRING_FD_NONE)) {
		refuse(conn, "0x%" PRIx64 " has bits that no queue's descriptor has", value);
		return NULL;
	}
	queue = find_queue(conn, value & VU_VRING_FD_INDEX_MASK);
	if (!queue)
		return NULL;
	if (in->num_fds != (none ? 0 : 1)) {
		refuse(conn, "%zu descriptors came, %d were announced", in->num_fds, none ? 0 : 1);
		return NULL;
	}
	if (!none && fd_is_eventfd(in->fds[0]) != 1) {
		refuse(conn, "the descriptor is not an eventfd");
		return NULL;
	}
	return queue;
}

static int set_vring_kick(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	struct vu_queue *queue = check_vring_fd(conn, in);

	(void)reply;
	if (!queue)
		return -EINVAL;
	if (in->num_fds == 0) {
		refuse(conn, "a queue without a kick would have to be polled: not supported");
		return -EOPNOTSUPP;
	}
	return vu_queue_set_kick(queue, &in->fds[0]);
}

static int set_vring_call(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	struct vu_queue *queue = check_vring_fd(conn, in);

	(void)reply;
	if (!queue)
		return -EINVAL;
	fd_close(&queue->call_fd);
	queue->call_fd = fd_take(&in->fds[0]);
	return 0;
}

static int set_vring_err(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	struct vu_queue *queue = check_vring_fd(conn, in);

	(void)reply;
	if (!queue)
		return -EINVAL;
	fd_close(&queue->err_fd);
	queue->err_fd = fd_take(&in->fds[0]);
	return 0;
}

/* Whether a configuration message's own header, payload and range agree. */
static bool config_valid(struct vu_conn *conn, const struct vu_message_in *in)
{
	const struct vu_config_msg *msg = &in->payload.config;

	if (msg->size == in->header.size - VU_CONFIG_HEADER_SIZE &&
	    range_contains(0, VU_MAX_CONFIG, msg->offset, msg->size))
		return true;
	refuse(conn, "configuration: %u bytes at %u in a payload of %u: at most %d in all",
	       msg->size, msg->offset, in->header.size, VU_MAX_CONFIG);
	return false;
}

static int get_config(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	uint8_t config[VU_MAX_CONFIG] = { 0 };
	const struct vu_config_msg *msg = &in->payload.config;

	/* GET_CONFIG: "zero length of payload to indicate an error". */
	if (!config_valid(conn, in))
		return 0;
	/* QEMU asks for all that config_size= says, which may be more than there is: that is 0. */
	conn->ops->get_config(conn->dev, config);
	reply->payload.config.offset = msg->offset;
	reply->payload.config.size = msg->size;
	reply->payload.config.flags = msg->flags;
	memcpy(reply->payload.config.data, config + msg->offset, msg->size);
	reply->len = VU_CONFIG_HEADER_SIZE + msg->size;
	return 0;
}

/* The driver wrote to the configuration space, all of which is read-only. */
static int set_config(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	(void)in;
	(void)reply;
	refuse(conn, "the configuration space is read-only");
	return -EACCES;
}

static int reset_device(struct vu_conn *conn, struct vu_message_in *in, struct reply *reply)
{
	(void)in;
	(void)reply;
	for (unsigned int i = 0; i < conn->ops->num_queues; i++) {
		struct vu_queue *queue = &conn->queues[i];

		vu_queue_stop(queue);
		queue->enabled = false;
		queue->ring = (struct vu_ring){ 0 };
	}
	vu_queues_update(conn);
	conn->broken = false;
	conn->ops->reset(conn->dev);
	return 0;
}

#define NO_FEATURE (-1)

struct message {
	const char *name;
	handler_fn fn;
	uint16_t min_size, max_size; /* of the payload, bytes */
	uint8_t min_fds, max_fds;
	int8_t protocol_feature; /* that must be acknowledged, or NO_FEATURE */
	bool has_reply;		 /* of its own; a refusal ends the connection */
	bool by_driver;		 /* the guest's driver can cause it: it never ends the connection */
};

#define U64	   .min_size = 8, .max_size = 8
#define STATE	   .min_size = 8, .max_size = 8 /* struct vu_vring_state */
#define NO_PAYLOAD .min_size = 0, .max_size = 0

static const struct message messages[VU_NUM_MESSAGES] = {
	[VU_GET_FEATURES] = { "GET_FEATURES", get_features, NO_PAYLOAD,
			      .protocol_feature = NO_FEATURE, .has_reply = true },
	[VU_SET_FEATURES] = { "SET_FEATURES", set_features, U64, .protocol_feature = NO_FEATURE },
	[VU_SET_OWNER] = { "SET_OWNER", do_nothing, NO_PAYLOAD, .protocol_feature = NO_FEATURE },
	[VU_RESET_OWNER] = { "RESET_OWNER", do_nothing, NO_PAYLOAD,
			     .protocol_feature = NO_FEATURE },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", set_mem_table, .min_size = 8,
			       .max_size = sizeof(struct vu_mem_table_msg), .max_fds = VU_MAX_FDS,
			       .protocol_feature = NO_FEATURE },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", set_vring_num, STATE,
			       .protocol_feature = NO_FEATURE },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", set_vring_addr,
				.min_size = sizeof(struct vu_vring_addr),
				.max_size = sizeof(struct vu_vring_addr),
				.protocol_feature = NO_FEATURE },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", set_vring_base, STATE,
				.protocol_feature = NO_FEATURE },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", get_vring_base, STATE,
				.protocol_feature = NO_FEATURE, .has_reply = true },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", set_vring_kick, U64, .max_fds = 1,
				.protocol_feature = NO_FEATURE },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", set_vring_call, U64, .max_fds = 1,
				.protocol_feature = NO_FEATURE },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", set_vring_err, U64, .max_fds = 1,
			       .protocol_feature = NO_FEATURE },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", get_protocol_features, NO_PAYLOAD,
				       .protocol_feature = NO_FEATURE, .has_reply = true },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", set_protocol_features, U64,
				       .protocol_feature = NO_FEATURE },
	/* "when F_MQ is set in queried protocol features": it need not be acknowledged. */
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", get_queue_num, NO_PAYLOAD,
			       .protocol_feature = NO_FEATURE, .has_reply = true },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", set_vring_enable, STATE,
				  .protocol_feature = NO_FEATURE },
	[VU_GET_CONFIG] = { "GET_CONFIG", get_config, .min_size = VU_CONFIG_HEADER_SIZE,
			    .max_size = sizeof(struct vu_config_msg),
			    .protocol_feature = VU_PROTOCOL_F_CONFIG, .has_reply = true },
	[VU_SET_CONFIG] = { "SET_CONFIG", set_config, .min_size = VU_CONFIG_HEADER_SIZE,
			    .max_size = sizeof(struct vu_config_msg),
			    .protocol_feature = VU_PROTOCOL_F_CONFIG, .by_driver = true },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", reset_device, NO_PAYLOAD,
			      .protocol_feature = VU_PROTOCOL_F_RESET_DEVICE },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", get_max_mem_slots, NO_PAYLOAD,
				   .protocol_feature = VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
				   .has_reply = true },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", add_mem_reg,
			     .min_size = sizeof(struct vu_mem_region_msg),
			     .max_size = sizeof(struct vu_mem_region_msg), .min_fds = 1,
			     .max_fds = 1,
			     .protocol_feature = VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	/* "MAY accept messages with one file descriptor", as some front-ends send it. */
	[VU_REM_MEM_REG] = { "REM_MEM_REG", rem_mem_reg,
			     .min_size = sizeof(struct vu_mem_region_msg),
			     .max_size = sizeof(struct vu_mem_region_msg), .max_fds = 1,
			     .protocol_feature = VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
};

/* Whether the table allows the message; 0 or a negative errno. */
static int check(struct vu_conn *conn, const struct message *m, const struct vu_message_in *in)
{
	const struct vu_header *h = &in->header;

	if (!m) {
		refuse(conn, "message %u is not known or was not offered", h->request);
		return -EOPNOTSUPP;
	}
	if (m->protocol_feature != NO_FEATURE &&
	    !(conn->protocol_features & BIT(m->protocol_feature))) {
		refuse(conn, "%s: protocol feature %d was not acknowledged", m->name,
		       m->protocol_feature);
		return -EOPNOTSUPP;
	}
	if (h->size < m->min_size || h->size > m->max_size) {
		refuse(conn, "%s: payload of %u bytes: %u to %u are possible", m->name, h->size,
		       m->min_size, m->max_size);
		return -EMSGSIZE;
	}
	if (in->num_fds < m->min_fds || in->num_fds > m->max_fds) {
		refuse(conn, "%s: %zu file descriptors: %u to %u are possible", m->name,
		       in->num_fds, m->min_fds, m->max_fds);
		return -EINVAL;
	}
	return 0;
}

static bool wants_ack(const struct vu_conn *conn, const struct vu_header *header)
{
	return header->flags & VU_NEED_REPLY &&
	       conn->protocol_features & BIT(VU_PROTOCOL_F_REPLY_ACK);
}

int vu_handle_message(struct vu_conn *conn)
{
	struct vu_message_in *in = &conn->sock.in;
	uint32_t request = in->header.request;
	const struct message *m =
		request < VU_NUM_MESSAGES && messages[request].fn ? &messages[request] : NULL;
	const char *name = m ? m->name : "message";
	struct reply reply = { .len = 0 };
	int r = check(conn, m, in);

	if (r == 0) {
		r = m->fn(conn, in, &reply);
		if (r == 0)
			vu_queues_update(conn);
	}
	if (r == 0 && m->has_reply)
		return vu_sock_reply(&conn->sock, &reply.payload, reply.len);
	if (wants_ack(conn, &in->header) && !(m && m->has_reply)) {
		if (r < 0)
			refuse(conn, "%s (%u) refused: %s", name, request, strerror(-r));
		reply_u64(&reply, (uint64_t)-r);
		return vu_sock_reply(&conn->sock, &reply.payload, reply.len);
	}
	if (r < 0 && !(m && m->by_driver)) {
		refuse(conn, "%s (%u) refused: %s: the connection ends", name, request,
		       strerror(-r));
		return r;
	}
	return 0;
}
