/* Sending and receiving, with several buffers or with descriptors. */
#include "addon.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BUFFERS 256
#define MAX_FDS 64

/* send(fd, buffer, offset, length, flags) */
static napi_value do_send(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 5);
	int fd = int_at(&args, 0);
	struct bytes bytes = slice_at(&args, 1);
	int flags = int_at(&args, 4);
	REFUSE_BAD(args);
	return result_of(env, RETRY(send(fd, bytes.data, bytes.length, flags | MSG_NOSIGNAL)));
}

/* recv(fd, buffer, offset, length, flags) */
static napi_value do_recv(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 5);
	int fd = int_at(&args, 0);
	struct bytes bytes = slice_at(&args, 1);
	int flags = int_at(&args, 4);
	REFUSE_BAD(args);
	return result_of(env, RETRY(recv(fd, bytes.data, bytes.length, flags)));
}

/* sendBuffers(fd, buffers, skip): at most MAX_BUFFERS of them in one call, without the first `skip` bytes of the first */
static napi_value do_send_buffers(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 3);
	struct iovec vectors[MAX_BUFFERS];
	uint32_t count = 0;
	int fd = int_at(&args, 0), skip = int_at(&args, 2);
	if (args.bad || skip < 0 || napi_get_array_length(env, args.values[1], &count) != napi_ok)
		return number(env, -EINVAL);
	if (count > MAX_BUFFERS)
		count = MAX_BUFFERS;
	for (uint32_t index = 0; index < count; index++) {
		napi_value element;
		struct bytes bytes;
		if (napi_get_element(env, args.values[1], index, &element) != napi_ok ||
		    !typed_array(env, element, napi_uint8_array, &bytes))
			return number(env, -EINVAL);
		if (index == 0) {
			if ((size_t)skip > bytes.length)
				return number(env, -EINVAL);
			bytes.data += skip;
			bytes.length -= (size_t)skip;
		}
		vectors[index].iov_base = bytes.data;
		vectors[index].iov_len = bytes.length;
	}
	struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
	return result_of(env, RETRY(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)));
}

union control {
	char space[CMSG_SPACE(sizeof(int) * MAX_FDS)];
	struct cmsghdr align;
};

/* sendFds(fd, buffer, fds: Int32Array) */
static napi_value do_send_fds(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 3);
	int fd = int_at(&args, 0);
	struct bytes bytes = bytes_at(&args, 1);
	struct bytes fds = ints_at(&args, 2);
	REFUSE_BAD(args);
	if (fds.length > MAX_FDS)
		return number(env, -EINVAL);
	union control control;
	memset(&control, 0, sizeof control);
	struct iovec vector = {bytes.data, bytes.length};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	if (fds.length > 0) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.length);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fds.length);
		memcpy(CMSG_DATA(header), fds.data, sizeof(int) * fds.length);
	}
	return result_of(env, RETRY(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)));
}

/* recvFds(fd, buffer, out: Int32Array): out = msg_flags, number of descriptors, descriptors; those without room in it are closed */
static napi_value do_recv_fds(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 3);
	int fd = int_at(&args, 0);
	struct bytes bytes = bytes_at(&args, 1);
	struct bytes out = ints_at(&args, 2);
	REFUSE_BAD(args);
	if (out.length < 2)
		return number(env, -EINVAL);
	union control control;
	struct iovec vector = {bytes.data, bytes.length};
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
	int64_t received = RETRY(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
	if (received < 0)
		return number(env, -errno);
	int32_t *info_out = (int32_t *)out.data;
	size_t count = 0;
	int flags = message.msg_flags;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t passed = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t index = 0; index < passed; index++) {
			int one;
			memcpy(&one, CMSG_DATA(header) + index * sizeof(int), sizeof one);
			if (count + 2 < out.length)
				info_out[2 + count++] = one;
			else {
				close(one);
				flags |= MSG_CTRUNC;
			}
		}
	}
	info_out[0] = flags;
	info_out[1] = (int32_t)count;
	return number(env, received);
}

const struct function message_functions[] = {
	{"send", do_send},
	{"recv", do_recv},
	{"sendBuffers", do_send_buffers},
	{"sendFds", do_send_fds},
	{"recvFds", do_recv_fds},
	{NULL, NULL},
};
