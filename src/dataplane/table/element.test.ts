import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { packKey, packRange } from '#kernel';
import { cidrOf, type Family, formatIp, hostCidr, type Ip, ip } from '#net';
import { type ElementForm, elementOf, memberOf, setSpec } from './element.ts';

const anyFamily = fc.constantFrom<Family>(4, 6);
const anyAddress = (family: Family): fc.Arbitrary<Ip> =>
	fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }).map(formatIp);
const anyName = fc.stringMatching(/^cali[0-9a-z._-]{1,11}$/);

const MEMBERS: Readonly<Record<ElementForm, (family: Family) => fc.Arbitrary<string>>> = {
	host: (family) => anyAddress(family).map(hostCidr),
	prefix: (family) => fc.tuple(anyAddress(family), fc.nat(family === 4 ? 32 : 128)).map(([address, length]) => cidrOf(address, length)),
	'address-port': (family) =>
		fc
			.tuple(anyAddress(family), fc.constantFrom('tcp', 'udp', 'sctp'), fc.nat(65535))
			.map(([address, protocol, port]) => `${address},${protocol}:${port}`),
	interface: () => anyName,
	'interface-host': (family) => fc.tuple(anyName, anyAddress(family)).map(([name, address]) => `${name} ${hostCidr(address)}`),
	'interface-prefix': (family) => fc.tuple(anyName, MEMBERS.prefix(family)).map(([name, prefix]) => `${name} ${prefix}`),
	'interface-verdict': () =>
		fc
			.tuple(anyName, fc.constantFrom('goto li4-abc', 'jump x', 'accept', 'drop', 'return', 'continue'))
			.map(([name, verdict]) => `${name} ${verdict}`),
};

test('a member that goes to the kernel comes back as the same text', () => {
	for (const [form, members] of Object.entries(MEMBERS) as [ElementForm, (typeof MEMBERS)[ElementForm]][])
		fc.assert(
			fc.property(
				anyFamily.chain((family) => fc.tuple(fc.constant(family), members(family))),
				([family, member]) => {
					const spec = setSpec('s', form, family);
					assert.equal(memberOf(spec, form, elementOf(spec, form, member)), member);
				},
			),
		);
});

test('an element of others’ making has a text too, by which it can be deleted', () => {
	const ranges = setSpec('r', 'prefix', 4);
	const range = packRange(ranges.key, ['10.0.0.1-10.0.0.6']);
	assert.equal(memberOf(ranges, 'prefix', range), '10.0.0.1-10.0.0.6');
	assert.deepEqual(elementOf(ranges, 'prefix', '10.0.0.1-10.0.0.6'), range);
	const ports = setSpec('n', 'address-port', 4);
	const element = { key: packKey(ports.key, [ip('10.0.0.1'), '50', '0']) };
	assert.deepEqual(elementOf(ports, 'address-port', memberOf(ports, 'address-port', element)), element);
});
