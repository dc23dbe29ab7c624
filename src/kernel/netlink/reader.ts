import { kernelError } from '../errors.ts';

const NLA_TYPE_MASK = 0x3fff;
const MESSAGE_HEADER_BYTES = 16;

const decoder = new TextDecoder();

/** One netlink message (`struct nlmsghdr`); its payload lies in the receive buffer and is valid until the next receive. */
export interface NetlinkMessage {
	readonly type: number;
	readonly flags: number;
	readonly sequence: number;
	readonly portId: number;
	readonly view: DataView;
	/** Where the payload starts and ends in the view. */
	readonly start: number;
	readonly end: number;
}

/**
 * Takes what one receive gave apart.
 *
 * @throws KERNEL_BAD_MESSAGE
 */
export function readMessages(bytes: Uint8Array): readonly NetlinkMessage[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const messages: NetlinkMessage[] = [];
	let offset = 0;
	while (offset + MESSAGE_HEADER_BYTES <= view.byteLength) {
		const length = view.getUint32(offset, true);
		if (length < MESSAGE_HEADER_BYTES || length > view.byteLength - offset)
			throw badMessage(`a netlink message claims ${length} bytes where ${view.byteLength - offset} are left`);
		messages.push({
			type: view.getUint16(offset + 4, true),
			flags: view.getUint16(offset + 6, true),
			sequence: view.getUint32(offset + 8, true),
			portId: view.getUint32(offset + 12, true),
			view,
			start: offset + MESSAGE_HEADER_BYTES,
			end: offset + length,
		});
		offset += (length + 3) & ~3;
	}
	return messages;
}

/** Attributes of a message or of another attribute. Absent ones read as undefined; all readers throw KERNEL_BAD_MESSAGE for a wrong length. */
export class Attributes {
	readonly #view: DataView;
	/** type, start, end of each attribute. */
	readonly #index: number[] = [];

	/** @throws KERNEL_BAD_MESSAGE if the lengths do not add up */
	constructor(view: DataView, start: number, end: number) {
		this.#view = view;
		let offset = start;
		while (offset + 4 <= end) {
			const length = view.getUint16(offset, true);
			if (length < 4 || length > end - offset)
				throw badMessage(`a netlink attribute claims ${length} bytes where ${end - offset} are left`);
			this.#index.push(view.getUint16(offset + 2, true) & NLA_TYPE_MASK, offset + 4, offset + length);
			offset += (length + 3) & ~3;
		}
	}

	/** The attributes after a message's fixed header of `headerBytes`. */
	static of(message: NetlinkMessage, headerBytes: number): Attributes {
		checkPayload(message, headerBytes);
		return new Attributes(message.view, message.start + headerBytes, message.end);
	}

	has(type: number): boolean {
		return this.#find(type) >= 0;
	}

	u8(type: number): number | undefined {
		const start = this.#value(type, 1);
		return start < 0 ? undefined : this.#view.getUint8(start);
	}

	u16(type: number): number | undefined {
		const start = this.#value(type, 2);
		return start < 0 ? undefined : this.#view.getUint16(start, true);
	}

	u32(type: number): number | undefined {
		const start = this.#value(type, 4);
		return start < 0 ? undefined : this.#view.getUint32(start, true);
	}

	i32(type: number): number | undefined {
		const start = this.#value(type, 4);
		return start < 0 ? undefined : this.#view.getInt32(start, true);
	}

	be16(type: number): number | undefined {
		const start = this.#value(type, 2);
		return start < 0 ? undefined : this.#view.getUint16(start);
	}

	be32(type: number): number | undefined {
		const start = this.#value(type, 4);
		return start < 0 ? undefined : this.#view.getUint32(start);
	}

	be64(type: number): bigint | undefined {
		const start = this.#value(type, 8);
		return start < 0 ? undefined : this.#view.getBigUint64(start);
	}

	/** A copy of the value. */
	bytes(type: number): Uint8Array | undefined {
		const at = this.#find(type);
		return at < 0 ? undefined : this.#slice(this.#index[at + 1] as number, this.#index[at + 2] as number);
	}

	/** Text up to its zero byte. */
	string(type: number): string | undefined {
		const bytes = this.bytes(type);
		if (bytes === undefined) return undefined;
		const end = bytes.indexOf(0);
		return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
	}

	nested(type: number): Attributes | undefined {
		const at = this.#find(type);
		return at < 0 ? undefined : new Attributes(this.#view, this.#index[at + 1] as number, this.#index[at + 2] as number);
	}

	/** Where the value of an attribute lies, for fixed structures. */
	range(type: number): { readonly view: DataView; readonly start: number; readonly end: number } | undefined {
		const at = this.#find(type);
		return at < 0 ? undefined : { view: this.#view, start: this.#index[at + 1] as number, end: this.#index[at + 2] as number };
	}

	/** The nested content of every attribute, in order, for lists. */
	list(): Attributes[] {
		const items: Attributes[] = [];
		for (let at = 0; at < this.#index.length; at += 3)
			items.push(new Attributes(this.#view, this.#index[at + 1] as number, this.#index[at + 2] as number));
		return items;
	}

	#find(type: number): number {
		for (let at = 0; at < this.#index.length; at += 3) if (this.#index[at] === type) return at;
		return -1;
	}

	#value(type: number, size: number): number {
		const at = this.#find(type);
		if (at < 0) return -1;
		const start = this.#index[at + 1] as number;
		const length = (this.#index[at + 2] as number) - start;
		if (length < size) throw badMessage(`netlink attribute ${type} has ${length} bytes instead of ${size}`);
		return start;
	}

	#slice(start: number, end: number): Uint8Array {
		return new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, end - start).slice();
	}
}

/** @throws KERNEL_BAD_MESSAGE when the payload is shorter than the fixed header that belongs there */
export function checkPayload(message: NetlinkMessage, headerBytes: number): void {
	if (message.end - message.start < headerBytes)
		throw badMessage(
			`a netlink message of type ${message.type} has ${message.end - message.start} bytes instead of at least ${headerBytes}`,
		);
}

export function badMessage(message: string): ReturnType<typeof kernelError> {
	return kernelError('KERNEL_BAD_MESSAGE', { message });
}
