import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ip } from '#net';
import type { Rule } from '#resources';
import { GraphUnderTest, globalPolicy, globalSet, id, namespace, pod, policy, tier } from './testing/objects.ts';
import type { Packet } from './types.ts';

const WEB = pod('web', '10.0.0.1', { labels: { app: 'web' }, ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] });
const CLIENT = pod('client', '10.0.0.2', { labels: { app: 'client' } });

const TO_WEB: Packet = { source: ip('10.0.0.2'), destination: ip('10.0.0.1'), protocol: 6, sourcePort: 40_000, destinationPort: 8080 };

function reasons(cluster: GraphUnderTest, packet: Packet = TO_WEB): readonly string[] {
	return cluster.graph.explain(packet).destination?.verdict.steps.map(({ reason }) => reason) ?? [];
}

test('a verdict says which tier, policy and rule made it, and what matched', () => {
	const ingress: readonly Rule[] = [
		{ action: 'Log', protocol: 'TCP' },
		{ action: 'Deny', source: { selector: "app == 'other'" } },
		{ action: 'Allow', protocol: 'TCP', source: { selector: "app == 'client'" }, destination: { ports: ['http', 81] } },
	];
	const cluster = new GraphUnderTest(
		WEB,
		CLIENT,
		tier('first', { order: 1 }),
		globalPolicy('pass-on', { tier: 'first', types: ['Ingress'], ingress: [{ action: 'Pass', source: { nets: ['10.0.0.0/8'] } }] }),
		policy('web', { selector: "app == 'web'", types: ['Ingress'], ingress }),
	);
	assert.deepEqual(reasons(cluster), [
		'tier first, GlobalNetworkPolicy pass-on, ingress rule 0 matched source 10.0.0.2 in 10.0.0.0/8: Pass',
		'tier default, NetworkPolicy shop/web, ingress rule 0 matched protocol tcp: Log',
		'tier default, NetworkPolicy shop/web, ingress rule 2 matched protocol tcp, source 10.0.0.2 is selected by ' +
			'(projectcalico.org/namespace == "shop" && app == "client"), destination port 8080, which is port "http" (tcp) of all(): Allow',
	]);
	const { allowed, source } = cluster.graph.explain(TO_WEB);
	assert.deepEqual([allowed, source?.endpoint, source?.direction], [true, id('client'), 'egress']);
	assert.deepEqual(
		source?.verdict.steps.map(({ reason }) => reason),
		['Profile kns.shop, egress rule 0 matched everything: Allow'],
	);
});

test('a denial at the end of a tier names the policies that select the endpoint', () => {
	const cluster = new GraphUnderTest(WEB, policy('nothing', { types: ['Ingress'] }));
	assert.deepEqual(reasons(cluster), [
		'end of tier default: denied because NetworkPolicy shop/nothing selects this endpoint and none of its ingress rules matched',
	]);
	cluster.set(policy('other', { types: ['Ingress'], ingress: [{ action: 'Allow', source: { nets: ['192.0.2.0/24'] } }] }));
	assert.deepEqual(reasons(cluster), [
		'end of tier default: denied because NetworkPolicy shop/nothing, NetworkPolicy shop/other select this endpoint and none of their ingress rules matched',
	]);
	cluster.set(tier('default', { order: 1, defaultAction: 'Pass' }));
	assert.match(reasons(cluster)[0] ?? '', /^end of tier default: passed on, the default of this tier, because/);
	assert.equal(reasons(cluster)[1], 'Profile kns.shop, ingress rule 0 matched everything: Allow');
});

test('a denial for want of a profile says so', () => {
	assert.deepEqual(reasons(new GraphUnderTest(pod('web', '10.0.0.1', { profiles: [] }))), [
		'end of profiles: denied because the endpoint has no profile',
	]);
	const bare = pod('web', '10.0.0.1', { profiles: ['ksa.shop.x'] });
	const profile = { ...namespace('x'), metadata: { name: 'ksa.shop.x' }, spec: {} };
	assert.deepEqual(reasons(new GraphUnderTest(bare, profile)), [
		'end of profiles: denied because no ingress rule of Profile ksa.shop.x allowed it',
	]);
});

test('negated criteria, ICMP types and IP versions are told in words', () => {
	const rule: Rule = {
		action: 'Allow',
		protocol: 'ICMPv6',
		icmp: { type: 128 },
		notICMP: { type: 128, code: 1 },
		source: { notNets: ['fd00:1::/64'] },
		destination: { notSelector: "app == 'x'" },
	};
	const cluster = new GraphUnderTest(
		pod('web', 'fd00::1'),
		globalSet('x', { app: 'x' }, ['fd00:9::/64']),
		globalPolicy('ping', { types: ['Ingress'], ingress: [rule] }),
	);
	const ping: Packet = { source: ip('fd00::2'), destination: ip('fd00::1'), protocol: 58, icmpType: 128, icmpCode: 0 };
	assert.deepEqual(reasons(cluster, ping), [
		'tier default, GlobalNetworkPolicy ping, ingress rule 0 matched IPv6, protocol icmpv6, type 128, type other than 128 code 1, ' +
			'source fd00::2 not in fd00:1::/64, destination fd00::1 is not selected by app == "x": Allow',
	]);
	assert.match(reasons(cluster, { ...ping, icmpCode: 1 })[0] ?? '', /^end of tier/);
});

test('an end of the way that is not here has no say', () => {
	const cluster = new GraphUnderTest(WEB, CLIENT, policy('closed', { selector: "app == 'client'", types: ['Egress'] }));
	assert.equal(cluster.graph.explain(TO_WEB).allowed, false);
	const fromOutside = cluster.graph.explain({ ...TO_WEB, source: ip('192.0.2.1') });
	assert.deepEqual([fromOutside.allowed, fromOutside.source], [true, undefined]);
	const between = cluster.graph.explain({ ...TO_WEB, source: ip('192.0.2.1'), destination: ip('192.0.2.2') });
	assert.deepEqual(between, { allowed: true, source: undefined, destination: undefined });
});
