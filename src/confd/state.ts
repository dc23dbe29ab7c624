import type { Cidr } from '#net';
import type { BGPConfiguration, BGPFilter, BGPPeer, IPPool, Node } from '#resources';

/** Everything in the datastore that BGP depends on, by object name. */
export interface BgpState {
	readonly nodes: ReadonlyMap<string, Node>;
	/** `default` and `node.<node name>`. */
	readonly configurations: ReadonlyMap<string, BGPConfiguration>;
	readonly peers: ReadonlyMap<string, BGPPeer>;
	readonly filters: ReadonlyMap<string, BGPFilter>;
	readonly pools: ReadonlyMap<string, IPPool>;
	/** The blocks to which this node has a confirmed affinity. */
	readonly blocks: ReadonlySet<Cidr>;
}
