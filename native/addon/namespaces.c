/* Network namespaces and mounts. */
#include "addon.h"
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

int own_namespace(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* A thread left in somebody else's namespace would program the wrong machine: rather end. */
void return_to(int self)
{
	if (setns(self, CLONE_NEWNET) < 0)
		abort();
	close(self);
}

/* runInNamespace(fd, function) */
static napi_value do_run_in_namespace(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	int target = int_at(&args, 0);
	napi_valuetype type;
	napi_value global, ignored;
	if (args.bad || napi_typeof(env, args.values[1], &type) != napi_ok || type != napi_function ||
	    napi_get_global(env, &global) != napi_ok)
		return number(env, -EINVAL);
	int self = own_namespace();
	if (self < 0)
		return number(env, -errno);
	if (setns(target, CLONE_NEWNET) < 0) {
		int error = errno;
		close(self);
		return number(env, -error);
	}
	napi_status status = napi_call_function(env, global, args.values[1], 0, NULL, &ignored);
	return_to(self);
	/* after an exception of the function it is pending, and goes on from here */
	return status == napi_ok ? number(env, 0) : NULL;
}

/* createNamespace(path): a new network namespace, bound to an existing file */
static napi_value do_create_namespace(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 1);
	char path[MAX_PATH];
	string_at(&args, 0, path);
	REFUSE_BAD(args);
	int self = own_namespace();
	if (self < 0)
		return number(env, -errno);
	if (unshare(CLONE_NEWNET) < 0) {
		int error = errno;
		close(self);
		return number(env, -error);
	}
	int64_t result = mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) < 0 ? -errno : 0;
	return_to(self);
	return number(env, result);
}

/* namespaceType(fd): the CLONE_NEW… flag */
static napi_value do_namespace_type(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 1);
	int fd = int_at(&args, 0);
	REFUSE_BAD(args);
	return result_of(env, ioctl(fd, NS_GET_NSTYPE));
}

/* mount(source, target, type, flags) */
static napi_value do_mount(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 4);
	char source[MAX_PATH], target[MAX_PATH], type[MAX_PATH];
	string_at(&args, 0, source);
	string_at(&args, 1, target);
	string_at(&args, 2, type);
	int flags = int_at(&args, 3);
	REFUSE_BAD(args);
	return result_of(env, mount(source, target, type, (unsigned long)(uint32_t)flags, NULL));
}

static napi_value do_umount(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	char target[MAX_PATH];
	string_at(&args, 0, target);
	int flags = int_at(&args, 1);
	REFUSE_BAD(args);
	return result_of(env, umount2(target, flags));
}

const struct function namespace_functions[] = {
	{"runInNamespace", do_run_in_namespace},
	{"createNamespace", do_create_namespace},
	{"namespaceType", do_namespace_type},
	{"mount", do_mount},
	{"umount", do_umount},
	{NULL, NULL},
};
