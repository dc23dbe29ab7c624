import { kernelError } from '../errors.ts';
import { Attributes, badMessage } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import type { Register, Verdict } from './expression.ts';
import { MAX_NAME_BYTES, Names, NFTA_DATA_VALUE, NFTA_DATA_VERDICT } from './wire.ts';

/** NFT_DATA_VALUE_MAXLEN */
const MAX_DATA_BYTES = 64;

const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;

/** `linux/netfilter.h` and `enum nft_verdicts`, as unsigned. */
const VERDICTS = new Names<Verdict['verdict']>({
	drop: 0,
	accept: 1,
	continue: 0xffffffff,
	jump: 0xfffffffd,
	goto: 0xfffffffc,
	return: 0xfffffffb,
});

/**
 * Writes a register as the kernel itself lists it: NFT_REG_1 to 4 (16 bytes each) where a slot begins one, else NFT_REG32_00 and up.
 *
 * @throws KERNEL_BAD_ARGUMENT
 */
export function writeRegister(writer: MessageWriter, type: number, register: Register): void {
	if (!Number.isInteger(register) || register < 0 || register > 15)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `there is no register ${register}`, found: register, allowed: '0 to 15' });
	writer.be32(type, register % 4 === 0 ? 1 + register / 4 : 8 + register);
}

/** Undefined where the attribute is absent or names the verdict register. */
export function readRegister(attributes: Attributes, type: number): Register | undefined {
	const value = attributes.be32(type);
	if (value === undefined || value === 0) return undefined;
	if (value <= 4) return (value - 1) * 4;
	if (value >= 8 && value <= 23) return value - 8;
	throw badMessage(`there is no nf_tables register ${value}`);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeValue(writer: MessageWriter, type: number, value: Uint8Array): void {
	if (value.length === 0 || value.length > MAX_DATA_BYTES)
		throw kernelError('KERNEL_BAD_ARGUMENT', { message: `a register value has 1 to ${MAX_DATA_BYTES} bytes, not ${value.length}` });
	const nest = writer.beginNest(type);
	writer.bytesOf(NFTA_DATA_VALUE, value);
	writer.endNest(nest);
}

export function readValue(attributes: Attributes, type: number): Uint8Array | undefined {
	return attributes.nested(type)?.bytes(NFTA_DATA_VALUE);
}

/** @throws KERNEL_BAD_ARGUMENT */
export function writeVerdict(writer: MessageWriter, type: number, verdict: Verdict): void {
	const data = writer.beginNest(type);
	const nest = writer.beginNest(NFTA_DATA_VERDICT);
	writer.be32(NFTA_VERDICT_CODE, VERDICTS.number(verdict.verdict));
	if (verdict.verdict === 'jump' || verdict.verdict === 'goto') writer.string(NFTA_VERDICT_CHAIN, verdict.chain, MAX_NAME_BYTES);
	writer.endNest(nest);
	writer.endNest(data);
}

/** Undefined if there is none, or one that user space does not give. */
export function readVerdict(attributes: Attributes, type: number): Verdict | undefined {
	const nest = attributes.nested(type)?.nested(NFTA_DATA_VERDICT);
	const verdict = VERDICTS.name(nest?.be32(NFTA_VERDICT_CODE));
	if (nest === undefined || verdict === undefined) return undefined;
	if (verdict !== 'jump' && verdict !== 'goto') return { verdict };
	const chain = nest.string(NFTA_VERDICT_CHAIN);
	if (chain === undefined) throw badMessage(`a verdict ${verdict} names no chain`);
	return { verdict, chain };
}
