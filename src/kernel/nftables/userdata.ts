/** The type-length-value notes that nft keeps in the user data of objects (libnftnl `udata.h`). The kernel does not read them. */
import { kernelError } from '../errors.ts';

/** NFT_USERDATA_MAXLEN */
const MAX_USERDATA_BYTES = 256;
/** nft refuses longer ones. */
const MAX_COMMENT_BYTES = 128;

export type UserdataNote = readonly [type: number, value: Uint8Array];

/** @throws KERNEL_BAD_ARGUMENT */
export function packUserdata(notes: readonly UserdataNote[]): Uint8Array {
	const bytes = new Uint8Array(notes.reduce((sum, [, value]) => sum + 2 + value.length, 0));
	if (bytes.length > MAX_USERDATA_BYTES)
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `user data of ${bytes.length} bytes are too long`,
			allowed: `${MAX_USERDATA_BYTES} bytes`,
		});
	let offset = 0;
	for (const [type, value] of notes) {
		bytes[offset] = type;
		bytes[offset + 1] = value.length;
		bytes.set(value, offset + 2);
		offset += 2 + value.length;
	}
	return bytes;
}

/** The notes of user data. What does not have the form was not written by nft or us, and is left out. */
export function unpackUserdata(bytes: Uint8Array | undefined): ReadonlyMap<number, Uint8Array> {
	const notes = new Map<number, Uint8Array>();
	if (bytes === undefined) return notes;
	let offset = 0;
	while (offset + 2 <= bytes.length) {
		const end = offset + 2 + (bytes[offset + 1] as number);
		if (end > bytes.length) break;
		notes.set(bytes[offset] as number, bytes.subarray(offset + 2, end));
		offset = end;
	}
	return notes;
}

/** @throws KERNEL_BAD_ARGUMENT */
export function commentNote(type: number, comment: string): UserdataNote {
	const text = new TextEncoder().encode(`${comment}\0`);
	if (text.length > MAX_COMMENT_BYTES || text.indexOf(0) < text.length - 1)
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `the comment ${JSON.stringify(comment)} does not fit`,
			allowed: `at most ${MAX_COMMENT_BYTES - 1} bytes, none of them zero`,
		});
	return [type, text];
}

/** As a property to spread: nothing if there is no comment. */
export function readComment(notes: ReadonlyMap<number, Uint8Array>, type: number): { comment?: string } {
	const text = notes.get(type);
	if (text === undefined) return {};
	const end = text.indexOf(0);
	return { comment: new TextDecoder().decode(end < 0 ? text : text.subarray(0, end)) };
}
