/**
 * The building blocks of every schema. A schema has no transforms, so that JSON Schema can be made of it; what has two
 * spellings is brought to one by its normaliser (see {@link normaliserOf}) before the schema sees it.
 */

import { z } from 'zod';
import { cidrParts, parseCidr, parseIp, parseMac, splitCidr } from '#net';
import { parseSelector, selectorError } from '#selector';
import { parseAsNumber } from '../fields/as-number.ts';
import { parseDurationMs } from '../fields/duration.ts';
import { DEFAULT_NAME, matchesName, type NameRule } from '../fields/names.ts';
import { parsePort } from '../fields/port.ts';
import { PROTOCOL_NAMES, parseProtocol } from '../fields/protocol.ts';

type Scalar = string | number;

const normalisers = new WeakMap<z.ZodType, (value: Scalar) => Scalar>();

/** What brings the older or looser spellings of a field to the one that the schema accepts. */
export function normaliserOf(schema: z.ZodType): ((value: Scalar) => Scalar) | undefined {
	return normalisers.get(schema);
}

/** A text that has to pass a test. An empty text stands for an absent one, as Go's JSON writes it. */
export function text(allowed: string, test: (value: string) => boolean, hint?: (value: string) => string | undefined) {
	return z.string({ error: allowed }).superRefine((value, context) => {
		if (value === '' || test(value)) return;
		context.addIssue({ code: 'custom', message: allowed, params: { hint: hint?.(value) } });
	});
}

/** Like {@link text}, for fields that may not be empty. */
export function filledText(allowed: string, test: (value: string) => boolean, hint?: (value: string) => string | undefined) {
	return z.string({ error: allowed }).superRefine((value, context) => {
		if (value !== '' && test(value)) return;
		context.addIssue({ code: 'custom', message: allowed, params: { hint: hint?.(value) } });
	});
}

export function pattern(expression: RegExp, allowed: string) {
	return z.string({ error: allowed }).regex(expression, { error: allowed });
}

