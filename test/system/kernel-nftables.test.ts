import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
	accept,
	type Chain,
	counter,
	drop,
	type Expression,
	expressionsFingerprint,
	goTo,
	inSet,
	jump,
	kernelError,
	type ListedRule,
	masquerade,
	match,
	matchCtState,
	matchCtStatus,
	matchFamily,
	matchFib,
	matchInterface,
	matchMark,
	matchPrefix,
	matchProtocol,
	matchRange,
	NftBatch,
	type NftEvent,
	NftMonitor,
	NftSocket,
	natByMap,
	natTo,
	packKey,
	packRange,
	returnToCaller,
	type SetElement,
	type SetSpec,
	setMark,
	type TableRef,
	transactionFailures,
	unpackKey,
	verdictMap,
} from '#kernel';
import { cidr, compareBytes, ip } from '#net';
import { type TestNamespace, testNamespace, until } from './fixtures/namespaces.ts';

const table: TableRef = { family: 'inet', name: 'tortie' };
const fixture = join(import.meta.dirname, 'fixtures/kernel-ruleset.nft');

function socketIn(t: TestContext, namespace: TestNamespace): NftSocket {
	const socket = new NftSocket({ namespaceFd: namespace.fd });
	t.after(() => socket[Symbol.dispose]());
	return socket;
}

function commit(socket: NftSocket, build: (batch: NftBatch) => void): void {
	const batch = new NftBatch();
	build(batch);
	socket.commit(batch);
}

interface Content {
	readonly chains: readonly Chain[];
	readonly rules: readonly ListedRule[];
	readonly sets: readonly SetSpec[];
	readonly elements: ReadonlyMap<string, readonly SetElement[]>;
}

function listAll(socket: NftSocket, table: TableRef): Content {
	const sets = socket.listSets(table);
	const elements = new Map(sets.map((set) => [set.name, socket.listElements(table, set).toSorted((a, b) => compareBytes(a.key, b.key))]));
	return { chains: socket.listChains(table), rules: socket.listRules(table), sets, elements };
}

/** Sets without names of their own get new ones in each table. */
function nameless(content: Content): unknown {
	const rename = (name: string): string => name.replace(/^__(set|map)\d+$/, '__$1');
	return {
		chains: content.chains,
		rules: content.rules.map((rule) => ({
			...rule,
			handle: undefined,
			expressions: rule.expressions.map((each) => (each.kind === 'lookup' ? { ...each, set: rename(each.set) } : each)),
		})),
		sets: content.sets.map((set) => ({ ...set, name: rename(set.name) })),
		elements: [...content.elements].map(([name, elements]) => [rename(name), elements]),
	};
}

function write(batch: NftBatch, table: TableRef, content: Content): void {
	batch.addTable(table);
	for (const chain of content.chains) batch.addChain(table, chain);
	for (const set of content.sets) if (set.anonymous !== true) batch.addSet(table, set);
	for (const set of content.sets) if (set.anonymous !== true) batch.addElements(table, set, content.elements.get(set.name) ?? []);
	for (const rule of content.rules) {
		const expressions = rule.expressions.map((each): Expression => {
			const set = each.kind === 'lookup' ? content.sets.find(({ name, anonymous }) => name === each.set && anonymous === true) : undefined;
			return set === undefined || each.kind !== 'lookup'
				? each
				: { ...each, ...batch.addAnonymousSet(table, set, content.elements.get(set.name) ?? []) };
		});
		batch.addRule(table, { ...rule, expressions });
	}
}

/** nft's own listing, without the numbers that differ between two tables with the same content. */
function nftListing(namespace: TestNamespace): unknown {
	const { nftables } = JSON.parse(namespace.run('nft', '-j', 'list', 'ruleset'), (key, value) =>
		key === 'handle' ? undefined : key === 'elem' ? value.map((each: unknown) => JSON.stringify(each)).sort() : value,
	) as { readonly nftables: unknown };
	return nftables;
}

