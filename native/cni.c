/*
 * The CNI plugin as the container runtime executes it. It holds no logic of its own: it opens the container's network
 * namespace, passes the descriptor, the CNI_* environment and stdin to the agent over the node's UNIX socket, and
 * prints the answer. It is static, because the host need not have anything of ours but this file, and it allocates
 * nothing. Protocol: src/cni/protocol.ts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef TORTIE_VERSION
#define TORTIE_VERSION "development"
#endif

#define DEFAULT_SOCKET "/var/run/calico/cni.sock"
#define MAX_REQUEST (1 << 20)
#define MAX_ENVIRONMENT (64 << 10)
#define MAX_CONFIG (MAX_REQUEST - MAX_ENVIRONMENT)
#define MAX_REPLY (256 << 10)
/* The kubelet gives up after 2 to 4 minutes; the agent answers within 90 s, with an error if it must. */
#define ANSWER_MS 95000
#define CONNECT_MS 900
#define STDIN_MS 10000

/* CNI specification 1.1.0, "Error codes" */
enum { BAD_ENVIRONMENT = 4, IO_FAILURE = 5, BAD_CONFIG = 7, TRY_AGAIN = 11, NOT_AVAILABLE = 50 };

static const char magic[4] = {'C', 'N', 'I', '1'};
static const char *const passed[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"};

static char config[MAX_CONFIG + 1];
static size_t config_length;
static char request[MAX_REQUEST];
static char reply[MAX_REPLY];
static char version[32] = "0.2.0";
/* STATUS has a code of its own for "cannot serve ADD" */
static int code_when_away = TRY_AGAIN;

static int64_t now_ms(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void print_json_string(const char *text) {
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\') printf("\\%c", *c);
		else if (*c < 0x20 || *c >= 0x7f) printf("\\u%04x", *c);
		else putchar(*c);
	}
	putchar('"');
}

static _Noreturn void fail(int code, const char *message, const char *details) {
	printf("{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":", version, code);
	print_json_string(message);
	printf(",\"details\":");
	print_json_string(details);
	puts("}");
	exit(1);
}

/* In the words that an operator needs: the runtime shows them on the pod. */
static _Noreturn void agent_away(const char *socket_path, const char *what) {
	static char details[512];
	snprintf(details, sizeof details, "%.200s: %s. Is calico-node running on this host? Look at its log; the runtime tries again by itself.", socket_path, what);
	fail(code_when_away, "calico-node does not answer on this host; try again later", details);
}

/* 0: ready; ETIMEDOUT or errno otherwise */
static int wait_for(int fd, short events, int64_t deadline) {
	for (;;) {
		int64_t left = deadline - now_ms();
		if (left <= 0) return ETIMEDOUT;
		struct pollfd one = {.fd = fd, .events = events};
		int ready = poll(&one, 1, (int)left);
		if (ready > 0) return 0;
		if (ready < 0 && errno != EINTR) return errno;
	}
}

static void read_config(void) {
	int64_t deadline = now_ms() + STDIN_MS;
	for (;;) {
		int error = wait_for(STDIN_FILENO, POLLIN, deadline);
		if (error) fail(IO_FAILURE, "the network configuration could not be read from stdin", strerror(error));
		ssize_t got = read(STDIN_FILENO, config + config_length, MAX_CONFIG + 1 - config_length);
		if (got == 0) return;
		if (got < 0) {
			if (errno == EINTR || errno == EAGAIN) continue;
			fail(IO_FAILURE, "the network configuration could not be read from stdin", strerror(errno));
		}
		config_length += (size_t)got;
		if (config_length > MAX_CONFIG) fail(BAD_CONFIG, "the network configuration is longer than 960 KiB", "shorten it");
	}
}

/* Index after the string that starts at `at`; 0 if it does not end. */
static size_t skip_string(size_t at) {
	for (at++; at < config_length; at++) {
		if (config[at] == '\\') at++;
		else if (config[at] == '"') return at + 1;
	}
	return 0;
}

static size_t skip_space(size_t at) {
	while (at < config_length && strchr(" \t\r\n", config[at])) at++;
	return at;
}

/* The answer has to be in the version that was asked for, also when the agent is not there to read the configuration. */
static int find_version(void) {
	static const char key[] = "\"cniVersion\"";
	int depth = 0;
	for (size_t at = 0; at < config_length;) {
		char c = config[at];
		if (c != '"') {
			depth += (c == '{' || c == '[') - (c == '}' || c == ']');
			at++;
			continue;
		}
		size_t end = skip_string(at);
		if (end == 0) return 0;
		int found = depth == 1 && end - at == sizeof key - 1 && memcmp(config + at, key, sizeof key - 1) == 0;
		at = skip_space(end);
		if (!found || at >= config_length || config[at] != ':') continue;
		at = skip_space(at + 1);
		if (at >= config_length || config[at] != '"' || (end = skip_string(at)) == 0) return 0;
		size_t length = end - at - 2;
		if (length == 0 || length >= sizeof version) return 0;
		for (size_t i = 0; i < length; i++)
			if (!strchr("0123456789.", config[at + 1 + i])) return 0;
		memcpy(version, config + at + 1, length);
		version[length] = 0;
		return 1;
	}
	return 0;
}

/* -1 where a missing namespace is no failure: DEL has to succeed after the namespace is gone. */
static int open_namespace(const char *path, int required) {
	static char details[512];
	if (path == NULL || *path == 0) {
		if (required) fail(BAD_ENVIRONMENT, "CNI_NETNS is not set", "the runtime has to name the container's network namespace");
		return -1;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *wrong = NULL;
	struct stat given, own;
	if (fd < 0) wrong = strerror(errno);
	else if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) wrong = "it is not a network namespace";
	else if (fstat(fd, &given) == 0 && stat("/proc/self/ns/net", &own) == 0 && given.st_dev == own.st_dev && given.st_ino == own.st_ino)
		wrong = "it is the host's own network namespace";
	if (wrong == NULL) return fd;
	if (fd >= 0) close(fd);
	if (!required) return -1;
	snprintf(details, sizeof details, "%.300s: %s", path, wrong);
	fail(BAD_ENVIRONMENT, "CNI_NETNS cannot be used", details);
}

static size_t append(size_t at, const char *name, const char *value) {
	size_t room = MAX_ENVIRONMENT - 1 - at;
	int length = snprintf(request + at, room, "%s=%s", name, value);
	if (length < 0 || (size_t)length >= room) fail(BAD_ENVIRONMENT, "the CNI_* environment is longer than 64 KiB", name);
	return at + (size_t)length + 1;
}

static size_t build_request(const char *plugin) {
	memcpy(request, magic, sizeof magic);
	size_t at = append(sizeof magic, "PLUGIN", plugin);
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
		const char *value = getenv(passed[i]);
		if (value != NULL) at = append(at, passed[i], value);
	}
	request[at++] = 0;
	memcpy(request + at, config, config_length);
	return at + config_length;
}

static int connect_agent(const char *path) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path) agent_away(path, "the socket's path is too long");
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) fail(IO_FAILURE, "no socket could be made", strerror(errno));
	/* a message goes whole or not at all: the buffer has to hold the longest, with the kernel's own overhead */
	int buffer = 4 * MAX_REQUEST;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
	int64_t deadline = now_ms() + CONNECT_MS;
	while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		/* EAGAIN: the agent lives, and its queue of connections is full (unix(7)) */
		if (errno != EAGAIN && errno != EINTR) agent_away(path, strerror(errno));
		if (now_ms() >= deadline) agent_away(path, "it takes no more connections");
		poll(NULL, 0, 10);
	}
	return fd;
}

