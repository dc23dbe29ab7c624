import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kernelError } from '#kernel';
import { dataplaneError } from '../errors.ts';
import { DEFAULT_RENDER_OPTIONS } from '../render/options.ts';
import { DesiredTables } from './desired-tables.ts';
import type { NftTransactions } from './listing.ts';
import { TableWriter } from './table-writer.ts';

/** Refuses as many transactions as told; its tables are never there. */
class RefusingNft implements NftTransactions {
	refusals = 0;
	commits = 0;
	listings = 0;
	#generation = 1;
	isUnsteady = false;

	commit(): void {
		if (this.refusals-- > 0) throw kernelError('KERNEL_TRANSACTION_REFUSED', { message: 'add chain: EBUSY', found: [] });
		this.commits++;
	}

	generation(): number {
		return this.isUnsteady ? this.#generation++ : this.#generation;
	}

	listTables(): [] {
		this.listings++;
		return [];
	}

	listChains(): [] {
		return [];
	}

	listRules(): [] {
		return [];
	}

	listSets(): [] {
		return [];
	}

	listElements(): [] {
		return [];
	}
}

function writerOf(nft: NftTransactions): { readonly tables: DesiredTables; readonly writer: TableWriter } {
	const tables = new DesiredTables(DEFAULT_RENDER_OPTIONS);
	const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
	return { tables, writer: new TableWriter({ nft, logger }, tables.models) };
}

test('the first write looks at the kernel first, later ones write what changed', () => {
	const nft = new RefusingNft();
	const { tables, writer } = writerOf(nft);
	assert.ok(writer.write().isReplacement);
	const { listings } = nft;
	assert.ok(listings > 0);
	assert.deepEqual(writer.write(), { operations: 0, isReplacement: false });
	tables.inet.addMember('wl_ifs', 'cali1');
	assert.deepEqual(writer.write(), { operations: 1, isReplacement: false });
	assert.deepEqual([nft.commits, nft.listings], [2, listings]);
});

test('a refused change is followed by a comparison, then by a replacement, then by an error; the next write starts over', () => {
	const nft = new RefusingNft();
	const { tables, writer } = writerOf(nft);
	writer.write();
	const { listings } = nft;
	tables.inet.addMember('wl_ifs', 'cali1');
	nft.refusals = 1;
	assert.ok(writer.write().isReplacement);
	assert.ok(nft.listings > listings);

	tables.inet.addMember('wl_ifs', 'cali2');
	nft.refusals = 3;
	assert.throws(
		() => writer.write(),
		(error) => dataplaneError.is(error, 'DATAPLANE_APPLY_FAILED') && error.message.includes('EBUSY'),
	);
	assert.ok(writer.write().operations > 0, 'nothing of it was forgotten');
});

test('a ruleset that changes all the time is told as such', () => {
	const nft = new RefusingNft();
	nft.isUnsteady = true;
	assert.throws(
		() => writerOf(nft).writer.write(),
		(error) => dataplaneError.is(error, 'DATAPLANE_UNSTABLE_LISTING'),
	);
});
