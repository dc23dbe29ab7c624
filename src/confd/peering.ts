import { FAMILIES, type Family, type Ip, ipFamily } from '#net';
import { type BGPPeer, parsePeerAddress } from '#resources';
import { evaluateSelector, parseSelector } from '#selector';
import type { ConfigProblem } from './problem.ts';
import { BGP_PORT, type ClusterBgp, type Speaker } from './speaker.ts';

export type PeerSpec = BGPPeer['spec'];

/** One session that a node has to hold, before policy and timers are added. */
export interface Peering {
	readonly scope: 'Mesh' | 'Global' | 'Node';
	readonly address: Ip;
	/** Undefined: 179, not written in the peer's name. */
	readonly port: number | undefined;
	readonly asNumber: number;
	/** The remote end, if it is a node of the cluster. */
	readonly node: Speaker | undefined;
	readonly passive: boolean;
	/** The resource behind it; undefined for the mesh. */
	readonly resource: { readonly name: string; readonly spec: PeerSpec } | undefined;
}

/** The nodes and peers of a cluster, from the point of view of one of them. */
export interface PeeringInputs {
	readonly self: Speaker;
	/** Every node, this one included, by name. */
	readonly speakers: ReadonlyMap<string, Speaker>;
	readonly cluster: ClusterBgp;
	readonly peers: ReadonlyMap<string, BGPPeer>;
}

/**
 * Which sessions this node holds. Explicit peers come before the mirror images of others' peers, those before the mesh;
 * the first to name an address and port has it. A node without an address in a family holds no session in it.
 */
export function peeringsOf(inputs: PeeringInputs): { readonly peerings: readonly Peering[]; readonly problems: readonly ConfigProblem[] } {
	const resolver = new PeerResolver(inputs);
	const found = new Map<string, Peering>();
	const add = (peering: Peering): void => {
		const own = inputs.self.address[ipFamily(peering.address)];
		const key = `${peering.address} ${peering.port ?? BGP_PORT}`;
		if (own !== undefined && own !== peering.address && !found.has(key)) found.set(key, peering);
	};
	for (const peering of resolver.global()) add(peering);
	for (const peering of resolver.ofNode()) add(peering);
	for (const peering of resolver.reverse()) add(peering);
	for (const peering of mesh(inputs)) add(peering);
	return { peerings: [...found.values()], problems: resolver.problems };
}

/** Every other node that is no route reflector, unless this node is one or the mesh is off. */
function* mesh({ self, speakers, cluster }: PeeringInputs): Generator<Peering> {
	if (!cluster.meshEnabled || self.clusterId !== undefined) return;
	for (const node of speakers.values()) {
		if (node.name === self.name || node.clusterId !== undefined) continue;
		for (const family of FAMILIES) {
			const address = node.address[family];
			if (address !== undefined)
				yield {
					scope: 'Mesh',
					address,
					port: node.listenPort,
					asNumber: node.asNumber,
					node,
					passive: waitsFor(self, address),
					resource: undefined,
				};
		}
	}
}

/**
 * Whether this node leaves it to the other one to connect: of two nodes, the one whose address is greater as text does.
 * Text order, not numeric order, since both ends must agree and Calico's nodes decide so. One direction only, since a connection
 * from the side that did not restart would end the graceful restart of the side that did.
 */
function waitsFor(self: Speaker, address: Ip): boolean {
	const own = self.address[ipFamily(address)];
	return own !== undefined && address > own;
}

interface ParsedPeer {
	readonly name: string;
	readonly spec: PeerSpec;
	readonly scope: 'Global' | 'Node';
	/** Whether a node is on the local side. */
	readonly isLocal: (node: Speaker) => boolean;
}

class PeerResolver {
	readonly problems: ConfigProblem[] = [];
	readonly #inputs: PeeringInputs;
	readonly #parsed: readonly ParsedPeer[];
	readonly #byAddress = new Map<Ip, Speaker>();

