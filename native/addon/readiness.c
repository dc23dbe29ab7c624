/* Waiting for descriptors to become readable or writable, on the event loop of the thread. */
#include "addon.h"
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct poll;

struct state {
	napi_env env;
	struct poll **polls;
	uint32_t capacity;
	/* handles that libuv still knows, those being closed included */
	uint32_t open;
	napi_async_cleanup_hook_handle ending;
};

struct poll {
	uv_poll_t handle;
	struct state *state;
	napi_ref callback;
};

static void end_if_idle(struct state *state)
{
	if (state->ending == NULL || state->open > 0)
		return;
	napi_async_cleanup_hook_handle hook = state->ending;
	free(state->polls);
	free(state);
	napi_remove_async_cleanup_hook(hook);
}

static void poll_closed(uv_handle_t *handle)
{
	struct poll *poll = handle->data;
	struct state *state = poll->state;
	free(poll);
	state->open--;
	end_if_idle(state);
}

static void environment_ends(napi_async_cleanup_hook_handle hook, void *argument)
{
	struct state *state = argument;
	state->ending = hook;
	for (uint32_t id = 0; id < state->capacity; id++)
		if (state->polls[id] != NULL) {
			uv_close((uv_handle_t *)&state->polls[id]->handle, poll_closed);
			state->polls[id] = NULL;
		}
	end_if_idle(state);
}

static void poll_ready(uv_poll_t *handle, int status, int events)
{
	struct poll *poll = handle->data;
	napi_env env = poll->state->env;
	napi_handle_scope scope;
	napi_value callback, global, arguments[2], exception;
	if (napi_open_handle_scope(env, &scope) != napi_ok)
		return;
	if (napi_get_reference_value(env, poll->callback, &callback) == napi_ok && callback != NULL &&
	    napi_get_global(env, &global) == napi_ok && napi_create_int32(env, status, &arguments[0]) == napi_ok &&
	    napi_create_int32(env, events, &arguments[1]) == napi_ok &&
	    napi_make_callback(env, NULL, global, callback, 2, arguments, NULL) == napi_pending_exception &&
	    napi_get_and_clear_last_exception(env, &exception) == napi_ok)
		napi_fatal_exception(env, exception);
	napi_close_handle_scope(env, scope);
}

static struct poll *poll_at(struct state *state, int id)
{
	return id >= 0 && (uint32_t)id < state->capacity ? state->polls[id] : NULL;
}

static int free_poll_id(struct state *state)
{
	for (uint32_t id = 0; id < state->capacity; id++)
		if (state->polls[id] == NULL)
			return (int)id;
	uint32_t capacity = state->capacity == 0 ? 16 : state->capacity * 2;
	struct poll **polls = realloc(state->polls, capacity * sizeof *polls);
	if (polls == NULL)
		return -ENOMEM;
	memset(polls + state->capacity, 0, (capacity - state->capacity) * sizeof *polls);
	int id = (int)state->capacity;
	state->polls = polls;
	state->capacity = capacity;
	return id;
}

/* pollStart(fd, events, callback(status, events)): an identifier; the descriptor becomes non-blocking */
static napi_value do_poll_start(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 3);
	struct state *state = args.data;
	int fd = int_at(&args, 0), events = int_at(&args, 1);
	napi_valuetype type;
	uv_loop_t *loop;
	if (args.bad || napi_typeof(env, args.values[2], &type) != napi_ok || type != napi_function ||
	    napi_get_uv_event_loop(env, &loop) != napi_ok)
		return number(env, -EINVAL);
	int id = free_poll_id(state);
	if (id < 0)
		return number(env, id);
	struct poll *poll = calloc(1, sizeof *poll);
	if (poll == NULL)
		return number(env, -ENOMEM);
	int error = uv_poll_init(loop, &poll->handle, fd);
	if (error < 0) {
		free(poll);
		return number(env, error);
	}
	poll->handle.data = poll;
	poll->state = state;
	state->open++;
	if (napi_create_reference(env, args.values[2], 1, &poll->callback) != napi_ok)
		error = -ENOMEM;
	else
		error = uv_poll_start(&poll->handle, events, poll_ready);
	if (error < 0) {
		if (poll->callback != NULL)
			napi_delete_reference(env, poll->callback);
		uv_close((uv_handle_t *)&poll->handle, poll_closed);
		return number(env, error);
	}
	state->polls[id] = poll;
	return number(env, id);
}

/* pollUpdate(id, events); 0 waits for nothing. Also needed after a callback with an error, which stops the watch. */
static napi_value do_poll_update(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 2);
	int id = int_at(&args, 0), events = int_at(&args, 1);
	REFUSE_BAD(args);
	struct poll *poll = poll_at(args.data, id);
	if (poll == NULL)
		return number(env, -EINVAL);
	return number(env, events == 0 ? uv_poll_stop(&poll->handle) : uv_poll_start(&poll->handle, events, poll_ready));
}

/* pollStop(id); the descriptor may be closed at once afterwards */
static napi_value do_poll_stop(napi_env env, napi_callback_info info)
{
	struct arguments args = arguments_of(env, info, 1);
	struct state *state = args.data;
	int id = int_at(&args, 0);
	REFUSE_BAD(args);
	struct poll *poll = poll_at(state, id);
	if (poll == NULL)
		return number(env, -EINVAL);
	state->polls[id] = NULL;
	napi_delete_reference(env, poll->callback);
	uv_close((uv_handle_t *)&poll->handle, poll_closed);
	return number(env, 0);
}

struct state *state_of_environment(napi_env env)
{
	struct state *state = calloc(1, sizeof *state);
	if (state == NULL)
		return NULL;
	state->env = env;
	if (napi_add_async_cleanup_hook(env, environment_ends, state, NULL) != napi_ok) {
		free(state);
		return NULL;
	}
	return state;
}

const struct function readiness_functions[] = {
	{"pollStart", do_poll_start},
	{"pollUpdate", do_poll_update},
	{"pollStop", do_poll_stop},
	{NULL, NULL},
};
