import { kernelError } from '../errors.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { writeElements, writeElementsHeader } from './element-codec.ts';
import type { Chain, Rule, SetElement, SetSpec, Table, TableRef } from './object.ts';
import { writeChain, writeChainName, writeRule, writeRuleChain, writeRuleHandle, writeTable } from './object-codec.ts';
import { writeSet, writeSetName } from './set-codec.ts';
import {
	beginNftMessage,
	familyNumber,
	NFGENMSG_BYTES,
	NFNL_MSG_BATCH_BEGIN,
	NFNL_MSG_BATCH_END,
	NFNL_SUBSYS_NFTABLES,
	NFT_MSG_DELCHAIN,
	NFT_MSG_DELRULE,
	NFT_MSG_DELSET,
	NFT_MSG_DELSETELEM,
	NFT_MSG_DELTABLE,
	NFT_MSG_NEWCHAIN,
	NFT_MSG_NEWRULE,
	NFT_MSG_NEWSET,
	NFT_MSG_NEWSETELEM,
	NFT_MSG_NEWTABLE,
	NLM_F_ACK,
	NLM_F_APPEND,
	NLM_F_CREATE,
	NLM_F_REQUEST,
} from './wire.ts';

/** The reference to a set without a name of its own, for lookups in the same batch. */
export interface AnonymousSet {
	readonly set: string;
	readonly setId: number;
}

interface Operation {
	readonly verb: string;
	readonly table: TableRef;
	readonly name: string;
}

/** Where the kernel answers to the opening of a batch. */
const FIRST_SEQUENCE = 1;

/**
 * The operations of one nftables transaction, in order; encoded as they are added. Adding what exists is not an
 * error (a rule is always appended). All methods throw KERNEL_BAD_ARGUMENT for what cannot be encoded, and the batch
 * is as before then.
 */
export class NftBatch {
	readonly #writer = new MessageWriter();
	readonly #operations: Operation[] = [];
	/** Operation of each message, by sequence number after the first. */
	readonly #operationOfMessage: number[] = [];
	#lastMessageStart = 0;
	#setCount = 0;
	#finished = false;

	constructor() {
		this.#writeLimit(NFNL_MSG_BATCH_BEGIN, FIRST_SEQUENCE);
	}

	/** Operations added so far. */
	get operationCount(): number {
		return this.#operations.length;
	}

	/** Bytes encoded so far. */
	get byteLength(): number {
		return this.#writer.length;
	}

	addTable(table: Table): void {
		this.#add('add table', table, '', NFT_MSG_NEWTABLE, NLM_F_CREATE, (writer) => writeTable(writer, table));
	}

	/** With everything in it. It has to exist: `addTable` first if it may be absent. */
	deleteTable(table: TableRef): void {
		this.#add('delete table', table, '', NFT_MSG_DELTABLE, 0, (writer) => writeTable(writer, { family: table.family, name: table.name }));
	}

	addChain(table: TableRef, chain: Chain): void {
		this.#add('add chain', table, chain.name, NFT_MSG_NEWCHAIN, NLM_F_CREATE, (writer) => writeChain(writer, table, chain));
	}

	/** Removes the rules of a chain. */
	flushChain(table: TableRef, chain: string): void {
		this.#add('flush chain', table, chain, NFT_MSG_DELRULE, 0, (writer) => writeRuleChain(writer, table, chain));
	}

	/** The chain has to be empty and unused by then. */
	deleteChain(table: TableRef, chain: string): void {
		this.#add('delete chain', table, chain, NFT_MSG_DELCHAIN, 0, (writer) => writeChainName(writer, table, chain));
	}

	/** Appends a rule to its chain. */
	addRule(table: TableRef, rule: Rule): void {
		this.#add('add rule', table, rule.chain, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (writer) => writeRule(writer, table, rule));
	}

