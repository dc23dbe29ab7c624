/* What the parts of the addon share: reading arguments and giving results. See addon.c. */
#ifndef TORTIE_ADDON_H
#define TORTIE_ADDON_H

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <node_api.h>
#include <stdint.h>

#define MAX_ARGUMENTS 6
#define MAX_PATH 4096

struct arguments {
	napi_env env;
	size_t count;
	napi_value values[MAX_ARGUMENTS];
	void *data;
	int bad;
};

struct bytes {
	uint8_t *data;
	size_t length;
};

/* The arguments of a call; reading one of the wrong kind sets `bad`. */
struct arguments arguments_of(napi_env env, napi_callback_info info, size_t wanted);
int int_at(struct arguments *args, size_t index);
/* A Uint8Array. */
struct bytes bytes_at(struct arguments *args, size_t index);
/* An Int32Array; `length` counts numbers. */
struct bytes ints_at(struct arguments *args, size_t index);
/* The part of a Uint8Array given by the two arguments after it: offset and length. */
struct bytes slice_at(struct arguments *args, size_t index);
void string_at(struct arguments *args, size_t index, char out[MAX_PATH]);
int typed_array(napi_env env, napi_value value, napi_typedarray_type wanted, struct bytes *out);

napi_value number(napi_env env, int64_t value);
/* What a system call returned, or -errno. */
napi_value result_of(napi_env env, int64_t returned);

#define RETRY(call)                                                                                                                    \
	({                                                                                                                             \
		int64_t returned_;                                                                                                     \
		do                                                                                                                     \
			returned_ = (call);                                                                                            \
		while (returned_ < 0 && errno == EINTR);                                                                               \
		returned_;                                                                                                             \
	})

#define REFUSE_BAD(args)                                                                                                               \
	if ((args).bad)                                                                                                                \
	return number((args).env, -EINVAL)

/* The thread's own network namespace, as a descriptor. */
int own_namespace(void);
void return_to(int self);

struct function {
	const char *name;
	napi_callback call;
};

/* Each ends with a NULL name. */
extern const struct function socket_functions[];
extern const struct function message_functions[];
extern const struct function namespace_functions[];
extern const struct function readiness_functions[];

/* State of one environment (main thread or worker), the data of every function. It ends with the environment. */
struct state;
struct state *state_of_environment(napi_env env);

#endif
