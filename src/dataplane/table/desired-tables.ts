import { type Cidr, cidrFamily, FAMILIES } from '#net';
import type { EndpointId, EndpointPolicy, PolicyDelta, PoolSets } from '#policy';
import { arpTable, fixedChains, fixedSets, LAYOUT_COMMENT, natChain } from '../render/base.ts';
import { arpMembers, endpointMembers, endpointProblem, listsOf } from '../render/endpoint.ts';
import { widestNets } from '../render/match.ts';
import { masqueradeSet, NAT_CHAIN, poolsSet, WORKLOAD_ADDRESSES } from '../render/names.ts';
import type { RenderOptions } from '../render/options.ts';
import { DesiredTable } from './desired-table.ts';
import { PolicyChains } from './policy-chains.ts';

/** An endpoint whose policy is in the table. */
interface Installed {
	readonly endpoint: EndpointPolicy;
	readonly members: readonly (readonly [string, string])[];
	readonly arpMembers: readonly string[];
}

/** The tables as desired state wants them, kept current by deltas with work in proportion to what each changes. */
export class DesiredTables {
	readonly inet: DesiredTable;
	readonly arp: DesiredTable;
	readonly #options: RenderOptions;
	readonly #policyChains: PolicyChains;
	readonly #endpoints = new Map<EndpointId, EndpointPolicy>();
	/** Endpoints that claim an interface; the first by ID has it. */
	readonly #claims = new Map<string, Set<EndpointId>>();
	readonly #installed = new Map<string, Installed>();

	constructor(options: RenderOptions) {
		this.#options = options;
		this.inet = new DesiredTable({ family: 'inet', name: options.tableName }, LAYOUT_COMMENT);
		this.arp = new DesiredTable({ family: 'arp', name: options.tableName }, LAYOUT_COMMENT);
		for (const shape of fixedSets()) this.inet.createSet(shape, new Set());
		for (const chain of fixedChains(options)) this.inet.putChain(chain);
		const { sets, chains } = arpTable();
		for (const shape of sets) this.arp.createSet(shape, new Set());
		for (const chain of chains) this.arp.putChain(chain);
		this.#policyChains = new PolicyChains(this.inet, options);
	}

	get models(): readonly [DesiredTable, DesiredTable] {
		return [this.inet, this.arp];
	}

	get endpoints(): ReadonlyMap<EndpointId, EndpointPolicy> {
		return this.#endpoints;
	}

