#include "addon.h"
#include <string.h>

struct arguments arguments_of(napi_env env, napi_callback_info info, size_t wanted)
{
	struct arguments args = {.env = env, .count = MAX_ARGUMENTS};
	if (napi_get_cb_info(env, info, &args.count, args.values, NULL, &args.data) != napi_ok || args.count < wanted)
		args.bad = 1;
	return args;
}

int int_at(struct arguments *args, size_t index)
{
	int32_t value = 0;
	if (args->bad || napi_get_value_int32(args->env, args->values[index], &value) != napi_ok)
		args->bad = 1;
	return value;
}

int typed_array(napi_env env, napi_value value, napi_typedarray_type wanted, struct bytes *out)
{
	bool is_array = false;
	napi_typedarray_type type;
	void *data;
	size_t length;
	if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array)
		return 0;
	if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != wanted)
		return 0;
	out->data = data;
	out->length = length;
	return 1;
}

struct bytes bytes_at(struct arguments *args, size_t index)
{
	struct bytes bytes = {NULL, 0};
	if (args->bad || !typed_array(args->env, args->values[index], napi_uint8_array, &bytes))
		args->bad = 1;
	return bytes;
}

struct bytes ints_at(struct arguments *args, size_t index)
{
	struct bytes ints = {NULL, 0};
	if (args->bad || !typed_array(args->env, args->values[index], napi_int32_array, &ints))
		args->bad = 1;
	return ints;
}

struct bytes slice_at(struct arguments *args, size_t index)
{
	struct bytes bytes = bytes_at(args, index);
	int offset = int_at(args, index + 1);
	int length = int_at(args, index + 2);
	if (args->bad || offset < 0 || length < 0 || (size_t)offset > bytes.length || (size_t)length > bytes.length - (size_t)offset) {
		args->bad = 1;
		return bytes;
	}
	bytes.data += offset;
	bytes.length = (size_t)length;
	return bytes;
}

void string_at(struct arguments *args, size_t index, char out[MAX_PATH])
{
	size_t length = 0;
	out[0] = '\0';
	/* one byte of room left over tells a fitting string from one that was cut */
	if (args->bad || napi_get_value_string_utf8(args->env, args->values[index], out, MAX_PATH, &length) != napi_ok ||
	    length >= MAX_PATH - 1 || strlen(out) != length)
		args->bad = 1;
}

napi_value number(napi_env env, int64_t value)
{
	napi_value result = NULL;
	napi_create_int64(env, value, &result);
	return result;
}

napi_value result_of(napi_env env, int64_t returned)
{
	return number(env, returned < 0 ? -errno : returned);
}
