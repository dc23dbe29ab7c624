import { z } from 'zod';
import { type Cidr, cidrFamily, type Family, parseCidr } from '#net';
import { parsePort } from '../fields/port.ts';
import { type Protocol, parseProtocol, protocolHasPorts, protocolName } from '../fields/protocol.ts';
import type { PathStep, Report } from '../problem.ts';
import { anyText, integer, namespaceSelector, network, port, protocol, resourceName, selector, unique } from './field.ts';
import { validateAnnotations } from './metadata.ts';
import type { ReadonlyDeep } from './readonly.ts';

const entityRuleSchema = z.object({
	nets: unique(network, 256).optional(),
	notNets: unique(network, 256).optional(),
	selector: selector.optional(),
	notSelector: selector.optional(),
	namespaceSelector: namespaceSelector.optional(),
	ports: z.array(port).max(50).optional(),
	notPorts: z.array(port).max(50).optional(),
	serviceAccounts: z.object({ names: z.array(resourceName).optional(), selector: selector.optional() }).optional(),
	services: z.object({ name: resourceName.max(253).optional(), namespace: resourceName.max(253).optional() }).optional(),
});

const icmpSchema = z.object({ type: integer(0, 254).optional(), code: integer(0, 255).optional() });

const httpPath = anyText.max(1024).regex(/^\/[^?# ]*$/, { error: 'a path that starts with / and has no ?, # or blank' });

export const ruleSchema = z.object({
	action: z.enum(['Allow', 'Deny', 'Log', 'Pass']),
	ipVersion: z.union([z.literal(4), z.literal(6)], { error: '4 or 6' }).optional(),
	protocol: protocol.optional(),
	notProtocol: protocol.optional(),
	icmp: icmpSchema.optional(),
	notICMP: icmpSchema.optional(),
	source: entityRuleSchema.optional(),
	destination: entityRuleSchema.optional(),
	http: z
		.object({
			methods: unique(anyText, 20).optional(),
			paths: z
				.array(z.object({ exact: httpPath.optional(), prefix: httpPath.optional() }))
				.max(20)
				.optional(),
		})
		.optional(),
	metadata: z.object({ annotations: z.record(z.string(), z.string()).optional() }).optional(),
});

/** One rule of a policy or profile. */
export type Rule = ReadonlyDeep<z.infer<typeof ruleSchema>>;

/** What a rule says of a packet's source or destination. */
export type EntityRule = ReadonlyDeep<z.infer<typeof entityRuleSchema>>;

type Direction = 'ingress' | 'egress';

/** Checks what the fields of a list of rules have to do with each other. */
export function validateRules(
	spec: { readonly ingress?: readonly Rule[] | undefined; readonly egress?: readonly Rule[] | undefined },
	namespaced: boolean,
	report: Report,
): void {
	for (const direction of ['ingress', 'egress'] as const)
		for (const [index, rule] of (spec[direction] ?? []).entries())
			new RuleCheck(rule, direction, namespaced, ['spec', direction, index], report).run();
}

class RuleCheck {
	readonly #rule: Rule;
	readonly #direction: Direction;
	readonly #namespaced: boolean;
	readonly #path: readonly PathStep[];
	readonly #report: Report;

	constructor(rule: Rule, direction: Direction, namespaced: boolean, path: readonly PathStep[], report: Report) {
		this.#rule = rule;
		this.#direction = direction;
		this.#namespaced = namespaced;
		this.#path = path;
		this.#report = report;
	}

	run(): void {
		this.#icmp('icmp');
		this.#icmp('notICMP');
		this.#versionOf('protocol');
		this.#versionOf('notProtocol');
		this.#nets();
		for (const side of ['source', 'destination'] as const) {
			this.#ports(side);
			this.#services(side);
		}
		this.#http();
		validateAnnotations(this.#rule.metadata?.annotations, [...this.#path, 'metadata', 'annotations'], this.#report);
	}

	#at(steps: readonly PathStep[], found: unknown, allowed: string, hint?: string): void {
		this.#report([...this.#path, ...steps], found, allowed, hint);
	}

	#icmp(field: 'icmp' | 'notICMP'): void {
		const match = this.#rule[field];
		if (match === undefined) return;
		const name = nameOf(this.#rule.protocol);
		if (name !== 'ICMP' && name !== 'ICMPv6') this.#at(['protocol'], this.#rule.protocol, `ICMP or ICMPv6, as ${field} is set`);
		if (match.code !== undefined && match.type === undefined) this.#at([field, 'type'], undefined, 'a type, as code is set');
	}

	#versionOf(field: 'protocol' | 'notProtocol'): void {
		const name = nameOf(this.#rule[field]);
		const needed = name === 'ICMP' ? 4 : name === 'ICMPv6' ? 6 : undefined;
		const { ipVersion } = this.#rule;
		if (needed !== undefined && ipVersion !== undefined && ipVersion !== needed)
			this.#at(['ipVersion'], ipVersion, `${needed} or nothing, as ${field} is ${name}`);
	}

	#nets(): void {
		let family: Family | undefined = this.#rule.ipVersion;
		let because = family === undefined ? '' : `as ipVersion is ${family}`;
		for (const side of ['source', 'destination'] as const)
			for (const field of ['nets', 'notNets'] as const)
				for (const [index, net] of (this.#rule[side]?.[field] ?? []).entries()) {
					const prefix = parseCidr(net) as Cidr;
					if (field === 'notNets' && prefix.endsWith('/0'))
						this.#at([side, field, index], net, 'a network that leaves some addresses to match');
					if (family === undefined) {
						family = cidrFamily(prefix);
						because = `as ${net} in this rule is`;
					} else if (cidrFamily(prefix) !== family) this.#at([side, field, index], net, `an IPv${family} network, ${because}`);
				}
	}

	#ports(side: 'source' | 'destination'): void {
		const protocol = parsed(this.#rule.protocol);
		for (const field of ['ports', 'notPorts'] as const)
			for (const [index, value] of (this.#rule[side]?.[field] ?? []).entries()) {
				if (protocol !== undefined && !protocolHasPorts(protocol))
					this.#at([side, field, index], value, `no ports, as protocol is ${protocol}`);
				else if (protocol === undefined && 'min' in (parsePort(value) ?? {}))
					this.#at(['protocol'], this.#rule.protocol, `TCP, UDP or SCTP, as ${side}.${field} holds the number ${value}`);
			}
	}

	#services(side: 'source' | 'destination'): void {
		const entity = this.#rule[side];
		if (entity?.services === undefined) return;
		const { services } = entity;
		const right = this.#direction === 'ingress' ? 'source' : 'destination';
		if (side !== right) this.#at([side, 'services'], services, `no services here: ${this.#direction} rules match services in ${right}`);
		if (filled(services.name) === undefined) this.#at([side, 'services', 'name'], services.name, 'the name of a service');
		if (!this.#namespaced && filled(services.namespace) === undefined)
			this.#at([side, 'services', 'namespace'], services.namespace, 'the namespace of the service, as this policy has none');
		for (const field of ['selector', 'notSelector', 'namespaceSelector', 'serviceAccounts', 'nets', 'notNets'] as const)
			if (isSet(entity[field])) this.#at([side, field], entity[field], 'nothing, as services is set');
		if (side === 'destination')
			for (const field of ['ports', 'notPorts'] as const)
				if (isSet(entity[field])) this.#at([side, field], entity[field], "nothing, as services is set: a service's own ports are matched");
	}

	#http(): void {
		const { http, action } = this.#rule;
		if (http === undefined) return;
		if (this.#direction !== 'ingress') this.#at(['http'], http, 'nothing: HTTP is matched in ingress rules only');
		if (action !== 'Allow') this.#at(['action'], action, 'Allow, as http is set');
		const protocol = parsed(this.#rule.protocol);
		if (protocol !== undefined && protocolName(protocol) !== 'TCP') this.#at(['protocol'], protocol, 'TCP or nothing, as http is set');
		for (const [index, path] of (http.paths ?? []).entries())
			if ((path.exact === undefined) === (path.prefix === undefined)) this.#at(['http', 'paths', index], path, 'one of exact and prefix');
	}
}

function nameOf(protocol: string | number | undefined): string | undefined {
	const known = parsed(protocol);
	return known === undefined ? undefined : protocolName(known);
}

function parsed(protocol: string | number | undefined): Protocol | undefined {
	return protocol === undefined ? undefined : parseProtocol(protocol);
}

function filled(value: string | undefined): string | undefined {
	return value === '' ? undefined : value;
}

function isSet(value: unknown): boolean {
	return value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0);
}
