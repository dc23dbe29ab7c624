import type { TortieError } from '#errors';
import type { Rule } from '#resources';
import { describePolicy } from './ids.ts';
import type { IpSets } from './ip-sets.ts';
import { samePlainData } from './plain-data.ts';
import { compileRules, type IpSetDefinition, unconditionalRule } from './rule-compiler.ts';
import type { CompiledPolicy, CompiledRule, IpSetId, PolicyId } from './types.ts';

/** The rules of a policy or profile, as far as they are needed to compile it. */
export interface RuleSource {
	/** Empty for a profile. */
	readonly tier: string;
	readonly namespace: string | undefined;
	readonly ingress: readonly Rule[] | undefined;
	readonly egress: readonly Rule[] | undefined;
	/** Both directions deny everything, whatever the rules are. */
	readonly deniesAll: boolean;
}

interface ActivePolicy {
	readonly source: RuleSource;
	readonly compiled: CompiledPolicy;
	readonly sets: readonly IpSetId[];
	readonly problems: readonly TortieError[];
}

/** The policies and profiles that local endpoints need, compiled, with the IP sets that they hold on to. */
export class ActivePolicies {
	readonly #ipSets: IpSets;
	readonly #active = new Map<PolicyId, ActivePolicy>();
	#changes = new Map<PolicyId, CompiledPolicy | null>();

	constructor(modules: { readonly ipSets: IpSets }) {
		this.#ipSets = modules.ipSets;
	}

	get(id: PolicyId): CompiledPolicy | undefined {
		return this.#active.get(id)?.compiled;
	}

	*problems(): Generator<TortieError> {
		for (const { problems } of this.#active.values()) yield* problems;
	}

	/** Brings one policy up to date; undefined when no endpoint needs it. Costs nothing while the source is the same object. */
	set(id: PolicyId, source: RuleSource | undefined): void {
		const before = this.#active.get(id);
		if (before?.source === source) return;
		if (source === undefined) {
			this.#active.delete(id);
			this.#changes.set(id, null);
		} else {
			const next = this.#compile(id, source);
			const isSame = before !== undefined && samePlainData(before.compiled, next.compiled);
			this.#active.set(id, isSame ? { ...next, compiled: before.compiled } : next);
			if (!isSame) this.#changes.set(id, next.compiled);
		}
		// After the new sets were acquired, so that one in both is kept as it is.
		for (const set of before?.sets ?? []) this.#ipSets.release(set);
	}

	/** What changed since the last call. */
	takeChanges(): Map<PolicyId, CompiledPolicy | null> {
		const changes = this.#changes;
		this.#changes = new Map();
		return changes;
	}

	#compile(id: PolicyId, source: RuleSource): ActivePolicy {
		const sets = new Map<IpSetId, IpSetDefinition>();
		const problems: TortieError[] = [];
		const compile = (direction: 'ingress' | 'egress'): CompiledRule[] => {
			const rules = source[direction];
			if (rules === undefined) return [];
			if (source.deniesAll) return [unconditionalRule('Deny', 0)];
			return compileRules(rules, {
				subject: describePolicy(id),
				path: `spec.${direction}`,
				namespace: source.namespace,
				useSet: (definition) => sets.set(definition.id, definition),
				report: (problem) => problems.push(problem),
			});
		};
		const compiled = { id, tier: source.tier, ingress: compile('ingress'), egress: compile('egress') };
		for (const definition of sets.values()) this.#ipSets.acquire(definition);
		return { source, compiled, sets: [...sets.keys()], problems };
	}
}
