/* SPDX-License-Identifier: MIT */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"

#define BIT(n) (UINT64_C(1) << (n))

#define MAX_SENT_FDS 32 /* more than is legal: tests send too many */

/* Where QEMU's own addresses are taken to be: anything that is not a guest address. */
#define USER_BASE UINT64_C(0x7f0000000000)

static const struct vmm_region default_region = { .size = 16 << 20 };

int vmm_memfd(uint64_t size, int seals, bool huge)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0);
	FD_OWNED int fd = memfd_create("guest-ram", flags);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	if (seals && fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return fd_take(&fd);
}

/* Fills in what the options left open; returns the size of the memfd. */
static uint64_t lay_out(struct vmm *vmm)
{
	uint64_t user = USER_BASE, offset = 0;

	for (size_t i = 0; i < vmm->num_regions; i++) {
		struct vmm_region *r = &vmm->regions[i];

		if (r->user_addr == 0) {
			r->user_addr = user;
			if (r->fd == 0)
				r->offset = offset;
		}
		if (r->fd == 0 && r->offset + r->size > offset)
			offset = r->offset + r->size;
		/* A gap, so that nothing merges by accident. */
		if (r->user_addr + r->size + (1 << 20) > user)
			user = r->user_addr + r->size + (1 << 20);
	}
	return offset;
}

static int map_regions(struct vmm *vmm)
{
	for (size_t i = 0; i < vmm->num_regions; i++) {
		const struct vmm_region *r = &vmm->regions[i];
		void *map;

		if (r->fd != 0)
			continue;
		map = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			   vmm->memfd, (off_t)r->offset);
		if (map == MAP_FAILED)
			return -errno;
		vmm->maps[i] = map;
	}
	return 0;
}

int vmm_create(struct vmm **ret_vmm, int fd, const struct vmm_options *options)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));
	int r;

	if (!vmm) {
		fd_close(&fd);
		return -ENOMEM;
	}
	vmm->sock = fd;
	vmm->memfd = -1;
	if (options)
		vmm->options = *options;
	vmm->num_regions = vmm->options.regions ? vmm->options.num_regions : 1;
	if (vmm->num_regions > VMM_MAX_REGIONS) {
		vmm_destroy(vmm);
		return -EINVAL;
	}
	memcpy(vmm->regions, vmm->options.regions ? vmm->options.regions : &default_region,
	       vmm->num_regions * sizeof(struct vmm_region));
	/* The seals of QEMU's memory-backend-memfd. */
	vmm->memfd = vmm_memfd(lay_out(vmm), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, false);
	r = vmm->memfd < 0 ? vmm->memfd : map_regions(vmm);
	if (r < 0) {
		vmm_destroy(vmm);
		return r;
	}
	*ret_vmm = vmm;
	return 0;
}

