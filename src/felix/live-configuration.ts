import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Backend, Clock } from '#datastore';
import { explainError } from '#errors';
import type { FelixConfiguration, Node } from '#resources';
import { resolveConfiguration, unknownVariables } from './configuration.ts';
import { felixError } from './errors.ts';
import type { FelixConfig } from './parameters.ts';
import type { FelixProblem } from './problem.ts';

const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 10_000;

export interface LiveConfigurationModules {
	readonly backend: Backend;
	readonly logger: Logger;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
}

export interface LiveConfigurationOptions {
	readonly nodeName: string;
	readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Felix's settings: read once ahead of everything that depends on them, then followed. */
export class LiveConfiguration {
	readonly #modules: LiveConfigurationModules;
	readonly #options: LiveConfigurationOptions;
	readonly #resources = new Map<string, FelixConfiguration>();
	#node: Node | undefined;
	#problems: readonly FelixProblem[] = [];

	constructor(modules: LiveConfigurationModules, options: LiveConfigurationOptions) {
		this.#modules = modules;
		this.#options = options;
	}

	/** Settings that are not in force as they are written. */
	get problems(): readonly FelixProblem[] {
		return this.#problems;
	}

	/**
	 * Reads the settings as soon as the datastore answers.
	 *
	 * @returns undefined if the signal fires first
	 * @throws FELIX_BAD_SETTING
	 */
	async read(signal: AbortSignal): Promise<FelixConfig | undefined> {
		const { clock, random, logger } = this.#modules;
		const unknown = unknownVariables(this.#options.environment);
		if (unknown.length > 0)
			logger.warn({ variables: unknown.map((name) => `FELIX_${name.toUpperCase()}`) }, 'settings that have no effect');
		for (let failures = 1; !signal.aborted; failures++) {
			try {
				await this.#list(signal);
				return this.resolve();
			} catch (error) {
				if (signal.aborted) break;
				if (felixError.is(error)) throw error;
				if (failures === 1) logger.warn({ reason: explainError(error) }, 'the datastore does not answer; Felix waits for it');
				await clock.sleep(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** failures) * (0.5 + random() / 2), signal);
			}
		}
		return undefined;
	}

	/** Takes a change of a stored object in; null when it is gone. */
	set(name: string, resource: FelixConfiguration | null): void {
		if (resource === null) this.#resources.delete(name);
		else this.#resources.set(name, resource);
	}

	/** Takes a change of a node in, whose labels count if it is this one. */
	setNode(name: string, node: Node | null): void {
		if (name === this.#options.nodeName) this.#node = node ?? undefined;
	}

	/**
	 * The settings as they are now.
	 *
	 * @throws FELIX_BAD_SETTING
	 */
	resolve(): FelixConfig {
		const { config, problems } = resolveConfiguration({
			environment: this.#options.environment,
			resources: this.#resources.values(),
			nodeName: this.#options.nodeName,
			nodeLabels: new Map(Object.entries(this.#node?.metadata.labels ?? {})),
		});
		for (const problem of problems)
			if (!this.#problems.some((known) => isDeepStrictEqual(known, problem))) this.#modules.logger.warn(problem, 'setting not in force');
		this.#problems = problems;
		return config;
	}

	async #list(signal: AbortSignal): Promise<void> {
		const { backend } = this.#modules;
		for (const scope of [
			{ type: 'resource', kind: 'FelixConfiguration' },
			{ type: 'resource', kind: 'Node', namePrefix: this.#options.nodeName },
		] as const)
			for (const { key, value } of (await backend.list(scope, { signal })).items) {
				if (key.type !== 'resource') continue;
				if (key.kind === 'Node') this.setNode(key.name, value as Node);
				else this.set(key.name, value as FelixConfiguration);
			}
	}
}
