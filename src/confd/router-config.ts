import { createHash } from 'node:crypto';
import type { FilterRule, PeerConfig, PeerFamilyConfig, RouteFilter, RouterConfig } from '#bgp';
import { type Cidr, FAMILIES, type Family, formatIp, hostCidr, type Ip, ipFamily, parseIp } from '#net';
import { parseDurationMs } from '#resources';
import { filterRules } from './bgp-filter.ts';
import { type Peering, type PeerSpec, peeringsOf } from './peering.ts';
import type { ConfigProblem } from './problem.ts';
import { isTunnelled, type RoutePolicy, routePolicyOf } from './route-policy.ts';
import { BGP_PORT, type ClusterBgp, clusterBgp, type Speaker, speakerOf } from './speaker.ts';
import type { BgpState } from './state.ts';

/** BIRD's hold time, which Calico's nodes offer; a session runs at the smaller of the two ends' (RFC 4271 §4.2). */
const HOLD_TIME_SECONDS = 240;
const RESTART_TIME_SECONDS = 120;
/** The Restart Time field has 12 bits (RFC 4724 §3). */
const MAX_RESTART_TIME_SECONDS = 4095;
const RECOVERY_SECONDS = 240;
const MAIN_TABLE = 254;
const IGNORED_INTERFACES = ['cali*', 'kube-ipvs*'];

/** Names one key of one secret. */
export interface SecretRef {
	readonly name: string;
	readonly key: string;
}

export interface RouterConfigOptions {
	/** `CALICO_ROUTER_ID`: an address, `hash` to derive one from the node's name, or empty for the node's IPv4 address. */
	readonly routerId?: string | undefined;
	/** The value of a secret; undefined when it is not there. */
	readonly secret: (ref: SecretRef) => string | undefined;
}

export interface ComputedRouter {
	/** Undefined while the node cannot be a router at all; the problems say why. */
	readonly config: RouterConfig | undefined;
	readonly problems: readonly ConfigProblem[];
}

/**
 * What the cluster's configuration means for one node's BGP daemon. A pure function of the stored objects: equal inputs
 * give equal output, in the same order.
 */
export function computeRouterConfig(state: BgpState, nodeName: string, options: RouterConfigOptions): ComputedRouter {
	const cluster = clusterBgp(state);
	const speakers = new Map<string, Speaker>();
	for (const name of [...state.nodes.keys()].toSorted()) {
		const node = state.nodes.get(name);
		if (node !== undefined) speakers.set(name, speakerOf(node, cluster, state));
	}
	const self = speakers.get(nodeName);
	const subject = `Node/${nodeName}`;
	if (self === undefined) return { config: undefined, problems: [{ subject, message: 'the node is not in the datastore' }] };
	const routerId = routerIdOf(self, options.routerId);
	if (routerId === undefined)
		return {
			config: undefined,
			problems: [
				{
					subject,
					message: 'no router ID: the node has no IPv4 address; set CALICO_ROUTER_ID to "hash" or to an address in dotted form',
				},
			],
		};

	const policy = routePolicyOf(state, self, cluster);
	const { peerings, problems } = peeringsOf({ self, speakers, cluster, peers: state.peers });
	const builder = new PeerBuilder(self, cluster, policy, state.filters, options);
	const peers = peerings.flatMap((peering) => builder.build(peering) ?? []);
	return {
		config: {
			routerId,
			asNumber: self.asNumber,
			listen: {
				port: self.listenPort ?? BGP_PORT,
				addresses: cluster.spec.bindMode === 'NodeIP' ? FAMILIES.flatMap((family) => self.address[family] ?? []) : undefined,
			},
			peers: peers.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
			originate: policy.originate,
			staticRoutes: reachableBy(peerings),
			kernel: { table: MAIN_TABLE, metric: policy.metric, filter: policy.kernelFilter, recoverySeconds: RECOVERY_SECONDS },
			ignoredInterfaces: [...new Set([...(cluster.spec.ignoredInterfaces ?? []), ...IGNORED_INTERFACES])],
		},
		problems: [...problems, ...builder.problems, ...unsupported(state, cluster)],
	};
}