int vmm_create_path(struct vmm **ret_vmm, const char *path, const struct vmm_options *options)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	FD_OWNED int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return vmm_create(ret_vmm, fd_take(&fd), options);
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm)
		return;
	for (size_t i = 0; i < vmm->num_regions; i++) {
		if (vmm->maps[i])
			(void)munmap(vmm->maps[i], vmm->regions[i].size);
	}
	fd_close(&vmm->memfd);
	fd_close(&vmm->sock);
	free(vmm);
}

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r;

	do {
		r = poll(&p, 1, VMM_TIMEOUT_MS);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

int vmm_send_raw(struct vmm *vmm, const void *data, size_t size, const int *fds, size_t num_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(MAX_SENT_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (num_fds > MAX_SENT_FDS)
		return -EINVAL;
	if (num_fds > 0) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, num_fds * sizeof(int));
	}
	while (iov.iov_len > 0) {
		ssize_t n = sendmsg(vmm->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			int r = wait_for(vmm->sock, POLLOUT);

			if (r < 0)
				return r;
			continue;
		}
		if (n < 0)
			return -errno;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return 0;
}

int vmm_send(struct vmm *vmm, uint32_t request, uint32_t flags, const void *payload, size_t size,
	     const int *fds, size_t num_fds)
{
	struct {
		struct vu_header header;
		char payload[1024];
	} msg = { .header = { .request = request, .flags = VU_VERSION | flags } };

	if (size > sizeof(msg.payload))
		return -EINVAL;
	msg.header.size = (uint32_t)size;
	if (size > 0)
		memcpy(msg.payload, payload, size);
	return vmm_send_raw(vmm, &msg, sizeof(msg.header) + size, fds, num_fds);
}

static int receive_all(struct vmm *vmm, void *data, size_t size)
{
	char *to = data;

	while (size > 0) {
		int r = wait_for(vmm->sock, POLLIN);
		ssize_t n = r < 0 ? r : recv(vmm->sock, to, size, MSG_DONTWAIT);

		if (r < 0)
			return r;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNRESET;
		to += n;
		size -= (size_t)n;
	}
	return 0;
}

int vmm_receive(struct vmm *vmm, uint32_t request, void *payload, size_t capacity)
{
	struct vu_header header;
	int r = receive_all(vmm, &header, sizeof(header));

	if (r < 0)
		return r;
	if (header.request != request || header.flags != (VU_VERSION | VU_REPLY) ||
	    header.size > capacity)
		return -EPROTO;
	r = receive_all(vmm, payload, header.size);
	return r < 0 ? r : (int)header.size;
}

int vmm_get_u64(struct vmm *vmm, uint32_t request, uint64_t *ret_value)
{
	uint64_t value;
	int r = vmm_send(vmm, request, 0, NULL, 0, NULL, 0);

	if (r < 0)
		return r;
	r = vmm_receive(vmm, request, &value, sizeof(value));
	if (r < 0)
		return r;
	if (r != sizeof(value))
		return -EPROTO;
	*ret_value = value;
	return 0;
}

int vmm_ack(struct vmm *vmm, uint32_t request, const void *payload, size_t size, const int *fds,
	    size_t num_fds)
{
	bool acks = vmm->protocol_features & BIT(VU_PROTOCOL_F_REPLY_ACK);
	uint64_t value;
	int r = vmm_send(vmm, request, acks ? VU_NEED_REPLY : 0, payload, size, fds, num_fds);

	if (r < 0)
		return r;
	if (!acks)
		return vmm_get_u64(vmm, VU_GET_FEATURES, &value);
	r = vmm_receive(vmm, request, &value, sizeof(value));
	if (r < 0)
		return r;
	if (r != sizeof(value))
		return -EPROTO;
	return value > INT32_MAX ? INT32_MAX : (int)value;
}

int vmm_ack_u64(struct vmm *vmm, uint32_t request, uint64_t value)
{
	return vmm_ack(vmm, request, &value, sizeof(value), NULL, 0);
}

int vmm_ack_state(struct vmm *vmm, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state state = { .index = index, .num = num };

	return vmm_ack(vmm, request, &state, sizeof(state), NULL, 0);
}

int vmm_ack_vring_fd(struct vmm *vmm, uint32_t request, uint64_t value, int fd)
{
	return vmm_ack(vmm, request, &value, sizeof(value), &fd, fd >= 0 ? 1 : 0);
}

int vmm_get_vring_base(struct vmm *vmm, uint32_t index, uint16_t *ret_base)
{
	struct vu_vring_state state = { .index = index };
	int r = vmm_send(vmm, VU_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);

	if (r == 0)
		r = vmm_receive(vmm, VU_GET_VRING_BASE, &state, sizeof(state));
	if (r < 0)
		return r;
	if (r != sizeof(state) || state.index != index || state.num > UINT16_MAX)
		return -EPROTO;
	*ret_base = (uint16_t)state.num;
	return 0;
}

int vmm_handshake(struct vmm *vmm)
{
	uint64_t offered, protocol = 0, value;
	int r = vmm_get_u64(vmm, VU_GET_FEATURES, &offered);

	if (r < 0)
		return r;
	if (vmm->options.no_protocol_features) {
		offered &= ~BIT(VU_F_PROTOCOL_FEATURES);
	} else if (offered & BIT(VU_F_PROTOCOL_FEATURES)) {
		r = vmm_get_u64(vmm, VU_GET_PROTOCOL_FEATURES, &protocol);
		if (r < 0)
			return r;
		if (vmm->options.protocol_mask)
			protocol &= vmm->options.protocol_mask;
		r = vmm_send(vmm, VU_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), NULL,
			     0);
		vmm->protocol_features = protocol;
	}
	if (r == 0 && protocol & BIT(VU_PROTOCOL_F_MQ))
		r = vmm_get_u64(vmm, VU_GET_QUEUE_NUM, &value);
	if (r == 0 && protocol & BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		r = vmm_get_u64(vmm, VU_GET_MAX_MEM_SLOTS, &value);
	if (r == 0)
		r = vmm_send(vmm, VU_SET_OWNER, 0, NULL, 0, NULL, 0);
	if (r < 0)
		return r;
	if (vmm->options.features)
		offered &= vmm->options.features | BIT(VU_F_PROTOCOL_FEATURES);
	vmm->features = offered;
	return vmm_ack_u64(vmm, VU_SET_FEATURES, offered);
}

static struct vu_mem_region wire_region(const struct vmm_region *r)
{
	return (struct vu_mem_region){
		.guest_addr = r->guest_addr,
		.size = r->size,
		.user_addr = r->user_addr,
		.mmap_offset = r->offset,
	};
}

static int region_fd(const struct vmm *vmm, const struct vmm_region *r)
{
	return r->fd ? r->fd : vmm->memfd;
}

int vmm_send_memory(struct vmm *vmm)
{
	struct vu_mem_table_msg table = { .num_regions = (uint32_t)vmm->num_regions };
	int fds[VU_MAX_REGIONS];

	if (vmm->options.no_memory)
		return 0;
	if (vmm->protocol_features & BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
		for (size_t i = 0; i < vmm->num_regions; i++) {
			struct vu_mem_region_msg msg = { .region = wire_region(&vmm->regions[i]) };
			int fd = region_fd(vmm, &vmm->regions[i]);
			int r = vmm_ack(vmm, VU_ADD_MEM_REG, &msg, sizeof(msg), &fd, 1);

			if (r != 0)
				return r;
		}
		return 0;
	}
	if (vmm->num_regions > VU_MAX_REGIONS)
		return -EINVAL;
	for (size_t i = 0; i < vmm->num_regions; i++) {
		table.regions[i] = wire_region(&vmm->regions[i]);
		fds[i] = region_fd(vmm, &vmm->regions[i]);
	}
	return vmm_ack(vmm, VU_SET_MEM_TABLE, &table,
		       offsetof(struct vu_mem_table_msg, regions) +
			       vmm->num_regions * sizeof(struct vu_mem_region),
		       fds, vmm->num_regions);
}

int vmm_wait_closed(struct vmm *vmm)
{
	char byte;
	int r = wait_for(vmm->sock, POLLIN);
	ssize_t n = r < 0 ? 0 : recv(vmm->sock, &byte, 1, MSG_DONTWAIT);

	if (r < 0)
		return r;
	return n == 0 || (n < 0 && errno == ECONNRESET) ? 0 : -EPROTO;
}

bool vmm_alive(struct vmm *vmm)
{
	uint64_t features;

	return vmm_get_u64(vmm, VU_GET_FEATURES, &features) == 0;
}

static const struct vmm_region *find(const struct vmm *vmm, uint64_t addr, uint64_t len,
				     size_t *ret_index)
{
	for (size_t i = 0; i < vmm->num_regions; i++) {
		const struct vmm_region *r = &vmm->regions[i];

		if (addr >= r->guest_addr && addr - r->guest_addr < r->size &&
		    len <= r->size - (addr - r->guest_addr)) {
			*ret_index = i;
			return r;
		}
	}
	return NULL;
}

void *vmm_ptr(const struct vmm *vmm, uint64_t guest_addr, uint64_t len)
{
	size_t i;
	const struct vmm_region *r = find(vmm, guest_addr, len, &i);

	return r && vmm->maps[i] ? vmm->maps[i] + (guest_addr - r->guest_addr) : NULL;
}

uint64_t vmm_user_addr(const struct vmm *vmm, uint64_t guest_addr)
{
	size_t i;
	const struct vmm_region *r = find(vmm, guest_addr, 0, &i);

	return r ? r->user_addr + (guest_addr - r->guest_addr) : 0;
}

uint64_t vmm_file_offset(const struct vmm *vmm, uint64_t guest_addr)
{
	size_t i;
	const struct vmm_region *r = find(vmm, guest_addr, 0, &i);

	return r ? r->offset + (guest_addr - r->guest_addr) : UINT64_MAX;
}
