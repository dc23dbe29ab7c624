import { isDeepStrictEqual } from 'node:util';
import { type Client, datastoreError } from '#datastore';
import { API_VERSION, type Node } from '#resources';
import { checkConflict, chooseAddresses, type HostModules, type NodeAddresses } from './node-addresses.ts';
import type { StartUpSettings } from './start-up-settings.ts';

const MAX_TRIES = 5;

/**
 * Creates or completes this node's object; what it holds of others is kept.
 *
 * @throws NODE_NO_ADDRESS, NODE_ADDRESS_CONFLICT, and what the datastore throws
 */
export async function writeNode(client: Client, settings: StartUpSettings, modules: HostModules, signal: AbortSignal): Promise<Node> {
	for (let tries = 1; ; tries++) {
		try {
			const stored = await findNode(client, settings.nodeName, signal);
			const addresses = await chooseAddresses(settings, stored, modules);
			if (settings.checkAddressConflict)
				checkConflict(settings.nodeName, addresses, (await client.resources.list('Node', {}, { signal })).items);
			const wanted = desiredNode(settings, stored, addresses);
			if (stored === undefined) return await client.resources.create(wanted, { signal });
			return isDeepStrictEqual(wanted, stored) ? stored : await client.resources.update(wanted, { signal });
		} catch (error) {
			const raced = datastoreError.is(error, 'DATASTORE_CONFLICT') || datastoreError.is(error, 'DATASTORE_EXISTS');
			if (!raced || tries >= MAX_TRIES) throw error;
		}
	}
}

async function findNode(client: Client, name: string, signal: AbortSignal): Promise<Node | undefined> {
	try {
		return await client.resources.get('Node', { name }, { signal });
	} catch (error) {
		if (datastoreError.is(error, 'DATASTORE_NOT_FOUND')) return undefined;
		throw error;
	}
}

/** The node's object as it should be. */
export function desiredNode(settings: StartUpSettings, stored: Node | undefined, addresses: NodeAddresses): Node {
	const before = stored?.spec ?? {};
	const { asNumber, ipv4Address: _v4, ipv6Address: _v6, ...bgpRest } = before.bgp ?? {};
	const bgp = {
		...bgpRest,
		...optional('asNumber', settings.asNumber ?? asNumber),
		...optional('ipv4Address', addresses[4]),
		...optional('ipv6Address', addresses[6]),
	};
	const own = [addresses[4], addresses[6]].flatMap((address) =>
		address === undefined ? [] : [{ address, type: 'CalicoNodeIP' as const }],
	);
	const others = (before.addresses ?? []).filter(({ type }) => type !== 'CalicoNodeIP');
	const { bgp: _bgp, addresses: _addresses, orchRefs, ...rest } = before;
	const references = kubernetesReference(orchRefs ?? [], settings.kubernetesNode);
	return {
		...(stored ?? { apiVersion: API_VERSION, kind: 'Node', metadata: { name: settings.nodeName } }),
		spec: {
			...rest,
			...(own.length + others.length === 0 ? {} : { addresses: [...own, ...others] }),
			...(references.length === 0 ? {} : { orchRefs: references }),
			...(Object.keys(bgp).length === 0 ? {} : { bgp }),
		},
	};
}

type OrchRefs = NonNullable<Node['spec']['orchRefs']>;

function kubernetesReference(references: OrchRefs, kubernetesNode: string | undefined): OrchRefs {
	if (kubernetesNode === undefined) return references;
	return [...references.filter(({ orchestrator }) => orchestrator !== 'k8s'), { nodeName: kubernetesNode, orchestrator: 'k8s' }];
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { readonly [Key in Name]?: Value } {
	return (value === undefined ? {} : { [name]: value }) as { readonly [Key in Name]?: Value };
}
