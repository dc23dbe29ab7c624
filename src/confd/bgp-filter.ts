import type { FilterMatch, FilterRule, FilterSet } from '#bgp';
import { addressBits, cidrParts, type Family, parseCidr } from '#net';
import type { BGPFilter } from '#resources';
import { localPreferenceOf } from './route-policy.ts';

type FilterSpec = BGPFilter['spec'];
type SourceRule = NonNullable<FilterSpec['exportV4']>[number];

/**
 * The rules of one BGPFilter for one direction, family and type of peer, in their order.
 *
 * @returns the rules; or, where a rule has a criterion that the router model cannot express, its field's name
 */
export function filterRules(
	spec: FilterSpec,
	direction: 'import' | 'export',
	family: Family,
	peer: 'ibgp' | 'ebgp',
): readonly FilterRule[] | { readonly unsupported: string } {
	const rules: FilterRule[] = [];
	for (const rule of spec[`${direction}V${family}`] ?? []) {
		const unsupported = (['communities', 'asPathPrefix', 'priority'] as const).find((field) => rule[field] !== undefined);
		if (unsupported !== undefined) return { unsupported };
		if (rule.peerType !== undefined && rule.peerType.toLowerCase() !== peer) continue;
		const set = filterSet(rule);
		const action = rule.action === 'Accept' ? 'accept' : 'reject';
		for (const match of matches(rule, family)) rules.push({ match, action, ...(set === undefined ? {} : { set }) });
	}
	return rules;
}

/** The rule's criteria as one match, or as several of which any may hold. */
function matches(rule: SourceRule, family: Family): FilterMatch[] {
	const common: FilterMatch = {
		...(rule.source === undefined ? {} : { source: 'bgp' }),
		...(rule.interface ? { interface: rule.interface } : {}),
	};
	return prefixMatches(rule, family).map((match) => ({ ...common, ...match }));
}

function prefixMatches(rule: SourceRule, family: Family): FilterMatch[] {
	const within = parseCidr(rule.cidr ?? '');
	if (within === undefined) return [{}];
	const { length } = cidrParts(within);
	const minLength = Math.max(length, rule.prefixLength?.min ?? length);
	const maxLength = Math.max(length, rule.prefixLength?.max ?? addressBits(family));
	switch (rule.matchOperator) {
		case 'Equal':
			return [{ equals: within }];
		case 'NotEqual':
			return [{ notWithin: within }, { within, minLength: length + 1 }];
		case 'In':
			return [{ within, minLength, maxLength }];
		case 'NotIn':
			return [
				{ notWithin: within },
				...(minLength > length ? [{ within, maxLength: minLength - 1 }] : []),
				...(maxLength < addressBits(family) ? [{ within, minLength: maxLength + 1 }] : []),
			];
		case undefined:
			return [{}];
	}
	return rule.matchOperator satisfies never;
}

/** What an accepting rule does to the route; each further prepend ends up left of the one before. */
function filterSet(rule: SourceRule): FilterSet | undefined {
	const addCommunities: string[] = [];
	let prependAsPath: number[] = [];
	let localPreference: number | undefined;
	for (const operation of rule.operations ?? []) {
		if (operation.addCommunity !== undefined) addCommunities.push(operation.addCommunity.value);
		if (operation.prependASPath !== undefined) prependAsPath = [...operation.prependASPath.prefix, ...prependAsPath];
		if (operation.setPriority !== undefined) localPreference = localPreferenceOf(operation.setPriority.value);
	}
	if (rule.operations === undefined || rule.action !== 'Accept') return undefined;
	return {
		...(localPreference === undefined ? {} : { localPreference }),
		...(addCommunities.length === 0 ? {} : { addCommunities }),
		...(prependAsPath.length === 0 ? {} : { prependAsPath }),
	};
}
