/**
 * What the plugin (`native/cni.c`) and the agent say to each other over the node's UNIX socket: one message each way.
 *
 * Request: `CNI1`, then `NAME=value` strings each ended by a zero byte, an empty one, then stdin as it was. The
 * descriptor of the container's namespace comes with it. Reply: `CNI1`, the exit status in one byte, then what the
 * plugin prints.
 */
import { cniError } from './errors.ts';

const MAGIC = new TextEncoder().encode('CNI1');

/** The longest request, and at the same time the longest message that the kernel room takes. */
export const MAX_REQUEST_BYTES = 1 << 20;

/** A call of the plugin, as the runtime made it. */
export interface PluginRequest {
	/** Which of its names the plugin was run by. */
	readonly plugin: 'calico' | 'calico-ipam';
	/** The CNI_* environment. */
	readonly environment: Readonly<Record<string, string>>;
	/** Stdin, not looked into. */
	readonly config: string;
}

/** @throws CNI_BAD_REQUEST */
export function decodeRequest(bytes: Uint8Array): PluginRequest {
	if (bytes.length > MAX_REQUEST_BYTES || !MAGIC.every((byte, index) => bytes[index] === byte))
		throw badRequest('it does not start with CNI1');
	const environment: Record<string, string> = {};
	let at = MAGIC.length;
	for (;;) {
		const end = bytes.indexOf(0, at);
		if (end < 0) throw badRequest('the environment does not end');
		if (end === at) break;
		const pair = decodeText(bytes.subarray(at, end));
		const equals = pair.indexOf('=');
		if (equals <= 0) throw badRequest('a variable has no name');
		environment[pair.slice(0, equals)] = pair.slice(equals + 1);
		at = end + 1;
	}
	const { PLUGIN: plugin, ...rest } = environment;
	if (plugin !== 'calico' && plugin !== 'calico-ipam') throw badRequest('it does not name the plugin');
	return { plugin, environment: rest, config: decodeText(bytes.subarray(at + 1)) };
}

/**
 * @param exitStatus of the plugin, 0 or 1
 * @param text what the plugin prints
 */
export function encodeReply(exitStatus: number, text: string): Uint8Array {
	const body = new TextEncoder().encode(text);
	const bytes = new Uint8Array(MAGIC.length + 1 + body.length);
	bytes.set(MAGIC);
	bytes[MAGIC.length] = exitStatus;
	bytes.set(body, MAGIC.length + 1);
	return bytes;
}

function decodeText(bytes: Uint8Array): string {
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
	} catch (cause) {
		throw cniError('CNI_BAD_REQUEST', { message: 'the request holds text that is not UTF-8', cause });
	}
}

function badRequest(why: string): Error {
	return cniError('CNI_BAD_REQUEST', {
		message: `the request of the plugin cannot be read: ${why}`,
		hint: 'install the CNI plugin that belongs to this calico-node',
	});
}