function routerIdOf(self: Speaker, setting: string | undefined): Ip | undefined {
	if (setting === undefined || setting === '') return self.address[4];
	if (setting !== 'hash') {
		const literal = parseIp(setting);
		return literal !== undefined && ipFamily(literal) === 4 && literal !== '0.0.0.0' ? literal : undefined;
	}
	const bytes = createHash('sha256').update(self.name).digest().subarray(0, 4);
	// A multicast or reserved first octet would not pass for an address.
	if ((bytes[0] as number) > 223) bytes[0] = (bytes[0] as number) - 32;
	return formatIp(bytes);
}

class PeerBuilder {
	readonly problems: ConfigProblem[] = [];
	readonly #self: Speaker;
	readonly #cluster: ClusterBgp;
	readonly #policy: RoutePolicy;
	readonly #filters: BgpState['filters'];
	readonly #options: RouterConfigOptions;

	constructor(self: Speaker, cluster: ClusterBgp, policy: RoutePolicy, filters: BgpState['filters'], options: RouterConfigOptions) {
		this.#self = self;
		this.#cluster = cluster;
		this.#policy = policy;
		this.#filters = filters;
		this.#options = options;
	}

	/** The session; undefined, with a problem, if it may not come up as it is written. */
	build(peering: Peering): PeerConfig | undefined {
		const spec: PeerSpec = peering.resource?.spec ?? {};
		const password = this.#password(peering);
		if (password === null) return undefined;
		const family = ipFamily(peering.address);
		const localAsNumber = spec.localASNumber === this.#self.asNumber ? undefined : spec.localASNumber;
		const ibgp = peering.asNumber === (localAsNumber ?? this.#self.asNumber);
		const routes = this.#routes(peering, family, ibgp ? 'ibgp' : 'ebgp');
		if (routes === undefined) return undefined;
		return {
			name: peerName(peering),
			address: peering.address,
			port: peering.port ?? BGP_PORT,
			asNumber: peering.asNumber,
			localAsNumber,
			sourceAddress: spec.sourceAddress === 'None' ? undefined : this.#self.address[family],
			passive: peering.passive,
			password,
			holdTimeSeconds: holdTime(spec),
			restartTimeSeconds: this.#restartTime(peering),
			ttlSecurityHops: spec.ttlSecurity === undefined || spec.ttlSecurity === 0 ? undefined : spec.ttlSecurity,
			routeReflectorClusterId: ibgp && peering.node?.clusterId !== this.#self.clusterId ? this.#self.clusterId : undefined,
			allowedLocalAs: spec.numAllowedLocalASNumbers ?? 0,
			nextHop: nextHop(spec, ibgp),
			families: [routes],
		};
	}

	/** The route policy of a session: its BGP filters ahead of the node's own; undefined if a filter cannot be kept. */
	#routes(peering: Peering, family: Family, peer: 'ibgp' | 'ebgp'): PeerFamilyConfig | undefined {
		const rules: Record<'import' | 'export', FilterRule[]> = { import: [], export: [] };
		for (const name of peering.resource?.spec.filters ?? []) {
			const filter = this.#filters.get(name);
			if (filter === undefined) {
				this.#report(peering, `there is no BGPFilter ${JSON.stringify(name)}; the session runs without it`);
				continue;
			}
			for (const direction of ['import', 'export'] as const) {
				const compiled = filterRules(filter.spec, direction, family, peer);
				if ('unsupported' in compiled) {
					this.#report(
						peering,
						`BGPFilter ${name} matches on ${compiled.unsupported}, which is not supported yet; the session is held down`,
					);
					return undefined;
				}
				rules[direction].push(...compiled);
			}
		}
		const { importFilter, exportFilter } = this.#policy;
		return { family, importFilter: prefixed(rules.import, importFilter), exportFilter: prefixed(rules.export, exportFilter(family, peer)) };
	}

	/** The session's key, if it is to have one; null if that key is not there: without it the session would be open to anyone. */
	#password(peering: Peering): string | undefined | null {
		const wanted = peering.scope === 'Mesh' ? this.#cluster.spec.nodeMeshPassword : peering.resource?.spec.password;
		const ref = wanted?.secretKeyRef;
		if (ref === undefined) return undefined;
		const value = this.#options.secret({ name: ref.name ?? '', key: ref.key });
		if (value !== undefined && value !== '') return value;
		this.#report(
			peering,
			`the password's secret ${JSON.stringify(ref.name ?? '')} has no key ${JSON.stringify(ref.key)}; the session is held down until it has`,
		);
		return null;
	}

	#restartTime(peering: Peering): number {
		const text = peering.scope === 'Mesh' ? this.#cluster.spec.nodeMeshMaxRestartTime : peering.resource?.spec.maxRestartTime;
		const ms = text ? parseDurationMs(text) : undefined;
		return ms === undefined ? RESTART_TIME_SECONDS : Math.min(MAX_RESTART_TIME_SECONDS, Math.round(ms / 1000));
	}

	#report(peering: Peering, message: string): void {
		const subject = peering.resource === undefined ? 'BGPConfiguration/default' : `BGPPeer/${peering.resource.name}`;
		if (!this.problems.some((problem) => problem.subject === subject && problem.message === message))
			this.problems.push({ subject, message });
	}
}

