/** Runs packets through a rendered table as nf_tables would: what the kernel would do, decided without one. */

import { type Expression, packKey, type SetElement, type SetKeyType } from '#kernel';
import { ipBytes, ipFamily } from '#net';
import type { Packet } from '#policy';
import { elementOf } from '../table/element.ts';
import type { AnonymousLookup, RuleExpression, TableModel } from '../table/model.ts';

export interface PacketContext {
	readonly packet: Packet;
	readonly iifname: string;
	readonly oifname: string;
	/** Bits of `ct state`; 8 is a new flow. */
	readonly ctState: number;
	readonly mark: number;
}

export interface PathResult {
	readonly verdict: 'accept' | 'drop' | 'reject' | 'policy';
	/** How often a log rule was met. */
	readonly logged: number;
	readonly mark: number;
}

const COMPARES: Readonly<Record<Extract<Expression, { kind: 'cmp' }>['op'], (order: number) => boolean>> = {
	eq: (order) => order === 0,
	neq: (order) => order !== 0,
	lt: (order) => order < 0,
	lte: (order) => order <= 0,
	gt: (order) => order > 0,
	gte: (order) => order >= 0,
};

type ChainResult = 'accept' | 'drop' | 'reject' | 'end';

/** Runs one chain; `policy` when it came to its end. */
export function runChain(table: TableModel, chain: string, context: PacketContext): PathResult {
	const run = new Run(table, context);
	const result = run.chain(chain, 0);
	return { verdict: result === 'end' ? 'policy' : result, logged: run.logged, mark: run.mark };
}

class Run {
	readonly #table: TableModel;
	readonly #context: PacketContext;
	readonly #registers = new Uint8Array(80);
	logged = 0;
	mark: number;

	constructor(table: TableModel, context: PacketContext) {
		this.#table = table;
		this.#context = context;
		this.mark = context.mark;
	}

	chain(name: string, depth: number): ChainResult {
		if (depth > 15) throw new Error('jumps are nested too deeply');
		const chain = this.#table.chains.get(name);
		if (chain === undefined) throw new Error(`no chain ${name}`);
		for (const rule of chain.rules) {
			const result = this.#rule(rule, depth);
			if (result === 'return') return 'end';
			if (result !== undefined) return result;
		}
		return 'end';
	}

