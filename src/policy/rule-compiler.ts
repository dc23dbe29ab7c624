import type { TortieError } from '#errors';
import { type Cidr, parseCidr } from '#net';
import { type EntityRule, parsePort, parseProtocol, protocolNumber, type Rule } from '#resources';
import type { Selector } from '#selector';
import { policyError } from './errors.ts';
import { type NamedPortProtocol, namedPortSetId, portProtocol, selectorSetId } from './ids.ts';
import { ALL, entitySelectors, UnreadableSelector } from './selectors.ts';
import type { CompiledRule, EntityMatch, IcmpMatch, IpSetId, PortRange } from './types.ts';

/** An IP set that a rule refers to, and what its members are. */
export interface IpSetDefinition {
	readonly id: IpSetId;
	readonly selector: Selector;
	/** Makes it an `ip-port` set: the ports of this name and protocol. */
	readonly namedPort: { readonly name: string; readonly protocol: NamedPortProtocol } | undefined;
}

/** Where the rules stand. */
export interface RuleContext {
	/** Kind and name for messages: `NetworkPolicy shop/allow-web`. */
	readonly subject: string;
	/** The path of the list, such as `spec.ingress`. */
	readonly path: string;
	/** The namespace of the policy; undefined for global policies and profiles. */
	readonly namespace: string | undefined;
	/** Receives every set that the compiled rules refer to. */
	readonly useSet: (definition: IpSetDefinition) => void;
	readonly report: (problem: TortieError) => void;
}

const NO_CRITERION: EntityMatch = {
	nets: [],
	notNets: [],
	sets: [],
	notSets: [],
	ports: [],
	notPorts: [],
	namedPorts: [],
	notNamedPorts: [],
};

/** The rule that matches everything. */
export function unconditionalRule(action: CompiledRule['action'], index: number): CompiledRule {
	return {
		action,
		ipVersion: undefined,
		protocol: undefined,
		notProtocol: undefined,
		icmp: undefined,
		notIcmp: undefined,
		source: NO_CRITERION,
		destination: NO_CRITERION,
		index,
	};
}

/**
 * Compiles the rules of one direction. A rule of which a part cannot be read fails closed and is reported: Allow and Log
 * are left out, Deny and Pass become a Deny of everything (a Pass left out could let a later rule of its tier allow).
 */
export function compileRules(rules: readonly Rule[], context: RuleContext): CompiledRule[] {
	const compiled: CompiledRule[] = [];
	for (const [index, rule] of rules.entries()) {
		const { sets, result, failure } = compileRule(rule, index, context.namespace);
		if (result !== undefined) {
			for (const definition of sets) context.useSet(definition);
			compiled.push(result);
			continue;
		}
		const denies = rule.action === 'Deny' || rule.action === 'Pass';
		if (denies) compiled.push(unconditionalRule('Deny', index));
		context.report(
			policyError('POLICY_BAD_RULE', {
				message: `${failure.message}; the ${rule.action} rule ${denies ? 'denies everything' : 'is left out'} until then`,
				path: `${context.subject}: ${context.path}[${index}].${failure.path}`,
				found: failure.found,
				allowed: failure.allowed,
				hint: 'correct the rule',
				cause: failure.cause,
			}),
		);
	}
	return compiled;
}

interface Failure {
	readonly path: string;
	readonly message: string;
	readonly found: unknown;
	readonly allowed: string;
	readonly cause?: unknown;
}

type Outcome =
	| { readonly result: CompiledRule; readonly sets: readonly IpSetDefinition[]; readonly failure?: undefined }
	| { readonly result?: undefined; readonly sets?: undefined; readonly failure: Failure };

function compileRule(rule: Rule, index: number, namespace: string | undefined): Outcome {
	const compiler = new RuleCompiler(rule, namespace);
	const result = compiler.compile(index);
	const [failure] = compiler.failures;
	return failure === undefined ? { result, sets: compiler.sets } : { failure };
}

class RuleCompiler {
	readonly sets: IpSetDefinition[] = [];
	readonly failures: Failure[] = [];
	readonly #rule: Rule;
	readonly #namespace: string | undefined;

	constructor(rule: Rule, namespace: string | undefined) {
		this.#rule = rule;
		this.#namespace = namespace;
	}

	/** The compiled rule, to be used only if there are no {@link failures}. */
	compile(index: number): CompiledRule {
		const { action, ipVersion, icmp, notICMP, http } = this.#rule;
		if (!['Allow', 'Deny', 'Pass', 'Log'].includes(action)) this.#fail('action', action, 'Allow, Deny, Pass or Log');
		if (http !== undefined) this.#fail('http', http, 'no HTTP criteria: they are not matched by this version');
		const protocol = this.#protocol('protocol');
		return {
			action,
			ipVersion: ipVersion ?? (protocol === 1 ? 4 : protocol === 58 ? 6 : undefined),
			protocol,
			notProtocol: this.#protocol('notProtocol'),
			icmp: this.#icmp('icmp', icmp, protocol),
			notIcmp: this.#icmp('notICMP', notICMP, protocol),
			source: this.#entity('source', this.#rule.source, protocol),
			destination: this.#entity('destination', this.#rule.destination, protocol),
			index,
		};
	}

