import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { RouterConfig, RouterStatus } from '#bgp';
import { explainError } from '#errors';
import { FAMILIES } from '#net';
import { confdError } from '../errors.ts';
import type { ConfigProblem } from '../problem.ts';
import type { RouterSink } from '../sink.ts';
import { birdCommand } from './control.ts';
import { renderBird } from './render.ts';
import { parseProtocols, parseRouteCount, parseStatus } from './status.ts';

const CHECK_LIMIT_MS = 30_000;

export interface BirdSinkOptions {
	/** `/etc/calico/confd/config/bird.cfg`; readable by its owner only, since it holds passwords. */
	readonly configFile: string;
	/** `/var/run/calico/bird.ctl`. */
	readonly controlSocket: string;
	/** The BIRD 2 executable. */
	readonly program: string;
}

/**
 * Drives BIRD 2: renders its configuration, lets BIRD check it, puts it in place of the old file in one step and has
 * BIRD load it. BIRD keeps every session whose configuration is the same.
 */
export class BirdSink implements RouterSink {
	readonly #options: BirdSinkOptions;
	/** What BIRD is known to run, or will read when it starts; undefined after a failure and at first. */
	#loaded: string | undefined;
	#asNumber = 0;

	constructor(options: BirdSinkOptions) {
		this.#options = options;
	}

	/**
	 * @throws CONFD_BIRD_REFUSED if BIRD does not accept the text, CONFD_BIRD_FILE if it cannot be written; the file is then
	 *   as it was. CONFD_BIRD_REPLY and CONFD_BIRD_UNAVAILABLE if a running BIRD does not load it.
	 */
	async apply(config: RouterConfig, signal: AbortSignal): Promise<readonly ConfigProblem[]> {
		const { text, problems } = renderBird(config);
		this.#asNumber = config.asNumber;
		if (text === this.#loaded) return problems;
		const { configFile } = this.#options;
		const before = await readFile(configFile, 'utf8').catch(() => undefined);
		if (text !== before) await this.#replace(text, signal);
		this.#loaded = undefined;
		try {
			await this.#reload(signal);
		} catch (error) {
			// A file that BIRD does not load must not be what it reads when it starts the next time.
			if (confdError.is(error, 'CONFD_BIRD_REPLY') && before !== undefined) await replaceFile(configFile, before);
			throw error;
		}
		this.#loaded = text;
		return problems;
	}

	/** What BIRD is doing; undefined while it is not running. */
	async status(signal: AbortSignal): Promise<RouterStatus | undefined> {
		const { controlSocket } = this.#options;
		try {
			const daemon = parseStatus(await birdCommand(controlSocket, 'show status', signal));
			if (daemon.routerId === undefined) return undefined;
			const peers = parseProtocols(await birdCommand(controlSocket, 'show protocols all', signal));
			const routes = { 4: 0, 6: 0 };
			for (const family of FAMILIES)
				routes[family] = parseRouteCount(await birdCommand(controlSocket, `show route table master${family} count`, signal));
			return { routerId: daemon.routerId, asNumber: this.#asNumber, recovering: daemon.recovering, peers, routes };
		} catch (error) {
			if (confdError.is(error, 'CONFD_BIRD_UNAVAILABLE')) return undefined;
			throw error;
		}
	}

	/** Puts the text in place of the file, if BIRD accepts it. */
	async #replace(text: string, signal: AbortSignal): Promise<void> {
		await mkdir(dirname(this.#options.configFile), { recursive: true });
		await replaceFile(this.#options.configFile, text, (staged) => this.#check(staged, signal));
	}

	async #check(file: string, signal: AbortSignal): Promise<void> {
		const { program } = this.#options;
		try {
			await promisify(execFile)(program, ['-p', '-c', file], { signal, timeout: CHECK_LIMIT_MS });
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === 'ENOENT')
				throw confdError('CONFD_BIRD_UNAVAILABLE', {
					message: `there is no program ${program} to run`,
					hint: 'install BIRD 2, or set CALICO_NETWORKING_BACKEND to tortie for the built-in BGP daemon',
				});
			const said = (error as { readonly stderr?: string }).stderr?.trim() ?? '';
			throw confdError('CONFD_BIRD_REFUSED', {
				message: `BIRD does not accept the new configuration, so the old one stays: ${said === '' ? explainError(error) : said}`,
				path: this.#options.configFile,
			});
		}
	}

	/** Has BIRD load the file; a BIRD that is not running reads it when it starts. */
	async #reload(signal: AbortSignal): Promise<void> {
		try {
			await birdCommand(this.#options.controlSocket, 'configure', signal);
		} catch (error) {
			const cause = confdError.is(error, 'CONFD_BIRD_UNAVAILABLE') ? (error.cause as NodeJS.ErrnoException | undefined)?.code : undefined;
			if (cause !== 'ENOENT' && cause !== 'ECONNREFUSED') throw error;
		}
	}
}

/** Replaces a file in one step, after a check of the new one that throws if it is no good. */
async function replaceFile(file: string, text: string, check?: (staged: string) => Promise<void>): Promise<void> {
	const staged = `${file}.new`;
	try {
		await rm(staged, { force: true });
		await writeFile(staged, text, { mode: 0o600, flag: 'wx', flush: true });
		await check?.(staged);
		await rename(staged, file);
	} catch (error) {
		await rm(staged, { force: true });
		if (confdError.is(error)) throw error;
		throw confdError('CONFD_BIRD_FILE', { message: 'the configuration of BIRD cannot be written', path: file, cause: error });
	}
}