	constructor(inputs: PeeringInputs) {
		this.#inputs = inputs;
		for (const node of inputs.speakers.values())
			for (const family of FAMILIES) {
				const address = node.address[family];
				if (address !== undefined) this.#byAddress.set(address, node);
			}
		this.#parsed = [...inputs.peers.values()]
			.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
			.flatMap((peer) => this.#parse(peer) ?? []);
	}

	/** Peers of every node. */
	*global(): Generator<Peering> {
		for (const peer of this.#parsed) if (peer.scope === 'Global') yield* this.#remoteOf(peer);
	}

	/** Peers of nodes chosen by name or label, where this node is one of them. */
	*ofNode(): Generator<Peering> {
		for (const peer of this.#parsed) if (peer.scope === 'Node' && peer.isLocal(this.#inputs.self)) yield* this.#remoteOf(peer);
	}

	/** Where this node is the remote side of a peer: a session back to each node of the local side. */
	*reverse(): Generator<Peering> {
		const { self, speakers } = this.#inputs;
		for (const peer of this.#parsed) {
			if (peer.spec.reversePeering === 'Manual') continue;
			const families = this.#remoteFamiliesOfSelf(peer);
			if (families.length === 0) continue;
			for (const node of speakers.values()) {
				if (node.name === self.name || !peer.isLocal(node)) continue;
				for (const family of families) {
					const address = node.address[family];
					if (address === undefined) continue;
					yield {
						scope: 'Node',
						address,
						port: node.listenPort,
						asNumber: node.asNumber,
						node,
						passive: false,
						resource: peer,
					};
				}
			}
		}
	}

	#parse(peer: BGPPeer): ParsedPeer | undefined {
		const { spec } = peer;
		const { name } = peer.metadata;
		if (spec.localWorkloadSelector) {
			this.#report(name, 'peers with localWorkloadSelector are not supported yet; no session is made for it');
			return undefined;
		}
		if (spec.node) return { name, spec, scope: 'Node', isLocal: (node) => node.name === spec.node };
		if (!spec.nodeSelector) return { name, spec, scope: 'Global', isLocal: () => true };
		const matches = this.#selector(name, 'spec.nodeSelector', spec.nodeSelector);
		return matches && { name, spec, scope: 'Node', isLocal: matches };
	}

	#remoteOf(peer: ParsedPeer): Peering[] {
		return peer.spec.peerSelector ? this.#remoteBySelector(peer, peer.spec.peerSelector) : this.#remoteByAddress(peer);
	}

	#remoteBySelector(peer: ParsedPeer, selector: string): Peering[] {
		const matches = this.#selector(peer.name, 'spec.peerSelector', selector);
		if (matches === undefined) return [];
		const peerings: Peering[] = [];
		for (const node of this.#inputs.speakers.values()) {
			if (!matches(node)) continue;
			for (const family of FAMILIES) {
				const address = node.address[family];
				if (address !== undefined)
					peerings.push({
						scope: peer.scope,
						address,
						port: node.listenPort,
						asNumber: node.asNumber,
						node,
						passive: false,
						resource: peer,
					});
			}
		}
		return peerings;
	}

	#remoteByAddress(peer: ParsedPeer): Peering[] {
		const remote = parsePeerAddress(peer.spec.peerIP ?? '');
		if (remote === undefined) {
			this.#report(
				peer.name,
				`spec.peerIP ${JSON.stringify(peer.spec.peerIP ?? '')} is not an address with an optional port; no session is made`,
			);
			return [];
		}
		const asNumber = peer.spec.asNumber ?? this.#inputs.cluster.asNumber;
		const node = this.#nodeAt(remote.address, asNumber);
		return [
			{
				scope: peer.scope,
				address: remote.address,
				port: remote.port ?? node?.listenPort,
				asNumber,
				node,
				passive: peer.scope === 'Global' && this.#byAddress.has(remote.address) && waitsFor(this.#inputs.self, remote.address),
				resource: peer,
			},
		];
	}

	/** The families in which the peer's remote side is this node. */
	#remoteFamiliesOfSelf(peer: ParsedPeer): Family[] {
		const { self } = this.#inputs;
		if (peer.spec.peerSelector) {
			const matches = this.#selector(peer.name, 'spec.peerSelector', peer.spec.peerSelector);
			return matches?.(self) ? FAMILIES.filter((family) => self.address[family] !== undefined) : [];
		}
		const remote = parsePeerAddress(peer.spec.peerIP ?? '');
		if (remote === undefined || this.#nodeAt(remote.address, peer.spec.asNumber ?? this.#inputs.cluster.asNumber) !== self) return [];
		return remote.port === undefined || remote.port === (self.listenPort ?? BGP_PORT) ? [ipFamily(remote.address)] : [];
	}

	#nodeAt(address: Ip, asNumber: number): Speaker | undefined {
		const node = this.#byAddress.get(address);
		return node?.asNumber === asNumber ? node : undefined;
	}

	#selector(name: string, path: string, text: string): ((node: Speaker) => boolean) | undefined {
		try {
			const selector = parseSelector(text);
			return (node) => evaluateSelector(selector, node.labels);
		} catch (error) {
			this.#report(name, `${path} is not a selector, so no session is made: ${error instanceof Error ? error.message : String(error)}`);
			return undefined;
		}
	}

	#report(name: string, message: string): void {
		const subject = `BGPPeer/${name}`;
		if (!this.problems.some((problem) => problem.subject === subject && problem.message === message))
			this.problems.push({ subject, message });
	}
}
