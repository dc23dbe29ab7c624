import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { birdCommand } from '#confd';
import type { Clock } from '#datastore';
import { nodeError } from '../errors.ts';
import type { Component, Instance } from '../supervision/component.ts';
import type { Health } from '../threads/messages.ts';

const POLL_MS = 1000;
const CONFIG_POLL_MS = 100;
/** An adopted BIRD counts as gone after so many questions without an answer. */
const MAX_SILENCE = 3;
const START_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 3000;

export interface BirdDaemonOptions {
	readonly program: string;
	readonly configFile: string;
	readonly controlSocket: string;
}

/**
 * The BIRD process of the node. One that is left from an earlier life of the node is taken over as it runs; none is stopped
 * but in a way that leaves its routes in the kernel and has its peers keep theirs.
 */
export class BirdDaemon implements Component {
	readonly name = 'bird';
	readonly #options: BirdDaemonOptions;
	readonly #clock: Clock;
	readonly #logger: Logger;

	constructor({ clock, logger }: { readonly clock: Clock; readonly logger: Logger }, options: BirdDaemonOptions) {
		this.#options = options;
		this.#clock = clock;
		this.#logger = logger;
	}

	/** Waits for a configuration file, and starts BIRD with it unless one runs already. */
	async start(signal: AbortSignal): Promise<Instance> {
		const { program, configFile, controlSocket } = this.#options;
		if (await answers(controlSocket)) {
			this.#logger.info('a running BIRD was taken over');
			return new BirdInstance(this.#options, this.#clock, undefined);
		}
		while (!existsSync(configFile)) {
			await this.#clock.sleep(CONFIG_POLL_MS, signal);
			if (signal.aborted) throw nodeError('NODE_COMPONENT', { message: 'stopped before BIRD had a configuration' });
		}
		await mkdir(dirname(controlSocket), { recursive: true });
		// -R has it keep the routes that it finds in the kernel; its own session, so that a signal to ours does not reach it.
		const child = spawn(program, ['-f', '-R', '-c', configFile, '-s', controlSocket], {
			stdio: ['ignore', 'ignore', 'inherit'],
			detached: true,
		});
		const instance = new BirdInstance(this.#options, this.#clock, child);
		try {
			await instance.answered(signal);
			return instance;
		} catch (error) {
			await instance[Symbol.asyncDispose]();
			throw error;
		}
	}
}

class BirdInstance implements Instance {
	readonly ended: Promise<string>;
	readonly #options: BirdDaemonOptions;
	readonly #clock: Clock;
	readonly #child: ChildProcess | undefined;
	readonly #stop = new AbortController();
	#silence = 0;

	constructor(options: BirdDaemonOptions, clock: Clock, child: ChildProcess | undefined) {
		this.#options = options;
		this.#clock = clock;
		this.#child = child;
		const exited = new Promise<string>((resolve) => {
			child?.once('error', (error) => resolve(`BIRD cannot be started: ${error.message}`));
			child?.once('exit', (code, name) => resolve(name === null ? `BIRD ended with status ${code}` : `BIRD was ended by ${name}`));
		});
		this.ended = Promise.race([exited, this.#watch()]);
	}

	health(): Health & { readonly live: boolean } {
		const good = this.#silence === 0;
		return { live: this.#silence < MAX_SILENCE, ready: good, reason: good ? '' : 'BIRD does not answer on its control socket' };
	}

	/** Resolves when BIRD takes commands. */
	async answered(signal: AbortSignal): Promise<void> {
		const deadline = this.#clock.now() + START_LIMIT_MS;
		let ended: string | undefined;
		void this.ended.then((reason) => (ended = reason));
		while (!(await answers(this.#options.controlSocket))) {
			if (ended !== undefined) throw nodeError('NODE_COMPONENT', { message: ended });
			if (signal.aborted || this.#clock.now() > deadline) throw nodeError('NODE_COMPONENT', { message: 'BIRD did not start in time' });
			await this.#clock.sleep(CONFIG_POLL_MS, signal);
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#stop.abort();
		const child = this.#child;
		const running = child === undefined || (child.exitCode === null && child.signalCode === null);
		if (!running) return;
		// Unlike a signal, this closes sessions so that peers keep our routes for the restart time (RFC 4724).
		const asked = await birdCommand(this.#options.controlSocket, 'graceful restart').then(
			() => true,
			() => false,
		);
		if (child === undefined) return;
		const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
		const waited = new AbortController();
		if (asked) await Promise.race([gone, this.#clock.sleep(STOP_LIMIT_MS, waited.signal)]);
		waited.abort();
		if (child.exitCode === null && child.signalCode === null) {
			child.kill('SIGKILL');
			await gone;
		}
	}

	/** Asks BIRD again and again; resolves when an adopted one is gone. */
	async #watch(): Promise<string> {
		for (;;) {
			await this.#clock.sleep(POLL_MS, this.#stop.signal);
			if (this.#stop.signal.aborted) return 'stopped';
			this.#silence = (await answers(this.#options.controlSocket)) ? 0 : this.#silence + 1;
			if (this.#child === undefined && this.#silence >= MAX_SILENCE) return 'BIRD is gone';
		}
	}
}

function answers(controlSocket: string): Promise<boolean> {
	return birdCommand(controlSocket, 'show status').then(
		() => true,
		() => false,
	);
}
