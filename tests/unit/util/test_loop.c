/* SPDX-License-Identifier: MIT */
/* The event loop: what may be removed, added and deferred when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

struct node {
	struct loop_source source;
	struct loop_deferred deferred;
	struct loop *loop;
	struct node *other;
	int fd;
	int calls;
};

static void add(struct loop *loop, struct node *node, int count, loop_fn fn)
{
	node->loop = loop;
	node->fd = eventfd((unsigned int)count, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(node->fd >= 0);
	assert_int_equal(loop_add(loop, &node->source, node->fd, EPOLLIN, fn), 0);
}

static void drop(struct node *node)
{
	loop_remove(&node->source);
	close(node->fd);
}

static void quit(struct loop_source *source, uint32_t events)
{
	struct node *node = (struct node *)source;

	assert_true(events & EPOLLIN);
	node->calls++;
	loop_quit(source->loop, 42);
}

static void test_runs_and_quits(void **state)
{
	struct loop *loop;
	struct node node = { .calls = 0 };

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	add(loop, &node, 1, quit);
	assert_int_equal(loop_run(loop), 42);
	assert_int_equal(node.calls, 1);
	drop(&node);
	loop_remove(&node.source);
	loop_destroy(loop);
	loop_destroy(NULL);
}

/* Frees the other one, whose event was fetched in the same round. */
static void kill_other(struct loop_source *source, uint32_t events)
{
	struct node *node = (struct node *)source;

	(void)events;
	node->calls++;
	loop_quit(source->loop, 0);
	if (node->other) {
		drop(node->other);
		free(node->other);
		node->other = NULL;
	}
}

static void test_removed_in_the_same_round(void **state)
{
	struct loop *loop;
	struct node *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	(void)state;
	assert_true(a && b);
	assert_int_equal(loop_create(&loop), 0);
	add(loop, a, 1, kill_other);
	add(loop, b, 1, kill_other);
	a->other = b;
	b->other = a;
	assert_int_equal(loop_run(loop), 0);
	/* Whichever came first freed the other; which one is left is told by its own mark. */
	if (a->source.loop && !a->other) {
		assert_int_equal(a->calls, 1);
		drop(a);
		free(a);
	} else {
		fail_msg("the loop's order changed: write this test anew");
	}
	loop_destroy(loop);
}

/* Takes the slot of a source that was removed, before its fetched event is looked at. */
static void replace_other(struct loop_source *source, uint32_t events)
{
	struct node *node = (struct node *)source;

	(void)events;
	node->calls++;
	loop_quit(source->loop, 0);
	if (node->other && node->other->other) {
		struct node *fresh = node->other->other;

		drop(node->other);
		add(node->loop, fresh, 0, quit);
		node->other->other = NULL;
	}
}

static void test_slot_used_again_in_the_same_round(void **state)
{
	struct loop *loop;
	struct node a = { .calls = 0 }, b = { .calls = 0 }, fresh = { .calls = 0 };

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	add(loop, &a, 1, replace_other);
	add(loop, &b, 1, replace_other);
	a.other = &b;
	b.other = &fresh;
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	/* It has no event of its own. */
	assert_int_equal(fresh.calls, 0);
	drop(&a);
	drop(&fresh);
	loop_destroy(loop);
}

static void test_many_sources(void **state)
{
	struct node *nodes = calloc(200, sizeof(*nodes));
	struct loop *loop;

	(void)state;
	assert_non_null(nodes);
	assert_int_equal(loop_create(&loop), 0);
	for (int i = 0; i < 200; i++)
		add(loop, &nodes[i], i == 199, quit);
	assert_int_equal(loop_run(loop), 42);
	assert_int_equal(nodes[199].calls, 1);
	for (int i = 0; i < 200; i++)
		drop(&nodes[i]);
	free(nodes);
	loop_destroy(loop);
}

static void modify_then_quit(struct loop_source *source, uint32_t events)
{
	struct node *node = (struct node *)source;

	if (node->calls++ == 0) {
		assert_true(events & EPOLLIN);
		assert_int_equal(loop_modify(source, EPOLLOUT), 0);
		return;
	}
	assert_true(events == EPOLLOUT);
	loop_quit(source->loop, 0);
}

static void test_modify(void **state)
{
	struct loop *loop;
	struct node node = { .calls = 0 };

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	add(loop, &node, 1, modify_then_quit);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(node.calls, 2);
	drop(&node);
	loop_destroy(loop);
}

static struct node *node_of(struct loop_deferred *deferred)
{
	return (struct node *)((char *)deferred - offsetof(struct node, deferred));
}

/* Asks for itself again and again: the source must get its turn all the same. */
static void greedy(struct loop_deferred *deferred)
{
	struct node *node = node_of(deferred);

	assert_true(++node->calls < 1000);
	loop_defer(node->loop, deferred);
}

static void test_deferred_work_does_not_starve_sources(void **state)
{
	struct loop *loop;
	struct node node = { .deferred.fn = greedy }, source = { .calls = 0 };

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	node.loop = loop;
	loop_defer(loop, &node.deferred);
	loop_defer(loop, &node.deferred);
	add(loop, &source, 1, quit);
	assert_int_equal(loop_run(loop), 42);
	/* Queued twice is once. */
	assert_int_equal(node.calls, 1);
	loop_cancel(loop, &node.deferred);
	loop_cancel(loop, &node.deferred);
	drop(&source);
	loop_destroy(loop);
}

static void cancel_other(struct loop_deferred *deferred)
{
	struct node *node = node_of(deferred);

	node->calls++;
	loop_cancel(node->loop, &node->other->deferred);
	loop_quit(node->loop, 0);
}

static void test_cancel_in_the_same_round(void **state)
{
	struct loop *loop;
	struct node a = { .deferred.fn = cancel_other }, b = { .deferred.fn = cancel_other };
	struct node c = { .deferred.fn = cancel_other };

	(void)state;
	assert_int_equal(loop_create(&loop), 0);
	a.loop = loop;
	b.loop = loop;
	c.loop = loop;
	a.other = &b;
	b.other = &a;
	c.other = &b;
	loop_defer(loop, &a.deferred);
	loop_defer(loop, &b.deferred);
	loop_defer(loop, &c.deferred);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	assert_int_equal(c.calls, 1);
	/* Cancelled before a round, as the last of the queue; the next one still works. */
	loop_defer(loop, &a.deferred);
	loop_defer(loop, &b.deferred);
	loop_cancel(loop, &b.deferred);
	loop_defer(loop, &c.deferred);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a.calls, 2);
	assert_int_equal(b.calls, 0);
	assert_int_equal(c.calls, 2);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_and_quits),
		cmocka_unit_test(test_removed_in_the_same_round),
		cmocka_unit_test(test_slot_used_again_in_the_same_round),
		cmocka_unit_test(test_many_sources),
		cmocka_unit_test(test_modify),
		cmocka_unit_test(test_deferred_work_does_not_starve_sources),
		cmocka_unit_test(test_cancel_in_the_same_round),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
