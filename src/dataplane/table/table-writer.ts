import { explainError } from '#errors';
import { NftBatch, transactionFailures } from '#kernel';
import { dataplaneError } from '../errors.ts';
import type { Logger } from '../types.ts';
import type { DesiredTable } from './desired-table.ts';
import { tableDifference } from './difference.ts';
import { listTables, type NftTransactions, type SetScope } from './listing.ts';
import { isEmptyChange, type TableChange } from './model.ts';
import { writeChange, writeReplacement } from './write.ts';

/** What a write did. */
export interface WriteResult {
	/** Operations in the transaction; 0 when there was nothing to write. */
	readonly operations: number;
	/** A table was written anew as a whole. */
	readonly isReplacement: boolean;
}

const NOTHING: WriteResult = { operations: 0, isReplacement: false };

/**
 * Keeps tables in the kernel as they should be, each time in one transaction over all of them: by what changed while
 * it knows what the kernel holds, by comparing with a listing when it does not, and as a whole where neither will do.
 */
export class TableWriter {
	readonly #nft: NftTransactions;
	readonly #logger: Logger;
	readonly #tables: readonly DesiredTable[];
	#isKernelKnown = false;

	constructor(modules: { readonly nft: NftTransactions; readonly logger: Logger }, tables: readonly DesiredTable[]) {
		this.#nft = modules.nft;
		this.#logger = modules.logger;
		this.#tables = tables;
	}

	/**
	 * Writes what was changed in the tables since the last write.
	 *
	 * @throws DATAPLANE_APPLY_FAILED, DATAPLANE_UNSTABLE_LISTING: the kernel is as before, the next write starts with a listing
	 */
	write(): WriteResult {
		if (!this.#isKernelKnown) return this.reconcile('all');
		const changes = this.#tables.map((table) => table.takeChange());
		try {
			return this.#commit(this.#batchOf(changes), false);
		} catch (error) {
			this.#isKernelKnown = false;
			this.#logger.warn(
				{ error: explainError(error), failures: transactionFailures(error) },
				'nftables transaction refused; comparing with the kernel',
			);
			return this.reconcile('all');
		}
	}

	/**
	 * Reads the tables in the kernel and writes what differs: at the start, to undo what others did, after a refusal.
	 *
	 * @param scope the sets whose elements are read. Those of others are taken to be as last written, if anything was: so
	 *   {@link write} first
	 * @throws DATAPLANE_APPLY_FAILED, DATAPLANE_UNSTABLE_LISTING
	 */
	reconcile(scope: SetScope): WriteResult {
		const found = listTables(this.#nft, this.#tables, this.#isKernelKnown ? scope : 'all');
		this.#isKernelKnown = false;
		for (const table of this.#tables) table.takeChange();
		const changes = this.#tables.map((table, index) => {
			const listed = found[index];
			return listed === undefined ? undefined : tableDifference(listed, table);
		});
		let result: WriteResult;
		try {
			result = this.#commit(this.#batchOf(changes), changes.includes(undefined));
		} catch (error) {
			this.#logger.warn(
				{ error: explainError(error), failures: transactionFailures(error) },
				'repair of nftables refused; replacing our tables',
			);
			result = this.#replace(error);
		}
		this.#isKernelKnown = true;
		return result;
	}

	#replace(before: unknown): WriteResult {
		const batch = new NftBatch();
		try {
			for (const table of this.#tables) writeReplacement(batch, table);
			return this.#commit(batch, true);
		} catch (cause) {
			throw dataplaneError('DATAPLANE_APPLY_FAILED', {
				message: `the kernel refuses our nftables tables, also as a whole (before that: ${explainError(before)})`,
				found: transactionFailures(cause),
				hint: 'the tables written last stay in force; see the failed operation, and whether kernel modules of nf_tables are missing',
				cause,
			});
		}
	}

	/** A table without a change to go by is replaced. */
	#batchOf(changes: readonly (TableChange | undefined)[]): NftBatch {
		const batch = new NftBatch();
		for (const [index, table] of this.#tables.entries()) {
			const change = changes[index];
			if (change === undefined) writeReplacement(batch, table);
			else if (!isEmptyChange(change)) writeChange(batch, table.ref, change);
		}
		return batch;
	}

	#commit(batch: NftBatch, isReplacement: boolean): WriteResult {
		if (batch.operationCount === 0) return NOTHING;
		this.#nft.commit(batch);
		return { operations: batch.operationCount, isReplacement };
	}
}
