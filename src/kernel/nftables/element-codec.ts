import { compareBytes } from '#net';
import { kernelError } from '../errors.ts';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { keyLength } from './data-type.ts';
import type { Verdict } from './expression.ts';
import type { SetElement, SetSpec, TableRef } from './object.ts';
import { readValue, readVerdict, writeValue, writeVerdict } from './register.ts';
import { MAX_NAME_BYTES, NFGENMSG_BYTES, NFTA_LIST_ELEM } from './wire.ts';

const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_LIST_SET_ID = 4;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_KEY_END = 10;
const NFT_SET_ELEM_INTERVAL_END = 1;

/** Half of what a list attribute holds, so that one more element always fits. */
const MAX_LIST_BYTES = 0x8000;

/** An element as the kernel has it: in trees the end of a range is an element of its own, one past the last key. */
interface KernelElement {
	readonly key: Uint8Array;
	readonly keyEnd?: Uint8Array | undefined;
	readonly isRangeEnd: boolean;
	readonly data?: Uint8Array | Verdict | undefined;
}

/** Writes the header attributes of an element message. */
export function writeElementsHeader(writer: MessageWriter, table: TableRef, set: string, setId?: number): void {
	writer.string(NFTA_SET_ELEM_LIST_TABLE, table.name, MAX_NAME_BYTES);
	writer.string(NFTA_SET_ELEM_LIST_SET, set, MAX_NAME_BYTES);
	if (setId !== undefined) writer.be32(NFTA_SET_ELEM_LIST_SET_ID, setId);
}

/**
 * Writes elements, as many messages as they need.
 *
 * @param begin starts a message and writes its header attributes
 * @throws KERNEL_BAD_ARGUMENT
 */
export function writeElements(writer: MessageWriter, set: SetSpec, elements: readonly SetElement[], begin: () => void): void {
	const pending = isTree(set) ? rangeEnds(set, elements) : elements.map((element) => hashElement(set, element));
	for (let index = 0; index < pending.length; ) {
		begin();
		const list = writer.beginNest(NFTA_SET_ELEM_LIST_ELEMENTS);
		const start = writer.length;
		while (index < pending.length && writer.length - start < MAX_LIST_BYTES) writeElement(writer, set, pending[index++] as KernelElement);
		writer.endNest(list);
		writer.end();
	}
}

/** The elements in one message of a listing; {@link joinElements} makes the set's elements of all of them. @throws KERNEL_BAD_MESSAGE */
export function readElements(message: NetlinkMessage): readonly KernelElement[] {
	const list = Attributes.of(message, NFGENMSG_BYTES).nested(NFTA_SET_ELEM_LIST_ELEMENTS);
	return list === undefined ? [] : list.list().map(readElement);
}

/** Elements of a set from all that the kernel listed; trees sorted by key, others in the kernel's order. */
export function joinElements(set: SetSpec, listed: readonly KernelElement[]): SetElement[] {
	if (!isTree(set)) return listed.map((element) => setElement(element.key, element.keyEnd, element.data));
	// an end comes before a start with the same key: adjacent ranges
	const sorted = listed.toSorted((a, b) => compareBytes(a.key, b.key) || Number(b.isRangeEnd) - Number(a.isRangeEnd));
	const elements: SetElement[] = [];
	let start: KernelElement | undefined;
	for (const element of sorted) {
		if (start !== undefined) elements.push(setElement(start.key, before(element.key), start.data));
		start = element.isRangeEnd ? undefined : element;
	}
	if (start !== undefined) elements.push(setElement(start.key, start.key.slice().fill(0xff), start.data));
	return elements;
}

function isTree(set: SetSpec): boolean {
	return set.interval === true && set.key.length === 1;
}

function rangeEnds(set: SetSpec, elements: readonly SetElement[]): KernelElement[] {
	const parts: KernelElement[] = [];
	for (const element of elements.toSorted((a, b) => compareBytes(a.key, b.key))) {
		checkElement(set, element);
		parts.push({ key: element.key, isRangeEnd: false, data: element.data });
		const end = after(element.keyEnd ?? element.key);
		// a range up to the last key of all stays open
		if (end !== undefined) parts.push({ key: end, isRangeEnd: true });
	}
	return parts;
}

function hashElement(set: SetSpec, element: SetElement): KernelElement {
	checkElement(set, element);
	const keyEnd = set.interval === true ? (element.keyEnd ?? element.key) : undefined;
	return { key: element.key, keyEnd, isRangeEnd: false, data: element.data };
}

function checkElement(set: SetSpec, element: SetElement): void {
	const length = keyLength(set.key);
	if (element.key.length !== length || (element.keyEnd ?? element.key).length !== length)
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `an element of set ${set.name} has a key of ${element.key.length} bytes`,
			allowed: `${length} bytes`,
		});
	if (element.keyEnd !== undefined && set.interval !== true)
		throw kernelError('KERNEL_BAD_ARGUMENT', {
			message: `set ${set.name} has no ranges, but an element is one`,
			hint: 'make the set with interval: true',
		});
}

function writeElement(writer: MessageWriter, set: SetSpec, element: KernelElement): void {
	const nest = writer.beginNest(NFTA_LIST_ELEM);
	writeValue(writer, NFTA_SET_ELEM_KEY, element.key);
	if (element.keyEnd !== undefined) writeValue(writer, NFTA_SET_ELEM_KEY_END, element.keyEnd);
	if (element.data instanceof Uint8Array) writeValue(writer, NFTA_SET_ELEM_DATA, element.data);
	else if (element.data !== undefined) writeVerdict(writer, NFTA_SET_ELEM_DATA, element.data);
	else if (set.data !== undefined && !element.isRangeEnd)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `an element of map ${set.name} has no data` });
	if (element.isRangeEnd) writer.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	writer.endNest(nest);
}

function readElement(attributes: Attributes): KernelElement {
	const key = readValue(attributes, NFTA_SET_ELEM_KEY);
	if (key === undefined) throw badMessage('a listed set element has no key');
	return {
		key,
		keyEnd: readValue(attributes, NFTA_SET_ELEM_KEY_END),
		isRangeEnd: ((attributes.be32(NFTA_SET_ELEM_FLAGS) ?? 0) & NFT_SET_ELEM_INTERVAL_END) !== 0,
		data: readVerdict(attributes, NFTA_SET_ELEM_DATA) ?? readValue(attributes, NFTA_SET_ELEM_DATA),
	};
}

function setElement(key: Uint8Array, keyEnd: Uint8Array | undefined, data: Uint8Array | Verdict | undefined): SetElement {
	return {
		key,
		...(keyEnd === undefined || compareBytes(key, keyEnd) === 0 ? {} : { keyEnd }),
		...(data === undefined ? {} : { data }),
	};
}

/** The next key in byte order; undefined after the last. */
function after(key: Uint8Array): Uint8Array | undefined {
	const next = key.slice();
	for (let index = next.length - 1; index >= 0; index--) {
		next[index] = ((next[index] as number) + 1) & 0xff;
		if (next[index] !== 0) return next;
	}
	return undefined;
}

/** The key before; a range end is never the first key. */
function before(key: Uint8Array): Uint8Array {
	const previous = key.slice();
	for (let index = previous.length - 1; index >= 0; index--) {
		previous[index] = ((previous[index] as number) - 1) & 0xff;
		if (previous[index] !== 0xff) break;
	}
	return previous;
}
