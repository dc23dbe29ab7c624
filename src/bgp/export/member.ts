/** Where a member's bytes go. */
export interface MemberSink {
	/** Whether the socket takes more now; false while it is backed up. */
	readonly writable: boolean;
	send(bytes: Uint8Array): void;
}

/**
 * One peer in an update group. While it is in sync it shares the group's messages. Prefixes it missed, because it joined later, its
 * socket was full or it was left out of a message, are marked one bit each and sent to it alone, as they are by then.
 */
export class Member {
	readonly peer: number;
	readonly sink: MemberSink;
	#bits = new Uint32Array(0);
	#marked = 0;
	#cursor = 0;
	/** Whether the End-of-RIB marker still has to be sent after all that is marked. */
	endOfRibDue: boolean;
	/** Whether the end of a route refresh still has to be marked (RFC 7313 §4). */
	endOfRefreshDue = false;
	/** Announcements of the group whose source is this very peer. */
	excluded = 0;

	constructor(peer: number, sink: MemberSink, endOfRibDue: boolean) {
		this.peer = peer;
		this.sink = sink;
		this.endOfRibDue = endOfRibDue;
	}

	get inSync(): boolean {
		return this.#marked === 0;
	}

	mark(prefix: number): void {
		const word = prefix >>> 5;
		if (word >= this.#bits.length) this.#grow(word + 1);
		const bit = 1 << (prefix & 31);
		const old = this.#bits[word] as number;
		if ((old & bit) !== 0) return;
		this.#bits[word] = old | bit;
		this.#marked++;
	}

	isMarked(prefix: number): boolean {
		return ((this.#bits[prefix >>> 5] ?? 0) & (1 << (prefix & 31))) !== 0;
	}

	/** Takes marked prefixes and clears their marks; returns how many were put into the array. */
	take(into: Int32Array): number {
		let count = 0;
		const words = this.#bits.length;
		for (let step = 0; step < words && this.#marked > 0; step++) {
			let bits = this.#bits[this.#cursor] as number;
			if (bits !== 0) {
				if (count + 32 > into.length) return count;
				while (bits !== 0) {
					const bit = 31 - Math.clz32(bits & -bits);
					into[count++] = this.#cursor * 32 + bit;
					bits &= bits - 1;
					this.#marked--;
				}
				this.#bits[this.#cursor] = 0;
			}
			this.#cursor = this.#cursor + 1 === words ? 0 : this.#cursor + 1;
		}
		if (this.#marked === 0) {
			this.#bits = new Uint32Array(0);
			this.#cursor = 0;
		}
		return count;
	}

	#grow(words: number): void {
		const bits = new Uint32Array(Math.max(words, this.#bits.length * 2));
		bits.set(this.#bits);
		this.#bits = bits;
	}
}
