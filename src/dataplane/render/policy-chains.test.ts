import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, cidrContainsIp, ipFamily } from '#net';
import { type EndpointId, type EndpointPolicy, evaluate, type IpSetView, type PolicyState, portProtocol } from '#policy';
import { DesiredTables } from '../table/desired-tables.ts';
import { anyPacket, anyState, deltaBetween, EMPTY_STATE, type State } from '../testing/arbitrary-state.ts';
import { runChain } from '../testing/packet-path.ts';
import { listChain } from './names.ts';
import { DEFAULT_RENDER_OPTIONS } from './options.ts';

/** Without what is dropped before policy, which the verdict engine does not know of. */
const OPTIONS = { ...DEFAULT_RENDER_OPTIONS, blockedVxlanPort: undefined, blockIpip: false };
const NEW_FLOW = { iifname: 'cali1', oifname: 'cali2', ctState: 8 };

function policyState(state: State): PolicyState {
	return {
		policy: (id) => state.policies.get(id),
		ipSet: (id): IpSetView | undefined => {
			const set = state.ipSets.get(id);
			if (set === undefined) return undefined;
			return {
				description: id,
				holds: (address, protocol, port) =>
					set.type === 'net'
						? [...set.members].some((member) => cidrContainsIp(member as Cidr, address))
						: set.members.has(`${address},${portProtocol(protocol)}:${port}`),
			};
		},
	};
}

test('rules do to every packet what the verdict engine says', () => {
	fc.assert(
		fc.property(anyState, fc.array(anyPacket, { minLength: 1, maxLength: 12 }), (state, packets) => {
			const tables = new DesiredTables(OPTIONS);
			tables.apply(deltaBetween(EMPTY_STATE, state));
			for (const endpoint of state.endpoints.values()) {
				if (tables.problem(endpoint.id) !== undefined) continue;
				for (const packet of packets) {
					const family = ipFamily(packet.source);
					if (!endpoint.nets.some((net) => net.includes(':') === (family === 6))) continue;
					for (const direction of ['ingress', 'egress'] as const) {
						const expected = evaluate(policyState(state), endpoint, direction, packet);
						const chain = listChain(direction, family, endpoint[direction]);
						for (const mark of [0, 0xffffffff]) {
							const actual = runChain(tables.inet, chain, { ...NEW_FLOW, packet, mark });
							assert.equal(actual.verdict, expected.allowed ? 'accept' : 'drop', JSON.stringify(expected.steps));
							assert.equal(actual.logged, expected.steps.filter(({ action }) => action === 'Log').length);
							if (expected.allowed) assert.equal((actual.mark ^ mark) & ~0x20000, 0, 'foreign mark bits are left alone');
						}
					}
				}
			}
		}),
		{ numRuns: 400 },
	);
});

test('a packet whose port is named as well as numbered is logged once', () => {
	const nothing = { nets: [], notNets: [], sets: [], notSets: [], ports: [], notPorts: [], namedPorts: [], notNamedPorts: [] };
	const destination = { ...nothing, ports: [{ min: 80, max: 80 }], namedPorts: ['n:a', 'n:b'] };
	const id = 'NetworkPolicy/x/a';
	const list = { tiers: [], profiles: [id] };
	const names = { type: 'ip-port', isNew: true, added: ['10.0.0.2,tcp:80'], removed: [] };
	const endpoint = { id: 'x/a', interfaceName: 'cali1', nets: ['10.0.0.1/32'], allowedSources: [], ingress: list, egress: list };
	const tables = new DesiredTables(OPTIONS);
	tables.apply({
		ipSets: new Map(['n:a', 'n:b'].map((set) => [set, names])),
		policies: new Map([[id, { id, tier: '', ingress: [], egress: [{ action: 'Log', source: nothing, destination, index: 0 }] }]]),
		endpoints: new Map([['x/a', endpoint]]),
		inSync: true,
	} as never);
	const packet = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 6, sourcePort: 1, destinationPort: 80 } as never;
	assert.equal(runChain(tables.inet, listChain('egress', 4, list as never), { ...NEW_FLOW, packet, mark: 0 }).logged, 1);
});

test('a policy that is not known denies', () => {
	const list = { tiers: [{ name: 'default', defaultAction: 'Pass' as const, policies: ['NetworkPolicy/x/gone'] }], profiles: [] };
	const tables = new DesiredTables(OPTIONS);
	const endpoint = {
		id: 'x/a',
		interfaceName: 'cali1',
		mac: undefined,
		nets: ['10.0.0.1/32'],
		allowedSources: [],
		ingress: list,
		egress: list,
	} as unknown as EndpointPolicy;
	tables.apply({ ...deltaBetween(EMPTY_STATE, EMPTY_STATE), endpoints: new Map([['x/a' as EndpointId, endpoint]]) });
	const packet = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 6, sourcePort: 1, destinationPort: 2 } as never;
	assert.equal(runChain(tables.inet, listChain('egress', 4, endpoint.egress), { ...NEW_FLOW, packet, mark: 0 }).verdict, 'drop');
});
