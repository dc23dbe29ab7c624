import { type Cidr, cidrContains, cidrLast, cidrSize, type Ip, PrefixTable, parseCidr } from '#net';

/** The addresses that are not assigned automatically. */
export class Reservations {
	readonly #table = new PrefixTable<true>();

	/** @param cidrs prefixes or addresses; what is neither reserves nothing */
	constructor(cidrs: Iterable<string>) {
		for (const text of cidrs) {
			const cidr = parseCidr(text);
			if (cidr !== undefined) this.#table.set(cidr, true);
		}
	}

	isReserved(address: Ip): boolean {
		return this.#table.size > 0 && this.#table.longestMatch(address) !== undefined;
	}

	/** The last address of the widest reservation around a block, so that a search can go on behind it. */
	endOfReservationAround(block: Cidr): Ip | undefined {
		for (const { prefix } of this.#table.covering(block)) return cidrLast(prefix);
		return undefined;
	}

	/** Whether no address of the block is left. */
	reservesAllOf(block: Cidr): boolean {
		return this.countIn(block) === cidrSize(block);
	}

	/** How many addresses of a prefix are reserved. */
	countIn(prefix: Cidr): bigint {
		if (this.#table.size === 0) return 0n;
		if (this.endOfReservationAround(prefix) !== undefined) return cidrSize(prefix);
		let count = 0n;
		let outer: Cidr | undefined;
		for (const { prefix: reserved } of this.#table.coveredBy(prefix)) {
			if (outer !== undefined && cidrContains(outer, reserved)) continue;
			outer = reserved;
			count += cidrSize(reserved);
		}
		return count;
	}
}
