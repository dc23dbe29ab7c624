/*
 * System calls for Tortie's kernel room, as a Node-API addon.
 *
 * Every function returns a number: what the system call returned, or -errno. Nothing throws for a failed system call,
 * and a wrong kind of argument is -EINVAL. Descriptors are close-on-exec. The addon is context-aware: each worker
 * thread has its own state, which ends with the thread.
 */
#include "addon.h"

static int export_functions(napi_env env, napi_value exports, const struct function *functions, struct state *state)
{
	for (; functions->name != NULL; functions++) {
		napi_value function;
		if (napi_create_function(env, functions->name, NAPI_AUTO_LENGTH, functions->call, state, &function) != napi_ok ||
		    napi_set_named_property(env, exports, functions->name, function) != napi_ok)
			return 0;
	}
	return 1;
}

NAPI_MODULE_INIT()
{
	struct state *state = state_of_environment(env);
	if (state == NULL || !export_functions(env, exports, socket_functions, state) ||
	    !export_functions(env, exports, message_functions, state) || !export_functions(env, exports, namespace_functions, state) ||
	    !export_functions(env, exports, readiness_functions, state))
		return NULL;
	return exports;
}
