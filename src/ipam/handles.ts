import type { Backend, CallOptions, HandleKey } from '#datastore';
import type { Cidr } from '#net';
import { orUndefined, type RetryModules, untilUncontended } from './retry.ts';

/** The index from handles to blocks. The blocks have the last word; a count here may be too high after a crash. */
export class Handles {
	readonly #modules: RetryModules & { readonly backend: Backend };

	constructor(modules: RetryModules & { readonly backend: Backend }) {
		this.#modules = modules;
	}

	/** @throws DATASTORE_NOT_FOUND */
	async blocksOf(handleId: string, options?: CallOptions): Promise<readonly string[]> {
		return Object.keys((await this.#modules.backend.get({ type: 'handle', handleId }, options)).value.blocks);
	}

	/** Notes that addresses of a block are about to be assigned under the handle. */
	async add(handleId: string, block: Cidr, count: number, options?: CallOptions): Promise<void> {
		const { backend } = this.#modules;
		const key: HandleKey = { type: 'handle', handleId };
		const attempt = async (): Promise<void> => {
			const current = await orUndefined(backend.get(key, options));
			if (current === undefined) await backend.create(key, { blocks: { [block]: count } }, options);
			else {
				const blocks = { ...current.value.blocks, [block]: (current.value.blocks[block] ?? 0) + count };
				await backend.update(key, { ...current.value, blocks }, current.revision, options);
			}
		};
		await untilUncontended(this.#modules, `noting the handle ${handleId}`, attempt, options);
	}

	/** Takes back what {@link add} noted; a handle without blocks is deleted. */
	async remove(handleId: string, block: Cidr, count: number, options?: CallOptions): Promise<void> {
		const { backend } = this.#modules;
		const key: HandleKey = { type: 'handle', handleId };
		const attempt = async (): Promise<void> => {
			const current = await orUndefined(backend.get(key, options));
			const noted = current?.value.blocks[block];
			if (current === undefined || noted === undefined) return;
			const { [block]: _, ...others } = current.value.blocks;
			const blocks = noted > count ? { ...others, [block]: noted - count } : others;
			if (Object.keys(blocks).length === 0) await backend.delete(key, current.revision, options);
			else await backend.update(key, { ...current.value, blocks }, current.revision, options);
		};
		await untilUncontended(this.#modules, `releasing the handle ${handleId}`, attempt, options);
	}
}