/** A whole number within limits, both included. */
export function integer(min: number, max: number) {
	const error = max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`;
	return z.int({ error }).min(min, { error }).max(max, { error });
}

export const int32 = integer(-0x8000_0000, 0x7fff_ffff);
export const naturalNumber = integer(0, Number.MAX_SAFE_INTEGER);
export const portNumber = integer(1, 65_535);
export const routePriority = integer(1, 2_147_483_646);
export const order = z.number({ error: 'a number' });
export const flag = z.boolean();
export const anyText = z.string();

/** A list whose elements all differ; stored lists by older releases may not. */
export function unique<T extends z.ZodType>(element: T, max?: number) {
	const list = z.array(element).superRefine((values, context) => {
		const seen = new Set<unknown>();
		for (const [index, value] of values.entries()) {
			if (seen.has(value)) context.addIssue({ code: 'custom', message: 'each value once', path: [index], params: { newRule: true } });
			seen.add(value);
		}
	});
	return max === undefined ? list : list.max(max);
}

export function named(rule: NameRule) {
	return text(rule.allowed, (value) => matchesName(rule, value));
}

export const resourceName = named(DEFAULT_NAME);

const NETWORK = 'an address or a CIDR without host bits, such as 10.0.0.0/8 or 2001:db8::/32';

/** An address or prefix without host bits. */
export const network = filledText(NETWORK, isNetwork, maskedHint);

/** A prefix without host bits. */
export const cidrNetwork = filledText(
	'a CIDR without host bits, such as 10.0.0.0/8 or 2001:db8::/32',
	(value) => value.includes('/') && isNetwork(value),
	maskedHint,
);

/** An address or prefix; host bits are tolerated. */
export const cidrOrIp = filledText('an address or a CIDR, such as 192.0.2.1 or 10.0.0.0/8', (value) => splitCidr(value) !== undefined);

export const ipAddress = text('an IP address', (value) => parseIp(value) !== undefined);
export const ipv4Address = text('an IPv4 address', (value) => parseIp(value)?.includes('.') === true && !value.includes(':'));
export const ipv6Address = text('an IPv6 address', (value) => parseIp(value)?.includes(':') === true);
export const ipv4Cidr = text('an IPv4 address or CIDR, such as 192.0.2.1/24', (value) => splitCidr(value)?.family === 4);
export const ipv6Cidr = text('an IPv6 address or CIDR, such as 2001:db8::1/64', (value) => splitCidr(value)?.family === 6);
export const macAddress = text('a MAC address, such as ee:ee:ee:ee:ee:ee', (value) => parseMac(value) !== undefined);
export const wireguardKey = text('a WireGuard key: 32 bytes in base64', (value) => /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(value));
export const interfaceName = text('1 to 15 letters, digits, _, . and -', (value) => /^[a-zA-Z0-9_.-]{1,15}$/.test(value));
export const duration = text('a duration, such as 90s, 1m30s or 250ms', (value) => parseDurationMs(value) !== undefined);

const MAX_SELECTOR_LENGTH = 1024;

/** A selector in which `global()` has no meaning. */
export const selector = selectorField(false);
/** The namespace selector of a rule, which may be `global()` alone. */
export const namespaceSelector = selectorField(true);

export const asNumber = normalised(integer(1, 0xffff_ffff), (value) => parseAsNumber(value) ?? value);

const PROTOCOL = `${PROTOCOL_NAMES.join(', ')}, or a number from 1 to 255`;
export const protocol = normalised(
	z.union([z.int(), z.string()], { error: PROTOCOL }).refine((value) => parseProtocol(value) !== undefined, { error: PROTOCOL }),
	(value) => parseProtocol(value) ?? value,
);

const PORT = 'a port from 1 to 65535, a range "min:max", or the name of a port';
export const port = z.union([z.int(), z.string()], { error: PORT }).refine((value) => parsePort(value) !== undefined, { error: PORT });

const PORT_RANGE = 'a port from 0 to 65535 or a range "min:max"';
export const numericPortRange = z
	.union([z.int(), z.string()], { error: PORT_RANGE })
	.refine((value) => 'min' in (parsePort(value, 0) ?? {}), { error: PORT_RANGE });

export const secretReference = z.object({
	secretKeyRef: z.object({ name: anyText.optional(), key: anyText, optional: flag.optional() }).optional(),
});

export const condition = z.object({
	type: pattern(/^(?=.{1,316}$)(?:[a-z0-9.-]+\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/, 'a condition type'),
	status: z.enum(['True', 'False', 'Unknown']),
	reason: pattern(/^(?=.{1,1024}$)[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?$/, 'a reason in one word'),
	message: z.string().max(32_768),
	lastTransitionTime: anyText,
	observedGeneration: naturalNumber.optional(),
});

/** One of some words, written in any case. */
export function anyCase<const Value extends string>(...values: readonly Value[]) {
	const byLowerCase = new Map<Scalar, Value>(values.map((value) => [value.toLowerCase(), value]));
	return normalised(z.enum(values), (value) => byLowerCase.get(String(value).toLowerCase()) ?? value);
}

export const logLevel = anyCase('Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal');

const DSCP = 'a DSCP value from 0 to 63, or its name';
const DSCP_WORD = /^(?:[0-9]|[1-5][0-9]|6[0-3]|DF|EF|AF[1-4][1-3]|CS[0-7]|VA|LE)$/i;
export const dscp = z.union([z.int(), z.string()], { error: DSCP }).refine((value) => DSCP_WORD.test(String(value)), { error: DSCP });

function normalised<T extends z.ZodType>(schema: T, normalise: (value: Scalar) => Scalar): T {
	normalisers.set(schema, normalise);
	return schema;
}

function isNetwork(value: string): boolean {
	const parts = splitCidr(value);
	return parts !== undefined && cidrParts(parseCidr(value) as never).address === parts.address;
}

function maskedHint(value: string): string | undefined {
	const masked = parseCidr(value);
	return masked === undefined ? undefined : `did you mean ${masked}?`;
}

function selectorField(mayBeGlobal: boolean) {
	return z
		.string()
		.max(MAX_SELECTOR_LENGTH)
		.superRefine((value, context) => {
			try {
				const { root, text: canonical } = parseSelector(value);
				if (!usesGlobal(root) || (mayBeGlobal && canonical === 'global()')) return;
				const message = mayBeGlobal ? 'global() alone, or a selector without it' : 'a selector without global()';
				context.addIssue({ code: 'custom', message, params: {} });
			} catch (error) {
				if (!selectorError.is(error)) throw error;
				context.addIssue({ code: 'custom', message: `a selector: ${error.allowed}`, params: { hint: error.message } });
			}
		});
}

function usesGlobal(node: ReturnType<typeof parseSelector>['root']): boolean {
	if (node.type === 'not') return usesGlobal(node.operand);
	if (node.type === 'and' || node.type === 'or') return node.operands.some(usesGlobal);
	return node.type === 'global';
}