	/** The endpoints whose policy is in the tables; no two have one interface. */
	get installed(): readonly EndpointPolicy[] {
		return [...this.#installed.values()].map(({ endpoint }) => endpoint);
	}

	/** Why an endpoint of desired state has no policy in the table; undefined if it has, or is not known at all. */
	problem(id: EndpointId): string | undefined {
		const endpoint = this.#endpoints.get(id);
		if (endpoint === undefined) return undefined;
		const problem = endpointProblem(endpoint, this.#options);
		if (problem !== undefined) return problem;
		const holder = this.#installed.get(endpoint.interfaceName)?.endpoint.id;
		return holder === id ? undefined : `interface ${endpoint.interfaceName} belongs to endpoint ${holder}`;
	}

	/** Takes a delta over. What it changes is in {@link DesiredTable.takeChange} of the two tables. */
	apply(delta: PolicyDelta): void {
		for (const [id, change] of delta.ipSets) this.#policyChains.updateIpSet(id, change);
		for (const [id, policy] of delta.policies) this.#policyChains.updatePolicy(id, policy);
		const interfaces = new Set<string>();
		for (const [id, endpoint] of delta.endpoints) this.#claim(id, endpoint ?? undefined, interfaces);
		for (const name of interfaces) this.#install(name);
		if (delta.pools !== undefined) this.#updatePools(delta.pools);
		this.#policyChains.settle();
	}

	#claim(id: EndpointId, endpoint: EndpointPolicy | undefined, interfaces: Set<string>): void {
		const before = this.#endpoints.get(id);
		if (before !== undefined) {
			interfaces.add(before.interfaceName);
			const claims = this.#claims.get(before.interfaceName);
			claims?.delete(id);
			if (claims?.size === 0) this.#claims.delete(before.interfaceName);
		}
		if (endpoint === undefined) {
			this.#endpoints.delete(id);
			return;
		}
		this.#endpoints.set(id, endpoint);
		interfaces.add(endpoint.interfaceName);
		if (endpointProblem(endpoint, this.#options) !== undefined) return;
		const claims = this.#claims.get(endpoint.interfaceName);
		if (claims === undefined) this.#claims.set(endpoint.interfaceName, new Set([id]));
		else claims.add(id);
	}

	/** Puts the endpoint that has an interface into the table, in place of what was there for the interface. */
	#install(interfaceName: string): void {
		const before = this.#installed.get(interfaceName);
		const holder = [...(this.#claims.get(interfaceName) ?? [])].sort()[0];
		const endpoint = holder === undefined ? undefined : this.#endpoints.get(holder);
		if (before?.endpoint === endpoint) return;
		const now = endpoint === undefined ? undefined : { endpoint, members: endpointMembers(endpoint), arpMembers: arpMembers(endpoint) };
		if (now !== undefined) this.#retainLists(now.endpoint);
		if (before !== undefined) this.#releaseLists(before.endpoint, now?.endpoint);
		this.#exchange(before, now);
		if (now === undefined) this.#installed.delete(interfaceName);
		else this.#installed.set(interfaceName, now);
	}

	#exchange(before: Installed | undefined, now: Installed | undefined): void {
		const kept = new Set(now?.members.map((pair) => pair.join('\n')));
		for (const [set, member] of before?.members ?? []) if (!kept.has(`${set}\n${member}`)) this.inet.deleteMember(set, member);
		for (const [set, member] of now?.members ?? []) this.inet.addMember(set, member);
		for (const member of before?.arpMembers ?? [])
			if (now?.arpMembers.includes(member) !== true) this.arp.deleteMember(WORKLOAD_ADDRESSES, member);
		for (const member of now?.arpMembers ?? []) this.arp.addMember(WORKLOAD_ADDRESSES, member);
	}

	#retainLists(endpoint: EndpointPolicy): void {
		for (const { list, ...position } of listsOf(endpoint)) this.#policyChains.retainList(position, list, root(endpoint));
	}

	#releaseLists(before: EndpointPolicy, now: EndpointPolicy | undefined): void {
		const kept = new Set(now === undefined ? [] : listsOf(now).map(({ name }) => name));
		for (const { name } of listsOf(before)) if (!kept.has(name)) this.#policyChains.releaseList(name, root(before));
	}

	#updatePools({ all, masquerade }: PoolSets): void {
		for (const family of FAMILIES) {
			this.#replaceMembers(poolsSet(family), netsOf(all, family));
			this.#replaceMembers(masqueradeSet(family), netsOf(masquerade, family));
		}
		const families = FAMILIES.filter((family) => netsOf(masquerade, family).length > 0);
		if (families.length > 0) this.inet.putChain(natChain(families));
		else if (this.inet.chains.has(NAT_CHAIN)) this.inet.deleteChain(NAT_CHAIN);
	}

	#replaceMembers(set: string, members: readonly string[]): void {
		const wanted = new Set(members);
		for (const member of this.inet.sets.get(set)?.members ?? []) if (!wanted.has(member)) this.inet.deleteMember(set, member);
		for (const member of wanted) this.inet.addMember(set, member);
	}
}

function netsOf(nets: readonly Cidr[], family: 4 | 6): Cidr[] {
	return widestNets(nets.filter((net) => cidrFamily(net) === family));
}

/** The referrer of an endpoint's lists; a space is in no chain's name. */
function root({ interfaceName }: EndpointPolicy): string {
	return `interface ${interfaceName}`;
}