	#rule(rule: readonly RuleExpression[], depth: number): ChainResult | 'return' | undefined {
		for (const expression of rule) {
			const result = this.#expression(expression, depth);
			if (result === 'break') return undefined;
			if (result !== undefined) return result;
		}
		return undefined;
	}

	#expression(expression: RuleExpression, depth: number): ChainResult | 'return' | 'break' | undefined {
		switch (expression.kind) {
			case 'meta':
			case 'ct':
			case 'payload': {
				const value = this.#load(expression);
				if (value === undefined) return 'break';
				// a register is filled to its 32-bit boundary with zeros
				this.#registers.fill(0, expression.dreg * 4, expression.dreg * 4 + ((value.length + 3) & ~3));
				this.#registers.set(value, expression.dreg * 4);
				return undefined;
			}
			case 'meta-set':
				this.mark = new DataView(this.#registers.buffer).getUint32(expression.sreg * 4, true);
				return undefined;
			case 'bitwise': {
				const from = this.#register(expression.sreg, expression.mask.length);
				this.#registers.set(
					from.map((byte, index) => (byte & (expression.mask[index] as number)) ^ (expression.xor[index] as number)),
					expression.dreg * 4,
				);
				return undefined;
			}
			case 'cmp': {
				const order = Buffer.compare(this.#register(expression.sreg, expression.data.length), expression.data);
				return COMPARES[expression.op](order) ? undefined : 'break';
			}
			case 'range': {
				const value = this.#register(expression.sreg, expression.from.length);
				const inside = Buffer.compare(value, expression.from) >= 0 && Buffer.compare(value, expression.to) <= 0;
				return inside === (expression.op === 'eq') ? undefined : 'break';
			}
			case 'lookup':
			case 'anonymous-lookup':
				return this.#lookup(expression, depth);
			case 'log':
				this.logged++;
				return undefined;
			case 'reject':
				return 'reject';
			case 'verdict':
				return this.#verdict(expression, depth);
			case 'byteorder':
			case 'connlimit':
			case 'counter':
			case 'ct-set':
			case 'fib':
			case 'immediate':
			case 'limit':
			case 'masquerade':
			case 'nat':
			case 'notrack':
			case 'other':
			case 'payload-set':
				throw new Error(`the packet path of tests does not know ${expression.kind}`);
		}
	}

	#verdict(verdict: Extract<Expression, { kind: 'verdict' }>, depth: number): ChainResult | 'return' | 'break' | undefined {
		switch (verdict.verdict) {
			case 'accept':
			case 'drop':
			case 'return':
				return verdict.verdict;
			case 'continue':
				return 'break';
			case 'jump': {
				const result = this.chain(verdict.chain, depth + 1);
				return result === 'end' ? undefined : result;
			}
			case 'goto': {
				const result = this.chain(verdict.chain, depth + 1);
				return result === 'end' ? 'return' : result;
			}
		}
	}

	#lookup(lookup: Extract<Expression, { kind: 'lookup' }> | AnonymousLookup, depth: number): ChainResult | 'return' | 'break' | undefined {
		const [types, elements] = lookup.kind === 'lookup' ? this.#namedSet(lookup.set) : [lookup.key, lookup.elements];
		const key = this.#register(lookup.sreg, packedLength(types, elements));
		const found = elements.find((element) => holds(element, key));
		if (lookup.kind === 'lookup' && lookup.dreg === 'verdict') {
			if (found?.data === undefined || found.data instanceof Uint8Array) return 'break';
			return this.#verdict({ kind: 'verdict', ...found.data }, depth);
		}
		return (found !== undefined) === (lookup.invert !== true) ? undefined : 'break';
	}

	#namedSet(name: string): [readonly SetKeyType[], SetElement[]] {
		const set = this.#table.sets.get(name);
		if (set === undefined) throw new Error(`no set ${name}`);
		return [set.spec.key, [...set.members].map((member) => elementOf(set.spec, set.form, member))];
	}

	#register(slot: number, length: number): Uint8Array {
		return this.#registers.slice(slot * 4, slot * 4 + length);
	}

	#load(expression: Extract<Expression, { kind: 'meta' | 'ct' | 'payload' }>): Uint8Array | undefined {
		const { packet, iifname, oifname, ctState } = this.#context;
		if (expression.kind === 'ct') return hostNumber(ctState);
		if (expression.kind === 'meta') {
			switch (expression.key) {
				case 'l4proto':
					return Uint8Array.of(packet.protocol);
				case 'nfproto':
					return Uint8Array.of(ipFamily(packet.source) === 4 ? 2 : 10);
				case 'mark':
					return hostNumber(this.mark);
				case 'iifname':
					return packKey(['ifname'], [iifname]);
				case 'oifname':
					return packKey(['ifname'], [oifname]);
				case 'iif':
				case 'length':
				case 'oif':
				case 'pkttype':
				case 'priority':
				case 'protocol':
				case 'skuid':
					throw new Error(`the packet path of tests does not know meta ${expression.key}`);
			}
		}
		const header = expression.base === 'network' ? networkHeader(packet) : transportHeader(packet);
		const end = expression.offset + expression.length;
		return end > header.length ? undefined : header.subarray(expression.offset, end);
	}
}

function networkHeader({ source, destination }: Packet): Uint8Array {
	const header = new Uint8Array(ipFamily(source) === 4 ? 20 : 40);
	header.set(ipBytes(source), ipFamily(source) === 4 ? 12 : 8);
	header.set(ipBytes(destination), ipFamily(source) === 4 ? 16 : 24);
	return header;
}

/** What follows the network header; for protocols without ports or ICMP types, bytes that look like ports. */
function transportHeader({ protocol, sourcePort = 80, destinationPort = 80, icmpType, icmpCode }: Packet): Uint8Array {
	if (protocol === 59) return new Uint8Array(); // IPv6: no next header
	if (icmpType !== undefined) return Uint8Array.of(icmpType, icmpCode ?? 0, 0, 0);
	return Uint8Array.of(sourcePort >> 8, sourcePort & 0xff, destinationPort >> 8, destinationPort & 0xff);
}

function packedLength(types: readonly SetKeyType[], elements: readonly SetElement[]): number {
	return elements[0]?.key.length ?? types.length;
}

/** Of our concatenated ranges only the last part is a range, so whole keys compare as their parts do. */
function holds({ key, keyEnd }: SetElement, value: Uint8Array): boolean {
	if (keyEnd === undefined) return Buffer.compare(value, key) === 0;
	return Buffer.compare(value, key) >= 0 && Buffer.compare(value, keyEnd) <= 0;
}

function hostNumber(value: number): Uint8Array {
	return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}