static void send_request(int fd, const char *path, size_t length, int namespace_fd, int64_t deadline) {
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec whole = {.iov_base = request, .iov_len = length};
	struct msghdr message = {.msg_iov = &whole, .msg_iovlen = 1};
	if (namespace_fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof control;
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		*header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(header), &namespace_fd, sizeof(int));
	}
	while (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) {
		int error = errno;
		if (error == EINTR) continue;
		if (error == EAGAIN) error = wait_for(fd, POLLOUT, deadline);
		if (error) agent_away(path, strerror(error));
	}
}

static size_t receive_reply(int fd, const char *path, int64_t deadline) {
	for (;;) {
		ssize_t got = recv(fd, reply, sizeof reply, MSG_TRUNC);
		if (got > 0) return (size_t)got;
		if (got == 0) agent_away(path, "it closed the connection before it answered");
		int error = errno;
		if (error == EINTR) continue;
		if (error == EAGAIN) error = wait_for(fd, POLLIN, deadline);
		if (error) agent_away(path, error == ETIMEDOUT ? "it gave no answer in 95 s" : strerror(error));
	}
}

int main(int argc, char **argv) {
	const char *name = argc > 0 ? argv[0] : "calico";
	const char *slash = strrchr(name, '/');
	if (slash != NULL) name = slash + 1;
	const char *plugin = strcmp(name, "calico-ipam") == 0 ? "calico-ipam" : "calico";
	if (argc > 1) {
		if (strcmp(argv[1], "-v") == 0) {
			puts(TORTIE_VERSION);
			return 0;
		}
		fprintf(stderr, "%s: a CNI plugin; the container runtime runs it. The only argument is -v, which prints the version.\n", plugin);
		return 2;
	}

	const char *command = getenv("CNI_COMMAND");
	if (command == NULL) fail(BAD_ENVIRONMENT, "CNI_COMMAND is not set", "this is a CNI plugin; the container runtime runs it");
	read_config();
	int asked = find_version();
	if (strcmp(command, "VERSION") == 0) {
		printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n",
			asked ? version : "1.1.0");
		return 0;
	}

	if (strcmp(command, "STATUS") == 0) code_when_away = NOT_AVAILABLE;
	int required = strcmp(command, "ADD") == 0 || strcmp(command, "CHECK") == 0;
	int namespace_fd = required || strcmp(command, "DEL") == 0 ? open_namespace(getenv("CNI_NETNS"), required) : -1;
	size_t length = build_request(plugin);
	const char *path = getenv("CALICO_CNI_SOCKET");
	if (path == NULL || *path == 0) path = DEFAULT_SOCKET;
	int fd = connect_agent(path);
	int64_t deadline = now_ms() + ANSWER_MS;
	send_request(fd, path, length, namespace_fd, deadline);

	size_t size = receive_reply(fd, path, deadline);
	if (size <= sizeof magic || size > sizeof reply || memcmp(reply, magic, sizeof magic) != 0)
		fail(IO_FAILURE, "the answer of calico-node is malformed", "the plugin and calico-node may be of different versions");
	size_t text = size - sizeof magic - 1;
	if (fwrite(reply + sizeof magic + 1, 1, text, stdout) != text || fflush(stdout) != 0) return 1;
	return reply[sizeof magic] == 0 ? 0 : 1;
}