/** PROC_PID_INIT_INO of `linux/proc_ns.h`. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

test('a ruleset with every statement, written by nft, is read and written again so that nft and we list the same', (t) => {
	const original = testNamespace(t);
	const copy = testNamespace(t);
	original.run('nft', '-f', fixture);
	const from = socketIn(t, original);
	const to = socketIn(t, copy);
	const tables = from.listTables();
	assert.deepEqual(
		tables.map(({ family, name, comment }) => ({ family, name, comment })),
		[
			{ family: 'inet', name: 'tortie', comment: 'agent=test gen=7' },
			{ family: 'arp', name: 'tortie-arp', comment: undefined },
		],
	);
	for (const table of tables) {
		const content = listAll(from, table);
		commit(to, (batch) => write(batch, table, content));
		assert.deepEqual(nameless(listAll(to, table)), nameless(content));
	}
	assert.deepEqual(nftListing(copy), nftListing(original));
});

test('only statements that Tortie does not use are read as unknown', (t) => {
	const namespace = testNamespace(t);
	namespace.run('nft', '-f', fixture);
	const rules = socketIn(t, namespace).listRules(table);
	const unknown = rules.flatMap((rule) => rule.expressions.flatMap((each) => (each.kind === 'other' ? [each.name] : [])));
	assert.ok(rules.length > 80);
	assert.deepEqual(unknown, ['meta', 'meta'], 'meta iiftype and meta hour');
});

const statements: readonly (readonly [nft: string, ours: readonly Expression[]])[] = [
	['iifname "cali*" accept', [...matchInterface('iifname', 'cali*'), accept()]],
	['oifname != "cali0" drop', [...matchInterface('oifname', 'cali0', 'neq'), drop()]],
	['ct state established,related accept', [...matchCtState('established', 'related'), accept()]],
	['ct status dnat return', [...matchCtStatus('dnat'), returnToCaller()]],
	['meta mark & 0x00010000 != 0 accept', [...matchMark(0x10000, 'nonzero'), accept()]],
	['meta mark & 0x80000000 == 0 accept', [...matchMark(0x80000000, 'zero'), accept()]],
	['meta mark set meta mark & 0x0000ffff', setMark(0xffff, 0)],
	['meta mark set meta mark | 0x80040000', setMark(0xffffffff, 0x80040000)],
	['meta nfproto ipv6 goto other', [...matchFamily(6), goTo('other')]],
	['meta l4proto != tcp jump other', [...matchProtocol(6, 'neq'), jump('other')]],
	['ip saddr 10.65.0.0/16 counter accept', [...matchFamily(4), ...matchPrefix('ip saddr', cidr('10.65.0.0/16')), counter(), accept()]],
	['ip daddr != 10.64.0.0/13 drop', [...matchFamily(4), ...matchPrefix('ip daddr', cidr('10.64.0.0/13'), 'neq'), drop()]],
	['ip6 saddr fe80::/10 accept', [...matchFamily(6), ...matchPrefix('ip6 saddr', cidr('fe80::/10')), accept()]],
	['ip6 daddr fd00::1 accept', [...matchFamily(6), ...matchPrefix('ip6 daddr', cidr('fd00::1/128')), accept()]],
	['tcp dport 8080 accept', [...matchProtocol(6), ...match('th dport', packKey(['inet_service'], ['8080'])), accept()]],
	[
		'udp sport 1000-2000 accept',
		[...matchProtocol(17), ...matchRange('th sport', packKey(['inet_service'], ['1000']), packKey(['inet_service'], ['2000'])), accept()],
	],
	[
		'udp dport != 1000-2000 accept',
		[
			...matchProtocol(17),
			...matchRange('th dport', packKey(['inet_service'], ['1000']), packKey(['inet_service'], ['2000']), 'neq'),
			accept(),
		],
	],
	['fib daddr type local notrack', [...matchFib(['daddr'], 'local'), { kind: 'notrack' }]],
	['iifname . ip saddr @sources accept', [...matchFamily(4), ...inSet(['iifname', 'ip saddr'], 'sources'), accept()]],
	['ip6 daddr != @pools accept', [...matchFamily(6), ...inSet(['ip6 daddr'], 'pools', true), accept()]],
	['iifname vmap @dispatch', verdictMap(['iifname'], 'dispatch')],
	['dnat ip to ip daddr map @floating', natByMap('dnat', 4, ['ip daddr'], 'floating')],
	['dnat ip6 to fd00::7', natTo('dnat', 6, ip('fd00::7'))],
];

test('the ready-made statements are the ones nft makes of its own words', (t) => {
	const namespace = testNamespace(t);
	const definition = `table inet tortie {
		set sources { type ifname . ipv4_addr; }
		set pools { type ipv6_addr; flags interval; }
		map dispatch { type ifname : verdict; }
		map floating { type ipv4_addr : ipv4_addr; }
		chain other { }
		chain filter { type filter hook prerouting priority raw; }
		chain nat { type nat hook prerouting priority dstnat; }
		chain source_nat { type nat hook postrouting priority srcnat; }
	}`;
	namespace.run('nft', definition);
	const socket = socketIn(t, namespace);
	for (const [words, ours] of statements) {
		const chain = words.startsWith('dnat') ? 'nat' : 'filter';
		namespace.run('nft', `add rule inet tortie ${chain} ${words}`);
		const listed = socket.listRules(table, chain).at(-1);
		assert.deepEqual(withoutFamily(listed?.expressions ?? []), withoutFamily(ours), words);
	}
	for (const [words, ours] of [
		['masquerade fully-random', masquerade()],
		['meta l4proto udp masquerade to :4790-65535 fully-random', [...matchProtocol(17), ...masquerade({ from: 4790, to: 65535 })]],
	] as const) {
		namespace.run('nft', `add rule inet tortie source_nat ${words}`);
		assert.deepEqual(socket.listRules(table, 'source_nat').at(-1)?.expressions, ours, words);
	}
});

/** nft puts the test of the family wherever it first needs it. */
function withoutFamily(expressions: readonly Expression[]): readonly Expression[] {
	const at = expressions.findIndex((each) => each.kind === 'meta' && each.key === 'nfproto');
	return at < 0 ? expressions : expressions.toSpliced(at, 2);
}

