/* SPDX-License-Identifier: MIT */
/*
 * The real daemon in a process of its own, with VMs that the test plays by the harness
 * and one host program that speaks the client socket.
 *
 * The daemon's program is the environment's BUFSHARE_DAEMON.  It must end with status 0
 * on SIGTERM when the test is over: with sanitizers that is the leak check as well.
 */
#ifndef TEST_DEVICE_FIXTURE_H
#define TEST_DEVICE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "bufshare_client_protocol.h"
#include "guest.h"
#include "virtio_bufshare.h"
#include "vmm.h"

#define PAGE UINT64_C(4096)
#define UUID_SIZE VIRTIO_BUFSHARE_UUID_SIZE

/* Two regions of RAM with a hole between them. */
#define LOW_SIZE  UINT64_C(0x1000000)
#define HIGH_BASE UINT64_C(0x100000000)
#define HIGH_SIZE UINT64_C(0x20000000)
/* Where tests put their buffers: far above what the harness uses. */
#define BUFFERS (HIGH_BASE + 0x100000)

#define QUEUE_SIZE 128
#define MAX_EVENTS 64

struct vm {
	struct vmm *vmm;
	struct guest *guest;
	struct guest_queue *control, *events;
	uint64_t event_addr[QUEUE_SIZE]; /* by the chain's head */
};

struct fixture {
	pid_t daemon;
	char dir[64];
	struct vm vms[2];
	int client; /* the host program's socket, -1: none */
	uint32_t serial;
};

/* Starts the daemon for VMs "vm0" and "vm1", with @args (NULL-terminated, or NULL). */
struct fixture *fixture_create(const char *const *args);
void fixture_destroy(struct fixture *f);
/* Of one of its sockets: "vm0", "vm1", "clients". */
void fixture_path(const struct fixture *f, const char *name, char *ret_path, size_t size);
/* fixture_create() with vm0 connected and its driver started. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Connects, handshakes, sends memory and sets up the rings; no START. */
void vm_connect(struct fixture *f, int index);
/* As a VMM that is killed. */
void vm_kill(struct vm *vm);
void vm_start(struct vm *vm);

/* What is on the wire, and the status of the response; @resp may be NULL. */
uint32_t vm_request(struct vm *vm, const void *req, size_t len, void *resp, uint32_t resp_cap);
/* The same, and it is OK with a response of exactly @resp_len. */
void vm_request_ok(struct vm *vm, const void *req, size_t len, void *resp, uint32_t resp_len);

/* Posts @n event buffers of @size bytes. */
void vm_post_events(struct vm *vm, int n, uint32_t size);
/* Waits for the next one. */
struct virtio_bufshare_event vm_event(struct vm *vm);
/* No event is there, after all requests sent so far were answered. */
void vm_expect_no_event(struct vm *vm);

/*
 * Every wrong length below, and up to 64 bytes above, is INVALID; every response that is
 * too short for @resp_len is SHORT_REPLY; an unknown flag is INVALID.  The request itself
 * must be good; it is not carried out.
 */
void expect_strict(struct vm *vm, const void *req, size_t len, uint32_t resp_len);
/* Without START it is STATE, and with the responses of a fresh driver too. */
void expect_needs_start(uint32_t type, const void *req, size_t len);

/* ---- requests in short ---- */

struct create_request {
	struct virtio_bufshare_buffer_create create;
	struct virtio_bufshare_extent extents[8];
};

/* A good request for @n extents of a page each, every other page from @addr on. */
struct create_request create_request(uint64_t addr, uint32_t n);
size_t create_len(const struct create_request *req);
uint32_t vm_create(struct vm *vm, const struct create_request *req, uint8_t ret_uuid[UUID_SIZE]);
/* A live buffer of one page at BUFFERS + @page. */
void vm_buffer(struct vm *vm, uint64_t page, uint8_t ret_uuid[UUID_SIZE]);
uint32_t vm_destroy(struct vm *vm, const uint8_t uuid[UUID_SIZE], uint32_t *ret_users);
uint32_t vm_query(struct vm *vm, const uint8_t uuid[UUID_SIZE], uint32_t *ret_state,
		  uint32_t *ret_users);
uint32_t vm_stream(struct vm *vm, const char *name, uint32_t max_frames, uint32_t *ret_id);
uint32_t vm_publish(struct vm *vm, uint32_t stream_id, const uint8_t uuid[UUID_SIZE],
		    uint64_t sequence, uint32_t *ret_listeners);

/* ---- the host program ---- */

void client_connect(struct fixture *f);
void client_close(struct fixture *f);
/* A status of enum bufshare_msg_status. */
uint32_t client_get(struct fixture *f, const uint8_t uuid[UUID_SIZE]);
uint32_t client_put(struct fixture *f, const uint8_t uuid[UUID_SIZE]);
uint32_t client_join(struct fixture *f, const char *owner, const char *name, uint32_t *ret_id);
uint32_t client_release(struct fixture *f, uint32_t consumer, uint64_t sequence);
struct bufshare_msg_stats_reply client_stats(struct fixture *f);

#endif /* TEST_DEVICE_FIXTURE_H */
