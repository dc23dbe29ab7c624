import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, cidrContains, hostCidr, ip } from '#net';
import { IpSet, widestOf } from './ip-set.ts';

const MEMBERS_4 = ['10.0.0.0/8', '10.0.0.0/24', '10.0.0.0/30', '10.0.0.1/32', '10.0.0.2/32', '10.1.0.1/32', '0.0.0.0/0', '192.0.2.0/24'];
const MEMBERS_6 = ['::/0', 'fd00::/64', 'fd00::1/128', 'fd00::2/128'];
const member = fc.constantFrom(...MEMBERS_4, ...MEMBERS_6) as fc.Arbitrary<Cidr>;
const operation = fc.record({ type: fc.constantFrom('add', 'add', 'remove', 'take'), member });

test('a net set gives out exactly the widest of the prefixes that contributors hold', () => {
	fc.assert(
		fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
			const set = new IpSet('net');
			const held: Cidr[] = [];
			const given = new Set<string>();
			for (const { type, member: prefix } of [...operations, { type: 'take', member: '::/0' as Cidr }]) {
				if (type === 'add') {
					set.add(prefix);
					held.push(prefix);
				} else if (type === 'remove') {
					if (!held.includes(prefix)) continue;
					set.remove(prefix);
					held.splice(held.indexOf(prefix), 1);
				} else {
					const { added, removed } = set.takeChange();
					for (const each of removed) assert.ok(given.delete(each), `${each} is taken back, but was not given out`);
					for (const each of added) {
						assert.ok(!given.has(each), `${each} is given out twice`);
						given.add(each);
					}
					const widest = held.filter((inner) => !held.some((outer) => outer !== inner && cidrContains(outer, inner)));
					assert.deepEqual(given, new Set(widest));
					assert.equal(set.isDirty, false);
				}
				for (const address of ['10.0.0.1', '10.200.0.1', '192.0.2.9', 'fd00::7'].map((text) => ip(text)))
					assert.equal(
						set.holds(address, 6, 80),
						held.some((outer) => cidrContains(outer, hostCidr(address))),
					);
			}
		}),
		{ numRuns: 2000 },
	);
});

test('an address and port stay in a set until the last endpoint that has them is gone', () => {
	const set = new IpSet('ip-port');
	set.add('10.0.0.1,tcp:80');
	assert.deepEqual(set.takeChange(), { type: 'ip-port', isNew: true, added: ['10.0.0.1,tcp:80'], removed: [] });
	set.add('10.0.0.1,tcp:80');
	set.remove('10.0.0.1,tcp:80');
	assert.equal(set.isDirty, false);
	assert.ok(set.holds(ip('10.0.0.1'), 6, 80));
	assert.ok(!set.holds(ip('10.0.0.1'), 17, 80));
	assert.ok(!set.holds(ip('10.0.0.1'), 1, undefined));
	set.remove('10.0.0.1,tcp:80');
	assert.deepEqual(set.takeChange(), { type: 'ip-port', isNew: false, added: [], removed: ['10.0.0.1,tcp:80'] });
});

test('the widest of some prefixes cover all of them', () => {
	fc.assert(
		fc.property(fc.array(member), (prefixes) => {
			const widest = widestOf(prefixes);
			for (const prefix of prefixes) assert.equal(widest.filter((outer) => cidrContains(outer, prefix)).length, 1);
			for (const prefix of widest) assert.ok(prefixes.includes(prefix));
		}),
	);
});
