import type { Family } from '#net';
import type { AttributeSet } from '../attributes/attribute-set.ts';
import type { AttributeChange, AttributeRewriter } from '../attributes/rewrite.ts';
import { type CompiledFilter, REJECTED } from '../policy/filter.ts';
import type { PrefixIndex } from '../rib/prefix-index.ts';
import type { Source } from '../rib/source.ts';
import { MAX_ATTRIBUTES_LENGTH } from './update-batch.ts';

/** Everything about a peer that decides which bytes it is sent. Peers that agree in all of it share an update group. */
export interface ExportSettings {
	readonly family: Family;
	/** True for eBGP. */
	readonly external: boolean;
	/** The AS this session speaks for. */
	readonly localAs: number;
	readonly nextHop: 'auto' | 'self' | 'keep';
	/** Our own address on the session, as an attribute set's next hop key. */
	readonly selfKey: string;
	/** Our cluster, when the receivers are route reflector clients. */
	readonly clusterId: number | undefined;
	readonly as4: boolean;
	readonly filter: CompiledFilter;
}

/** Decides whether and how a route is announced to peers of one kind. */
export class ExportPolicy {
	readonly #settings: ExportSettings;
	readonly #index: PrefixIndex;
	readonly #rewriter: AttributeRewriter;
	/** Routes come in runs with equal attributes, so the last answer is kept. */
	#lastSet: AttributeSet | undefined;
	#lastSource: Source | undefined;
	#lastOutcome = -1;
	#lastResult: AttributeSet | undefined;

	constructor(settings: ExportSettings, index: PrefixIndex, rewriter: AttributeRewriter) {
		this.#settings = settings;
		this.#index = index;
		this.#rewriter = rewriter;
	}

	/** The attributes to announce the prefix with; undefined if it is not announced. */
	decide(prefix: number, attributes: AttributeSet, source: Source): AttributeSet | undefined {
		const { filter } = this.#settings;
		const outcome = filter.constant ?? filter.evaluate(this.#index, prefix, source);
		if (outcome === REJECTED) return undefined;
		if (attributes === this.#lastSet && source === this.#lastSource && outcome === this.#lastOutcome && this.#lastResult?.id !== 0)
			return this.#lastResult;
		this.#lastSet = attributes;
		this.#lastSource = source;
		this.#lastOutcome = outcome;
		this.#lastResult = this.#export(attributes, source, outcome);
		return this.#lastResult;
	}

	#export(attributes: AttributeSet, source: Source, outcome: number): AttributeSet | undefined {
		const { external, localAs, filter } = this.#settings;
		if (attributes.noAdvertise || (external && attributes.noExport)) return undefined;
		const reflection = this.#reflection(source);
		if (reflection === 'forbidden') return undefined;
		const nextHop = this.#nextHop(attributes);
		if (nextHop === undefined) return undefined;
		const change = filter.change(outcome);
		const prepend = external ? [localAs, ...change.prepend] : change.prepend;
		const changes: AttributeChange = {
			nextHop,
			localPreference: external ? 'remove' : (change.localPreference ?? attributes.localPreference),
			removeMed: external,
			external,
			...(prepend.length > 0 ? { prepend } : {}),
			...(change.communities === undefined ? {} : { addCommunities: change.communities }),
			...(external ? { reflection: 'remove' as const } : reflection === undefined ? {} : { reflection }),
		};
		return this.#rewriter.rewrite(attributes, changes, MAX_ATTRIBUTES_LENGTH);
	}

	/** RFC 4456 §6: between internal peers routes pass only from and to clients, marked with their origin and our cluster. */
	#reflection(source: Source): { originatorId: number; clusterId: number } | undefined | 'forbidden' {
		const { peer } = source;
		if (this.#settings.external || peer === undefined || peer.external) return undefined;
		const clusterId = this.#settings.clusterId ?? peer.clusterId;
		return clusterId === undefined ? 'forbidden' : { originatorId: peer.routerId, clusterId };
	}

	/** Key of the next hop to announce (RFC 4271 §5.1.3); undefined if the family has none that fits. */
	#nextHop(attributes: AttributeSet): string | undefined {
		const { external, nextHop: mode, selfKey, family } = this.#settings;
		const own = attributes.nextHop;
		const self = own === undefined || mode === 'self' || (mode === 'auto' && external);
		if (!self) return own.family === family ? own.key.slice(0, 16) : undefined;
		return selfKey.length === (family === 4 ? 4 : 16) ? selfKey : undefined;
	}
}
