import { explainError, TortieError } from '#errors';
import { nodeError } from '../errors.ts';

const CALL_LIMIT_MS = 10_000;

/** Calls between two threads, in either direction. */
export type CallMessage =
	| { readonly type: 'call'; readonly id: number; readonly method: string; readonly argument: unknown }
	| { readonly type: 'result'; readonly id: number; readonly value: unknown }
	| { readonly type: 'failure'; readonly id: number; readonly error: CarriedError };

/** What may be called from the other side, by name. Arguments and results are plain data. */
export type Methods = Readonly<Record<string, (argument: never) => unknown>>;

/** An error on its way between threads, which would lose its class and its fields. */
export interface CarriedError {
	readonly code: string | undefined;
	readonly message: string;
	readonly path: string | undefined;
	readonly allowed: string | undefined;
	readonly hint: string | undefined;
}

/** One end of the calls between two threads. */
export class CallChannel {
	/** Who is on the other side, for errors. */
	readonly #other: string;
	readonly #methods: Methods;
	readonly #send: (message: CallMessage) => void;
	readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
	#nextId = 1;
	#closed: Error | undefined;

	constructor(other: string, methods: Methods, send: (message: CallMessage) => void) {
		this.#other = other;
		this.#methods = methods;
		this.#send = send;
	}

	/**
	 * Calls a function of the other side.
	 *
	 * @throws NODE_COMPONENT if there is no answer in time, and what the function throws
	 */
	async call(method: string, argument: unknown, signal?: AbortSignal): Promise<unknown> {
		if (this.#closed !== undefined) throw this.#closed;
		const id = this.#nextId++;
		const call = Promise.withResolvers<unknown>();
		const timeout = AbortSignal.timeout(CALL_LIMIT_MS);
		const limit = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
		const onAbort = (): void => call.reject(nodeError('NODE_COMPONENT', { message: `${this.#other} did not answer "${method}" in time` }));
		limit.addEventListener('abort', onAbort, { once: true });
		this.#calls.set(id, call);
		try {
			this.#send({ type: 'call', id, method, argument });
			return await call.promise;
		} finally {
			limit.removeEventListener('abort', onAbort);
			this.#calls.delete(id);
		}
	}

	/** Takes a message of the other side. */
	take(message: CallMessage): void {
		switch (message.type) {
			case 'call':
				void this.#answer(message.id, message.method, message.argument);
				return;
			case 'result':
				this.#calls.get(message.id)?.resolve(message.value);
				return;
			case 'failure':
				this.#calls.get(message.id)?.reject(receiveError(message.error));
				return;
		}
		message satisfies never;
	}

	/** Ends all calls, those to come too, with an error. */
	close(error: Error): void {
		this.#closed = error;
		for (const call of this.#calls.values()) call.reject(error);
	}

	async #answer(id: number, method: string, argument: unknown): Promise<void> {
		try {
			const handler = this.#methods[method];
			if (handler === undefined) throw nodeError('NODE_COMPONENT', { message: `there is no "${method}"` });
			this.#send({ type: 'result', id, value: await handler(argument as never) });
		} catch (error) {
			this.#send({ type: 'failure', id, error: carryError(error) });
		}
	}
}

/** The error as plain data. */
export function carryError(error: unknown): CarriedError {
	if (!(error instanceof TortieError))
		return { code: undefined, message: explainError(error), path: undefined, allowed: undefined, hint: undefined };
	const { code, path, allowed, hint } = error;
	const cause = error.cause === undefined ? '' : `: ${explainError(error.cause)}`;
	return { code, message: `${error.message}${cause}`, path, allowed, hint };
}

/** The error as it was thrown in the other thread. */
export function receiveError(error: CarriedError): Error {
	return new TortieError(error.code ?? 'NODE_COMPONENT', error);
}
