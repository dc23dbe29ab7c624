import { errnoMessage, errnoName } from '../errno.ts';
import { hasErrno, kernelError } from '../errors.ts';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import { MessageWriter } from '../netlink/writer.ts';
import type { NftBatch } from './batch.ts';
import { joinElements, readElements, writeElementsHeader } from './element-codec.ts';
import type { Chain, ListedRule, SetElement, SetSpec, Table, TableFamily, TableRef } from './object.ts';
import { readChain, readRule, readTable, writeRuleChain } from './object-codec.ts';
import { readSet, writeTableOfSets } from './set-codec.ts';
import {
	beginNftMessage,
	familyNumber,
	NETLINK_NETFILTER,
	NFGENMSG_BYTES,
	NFT_MSG_GETCHAIN,
	NFT_MSG_GETGEN,
	NFT_MSG_GETRULE,
	NFT_MSG_GETSET,
	NFT_MSG_GETSETELEM,
	NFT_MSG_GETTABLE,
	NLM_F_ACK,
	NLM_F_DUMP,
	NLM_F_REQUEST,
} from './wire.ts';

const NFTA_GEN_ID = 1;

export interface NftSocketOptions {
	/** Descriptor of the network namespace to work in; the caller's own if absent. The socket stays there for life. */
	readonly namespaceFd?: number;
}

/** Why one operation of a refused transaction failed. */
export interface NftOperationFailure {
	/** Position in the batch; -1 when the kernel blames the transaction as a whole. */
	readonly index: number;
	/** What was asked, such as `add rule inet calico b_in`. */
	readonly operation: string;
	/** Name of the error number. */
	readonly errno: string;
	/** The kernel's own words, where it has some. */
	readonly message: string | undefined;
}

/**
 * Requests to nf_tables. Every call is synchronous and bounded: the kernel does the work inside the system call.
 *
 * All calls throw KERNEL_SYSTEM_CALL, KERNEL_REFUSED, KERNEL_TIMEOUT and KERNEL_OVERRUN.
 */
export class NftSocket implements Disposable {
	readonly #socket: NetlinkSocket;
	readonly #writer = new MessageWriter();

	constructor(options: NftSocketOptions = {}) {
		this.#socket = new NetlinkSocket(NETLINK_NETFILTER, options.namespaceFd);
	}

	/** The netlink port of this socket, by which monitors recognise its changes. */
	get portId(): number {
		return this.#socket.portId;
	}

	/**
	 * Applies all operations of a batch or none.
	 *
	 * @throws KERNEL_TRANSACTION_REFUSED; see {@link transactionFailures}
	 */
	commit(batch: NftBatch): void {
		if (batch.operationCount === 0) return;
		const answers = this.#socket.exchange(batch.finish());
		const failures = answers
			.filter((answer) => answer.errno !== 0)
			.map((answer): NftOperationFailure => {
				const index = batch.operationOf(answer.sequence);
				return { index, operation: batch.describe(index), errno: errnoName(answer.errno), message: answer.message };
			});
		const [first] = failures;
		if (first !== undefined) throw transactionRefused(failures, first, answers.find((answer) => answer.errno !== 0)?.errno ?? 0);
		if (!answers.some((answer) => answer.sequence === batch.lastSequence))
			throw kernelError('KERNEL_TIMEOUT', { message: 'the kernel did not acknowledge an nftables transaction' });
	}

	/** Number of the current ruleset generation; every committed transaction of anybody adds one. */
	generation(): number {
		let generation: number | undefined;
		const sequence = this.#socket.nextSequence();
		this.#socket.request(
			this.#build(NFT_MSG_GETGEN, NLM_F_ACK, 0, sequence),
			sequence,
			'read the nftables generation',
			(message) => (generation = Attributes.of(message, NFGENMSG_BYTES).be32(NFTA_GEN_ID)),
		);
		if (generation === undefined) throw badMessage('the kernel gave no nftables generation');
		return generation;
	}

	/** All tables, or those of one family. */
	listTables(family?: TableFamily): readonly (Table & { readonly handle: bigint })[] {
		const number = family === undefined ? 0 : familyNumber(family);
		return this.#dump(NFT_MSG_GETTABLE, number, 'list nftables tables', readTable);
	}

	/** Empty if there is no such table, as the other lists. */
	listChains(table: TableRef): readonly Chain[] {
		const decode = (message: NetlinkMessage): Chain | undefined => readChain(message, table);
		return this.#dump(NFT_MSG_GETCHAIN, familyNumber(table.family), `list chains of ${nameOf(table)}`, decode);
	}

	/** Rules in order, of one chain or of all. What counters counted is in their expressions. */
	listRules(table: TableRef, chain?: string): readonly ListedRule[] {
		const decode = (message: NetlinkMessage): ListedRule | undefined => readRule(message, table);
		return this.#dump(NFT_MSG_GETRULE, familyNumber(table.family), `list rules of ${nameOf(table)}`, decode, (writer) =>
			writeRuleChain(writer, table, chain),
		);
	}

	/** Anonymous sets included, under the names the kernel gave them. A set whose types are none of ours has an empty key. */
	listSets(table: TableRef): readonly SetSpec[] {
		const decode = (message: NetlinkMessage): SetSpec | undefined => readSet(message, table);
		return this.#dump(NFT_MSG_GETSET, familyNumber(table.family), `list sets of ${nameOf(table)}`, decode, (writer) =>
			writeTableOfSets(writer, table),
		);
	}

	/** Elements of a set: those of interval sets with one type sorted, others in no order. */
	listElements(table: TableRef, set: SetSpec): readonly SetElement[] {
		const what = `list elements of ${nameOf(table)} ${set.name}`;
		const parts = this.#dump(NFT_MSG_GETSETELEM, familyNumber(table.family), what, readElements, (writer) =>
			writeElementsHeader(writer, table, set.name),
		);
		return joinElements(set, parts.flat());
	}

	[Symbol.dispose](): void {
		this.#socket[Symbol.dispose]();
	}

	#dump<T>(
		message: number,
		family: number,
		what: string,
		decode: (message: NetlinkMessage) => T | undefined,
		write?: (writer: MessageWriter) => void,
	): T[] {
		try {
			return this.#socket.dump((sequence) => this.#build(message, NLM_F_DUMP, family, sequence, write), decode, what);
		} catch (error) {
			if (hasErrno(error, 'ENOENT')) return [];
			throw error;
		}
	}

	#build(message: number, flags: number, family: number, sequence: number, write?: (writer: MessageWriter) => void): Uint8Array {
		this.#writer.clear();
		beginNftMessage(this.#writer, message, NLM_F_REQUEST | flags, sequence, family);
		write?.(this.#writer);
		this.#writer.end();
		return this.#writer.bytes;
	}
}

/** The failed operations of a KERNEL_TRANSACTION_REFUSED error; empty for other errors. */
export function transactionFailures(error: unknown): readonly NftOperationFailure[] {
	return kernelError.is(error, 'KERNEL_TRANSACTION_REFUSED') ? (error.found as readonly NftOperationFailure[]) : [];
}

function transactionRefused(
	failures: readonly NftOperationFailure[],
	first: NftOperationFailure,
	errno: number,
): ReturnType<typeof kernelError> {
	const words = first.message === undefined ? '' : `: ${first.message}`;
	const others = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
	return kernelError('KERNEL_TRANSACTION_REFUSED', {
		message: `${first.operation}: ${errnoMessage(errno)}${words}${others}`,
		path: first.index < 0 ? undefined : `operations[${first.index}]`,
		found: failures,
	});
}

function nameOf(table: TableRef): string {
	return `${table.family} ${table.name}`;
}