	#fail(path: string, found: unknown, allowed: string, cause?: unknown): void {
		this.failures.push({
			path,
			message: found === undefined ? 'is missing' : `found ${JSON.stringify(found)}, which cannot be enforced`,
			found,
			allowed,
			cause,
		});
	}

	#protocol(field: 'protocol' | 'notProtocol'): number | undefined {
		const value = this.#rule[field];
		if (value === undefined) return undefined;
		const parsed = parseProtocol(value);
		if (parsed === undefined) this.#fail(field, value, 'TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255');
		return parsed === undefined ? undefined : protocolNumber(parsed);
	}

	#icmp(field: 'icmp' | 'notICMP', match: Rule['icmp'], protocol: number | undefined): IcmpMatch | undefined {
		if (match === undefined) return undefined;
		const { type, code } = match;
		if (protocol !== 1 && protocol !== 58) this.#fail('protocol', this.#rule.protocol, `ICMP or ICMPv6, as ${field} is set`);
		if (type === undefined && code !== undefined) this.#fail(`${field}.type`, type, 'a type, as code is set');
		return type === undefined ? undefined : { type, code };
	}

	#entity(side: 'source' | 'destination', entity: EntityRule | undefined, protocol: number | undefined): EntityMatch {
		if (entity === undefined) return NO_CRITERION;
		if (entity.services !== undefined) this.#fail(`${side}.services`, entity.services, 'no services: they are not matched by this version');
		const { positive, negative } = this.#selectors(side, entity);
		const ports = this.#ports(side, 'ports', entity.ports ?? [], positive, protocol);
		const notPorts = this.#ports(side, 'notPorts', entity.notPorts ?? [], positive, protocol);
		// Named-port sets hold only what the positive selector selects, so alone they say it all.
		const needsPositive = ports.named.length === 0 || ports.ranges.length > 0;
		return {
			nets: this.#nets(side, 'nets', entity.nets ?? []),
			notNets: this.#nets(side, 'notNets', entity.notNets ?? []),
			sets: positive !== undefined && needsPositive ? [this.#useSelector(positive)] : [],
			notSets: negative === undefined ? [] : [this.#useSelector(negative)],
			ports: ports.ranges,
			notPorts: notPorts.ranges,
			namedPorts: ports.named,
			notNamedPorts: notPorts.named,
		};
	}

	#selectors(side: string, entity: EntityRule): { readonly positive?: Selector | undefined; readonly negative?: Selector | undefined } {
		try {
			return entitySelectors(entity, this.#namespace);
		} catch (error) {
			if (!(error instanceof UnreadableSelector)) throw error;
			this.#fail(`${side}.${error.field}`, error.found, error.allowed, error.cause);
			return {};
		}
	}

	#nets(side: string, field: string, texts: readonly string[]): readonly Cidr[] {
		const nets: Cidr[] = [];
		for (const [index, text] of texts.entries()) {
			const net = parseCidr(text);
			if (net === undefined) this.#fail(`${side}.${field}[${index}]`, text, 'a network such as 10.0.0.0/8 or 2001:db8::/32');
			else nets.push(net);
		}
		return nets;
	}

	#ports(
		side: string,
		field: string,
		values: readonly (string | number)[],
		positive: Selector | undefined,
		protocol: number | undefined,
	): { readonly ranges: readonly PortRange[]; readonly named: readonly IpSetId[] } {
		const ranges: PortRange[] = [];
		const named: IpSetId[] = [];
		const spelling = protocol === undefined ? undefined : portProtocol(protocol);
		for (const [index, value] of values.entries()) {
			const path = `${side}.${field}[${index}]`;
			const port = parsePort(value);
			if (port === undefined) this.#fail(path, value, 'a port from 1 to 65535, a range such as 8000:8999, or the name of a port');
			else if (protocol !== undefined && spelling === undefined) this.#fail(path, value, 'no ports, as the protocol has none');
			else if ('name' in port) named.push(this.#useNamedPort(positive ?? ALL, spelling ?? 'any', port.name));
			else if (protocol === undefined) this.#fail('protocol', undefined, `TCP, UDP or SCTP, as ${side}.${field} holds a number`);
			else ranges.push(port);
		}
		return { ranges, named };
	}

	#useSelector(selector: Selector): IpSetId {
		const id = selectorSetId(selector.id);
		this.sets.push({ id, selector, namedPort: undefined });
		return id;
	}

	#useNamedPort(selector: Selector, protocol: NamedPortProtocol, name: string): IpSetId {
		const id = namedPortSetId(selector.id, protocol, name);
		this.sets.push({ id, selector, namedPort: { name, protocol } });
		return id;
	}
}
