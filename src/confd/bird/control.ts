import { connect } from 'node:net';
import { confdError } from '../errors.ts';

/** One line of a reply, with the code that stands for its kind (`doc/reply_codes` in BIRD). */
export interface ReplyLine {
	readonly code: number;
	readonly text: string;
}

const COMMAND_LIMIT_MS = 10_000;
/** A full `show protocols all` of a thousand sessions is about 1 MB. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;
/** From here on replies are errors. */
const FIRST_ERROR_CODE = 8000;
const GREETING_CODE = 1;

/**
 * Runs one command on BIRD's control socket.
 *
 * @returns the lines of the reply, the last of which tells the outcome
 * @throws CONFD_BIRD_UNAVAILABLE when nobody listens or the answer takes too long; CONFD_BIRD_REPLY when BIRD refuses
 */
export async function birdCommand(socketPath: string, command: string, signal?: AbortSignal): Promise<readonly ReplyLine[]> {
	const limit = AbortSignal.timeout(COMMAND_LIMIT_MS);
	const text = await exchange(socketPath, command, signal === undefined ? limit : AbortSignal.any([signal, limit]));
	const lines = parseReply(text);
	const last = lines?.at(-1);
	if (lines === undefined || last === undefined)
		throw confdError('CONFD_BIRD_REPLY', { message: `BIRD's answer to "${command}" is not a reply`, path: socketPath });
	if (last.code >= FIRST_ERROR_CODE)
		throw confdError('CONFD_BIRD_REPLY', { message: `BIRD answered ${last.code} to "${command}": ${last.text}`, path: socketPath });
	return lines;
}

/** Sends the command after the greeting and collects everything up to the end of the reply. */
function exchange(socketPath: string, command: string, signal: AbortSignal): Promise<string> {
	return new Promise((resolve, reject) => {
		const socket = connect(socketPath);
		const chunks: Buffer[] = [];
		let size = 0;
		let greeted = false;
		const finish = (settle: () => void): void => {
			signal.removeEventListener('abort', onAbort);
			socket.destroy();
			settle();
		};
		const fail = (message: string, cause?: unknown): void =>
			finish(() =>
				reject(
					confdError('CONFD_BIRD_UNAVAILABLE', {
						message,
						path: socketPath,
						cause,
						hint: 'see whether the bird process runs and what it logged',
					}),
				),
			);
		const onAbort = (): void => fail(`BIRD did not answer "${command}" in time`, signal.reason);
		signal.addEventListener('abort', onAbort);
		if (signal.aborted) return onAbort();
		socket.on('error', (error) => fail('BIRD cannot be reached', error));
		socket.on('close', () => fail(`BIRD closed the connection before it answered "${command}"`));
		socket.on('data', (chunk) => {
			chunks.push(chunk);
			size += chunk.length;
			if (size > MAX_REPLY_BYTES) return fail(`BIRD's answer to "${command}" is longer than ${MAX_REPLY_BYTES} bytes`);
			if (!endsReply(chunks)) return;
			const text = Buffer.concat(chunks).toString('utf8');
			if (greeted) return finish(() => resolve(text));
			if (parseReply(text)?.at(-1)?.code !== GREETING_CODE) return fail('what listens there is not BIRD');
			greeted = true;
			chunks.length = 0;
			size = 0;
			socket.write(`${command}\n`);
		});
	});
}

/** The last line of a reply has a blank after its code, where the others have a dash. */
function endsReply(chunks: readonly Buffer[]): boolean {
	const tail = Buffer.concat(chunks.slice(-2)).toString('latin1');
	if (!tail.endsWith('\n')) return false;
	const line = tail.slice(tail.lastIndexOf('\n', tail.length - 2) + 1);
	return /^[0-9]{4} /.test(line) || /^[0-9]{4}\n$/.test(line);
}

/**
 * Takes a reply apart: `1002-text` goes on, `1002 text` ends, and a line that begins with a blank has the code of the
 * one before.
 *
 * @returns undefined if the text is not in this form
 */
export function parseReply(text: string): ReplyLine[] | undefined {
	const lines: ReplyLine[] = [];
	for (const line of text.split('\n')) {
		if (line === '') continue;
		const parts = /^([0-9]{4})(?:[- ](.*))?$/.exec(line);
		const code = parts === null ? lines.at(-1)?.code : Number(parts[1]);
		if (code === undefined || (parts === null && !/^[ +]/.test(line))) return undefined;
		lines.push({ code, text: parts === null ? line.slice(1) : (parts[2] ?? '') });
	}
	return lines;
}