	/** Deletes one rule by the handle a listing gave. */
	deleteRule(table: TableRef, chain: string, handle: bigint): void {
		this.#add('delete rule', table, chain, NFT_MSG_DELRULE, 0, (writer) => {
			writeRuleChain(writer, table, chain);
			writeRuleHandle(writer, handle);
		});
	}

	addSet(table: TableRef, set: SetSpec): void {
		const setId = ++this.#setCount;
		this.#add('add set', table, set.name, NFT_MSG_NEWSET, NLM_F_CREATE, (writer) => writeSet(writer, table, set, setId, undefined));
	}

	/** A constant set for the rule added next, as nft makes for `{ 80, 443 }`. */
	addAnonymousSet(table: TableRef, set: Pick<SetSpec, 'key' | 'data' | 'interval'>, elements: readonly SetElement[]): AnonymousSet {
		const setId = ++this.#setCount;
		// the kernel puts a number for %d
		const spec: SetSpec = { ...set, name: set.data === undefined ? '__set%d' : '__map%d', anonymous: true, constant: true };
		const size = set.interval === true ? undefined : elements.length;
		this.#add('add set', table, spec.name, NFT_MSG_NEWSET, NLM_F_CREATE, (writer) => writeSet(writer, table, spec, setId, size));
		this.#changeElements('add elements', table, spec, elements, setId);
		return { set: spec.name, setId };
	}

	/** Removes all elements. */
	flushSet(table: TableRef, set: string): void {
		this.#add('flush set', table, set, NFT_MSG_DELSETELEM, 0, (writer) => writeElementsHeader(writer, table, set));
	}

	deleteSet(table: TableRef, set: string): void {
		this.#add('delete set', table, set, NFT_MSG_DELSET, 0, (writer) => writeSetName(writer, table, set));
	}

	/** An element that is there already is accepted if its data are the same, else the transaction fails with EEXIST. */
	addElements(table: TableRef, set: SetSpec, elements: readonly SetElement[]): void {
		this.#changeElements('add elements', table, set, elements);
	}

	/** An element that is not there fails the transaction with ENOENT. */
	deleteElements(table: TableRef, set: SetSpec, elements: readonly SetElement[]): void {
		this.#changeElements('delete elements', table, set, elements);
	}

	/** Closes the batch: the bytes of the whole transaction. For {@link NftSocket.commit}. */
	finish(): Uint8Array {
		if (!this.#finished) {
			this.#finished = true;
			// on the last operation, since older kernels acknowledge no BATCH_END
			if (this.#operations.length > 0) this.#writer.addFlags(this.#lastMessageStart, NLM_F_ACK);
			this.#writeLimit(NFNL_MSG_BATCH_END, FIRST_SEQUENCE + this.#operationOfMessage.length + 1);
		}
		return this.#writer.bytes;
	}

	/** Position of the operation that a message belongs to; -1 if it is none of an operation's. */
	operationOf(sequence: number): number {
		return this.#operationOfMessage[sequence - FIRST_SEQUENCE - 1] ?? -1;
	}

	/** Sequence number of the message that is acknowledged. */
	get lastSequence(): number {
		return FIRST_SEQUENCE + this.#operationOfMessage.length;
	}

	/** An operation in words. */
	describe(operation: number): string {
		const found = this.#operations[operation];
		if (found === undefined) return 'the transaction as a whole';
		return `${found.verb} ${found.table.family} ${found.table.name} ${found.name}`.trimEnd();
	}

	#changeElements(
		verb: 'add elements' | 'delete elements',
		table: TableRef,
		set: SetSpec,
		elements: readonly SetElement[],
		setId?: number,
	): void {
		if (elements.length === 0) return;
		const isAdd = verb === 'add elements';
		this.#append(verb, table, set.name, (start) => {
			writeElements(this.#writer, set, elements, () => {
				start(isAdd ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, isAdd ? NLM_F_CREATE : 0);
				writeElementsHeader(this.#writer, table, set.name, setId);
			});
		});
	}

	#add(verb: string, table: TableRef, name: string, message: number, flags: number, write: (writer: MessageWriter) => void): void {
		this.#append(verb, table, name, (start) => {
			start(message, flags);
			write(this.#writer);
			this.#writer.end();
		});
	}

	#append(verb: string, table: TableRef, name: string, write: (start: (message: number, flags: number) => void) => void): void {
		if (this.#finished) throw kernelError('KERNEL_BAD_ARGUMENT', { message: 'an nftables batch was added to after it was committed' });
		const length = this.#writer.length;
		const messages = this.#operationOfMessage.length;
		const lastStart = this.#lastMessageStart;
		try {
			write((message, flags) => {
				this.#lastMessageStart = this.#writer.length;
				this.#operationOfMessage.push(this.#operations.length);
				const sequence = FIRST_SEQUENCE + this.#operationOfMessage.length;
				beginNftMessage(this.#writer, message, NLM_F_REQUEST | flags, sequence, familyNumber(table.family));
			});
		} catch (error) {
			this.#writer.truncate(length);
			this.#operationOfMessage.length = messages;
			this.#lastMessageStart = lastStart;
			throw error;
		}
		this.#operations.push({ verb, table, name });
	}

	#writeLimit(type: number, sequence: number): void {
		this.#writer.begin(type, NLM_F_REQUEST, sequence);
		// struct nfgenmsg: the subsystem stands in res_id, big endian
		this.#writer.header(NFGENMSG_BYTES).setUint16(2, NFNL_SUBSYS_NFTABLES);
		this.#writer.end();
	}
}
