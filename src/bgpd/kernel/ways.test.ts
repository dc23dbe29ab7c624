import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address, Link, NextHop, Route } from '#kernel';
import { cidr, ip } from '#net';
import { ForeignRoutes } from './foreign-routes.ts';
import { InterfaceTable } from './interface-table.ts';
import { resolveNextHop } from './next-hop-resolver.ts';

function link(index: number, name: string, running = true): Link {
	return { index, name, mtu: 1500, up: true, running, loopback: name === 'lo' };
}

function address(interfaceIndex: number, text: string, more: Partial<Address> = {}): Address {
	const [base = '', length = ''] = text.split('/');
	return { interfaceIndex, address: ip(base), prefixLength: Number(length), ...more };
}

function route(destination: string, hops: readonly (readonly [index: number, gateway?: string])[], more: Partial<Route> = {}): Route {
	const nextHops = hops.map(
		([interfaceIndex, gateway]): NextHop => ({ interfaceIndex, ...(gateway === undefined ? {} : { gateway: ip(gateway) }) }),
	);
	return { destination: cidr(destination), table: 254, protocol: 3, metric: 0, type: 'unicast', scope: 'universe', nextHops, ...more };
}

function scene() {
	const interfaces = new InterfaceTable();
	interfaces.load(
		[link(1, 'lo'), link(2, 'eth0'), link(3, 'eth1', false), link(4, 'cali1'), link(5, 'eth2')],
		[
			address(1, '127.0.0.1/8', { scope: 'host' }),
			address(1, '10.255.0.1/32'),
			address(2, '10.0.0.1/24'),
			address(2, 'fd00::1/64'),
			address(2, 'fe80::1/64', { scope: 'link' }),
			address(3, '10.1.0.1/24'),
			address(4, '10.2.0.1/24'),
			address(5, '10.9.0.1/32', { peer: ip('10.9.0.2') }),
			address(5, 'fd09::1/64', { tentative: true }),
		],
	);
	interfaces.ignore(['cali*']);
	const foreign = new ForeignRoutes();
	const way = (text: string): string | undefined => {
		const found = resolveNextHop(ip(text), interfaces, foreign);
		return found && `${found.gateway}%${found.interfaceIndex} ${found.metric}`;
	};
	return { interfaces, foreign, way };
}

test('connected networks are those of usable addresses on devices that are up and not ignored', () => {
	const { interfaces } = scene();
	assert.deepEqual([...interfaces.networks()].map(({ prefix, value }) => `${prefix} ${value.interface}`).sort(), [
		'10.0.0.0/24 eth0',
		'10.255.0.1/32 lo',
		'10.9.0.2/32 eth2',
		'fd00::/64 eth0',
	]);
});

test('a next hop is reached over a connected network, or the best route of others over a device that is up', () => {
	const { foreign, way } = scene();
	foreign.load([
		route('0.0.0.0/0', [[2, '10.0.0.254']], { metric: 100 }),
		route('0.0.0.0/0', [[5, '10.9.0.2']], { metric: 200 }),
		route('172.16.0.0/12', [[3, '10.1.0.254']]),
		route('10.0.0.0/24', [[2, '10.0.0.253']]),
		route('10.0.0.128/25', [[2, '10.0.0.252']], { metric: 7 }),
		route('192.168.0.1/32', [[2]]),
		route('198.51.100.0/24', [
			[3, '10.1.0.9'],
			[2, '10.0.0.9'],
		]),
	]);
	const table: readonly (readonly [string, string | undefined])[] = [
		['10.0.0.5', '10.0.0.5%2 0'],
		['10.0.0.200', '10.0.0.252%2 8'],
		['10.0.0.1', undefined],
		['10.9.0.2', '10.9.0.2%5 0'],
		['10.1.0.5', '10.0.0.254%2 101'],
		['172.16.0.1', '10.0.0.254%2 101'],
		['192.168.0.1', '192.168.0.1%2 1'],
		['198.51.100.1', '10.0.0.9%2 1'],
		['fd00::5', 'fd00::5%2 0'],
		['fd01::5', undefined],
	];
	for (const [next, expected] of table) assert.equal(way(next), expected, next);
});

test('a device that loses its carrier, and an address that goes, take the way along', () => {
	const { interfaces, way } = scene();
	const event = { portId: 0, change: 'new' as const };
	assert.equal(interfaces.change([{ ...event, kind: 'link', link: link(2, 'eth0', false) }]), true);
	assert.equal(way('10.0.0.5'), undefined);
	assert.equal(interfaces.change([{ ...event, kind: 'link', link: link(2, 'eth0') }]), true);
	assert.equal(way('10.0.0.5'), '10.0.0.5%2 0');
	assert.equal(interfaces.change([{ ...event, kind: 'link', link: { ...link(2, 'eth0'), mtu: 9000 } }]), false);
	assert.equal(interfaces.change([{ portId: 0, change: 'delete', kind: 'address', address: address(2, '10.0.0.1/24') }]), true);
	assert.equal(way('10.0.0.5'), undefined);
});

test('the address beside another is a usable one of the other family on the same device', () => {
	const { interfaces } = scene();
	assert.equal(interfaces.addressBeside(ip('10.0.0.1'), 6), 'fd00::1');
	assert.equal(interfaces.addressBeside(ip('fd00::1'), 4), '10.0.0.1');
	assert.equal(interfaces.addressBeside(ip('10.9.0.1'), 6), undefined);
	assert.equal(interfaces.addressBeside(ip('203.0.113.1'), 6), undefined);
});

test('routes of others are learned unless they are local, special or ours', () => {
	const foreign = new ForeignRoutes();
	const learned = ['10.0.0.0/8', '240.0.0.0/4', '0.0.0.0/0', 'fd00::/8'];
	const others: readonly Route[] = [
		...['127.0.0.0/8', '169.254.1.0/24', '224.0.0.0/4', 'fe80::/64', 'ff00::/8'].map((prefix) => route(prefix, [[2]])),
		route('10.1.0.0/16', [[2]], { protocol: 2 }),
		route('10.2.0.0/16', [[2]], { protocol: 12 }),
		route('10.3.0.0/16', [], { type: 'blackhole' }),
		route('10.4.0.0/16', [[2]], { tos: 16 }),
		route('10.5.0.0/16', [[2]], { cloned: true }),
	];
	foreign.load([...learned.map((prefix) => route(prefix, [[2]])), ...others]);
	assert.deepEqual([...foreign.prefixes()].map(({ prefix }) => prefix).sort(), [...learned].sort());
	for (const other of others) assert.equal(foreign.change('new', other, false), false, other.destination);
});

test('of several routes to a prefix the one with the lowest metric counts, through all kinds of changes', () => {
	const foreign = new ForeignRoutes();
	const prefix = cidr('10.7.0.0/16');
	const best = (): string | undefined => foreign.best(prefix)?.nextHops[0]?.gateway;
	foreign.change('new', route(prefix, [[2, '10.0.0.5']], { metric: 5 }), false);
	foreign.change('new', route(prefix, [[2, '10.0.0.3']], { metric: 3 }), false);
	assert.equal(best(), '10.0.0.3');
	foreign.change('new', route(prefix, [[2, '10.0.0.33']], { metric: 3 }), true);
	assert.equal(best(), '10.0.0.33');
	foreign.change('delete', route(prefix, [[2, '10.0.0.33']], { metric: 3 }), false);
	assert.equal(best(), '10.0.0.5');
	foreign.change('new', route(prefix, [[2, '10.0.0.6']], { metric: 5, protocol: 12 }), true);
	assert.equal(best(), undefined);
});
