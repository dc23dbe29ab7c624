import { kernelError } from '../errors.ts';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { keyLength, type SetDataType, type SetKeyType, TYPE_FACTS, typeById } from './data-type.ts';
import type { SetSpec, TableRef } from './object.ts';
import { commentNote, packUserdata, readComment, type UserdataNote, unpackUserdata } from './userdata.ts';
import { familyOf, MAX_NAME_BYTES, NFGENMSG_BYTES, NFTA_LIST_ELEM } from './wire.ts';

const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DATA_LEN = 7;
const NFTA_SET_DESC = 9;
const NFTA_SET_ID = 10;
const NFTA_SET_USERDATA = 13;
const NFTA_SET_DESC_SIZE = 1;
const NFTA_SET_DESC_CONCAT = 2;
const NFTA_SET_FIELD_LEN = 1;

const NFT_SET_ANONYMOUS = 0x1;
const NFT_SET_CONSTANT = 0x2;
const NFT_SET_INTERVAL = 0x4;
const NFT_SET_MAP = 0x8;
const NFT_SET_CONCAT = 0x80;
const NFT_DATA_VERDICT = 0xffffff00;
/** nft packs the types of a concatenation six bits each, the first in the highest bits. */
const CONCAT_BITS = 6;
const MAX_CONCAT_PARTS = 5;

const UDATA_KEY_BYTEORDER = 0;
const UDATA_DATA_BYTEORDER = 1;
const UDATA_COMMENT = 7;

export function writeSetName(writer: MessageWriter, table: TableRef, set: string): void {
	writer.string(NFTA_SET_TABLE, table.name, MAX_NAME_BYTES);
	writer.string(NFTA_SET_NAME, set, MAX_NAME_BYTES);
}

export function writeTableOfSets(writer: MessageWriter, table: TableRef): void {
	writer.string(NFTA_SET_TABLE, table.name, MAX_NAME_BYTES);
}

/** `size` lets the kernel choose the fittest kind of set for constant ones. @throws KERNEL_BAD_ARGUMENT */
export function writeSet(writer: MessageWriter, table: TableRef, set: SetSpec, setId: number, size: number | undefined): void {
	if (set.key.length === 0 || set.key.length > MAX_CONCAT_PARTS)
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `set ${set.name} has a key of ${set.key.length} parts`,
			allowed: `1 to ${MAX_CONCAT_PARTS} parts`,
		});
	const concatenatedRanges = set.interval === true && set.key.length > 1;
	writeSetName(writer, table, set.name);
	writer.be32(
		NFTA_SET_FLAGS,
		(set.anonymous === true ? NFT_SET_ANONYMOUS : 0) |
			(set.constant === true ? NFT_SET_CONSTANT : 0) |
			(set.interval === true ? NFT_SET_INTERVAL : 0) |
			(set.data === undefined ? 0 : NFT_SET_MAP) |
			(concatenatedRanges ? NFT_SET_CONCAT : 0),
	);
	writer.be32(NFTA_SET_KEY_TYPE, typeNumber(set.key));
	writer.be32(NFTA_SET_KEY_LEN, keyLength(set.key));
	if (set.data === 'verdict') writer.be32(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
	else if (set.data !== undefined) {
		writer.be32(NFTA_SET_DATA_TYPE, TYPE_FACTS[set.data].id);
		writer.be32(NFTA_SET_DATA_LEN, TYPE_FACTS[set.data].size);
	}
	writer.be32(NFTA_SET_ID, setId);
	if (size !== undefined || concatenatedRanges) writeDescription(writer, concatenatedRanges ? set.key : [], size);
	writer.bytesOf(NFTA_SET_USERDATA, packUserdata(notesOf(set)));
}

/** The set, if it is one of the table's; its key is empty when its types are none of ours. @throws KERNEL_BAD_MESSAGE */
export function readSet(message: NetlinkMessage, table: TableRef): SetSpec | undefined {
	const attributes = Attributes.of(message, NFGENMSG_BYTES);
	if (familyOf(message) !== table.family || attributes.string(NFTA_SET_TABLE) !== table.name) return undefined;
	const name = attributes.string(NFTA_SET_NAME);
	if (name === undefined) throw badMessage('a listed set has no name');
	const flags = attributes.be32(NFTA_SET_FLAGS) ?? 0;
	const data = (flags & NFT_SET_MAP) === 0 ? undefined : dataType(attributes.be32(NFTA_SET_DATA_TYPE) ?? 0);
	const isReadable = (flags & NFT_SET_MAP) === 0 || data !== undefined;
	return {
		name,
		key: isReadable ? keyTypes(attributes.be32(NFTA_SET_KEY_TYPE) ?? 0) : [],
		...(data === undefined ? {} : { data }),
		...((flags & NFT_SET_INTERVAL) === 0 ? {} : { interval: true }),
		...((flags & NFT_SET_CONSTANT) === 0 ? {} : { constant: true }),
		...((flags & NFT_SET_ANONYMOUS) === 0 ? {} : { anonymous: true }),
		...readComment(unpackUserdata(attributes.bytes(NFTA_SET_USERDATA)), UDATA_COMMENT),
	};
}

function writeDescription(writer: MessageWriter, fields: readonly SetKeyType[], size: number | undefined): void {
	const nest = writer.beginNest(NFTA_SET_DESC);
	if (size !== undefined) writer.be32(NFTA_SET_DESC_SIZE, size);
	if (fields.length > 0) {
		const concat = writer.beginNest(NFTA_SET_DESC_CONCAT);
		for (const type of fields) {
			const field = writer.beginNest(NFTA_LIST_ELEM);
			writer.be32(NFTA_SET_FIELD_LEN, TYPE_FACTS[type].size);
			writer.endNest(field);
		}
		writer.endNest(concat);
	}
	writer.endNest(nest);
}

function notesOf(set: SetSpec): UserdataNote[] {
	const byteOrder = (type: SetKeyType): Uint8Array => Uint8Array.of(TYPE_FACTS[type].byteOrder, 0, 0, 0);
	const notes: UserdataNote[] = [
		[UDATA_KEY_BYTEORDER, set.key.length === 1 ? byteOrder(set.key[0] as SetKeyType) : Uint8Array.of(0, 0, 0, 0)],
	];
	if (set.data !== undefined && set.data !== 'verdict') notes.push([UDATA_DATA_BYTEORDER, byteOrder(set.data)]);
	if (set.comment !== undefined) notes.push(commentNote(UDATA_COMMENT, set.comment));
	return notes;
}

function typeNumber(types: readonly SetKeyType[]): number {
	return types.reduce((number, type) => (number << CONCAT_BITS) | TYPE_FACTS[type].id, 0);
}

function keyTypes(number: number): SetKeyType[] {
	const types: SetKeyType[] = [];
	for (let rest = number; rest !== 0; rest >>>= CONCAT_BITS) {
		const type = typeById(rest & ((1 << CONCAT_BITS) - 1));
		if (type === undefined || types.length === MAX_CONCAT_PARTS) return [];
		types.unshift(type);
	}
	return types;
}

function dataType(number: number): SetDataType | undefined {
	return number === NFT_DATA_VERDICT ? 'verdict' : typeById(number);
}