test('a refused operation undoes the whole transaction and is named with what the kernel says', (t) => {
	const socket = socketIn(t, testNamespace(t));
	commit(socket, (batch) => batch.addTable(table));
	const generation = socket.generation();
	assert.throws(
		() =>
			commit(socket, (batch) => {
				batch.addChain(table, { name: 'new' });
				batch.deleteChain(table, 'missing');
				batch.addRule(table, { chain: 'new', expressions: inSet(['mark'], 'missing-set') });
			}),
		(error) => {
			assert.ok(kernelError.is(error, 'KERNEL_TRANSACTION_REFUSED'));
			assert.match(error.message, /delete chain inet tortie missing: .*ENOENT/);
			assert.equal(error.path, 'operations[1]');
			assert.deepEqual(
				transactionFailures(error).map(({ index, errno }) => [index, errno]),
				[
					[1, 'ENOENT'],
					[2, 'ENOENT'],
				],
			);
			return true;
		},
	);
	assert.deepEqual(socket.listChains(table), []);
	assert.equal(socket.generation(), generation);
});

test('jumps in a circle are refused as a whole', (t) => {
	const socket = socketIn(t, testNamespace(t));
	assert.throws(
		() =>
			commit(socket, (batch) => {
				batch.addTable(table);
				batch.addChain(table, { name: 'base', base: { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' } });
				batch.addChain(table, { name: 'a' });
				batch.addChain(table, { name: 'b' });
				batch.addRule(table, { chain: 'base', expressions: [jump('a')] });
				batch.addRule(table, { chain: 'a', expressions: [jump('b')] });
				batch.addRule(table, { chain: 'b', expressions: [jump('a')] });
			}),
		(error) => transactionFailures(error).some(({ errno }) => errno === 'ELOOP' || errno === 'EMLINK'),
	);
	assert.deepEqual(socket.listTables(), []);
});

test('an element is swapped and its old chain deleted in one transaction', (t) => {
	const socket = socketIn(t, testNamespace(t));
	const map: SetSpec = { name: 'dispatch', key: ['ifname'], data: 'verdict' };
	const element = (chain: string): SetElement => ({ key: packKey(['ifname'], ['cali1']), data: { verdict: 'goto', chain } });
	commit(socket, (batch) => {
		batch.addTable(table);
		batch.addChain(table, { name: 'old' });
		batch.addSet(table, map);
		batch.addElements(table, map, [element('old')]);
	});
	assert.throws(
		() => commit(socket, (batch) => batch.deleteChain(table, 'old')),
		(error) => transactionFailures(error)[0]?.errno === 'EBUSY',
	);
	commit(socket, (batch) => {
		batch.addChain(table, { name: 'new', comment: 'the next list' });
		batch.deleteElements(table, map, [element('old')]);
		batch.addElements(table, map, [element('new')]);
		batch.flushChain(table, 'old');
		batch.deleteChain(table, 'old');
	});
	assert.deepEqual(socket.listElements(table, map), [element('new')]);
	assert.deepEqual(socket.listChains(table), [{ name: 'new', comment: 'the next list' }]);
});

test('rules are appended, deleted by handle and flushed', (t) => {
	const socket = socketIn(t, testNamespace(t));
	commit(socket, (batch) => {
		batch.addTable(table);
		batch.addChain(table, { name: 'c' });
		for (const comment of ['one', 'two', 'three']) batch.addRule(table, { chain: 'c', expressions: [counter(), accept()], comment });
	});
	const [, two] = socket.listRules(table, 'c');
	assert.ok(two !== undefined);
	commit(socket, (batch) => batch.deleteRule(table, 'c', two.handle));
	assert.deepEqual(
		socket.listRules(table).map(({ comment }) => comment),
		['one', 'three'],
	);
	assert.equal(expressionsFingerprint(two.expressions), expressionsFingerprint([{ kind: 'counter', packets: 7n, bytes: 9n }, accept()]));
	commit(socket, (batch) => batch.flushChain(table, 'c'));
	assert.deepEqual(socket.listRules(table), []);
});

test('intervals of all kinds are listed as they were added, next to each other and up to the last address', (t) => {
	const namespace = testNamespace(t);
	const socket = socketIn(t, namespace);
	const nets: SetSpec = { name: 'nets', key: ['ipv4_addr'], interval: true };
	const nets6: SetSpec = { name: 'nets6', key: ['ipv6_addr'], interval: true };
	const ports: SetSpec = { name: 'ports', key: ['ipv4_addr', 'inet_proto', 'inet_service'], interval: true };
	const elements4 = ['0.0.0.0/8', '10.0.0.0/9', '10.128.0.0/9', '192.0.2.1', '192.0.2.7-192.0.2.9', '255.0.0.0/8'];
	const elements6 = ['::/16', '2001:db8::/32', 'ff00::/8'];
	const elementsPorts = [
		['10.0.0.0/8', '6', '80-90'],
		['0.0.0.0/0', '17', '53'],
	];
	const unpack = (set: SetSpec): readonly (readonly string[])[] =>
		socket.listElements(table, set).map(({ key, keyEnd }) => [...unpackKey(set.key, key), ...unpackKey(set.key, keyEnd ?? key)]);
	commit(socket, (batch) => {
		batch.addTable(table);
		for (const set of [nets, nets6, ports]) batch.addSet(table, set);
		batch.addElements(
			table,
			nets,
			elements4.toReversed().map((text) => packRange(nets.key, [text])),
		);
		batch.addElements(
			table,
			nets6,
			elements6.map((text) => packRange(nets6.key, [text])),
		);
		batch.addElements(
			table,
			ports,
			elementsPorts.map((parts) => packRange(ports.key, parts)),
		);
	});
	assert.deepEqual(unpack(nets), [
		['0.0.0.0', '0.255.255.255'],
		['10.0.0.0', '10.127.255.255'],
		['10.128.0.0', '10.255.255.255'],
		['192.0.2.1', '192.0.2.1'],
		['192.0.2.7', '192.0.2.9'],
		['255.0.0.0', '255.255.255.255'],
	]);
	assert.deepEqual(unpack(nets6), [
		['::', '0:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
		['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
		['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
	]);
	assert.deepEqual(
		new Set(unpack(ports).map(String)),
		new Set(['0.0.0.0,17,53,255.255.255.255,17,53', '10.0.0.0,6,80,10.255.255.255,6,90']),
	);
	assert.match(namespace.run('nft', 'list', 'set', 'inet', 'tortie', 'nets'), /192\.0\.2\.7-192\.0\.2\.9/);
	assert.throws(
		() => commit(socket, (batch) => batch.addElements(table, nets, [packRange(nets.key, ['10.64.0.0/10'])])),
		(error) => transactionFailures(error)[0]?.errno === 'EEXIST',
		'overlaps are refused',
	);
	commit(socket, (batch) => {
		batch.deleteElements(table, nets, [packRange(nets.key, ['10.0.0.0/9']), packRange(nets.key, ['255.0.0.0/8'])]);
		batch.deleteElements(table, ports, [packRange(ports.key, elementsPorts[0] as readonly string[])]);
		batch.flushSet(table, 'nets6');
	});
	assert.deepEqual(
		unpack(nets).map(([first]) => first),
		['0.0.0.0', '10.128.0.0', '192.0.2.1', '192.0.2.7'],
	);
	assert.deepEqual(unpack(ports), [['0.0.0.0', '17', '53', '255.255.255.255', '17', '53']]);
	assert.deepEqual(unpack(nets6), []);
});

test('100,000 elements go in and out, and one change of such a set is quick', (t) => {
	const socket = socketIn(t, testNamespace(t));
	const set: SetSpec = { name: 'members', key: ['ipv4_addr'] };
	const elements = Array.from({ length: 100_000 }, (_, index) => ({
		key: Uint8Array.of(10, index >> 16, (index >> 8) & 0xff, index & 0xff),
	}));
	const load = performance.now();
	commit(socket, (batch) => {
		batch.addTable(table);
		batch.addSet(table, set);
		batch.addElements(table, set, elements);
	});
	const list = performance.now();
	assert.equal(socket.listElements(table, set).length, 100_000);
	const one = performance.now();
	const rounds = 1000;
	for (let round = 0; round < rounds; round++) {
		commit(socket, (batch) => batch.deleteElements(table, set, elements.slice(round, round + 1)));
		commit(socket, (batch) => batch.addElements(table, set, elements.slice(round, round + 1)));
	}
	const end = performance.now();
	t.diagnostic(
		`load ${(list - load).toFixed(0)} ms, list ${(one - list).toFixed(0)} ms, one element ${(((end - one) / rounds / 2) * 1000).toFixed(1)} µs`,
	);
	assert.equal(socket.listElements(table, set).length, 100_000);
});

test('a whole table is replaced in one transaction', (t) => {
	const socket = socketIn(t, testNamespace(t));
	const build = (batch: NftBatch, chain: string): void => {
		batch.addTable(table);
		batch.addChain(table, { name: chain });
		batch.addRule(table, { chain, expressions: [drop()] });
	};
	commit(socket, (batch) => build(batch, 'first'));
	commit(socket, (batch) => {
		batch.addTable(table);
		batch.deleteTable(table);
		build(batch, 'second');
	});
	assert.deepEqual(socket.listChains(table), [{ name: 'second' }]);
	assert.equal(socket.listRules(table).length, 1);
});

test('listings of a table that is not there are empty', (t) => {
	const socket = socketIn(t, testNamespace(t));
	assert.deepEqual([socket.listTables(), socket.listChains(table), socket.listRules(table), socket.listSets(table)], [[], [], [], []]);
	assert.deepEqual(socket.listElements(table, { name: 'none', key: ['mark'] }), []);
});

test('changes of others are reported, own ones are not', async (t) => {
	const namespace = testNamespace(t);
	const own = socketIn(t, namespace);
	const other = socketIn(t, namespace);
	const events: NftEvent[] = [];
	const monitor = new NftMonitor({
		namespaceFd: namespace.fd,
		ownPortIds: [own.portId],
		onEvents: (batch) => events.push(...batch),
	});
	t.after(() => monitor[Symbol.dispose]());
	const set: SetSpec = { name: 'members', key: ['ipv4_addr'] };
	commit(own, (batch) => {
		batch.addTable(table);
		batch.addChain(table, { name: 'c' });
		batch.addSet(table, set);
	});
	commit(other, (batch) => {
		batch.addRule(table, { chain: 'c', expressions: [drop()] });
		batch.addElements(table, set, [{ key: packKey(['ipv4_addr'], ['10.0.0.1']) }]);
	});
	await until(() => events.some(({ kind }) => kind === 'generation'), 'the other socket shows');
	assert.deepEqual(
		events.map((event) =>
			'change' in event ? [event.change, event.kind, event.family, event.table, event.name, event.portId] : event.kind,
		),
		[['new', 'rule', 'inet', 'tortie', 'c', other.portId], ['new', 'elements', 'inet', 'tortie', 'members', other.portId], 'generation'],
	);
	const [last] = events.slice(-1);
	assert.ok(last?.kind === 'generation' && last.generation === own.generation());
	// the kernel counts processes in the initial PID namespace; from within another our own number there can't be told
	if (readlinkSync('/proc/self/ns/pid') === INITIAL_PID_NAMESPACE) assert.equal(last.processId, process.pid);
	else assert.ok((last.processId ?? 0) > 0);
	events.length = 0;
	namespace.run('nft', 'delete', 'table', 'inet', 'tortie');
	await until(() => events.some((event) => event.kind === 'table' && event.change === 'delete'), 'the table goes');
});

test('a monitor that cannot keep up says so and goes on', async (t) => {
	const namespace = testNamespace(t);
	const socket = socketIn(t, namespace);
	const events: NftEvent[] = [];
	const monitor = new NftMonitor({ namespaceFd: namespace.fd, onEvents: (batch) => events.push(...batch) });
	t.after(() => monitor[Symbol.dispose]());
	const set: SetSpec = { name: 'members', key: ['ipv4_addr'] };
	// the thread is busy committing, so nothing is read meanwhile
	commit(socket, (batch) => {
		batch.addTable(table);
		batch.addSet(table, set);
	});
	for (let round = 0; round < 30_000 && !events.some(({ kind }) => kind === 'resync'); round++) {
		const element = { key: Uint8Array.of(10, round >> 16, (round >> 8) & 0xff, round & 0xff) };
		commit(socket, (batch) => batch.addElements(table, set, [element]));
	}
	await until(() => events.some(({ kind }) => kind === 'resync'), 'a resync is asked for');
	events.length = 0;
	commit(socket, (batch) => batch.deleteTable(table));
	await until(() => events.some((event) => event.kind === 'table' && event.change === 'delete'), 'events after the loss');
});
