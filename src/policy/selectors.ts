/** Which endpoints a policy is for, and what the selectors of a rule come to: Calico's combinations, in its order. */
import type { EntityRule, GlobalNetworkPolicy, NetworkPolicy } from '#resources';
import { allOf, parseSelector, prefixLabels, replaceCalls, type Selector, type SelectorNode, selectorOf } from '#selector';

export const NAMESPACE_LABEL = 'projectcalico.org/namespace';
export const ORCHESTRATOR_LABEL = 'projectcalico.org/orchestrator';
export const SERVICE_ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';

/** Before the labels that namespaces hand down. */
export const NAMESPACE_PREFIX = 'pcns.';
/** Before the labels that service accounts hand down. */
export const SERVICE_ACCOUNT_PREFIX = 'pcsa.';

export const ALL: Selector = parseSelector('');

const HAS_NAMESPACE: SelectorNode = { type: 'has', label: NAMESPACE_LABEL };
const HAS_SERVICE_ACCOUNT: SelectorNode = { type: 'has', label: SERVICE_ACCOUNT_LABEL };

/** A selector field that cannot be used. Thrown and caught within the room. */
export class UnreadableSelector extends Error {
	readonly field: string;
	readonly found: string;
	readonly allowed: string;

	constructor(field: string, found: string, allowed: string, cause?: unknown) {
		super(`${field} cannot be read`, { cause });
		this.field = field;
		this.found = found;
		this.allowed = allowed;
	}
}

/** The endpoints that a policy applies to, with the fields that had to be left out because they cannot be read. */
export interface PolicySelection {
	readonly selector: Selector;
	readonly unreadable: readonly UnreadableSelector[];
}

/** The selection of a policy: its own selector, its namespace or namespaces, its service accounts. */
export function policySelection(policy: NetworkPolicy | GlobalNetworkPolicy): PolicySelection {
	const parts: Selector[] = [];
	const unreadable: UnreadableSelector[] = [];
	const read = (field: string, text: string | undefined, adapt: (selector: Selector) => Selector): void => {
		try {
			const selector = readSelector(field, text);
			if (selector !== undefined) parts.push(adapt(selector));
		} catch (error) {
			if (!(error instanceof UnreadableSelector)) throw error;
			unreadable.push(error);
		}
	};
	const { spec, metadata } = policy;
	read('selector', spec.selector, (selector) => selector);
	if (policy.kind === 'NetworkPolicy') {
		parts.push(inNamespace(metadata.namespace ?? ''));
		read('serviceAccountSelector', spec.serviceAccountSelector, (selector) => prefixLabels(selector, SERVICE_ACCOUNT_PREFIX));
	} else {
		read('namespaceSelector', policy.spec.namespaceSelector, (selector) =>
			replaceCalls(prefixLabels(selector, NAMESPACE_PREFIX), { all: HAS_NAMESPACE }),
		);
		read('serviceAccountSelector', spec.serviceAccountSelector, (selector) =>
			replaceCalls(prefixLabels(selector, SERVICE_ACCOUNT_PREFIX), { all: HAS_SERVICE_ACCOUNT }),
		);
	}
	return { selector: allOf(...parts), unreadable };
}

/**
 * What one side of a rule selects. In a namespaced policy every use of selectors or service accounts means the policy's
 * own namespace, unless a namespace selector says otherwise. A negative selector beside a positive one narrows it;
 * alone it stays negative, and is not confined to a namespace.
 *
 * @param namespace of the policy; undefined for global policies and profiles
 * @throws UnreadableSelector
 */
export function entitySelectors(
	entity: EntityRule,
	namespace: string | undefined,
): { readonly positive: Selector | undefined; readonly negative: Selector | undefined } {
	const namespaces = readSelector('namespaceSelector', entity.namespaceSelector, true);
	const accounts = serviceAccounts(entity);
	const own = readSelector('selector', entity.selector);
	const negative = readSelector('notSelector', entity.notSelector);

	const chosen = [accounts, own].filter((part) => part !== undefined);
	const inner = chosen.length === 0 ? undefined : allOf(...chosen);
	const outer =
		namespaces !== undefined
			? replaceCalls(prefixLabels(namespaces, NAMESPACE_PREFIX), { all: HAS_NAMESPACE, global: { type: 'not', operand: HAS_NAMESPACE } })
			: namespace !== undefined && (inner !== undefined || negative !== undefined)
				? inNamespace(namespace)
				: undefined;
	const parts = [outer, inner].filter((part) => part !== undefined);
	if (parts.length === 0) return { positive: undefined, negative };
	const positive = allOf(...parts);
	return { positive: negative === undefined ? positive : allOf(positive, negation(negative)), negative: undefined };
}

function serviceAccounts({ serviceAccounts: accounts }: EntityRule): Selector | undefined {
	const selector = readSelector('serviceAccounts.selector', accounts?.selector);
	const parts = selector === undefined ? [] : [prefixLabels(selector, SERVICE_ACCOUNT_PREFIX)];
	const names = accounts?.names ?? [];
	if (names.length > 0) parts.push(selectorOf({ type: 'in', label: SERVICE_ACCOUNT_LABEL, values: [...new Set(names)].sort() }));
	return parts.length === 0 ? undefined : allOf(...parts);
}

function readSelector(field: string, text: string | undefined, mayBeGlobal = false): Selector | undefined {
	if (text === undefined || text === '') return undefined;
	let selector: Selector;
	try {
		selector = parseSelector(text);
	} catch (error) {
		throw new UnreadableSelector(field, text, 'a selector', error);
	}
	if (!mayBeGlobal && mentionsGlobal(selector.root))
		throw new UnreadableSelector(field, text, "a selector without global(), which only a rule's namespaceSelector may have");
	return selector;
}

function mentionsGlobal(node: SelectorNode): boolean {
	if (node.type === 'not') return mentionsGlobal(node.operand);
	return node.type === 'and' || node.type === 'or' ? node.operands.some(mentionsGlobal) : node.type === 'global';
}

function inNamespace(namespace: string): Selector {
	return selectorOf({ type: '==', label: NAMESPACE_LABEL, value: namespace });
}

function negation({ root }: Selector): Selector {
	return selectorOf(root.type === 'not' ? root.operand : { type: 'not', operand: root });
}
