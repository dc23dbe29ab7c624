/* Sockets: making, connecting, options. */
#include "addon.h"
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

static napi_value do_socket(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 3);
	int domain = int_at(&args, 0), type = int_at(&args, 1), protocol = int_at(&args, 2);
	REFUSE_BAD(args);
	return result_of(env, socket(domain, type | SOCK_CLOEXEC, protocol));
}

static napi_value do_socket_in_namespace(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 4);
	int target = int_at(&args, 0), domain = int_at(&args, 1), type = int_at(&args, 2), protocol = int_at(&args, 3);
	REFUSE_BAD(args);
	int self = own_namespace();
	if (self < 0)
		return number(env, -errno);
	if (setns(target, CLONE_NEWNET) < 0) {
		int error = errno;
		close(self);
		return number(env, -error);
	}
	int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	int64_t result = fd < 0 ? -errno : fd;
	return_to(self);
	return number(env, result);
}

static napi_value do_bind(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	int fd = int_at(&args, 0);
	struct bytes address = bytes_at(&args, 1);
	REFUSE_BAD(args);
	return result_of(env, bind(fd, (struct sockaddr *)address.data, (socklen_t)address.length));
}

static napi_value do_connect(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	int fd = int_at(&args, 0);
	struct bytes address = bytes_at(&args, 1);
	REFUSE_BAD(args);
	return result_of(env, RETRY(connect(fd, (struct sockaddr *)address.data, (socklen_t)address.length)));
}

static napi_value do_listen(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	int fd = int_at(&args, 0), backlog = int_at(&args, 1);
	REFUSE_BAD(args);
	return result_of(env, listen(fd, backlog));
}

/* accept(fd): a non-blocking descriptor */
static napi_value do_accept(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 1);
	int fd = int_at(&args, 0);
	REFUSE_BAD(args);
	return result_of(env, RETRY(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)));
}

/* getsockname(fd, out), getpeername(fd, out): length of the address */
static napi_value socket_name(napi_env env, napi_callback_info info, int (*call)(int, struct sockaddr *, socklen_t *))
{
	struct arguments args = arguments_of(env, info, 2);
	int fd = int_at(&args, 0);
	struct bytes out = bytes_at(&args, 1);
	REFUSE_BAD(args);
	socklen_t length = (socklen_t)out.length;
	if (call(fd, (struct sockaddr *)out.data, &length) < 0)
		return number(env, -errno);
	return number(env, length > out.length ? -ENOBUFS : (int64_t)length);
}

static int name_of_socket(int fd, struct sockaddr *address, socklen_t *length)
{
	return getsockname(fd, address, length);
}

static int name_of_peer(int fd, struct sockaddr *address, socklen_t *length)
{
	return getpeername(fd, address, length);
}

static napi_value do_getsockname(napi_env env, napi_callback_info info)
{
	return socket_name(env, info, name_of_socket);
}

static napi_value do_getpeername(napi_env env, napi_callback_info info)
{
	return socket_name(env, info, name_of_peer);
}

/* setsockopt(fd, level, name, value) */
static napi_value do_setsockopt(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 4);
	int fd = int_at(&args, 0), level = int_at(&args, 1), name = int_at(&args, 2);
	struct bytes value = bytes_at(&args, 3);
	REFUSE_BAD(args);
	return result_of(env, setsockopt(fd, level, name, value.data, (socklen_t)value.length));
}

/* getsockopt(fd, level, name, out): length of the value */
static napi_value do_getsockopt(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 4);
	int fd = int_at(&args, 0), level = int_at(&args, 1), name = int_at(&args, 2);
	struct bytes out = bytes_at(&args, 3);
	REFUSE_BAD(args);
	socklen_t length = (socklen_t)out.length;
	if (getsockopt(fd, level, name, out.data, &length) < 0)
		return number(env, -errno);
	return number(env, length > out.length ? -ENOBUFS : (int64_t)length);
}

static napi_value do_shutdown(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	int fd = int_at(&args, 0), how = int_at(&args, 1);
	REFUSE_BAD(args);
	return result_of(env, shutdown(fd, how));
}

/* no retry: on Linux the descriptor is gone even after EINTR */
static napi_value do_close(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 1);
	int fd = int_at(&args, 0);
	REFUSE_BAD(args);
	return result_of(env, close(fd));
}

const struct function socket_functions[] = {
	{"socket", do_socket},
	{"socketInNamespace", do_socket_in_namespace},
	{"bind", do_bind},
	{"connect", do_connect},
	{"listen", do_listen},
	{"accept", do_accept},
	{"getsockname", do_getsockname},
	{"getpeername", do_getpeername},
	{"setsockopt", do_setsockopt},
	{"getsockopt", do_getsockopt},
	{"shutdown", do_shutdown},
	{"close", do_close},
	{NULL, NULL},
};
