/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

static struct vu_guard *guards;

/* mmap(2) is not on POSIX's list of async-signal-safe calls; on Linux it is a bare system call. */
static bool replace_page(const struct vu_guard *guard, uintptr_t addr)
{
	uintptr_t page = addr & ~(uintptr_t)(guard->page_size - 1);
	void *mapped = mmap((void *)page, guard->page_size, PROT_READ | PROT_WRITE, // NOLINT
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	return mapped != MAP_FAILED;
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	int saved = errno;

	(void)context;
	/* Positive codes come from the kernel: anybody may send the signal itself. */
	for (struct vu_guard *g = info->si_code > 0 ? guards : NULL; g; g = g->next) {
		if (addr < g->start || addr - g->start >= g->len)
			continue;
		if (!replace_page(g, addr))
			break;
		*g->faulted = 1;
		errno = saved;
		return;
	}
	/* Not ours: the access is repeated, or the signal sent again, and ends the process. */
	(void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	if (info->si_code <= 0)
		(void)raise(signal);
	errno = saved;
}

int vu_guard_add(struct vu_guard *guard, void *start, size_t len, size_t page_size,
		 volatile sig_atomic_t *faulted)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	/* Each time: whoever put another handler there meanwhile would undo all of this. */
	if (sigaction(SIGBUS, &action, NULL) < 0)
		return -errno;
	*guard = (struct vu_guard){
		.next = guards,
		.start = (uintptr_t)start,
		.len = len,
		.page_size = page_size,
		.faulted = faulted,
	};
	if (guards)
		guards->prev = guard;
	guards = guard;
	return 0;
}

void vu_guard_remove(struct vu_guard *guard)
{
	if (!guard->len)
		return;
	if (guard->prev)
		guard->prev->next = guard->next;
	else
		guards = guard->next;
	if (guard->next)
		guard->next->prev = guard->prev;
	memset(guard, 0, sizeof(*guard));
}
