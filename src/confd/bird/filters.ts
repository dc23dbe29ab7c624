import { createHash } from 'node:crypto';
import type { FilterMatch, FilterRule, FilterSet, RouteFilter, RouteSource } from '#bgp';
import { type Cidr, cidrFamily, type Family } from '#net';

/** Protocols that hold routes of our own, by what they hold; the family is appended to the name. */
export const STATIC_PROTOCOL = { block: 'blocks', service: 'services', reachable: 'reachable' } as const;

/**
 * The filters of one configuration file. A filter is named by its content, so that equal filters are written once, and
 * a name changes exactly when its meaning does: BIRD runs the routes of a channel again only if its filter changed.
 */
export class BirdFilters {
	readonly #definitions = new Map<string, string>();

	/** The name of the filter for one family; `before` are statements that run ahead of its rules. */
	name(filter: RouteFilter, family: Family, before: readonly string[] = []): string {
		const statements = [...before, ...filter.rules.flatMap((rule) => renderRule(rule, family)), `${filter.otherwise};`];
		const body = statements.map((statement) => `\t${statement}\n`).join('');
		const name = `filter${family}_${createHash('sha256').update(body).digest('hex').slice(0, 12)}`;
		this.#definitions.set(name, `filter ${name} {\n${body}}\n`);
		return name;
	}

	/** All definitions, in the order in which they were first used. */
	text(): string {
		return [...this.#definitions.values()].join('\n');
	}
}

/** The statement for a rule; nothing if the rule cannot match a route of the family or would do nothing. */
function renderRule(rule: FilterRule, family: Family): string[] {
	const conditions = renderMatch(rule.match, family);
	if (conditions === undefined) return [];
	const actions = [...renderSet(rule.set), ...(rule.action === undefined ? [] : [`${rule.action};`])];
	if (actions.length === 0) return [];
	if (conditions.length === 0) return actions;
	return [`if ${conditions.join(' && ')} then { ${actions.join(' ')} }`];
}

/** The conditions that must all hold; undefined if they never do in this family. */
function renderMatch(match: FilterMatch, family: Family): string[] | undefined {
	const conditions: string[] = [];
	if (match.family !== undefined && match.family !== family) return undefined;
	if (match.within !== undefined) {
		if (cidrFamily(match.within) !== family) return undefined;
		conditions.push(`net ~ ${match.within}`);
	}
	if (match.equals !== undefined) {
		if (cidrFamily(match.equals) !== family) return undefined;
		conditions.push(`net = ${match.equals}`);
	}
	if (match.notWithin !== undefined && ofFamily(match.notWithin, family)) conditions.push(`!(net ~ ${match.notWithin})`);
	if (match.minLength !== undefined) conditions.push(`net.len >= ${match.minLength}`);
	if (match.maxLength !== undefined) conditions.push(`net.len <= ${match.maxLength}`);
	if (match.source !== undefined) conditions.push(renderSource(match.source, family));
	if (match.interface !== undefined) conditions.push('source = RTS_INHERIT', `ifname ~ ${quote(match.interface)}`);
	return conditions;
}

function ofFamily(prefix: Cidr, family: Family): boolean {
	return cidrFamily(prefix) === family;
}

function renderSource(source: RouteSource, family: Family): string {
	switch (source) {
		case 'bgp':
			return 'source = RTS_BGP';
		case 'kernel':
			return 'source = RTS_INHERIT';
		case 'direct':
			return 'source = RTS_DEVICE';
		case 'static':
			return `proto = "${STATIC_PROTOCOL.reachable}${family}"`;
		case 'originated':
			return `(proto = "${STATIC_PROTOCOL.block}${family}" || proto = "${STATIC_PROTOCOL.service}${family}")`;
	}
	return source satisfies never;
}

function renderSet(set: FilterSet | undefined): string[] {
	const statements: string[] = [];
	if (set?.localPreference !== undefined) statements.push(`bgp_local_pref = ${set.localPreference};`);
	for (const community of set?.addCommunities ?? []) {
		const parts = community.split(':');
		statements.push(`${parts.length === 3 ? 'bgp_large_community' : 'bgp_community'}.add((${parts.join(',')}));`);
	}
	// Each prepend goes in front of those before it, so the leftmost number comes last.
	for (const asNumber of (set?.prependAsPath ?? []).toReversed()) statements.push(`bgp_path.prepend(${asNumber});`);
	return statements;
}

/** A BIRD string; its grammar has no escapes, so what cannot occur in a name or pattern is dropped to a wildcard. */
export function quote(text: string): string {
	return `"${text.replaceAll(/["\n]/g, '?')}"`;
}
