/* SPDX-License-Identifier: MIT */
/* The daemon as a program: its options, its sockets, its end. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 8

struct run {
	pid_t pid;
	int output; /* stdout and stderr */
	char text[4096];
};

/* Starts the daemon with @args (NULL-terminated); fd 9 is @fd9, or closed if -1. */
static void run_start(struct run *run, const char *const *args, int fd9)
{
	const char *argv[MAX_ARGS + 2] = { getenv("BUFSHARE_DAEMON") };
	int out[2];

	assert_non_null(argv[0]);
	for (int i = 0; i < MAX_ARGS && args[i]; i++)
		argv[i + 1] = args[i];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run->pid = fork();
	assert_true(run->pid >= 0);
	if (run->pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		if (fd9 >= 0)
			dup2(fd9, 9);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	close(out[1]);
	run->output = out[0];
}

/* Waits for its end and returns the exit status; run->text is all it said. */
static int run_end(struct run *run)
{
	size_t len = 0;
	int status;

	for (;;) {
		struct pollfd p = { .fd = run->output, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&p, 1, VMM_TIMEOUT_MS), 1);
		n = read(run->output, run->text + len, sizeof(run->text) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	run->text[len] = '\0';
	close(run->output);
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int run_once(struct run *run, const char *const *args)
{
	run_start(run, args, -1);
	return run_end(run);
}

/* Waits until it says @text. */
static void run_wait(struct run *run, const char *text)
{
	char seen[4096] = "";
	size_t len = 0;

	while (!strstr(seen, text)) {
		struct pollfd p = { .fd = run->output, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&p, 1, VMM_TIMEOUT_MS), 1);
		n = read(run->output, seen + len, sizeof(seen) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
	}
}

static int stop(struct run *run, int signum)
{
	assert_int_equal(kill(run->pid, signum), 0);
	return run_end(run);
}

static void expect_capabilities(const char *const *args)
{
	struct json_object *json, *type, *features;
	struct run run;

	assert_int_equal(run_once(&run, args), 0);
	json = json_tokener_parse(run.text);
	assert_non_null(json);
	assert_true(json_object_object_get_ex(json, "type", &type));
	assert_string_equal(json_object_get_string(type), "bufshare");
	assert_true(json_object_object_get_ex(json, "features", &features));
	assert_int_equal(json_object_get_type(features), json_type_array);
	json_object_put(json);
}

/* "Other options and arguments should be ignored": also those that nobody knows. */
static void test_capabilities(void **state)
{
	static const char *const alone[] = { "--print-capabilities", NULL };
	static const char *const first[] = { "--print-capabilities", "--bogus", "extra", NULL };
	static const char *const last[] = { "extra", "--bogus=1", "--fd=x", "--socket-path",
					    "--help", "-x", "--print-capabilities", NULL };

	(void)state;
	expect_capabilities(alone);
	expect_capabilities(first);
	expect_capabilities(last);
}

static void test_version_and_help(void **state)
{
	static const char *const version[] = { "--version", NULL };
	static const char *const help[] = { "--help", NULL };
	struct run run;

	(void)state;
	assert_int_equal(run_once(&run, version), 0);
	assert_string_equal(run.text, "vhost-user-bufshare " BUFSHARE_VERSION "\n");
	assert_int_equal(run_once(&run, help), 0);
	assert_non_null(strstr(run.text, "--socket-path=NAME=PATH"));
}

static void test_usage_errors_name_input_and_limit(void **state)
{
	static const struct {
		const char *args[3];
		const char *says;
	} bad[] = {
		{ { NULL }, "--socket-path" },
		{ { "extra" }, "extra: not an option" },
		{ { "--socket-path=" }, "--socket-path=: NAME=VALUE" },
		{ { "--socket-path=vm0=" }, "--socket-path=vm0=: NAME=VALUE" },
		{ { "--fd=" }, "--fd=: NAME=VALUE" },
		{ { "--socket-path=/x", "--socket-path=/y" }, "--socket-path=/y: a VM without a name" },
		{ { "--socket-path=a=/x", "--socket-path=y" }, "=y: a VM without a name" },
		{ { "--socket-path=x", "--socket-path=a=/y" }, "=a=/y: a VM without a name" },
		{ { "--socket-path=/x", "--fd=0" }, "--fd=0: a VM without a name" },
		{ { "--socket-path==/x" }, "1 to 63 bytes" },
		{ { "--socket-path=a b=/x" }, "letters, digits" },
		{ { "--socket-path=a=/x", "--fd=a=0" }, "--fd=a=0: there is a guest of this name" },
		{ { "--fd=a=0", "--fd=b=0" }, "in use already" },
		{ { "--fd=a=9" }, "not an open file descriptor" },
		{ { "--ready-fd=9" }, "not an open file descriptor" },
		{ { "--fd=a=x" }, "a number is expected" },
		{ { "--max-frames=65" }, "--max-frames=65: must be 1 to 64" },
		{ { "--max-frames=0" }, "must be 1 to 64" },
		{ { "--max-bytes=1" }, "must be 4096 to" },
		{ { "--max-bytes=99999999T" }, "must be 4096 to" },
		{ { "--max-bytes=1Q" }, "nothing after it" },
		{ { "--max-buffers=-1" }, "a number is expected" },
		{ { "--max-holds=4294967296" }, "must be 1 to" },
		{ { "--admin=0" }, "uid=N" },
		{ { "--admin=uid=" }, "a number is expected" },
		{ { "--admin=uid=1:rw" }, "nothing after it" },
		{ { "--admin=uid=4294967295" }, "must be 0 to 4294967294" },
		{ { "--trust=0" }, "uid=N" },
		{ { "--trust=uid=0:x" }, "uid=N" },
		{ { "--trust=uid=4294967295" }, "must be 0 to 4294967294" },
		{ { "--client-socket=/x", "--client-socket=/y" }, "already" },
		{ { "--bogus" }, "--bogus" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *args[] = { bad[i].args[0], bad[i].args[1], NULL };
		struct run run;

		assert_int_equal(run_once(&run, args), 2);
		if (!strstr(run.text, bad[i].says))
			fail_msg("\"%s\" says: %s", bad[i].args[0], run.text);
	}
}

struct place {
	char dir[32], path[64], option[96];
};

static void place_make(struct place *place)
{
	memcpy(place->dir, "/tmp/bufshare-XXXXXX", sizeof("/tmp/bufshare-XXXXXX"));
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof(place->path), "%s/vm", place->dir);
	(void)snprintf(place->option, sizeof(place->option), "--socket-path=vm=%s", place->path);
}

/* Makes the daemon say what it calls the VM. */
static void expect_label(struct run *run, struct vmm *vmm, const char *label)
{
	static const unsigned char junk[12] = { 99, 0, 0, 0, 1 };
	char line[80];

	(void)snprintf(line, sizeof(line), ">%s: message 99", label);
	assert_int_equal(vmm_send_raw(vmm, junk, sizeof(junk), NULL, 0), 0);
	run_wait(run, line);
}

/* As QEMU's conventions have it, and with what could be taken for a name in the path. */
static void test_path_without_a_name(void **state)
{
	static const char *const names[] = { "vm", "x=y" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		char option[96];
		const char *args[] = { option, "--ready-fd=1", NULL };
		struct place place;
		struct run run;
		struct vmm *vmm;

		place_make(&place);
		(void)snprintf(place.path, sizeof(place.path), "%s/%s", place.dir, names[i]);
		(void)snprintf(option, sizeof(option), "--socket-path=%s", place.path);
		run_start(&run, args, -1);
		run_wait(&run, "ready");
		assert_int_equal(vmm_create_path(&vmm, place.path, NULL), 0);
		expect_label(&run, vmm, "vm0");
		vmm_destroy(vmm);
		assert_int_equal(stop(&run, SIGTERM), 0);
		assert_int_equal(rmdir(place.dir), 0);
	}
}

/* A word is a path too: it is in the folder that the daemon was started in. */
static void test_relative_path_without_a_name(void **state)
{
	static const char *const args[] = { "--socket-path=vm", "--ready-fd=1", NULL };
	int before = open(".", O_PATH | O_CLOEXEC);
	struct place place;
	struct run run;
	struct vmm *vmm;

	(void)state;
	place_make(&place);
	assert_int_equal(chdir(place.dir), 0);
	run_start(&run, args, -1);
	assert_int_equal(fchdir(before), 0);
	close(before);
	run_wait(&run, "ready");
	assert_int_equal(vmm_create_path(&vmm, place.path, NULL), 0);
	expect_label(&run, vmm, "vm0");
	vmm_destroy(vmm);
	assert_int_equal(stop(&run, SIGTERM), 0);
	assert_int_equal(rmdir(place.dir), 0);
}

static void test_fd_without_a_name(void **state)
{
	static const char *const args[] = { "--fd=9", NULL };
	struct run run;
	struct vmm *vmm;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	run_start(&run, args, pair[1]);
	close(pair[1]);
	assert_int_equal(vmm_create(&vmm, pair[0], NULL), 0);
	expect_label(&run, vmm, "vm0");
	vmm_destroy(vmm);
	assert_int_equal(run_end(&run), 0);
}

/* A socket bound at the path, listening or not; closed, it leaves a dead name. */
static int bind_at(const char *path, bool listening)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_stale_socket_is_replaced(void **state)
{
	struct place place;
	struct run run;
	struct vmm *vmm;
	struct stat st;

	(void)state;
	place_make(&place);
	close(bind_at(place.path, true));
	{
		const char *args[] = { place.option, "--ready-fd=1", NULL };

		run_start(&run, args, -1);
	}
	run_wait(&run, "ready");
	assert_int_equal(stat(place.path, &st), 0);
	assert_int_equal(st.st_mode & S_IRWXO, 0);
	assert_int_equal(vmm_create_path(&vmm, place.path, NULL), 0);
	assert_int_equal(vmm_handshake(vmm), 0);
	assert_int_equal(stop(&run, SIGTERM), 0);
	vmm_destroy(vmm);
	/* The name is removed, so the folder is empty. */
	assert_int_equal(rmdir(place.dir), 0);
}

static void test_living_socket_is_left_alone(void **state)
{
	struct place place;
	struct run run;
	int fd;

	(void)state;
	place_make(&place);
	fd = bind_at(place.path, true);
	{
		const char *args[] = { place.option, NULL };

		assert_int_equal(run_once(&run, args), 1);
	}
	assert_non_null(strstr(run.text, place.path));
	assert_non_null(strstr(run.text, strerror(EADDRINUSE)));
	close(fd);
	assert_int_equal(unlink(place.path), 0);
	rmdir(place.dir);
}

static void test_other_file_is_left_alone(void **state)
{
	struct place place;
	struct run run;
	int fd;

	(void)state;
	place_make(&place);
	fd = open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	{
		const char *args[] = { place.option, NULL };

		assert_int_equal(run_once(&run, args), 1);
	}
	assert_non_null(strstr(run.text, strerror(EEXIST)));
	assert_int_equal(unlink(place.path), 0);
	rmdir(place.dir);
}

/* Somebody replaced the name meanwhile: it is his. */
static void test_name_of_another_is_kept(void **state)
{
	struct place place;
	struct run run;
	int fd;

	(void)state;
	place_make(&place);
	{
		const char *args[] = { place.option, "--ready-fd=1", NULL };

		run_start(&run, args, -1);
	}
	run_wait(&run, "ready");
	assert_int_equal(unlink(place.path), 0);
	fd = bind_at(place.path, true);
	assert_int_equal(stop(&run, SIGINT), 0);
	assert_int_equal(unlink(place.path), 0);
	close(fd);
	rmdir(place.dir);
}

/* The same rules at the clients' socket. */
static void test_client_socket_spares_files(void **state)
{
	char client[96];
	struct place place;
	struct run run;
	struct stat st;
	int fd;

	(void)state;
	place_make(&place);
	(void)snprintf(client, sizeof(client), "--client-socket=%s/file", place.dir);
	fd = open(strchr(client, '=') + 1, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	{
		const char *args[] = { place.option, client, NULL };

		assert_int_equal(run_once(&run, args), 1);
	}
	assert_non_null(strstr(run.text, strerror(EEXIST)));
	assert_int_equal(lstat(strchr(client, '=') + 1, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(unlink(strchr(client, '=') + 1), 0);
	{
		const char *args[] = { place.option, client, "--ready-fd=1", NULL };

		run_start(&run, args, -1);
	}
	run_wait(&run, "ready");
	assert_int_equal(unlink(strchr(client, '=') + 1), 0);
	fd = bind_at(strchr(client, '=') + 1, true);
	assert_int_equal(stop(&run, SIGTERM), 0);
	assert_int_equal(unlink(strchr(client, '=') + 1), 0);
	close(fd);
	assert_int_equal(rmdir(place.dir), 0);
}

/* A peer that comes again and again gets no fresh right to log each time. */
static void test_reconnecting_does_not_flood_the_log(void **state)
{
	static const unsigned char junk[12] = { 99, 0, 0, 0, 1 };
	struct place place;
	struct run run;
	unsigned int lines = 0;
	ssize_t n;

	(void)state;
	place_make(&place);
	{
		const char *args[] = { place.option, "--ready-fd=1", NULL };

		run_start(&run, args, -1);
	}
	run_wait(&run, "ready");
	for (int i = 0; i < 300; i++) {
		struct vmm *vmm;

		assert_int_equal(vmm_create_path(&vmm, place.path, NULL), 0);
		(void)vmm_send_raw(vmm, junk, sizeof(junk), NULL, 0);
		assert_int_equal(vmm_wait_closed(vmm), 0);
		vmm_destroy(vmm);
	}
	assert_int_equal(kill(run.pid, SIGTERM), 0);
	while ((n = read(run.output, run.text, sizeof(run.text))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += run.text[i] == '\n';
	assert_int_equal(run_end(&run), 0);
	/* A burst, what is refilled in some seconds, and the line on ending. */
	assert_in_range(lines, 10, 64);
	assert_int_equal(rmdir(place.dir), 0);
}

static void test_path_too_long(void **state)
{
	char option[256] = "--socket-path=vm=/";
	const char *args[] = { option, NULL };
	struct run run;

	(void)state;
	memset(option + strlen(option), 'x', 200);
	assert_int_equal(run_once(&run, args), 1);
	assert_non_null(strstr(run.text, strerror(ENAMETOOLONG)));
}

static void test_connected_fd(void **state)
{
	static const char *const args[] = { "--fd=vm=9", NULL };
	struct run run;
	struct vmm *vmm;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	run_start(&run, args, pair[1]);
	close(pair[1]);
	assert_int_equal(vmm_create(&vmm, pair[0], NULL), 0);
	assert_int_equal(vmm_handshake(vmm), 0);
	/* Nobody can connect any more: it ends, and well. */
	vmm_destroy(vmm);
	assert_int_equal(run_end(&run), 0);
}

static void test_listening_fd(void **state)
{
	static const char *const args[] = { "--fd=vm=9", NULL };
	struct place place;
	struct run run;
	struct vmm *vmm;
	int fd;

	(void)state;
	place_make(&place);
	fd = bind_at(place.path, true);
	run_start(&run, args, fd);
	close(fd);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vmm_create_path(&vmm, place.path, NULL), 0);
		assert_int_equal(vmm_handshake(vmm), 0);
		vmm_destroy(vmm);
	}
	assert_int_equal(stop(&run, SIGTERM), 0);
	/* The name is the parent's. */
	assert_int_equal(unlink(place.path), 0);
	rmdir(place.dir);
}

static void connect_as(uid_t uid, const char *path)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct vmm *vmm;

		_exit(setuid(uid) < 0 || vmm_create_path(&vmm, path, NULL) < 0 ||
		      vmm_handshake(vmm) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Whose QEMU is an administrator at the client socket is told, once; root's is not news. */
static void test_vmm_of_an_administrator(void **state)
{
	char client[96];
	struct place place;
	struct run run;
	const char *at;
	int fd;

	(void)state;
	if (getuid() != 0)
		skip();
	place_make(&place);
	assert_int_equal(chmod(place.dir, 0755), 0);
	(void)snprintf(client, sizeof(client), "--client-socket=%s/clients", place.dir);
	fd = bind_at(place.path, true);
	assert_int_equal(chmod(place.path, 0777), 0);
	for (int i = 0; i < 2; i++) {
		const char *args[] = { "--fd=vm=9", client, "--admin=uid=12345",
				       i ? "--admin=uid=65534" : NULL, NULL };

		run_start(&run, args, fd);
		connect_as(0, place.path);
		connect_as(65534, place.path);
		connect_as(65534, place.path);
		assert_int_equal(stop(&run, SIGTERM), 0);
		at = strstr(run.text, "uid 65534, which may have every VM's buffers");
		if (i == 0) {
			assert_null(at);
		} else {
			assert_non_null(at);
			assert_null(strstr(at + 1, "uid 65534, which may"));
		}
		assert_null(strstr(run.text, "uid 0, which"));
	}
	close(fd);
	assert_int_equal(unlink(place.path), 0);
	assert_int_equal(rmdir(place.dir), 0);
}

static void test_wrong_fds(void **state)
{
	static const char *const args[] = { "--fd=vm=9", NULL };
	struct run run;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	run_start(&run, args, fds[0]);
	assert_int_equal(run_end(&run), 1);
	assert_non_null(strstr(run.text, strerror(ENOTSOCK)));
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	run_start(&run, args, fds[0]);
	assert_int_equal(run_end(&run), 1);
	assert_non_null(strstr(run.text, strerror(EPROTOTYPE)));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_version_and_help),
		cmocka_unit_test(test_usage_errors_name_input_and_limit),
		cmocka_unit_test(test_path_without_a_name),
		cmocka_unit_test(test_relative_path_without_a_name),
		cmocka_unit_test(test_fd_without_a_name),
		cmocka_unit_test(test_stale_socket_is_replaced),
		cmocka_unit_test(test_living_socket_is_left_alone),
		cmocka_unit_test(test_other_file_is_left_alone),
		cmocka_unit_test(test_name_of_another_is_kept),
		cmocka_unit_test(test_client_socket_spares_files),
		cmocka_unit_test(test_reconnecting_does_not_flood_the_log),
		cmocka_unit_test(test_path_too_long),
		cmocka_unit_test(test_connected_fd),
		cmocka_unit_test(test_listening_fd),
		cmocka_unit_test(test_vmm_of_an_administrator),
		cmocka_unit_test(test_wrong_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
