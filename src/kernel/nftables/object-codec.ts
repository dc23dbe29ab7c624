import { kernelError } from '../errors.ts';
import { Attributes, badMessage, type NetlinkMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { readExpressions, writeExpressions } from './expression-codec.ts';
import type { BaseChain, Chain, ChainType, ListedRule, Rule, Table, TableFamily, TableRef } from './object.ts';
import { commentNote, packUserdata, readComment, unpackUserdata } from './userdata.ts';
import { familyOf, hookByNumber, hookNumber, MAX_NAME_BYTES, NFGENMSG_BYTES } from './wire.ts';

const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_HANDLE = 4;
const NFTA_TABLE_USERDATA = 6;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_CHAIN_USERDATA = 12;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_HANDLE = 3;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_RULE_USERDATA = 7;
const NF_DROP = 0;
const NF_ACCEPT = 1;
/** libnftnl's number of the comment in the user data of tables, chains and rules. */
const UDATA_COMMENT = 0;

const CHAIN_TYPES: ReadonlySet<string> = new Set<ChainType>(['filter', 'nat', 'route']);

export function writeTable(writer: MessageWriter, table: Table): void {
	writer.string(NFTA_TABLE_NAME, table.name, MAX_NAME_BYTES);
	writeComment(writer, NFTA_TABLE_USERDATA, table.comment);
}

/** Undefined for tables of families that are none of ours. @throws KERNEL_BAD_MESSAGE */
export function readTable(message: NetlinkMessage): (Table & { readonly handle: bigint }) | undefined {
	const family = familyOf(message);
	const attributes = Attributes.of(message, NFGENMSG_BYTES);
	const name = attributes.string(NFTA_TABLE_NAME);
	const handle = attributes.be64(NFTA_TABLE_HANDLE);
	if (name === undefined || handle === undefined) throw badMessage('a listed table lacks its name or handle');
	if (family === undefined) return undefined;
	return { family, name, handle, ...readComment(unpackUserdata(attributes.bytes(NFTA_TABLE_USERDATA)), UDATA_COMMENT) };
}

export function writeChainName(writer: MessageWriter, table: TableRef, chain: string): void {
	writer.string(NFTA_CHAIN_TABLE, table.name, MAX_NAME_BYTES);
	writer.string(NFTA_CHAIN_NAME, chain, MAX_NAME_BYTES);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeChain(writer: MessageWriter, table: TableRef, chain: Chain): void {
	writeChainName(writer, table, chain.name);
	if (chain.base !== undefined) writeBase(writer, table.family, chain.base);
	writeComment(writer, NFTA_CHAIN_USERDATA, chain.comment);
}

/** The chain, if it is one of the table's. @throws KERNEL_BAD_MESSAGE */
export function readChain(message: NetlinkMessage, table: TableRef): Chain | undefined {
	const attributes = Attributes.of(message, NFGENMSG_BYTES);
	if (familyOf(message) !== table.family || attributes.string(NFTA_CHAIN_TABLE) !== table.name) return undefined;
	const name = attributes.string(NFTA_CHAIN_NAME);
	if (name === undefined) throw badMessage('a listed chain has no name');
	const hook = attributes.nested(NFTA_CHAIN_HOOK);
	return {
		name,
		...(hook === undefined ? {} : { base: readBase(attributes, hook, table.family) }),
		...readComment(unpackUserdata(attributes.bytes(NFTA_CHAIN_USERDATA)), UDATA_COMMENT),
	};
}

export function writeRuleChain(writer: MessageWriter, table: TableRef, chain: string | undefined): void {
	writer.string(NFTA_RULE_TABLE, table.name, MAX_NAME_BYTES);
	if (chain !== undefined) writer.string(NFTA_RULE_CHAIN, chain, MAX_NAME_BYTES);
}

export function writeRuleHandle(writer: MessageWriter, handle: bigint): void {
	writer.be64(NFTA_RULE_HANDLE, handle);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeRule(writer: MessageWriter, table: TableRef, rule: Rule): void {
	writeRuleChain(writer, table, rule.chain);
	writeExpressions(writer, NFTA_RULE_EXPRESSIONS, rule.expressions);
	writeComment(writer, NFTA_RULE_USERDATA, rule.comment);
}

/** The rule, if it is one of the table's. @throws KERNEL_BAD_MESSAGE */
export function readRule(message: NetlinkMessage, table: TableRef): ListedRule | undefined {
	const attributes = Attributes.of(message, NFGENMSG_BYTES);
	if (familyOf(message) !== table.family || attributes.string(NFTA_RULE_TABLE) !== table.name) return undefined;
	const chain = attributes.string(NFTA_RULE_CHAIN);
	const handle = attributes.be64(NFTA_RULE_HANDLE);
	if (chain === undefined || handle === undefined) throw badMessage('a listed rule lacks its chain or handle');
	const expressions = attributes.nested(NFTA_RULE_EXPRESSIONS);
	return {
		chain,
		handle,
		expressions: expressions === undefined ? [] : readExpressions(expressions),
		...readComment(unpackUserdata(attributes.bytes(NFTA_RULE_USERDATA)), UDATA_COMMENT),
	};
}

function writeBase(writer: MessageWriter, family: TableFamily, base: BaseChain): void {
	const hook = hookNumber(family, base.hook);
	if (hook < 0)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `tables of family ${family} have no hook ${base.hook}`, found: base.hook });
	const nest = writer.beginNest(NFTA_CHAIN_HOOK);
	writer.be32(NFTA_HOOK_HOOKNUM, hook);
	writer.be32(NFTA_HOOK_PRIORITY, base.priority >>> 0);
	writer.endNest(nest);
	writer.be32(NFTA_CHAIN_POLICY, base.policy === 'accept' ? NF_ACCEPT : NF_DROP);
	writer.string(NFTA_CHAIN_TYPE, base.type, MAX_NAME_BYTES);
}

function readBase(attributes: Attributes, hook: Attributes, family: TableFamily): BaseChain {
	const number = hook.be32(NFTA_HOOK_HOOKNUM);
	const priority = hook.be32(NFTA_HOOK_PRIORITY);
	const type = attributes.string(NFTA_CHAIN_TYPE);
	if (number === undefined || priority === undefined || type === undefined || !CHAIN_TYPES.has(type))
		throw badMessage('a listed base chain lacks its hook, priority or type');
	return {
		type: type as ChainType,
		hook: hookByNumber(family, number),
		priority: priority | 0,
		policy: attributes.be32(NFTA_CHAIN_POLICY) === NF_DROP ? 'drop' : 'accept',
	};
}

function writeComment(writer: MessageWriter, type: number, comment: string | undefined): void {
	if (comment !== undefined) writer.bytesOf(type, packUserdata([commentNote(UDATA_COMMENT, comment)]));
}