/** The rules ahead of those of a filter, which stays the same object if there are none. */
function prefixed(rules: readonly FilterRule[], filter: RouteFilter): RouteFilter {
	return rules.length === 0 ? filter : { rules: [...rules, ...filter.rules], otherwise: filter.otherwise };
}

/** `Mesh_10_0_0_2`, `Node_2001_db8__1_port_1790`: the form that `calicoctl node status` and its users read. */
function peerName({ scope, address, port }: Peering): string {
	return `${scope}_${address.replaceAll(/[.:]/g, '_')}${port === undefined ? '' : `_port_${port}`}`;
}

/** Keepalives go out three to a hold time (RFC 4271 §4.4), so a keepalive time stands for three times as much. */
function holdTime(spec: PeerSpec): number {
	const keepaliveMs = spec.keepaliveTime ? parseDurationMs(spec.keepaliveTime) : undefined;
	return keepaliveMs ? Math.min(65_535, Math.max(3, Math.round(keepaliveMs / 1000) * 3)) : HOLD_TIME_SECONDS;
}

function nextHop(spec: PeerSpec, ibgp: boolean): PeerConfig['nextHop'] {
	switch (spec.nextHopMode) {
		case 'Self':
			return 'self';
		case 'Keep':
			return 'keep';
		case 'Auto':
			return 'auto';
		case undefined:
			return spec.keepOriginalNextHop === true && !ibgp ? 'keep' : 'auto';
	}
	return spec.nextHopMode satisfies never;
}

function reachableBy(peerings: readonly Peering[]): { prefix: Cidr; gateway: Ip }[] {
	const routes = new Map<string, { prefix: Cidr; gateway: Ip }>();
	for (const { address, resource } of peerings) {
		const gateway = parseIp(resource?.spec.reachableBy ?? '');
		if (gateway !== undefined && ipFamily(gateway) === ipFamily(address)) routes.set(address, { prefix: hostCidr(address), gateway });
	}
	return [...routes.values()].toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1));
}

/** What is asked for and not done, said by name rather than left to be found out. */
function unsupported(state: BgpState, cluster: ClusterBgp): ConfigProblem[] {
	const { programClusterRoutes } = cluster.spec;
	const withoutBgp = programClusterRoutes === 'Disabled' || programClusterRoutes === 'EnabledIPIPOnly';
	const problems = [...state.pools.values()].filter(isTunnelled).map((pool) => ({
		subject: `IPPool/${pool.metadata.name}`,
		message: 'tunnelled pools are not supported yet: other nodes reach its addresses only once ipipMode and vxlanMode are Never',
	}));
	if (withoutBgp)
		problems.push({
			subject: 'BGPConfiguration/default',
			message: `programClusterRoutes ${programClusterRoutes} is not supported yet: BGP writes the routes between nodes`,
		});
	return problems;
}
