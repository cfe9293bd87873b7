/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

/* Of a command line that is wrong, for main() and argp alike. */
#define EXIT_USAGE 2

struct verb {
	const char *name;
	const char *where;
	const char *what;
	int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
	{ "list", "both", "buffers and streams", cmd_list },
	{ "show", "both", "one buffer", cmd_show },
	{ "stats", "both", "the daemon's counters, or this machine's quotas", cmd_stats },
	{ "watch", "host", "what comes and goes, line by line", cmd_watch },
	{ "capture", "host", "frames of a stream, or one buffer, as PNG or raw files", cmd_capture },
	{ "peek", "host", "read bytes of a buffer", cmd_peek },
	{ "poke", "host", "write bytes of a buffer", cmd_poke },
	{ "export", "guest", "share memory, and hold it", cmd_export },
	{ "publish", "guest", "a camera's frames as a stream", cmd_publish },
};

static void usage(FILE *to)
{
	(void)fprintf(to, "Usage: bufshare VERB [OPTION...] [ARGUMENT...]\n"
			  "Buffers shared between a host and its virtual machines.\n\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		(void)fprintf(to, "  %-8s %-6s %s\n", verbs[i].name, verbs[i].where, verbs[i].what);
	(void)fprintf(to, "\nbufshare VERB --help tells more. In a guest the verbs use /dev/bufshare0, "
			  "on the host\n/run/bufshare/client.sock; --connect=PATH or $BUFSHARE name "
			  "another one.\n");
}

/* What could not be written was not done. */
static void close_output(void)
{
	if (cmd_flush() < 0) {
		(void)cmd_say("writing to the standard output failed");
		_exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	char name[64];

	argp_err_exit_status = EXIT_USAGE;
	if (atexit(close_output) != 0)
		return EXIT_FAILURE;

	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("bufshare %s\n", bufshare_version());
		return 0;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "bufshare %s", verbs[i].name);
		argv[1] = name;
		return verbs[i].run(argc - 1, argv + 1);
	}
	(void)fprintf(stderr, "bufshare: there is no verb '%s'\n", argv[1]);
	usage(stderr);
	return EXIT_USAGE;
}
