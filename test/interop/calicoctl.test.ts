import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { main } from '#calicoctl';
import { EtcdServer } from '../support/etcd.ts';

let etcd: EtcdServer;
before(async () => {
	etcd = await EtcdServer.start();
});
after(() => etcd[Symbol.asyncDispose]());

interface Run {
	readonly status: number;
	readonly out: string;
	readonly err: string;
}

async function calicoctl(words: string, input = ''): Promise<Run> {
	let out = '';
	let err = '';
	const io = {
		env: { ETCD_ENDPOINTS: etcd.endpoint },
		writeOut: (text: string) => void (out += text),
		writeError: (text: string) => void (err += text),
		readStandardInput: () => Promise.resolve(input),
	};
	const status = await main(words.split(' '), io, '9.8.7');
	return { status, out, err };
}

async function etcdKeys(): Promise<readonly string[]> {
	return (await etcd.ctl('get', '', '--prefix', '--keys-only')).split('\n').filter((line) => line !== '');
}

const POOL = 'apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: pool-a}\nspec: {cidr: 10.80.0.0/24, natOutgoing: true}\n';
const policy = (name: string, order: number): string =>
	`apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: ${name}, namespace: prod}\nspec:\n  order: ${order}\n  selector: app == 'web'\n  ingress:\n  - action: Allow\n    protocol: TCP\n    destination: {ports: [80, "8000:8100"]}\n`;

test('a pool is created, shown in every format, replaced and deleted', async () => {
	assert.deepEqual(await calicoctl('create -f -', POOL), { status: 0, out: "Successfully created 1 'IPPool' resource(s)\n", err: '' });
	assert.equal((await calicoctl('get ippool')).out, 'NAME     CIDR           SELECTOR\npool-a   10.80.0.0/24   all()\n\n');
	assert.match((await calicoctl('get pools -o wide')).out, /^NAME +CIDR +NAT +IPIPMODE +VXLANMODE +DISABLED +DISABLEBGPEXPORT +SELECTOR/);
	const list = JSON.parse((await calicoctl('get ippools -o json')).out) as { kind: string; items: { spec: { blockSize: number } }[] };
	assert.equal(list.kind, 'IPPoolList');
	assert.equal(list.items[0]?.spec.blockSize, 26);
	const { out } = await calicoctl('get ippool pool-a -o yaml');
	const changed = out.replace('natOutgoing: true', 'natOutgoing: false');
	assert.equal((await calicoctl('replace -f -', changed)).status, 0);
	const stale = await calicoctl('replace -f -', changed);
	assert.equal(stale.status, 1);
	assert.match(stale.err, /resource version '\d+' is out of date \(latest: \d+\)/);
	assert.match((await calicoctl('get ipp pool-a -o yaml')).out, /natOutgoing: false/);
	assert.equal((await calicoctl('delete ippool pool-a')).out, "Successfully deleted 1 'IPPool' resource(s)\n");
	assert.equal((await calicoctl('delete ippool pool-a')).status, 1);
	assert.equal((await calicoctl('delete ippool pool-a --skip-not-exists')).status, 0);
});

test('apply creates what is not there and replaces what is, of several kinds at once', async () => {
	const both = `${policy('allow-web', 10)}---\n${policy('deny-rest', 20)}`;
	assert.equal((await calicoctl('apply -f -', both)).out, "Successfully applied 2 'NetworkPolicy' resource(s)\n");
	const mixed = `${policy('allow-web', 15)}---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: office}\nspec: {nets: [192.0.2.0/24]}\n`;
	assert.equal((await calicoctl('apply -f -', mixed)).out, 'Successfully applied 2 resource(s)\n');
	assert.match((await calicoctl('get policy -n prod -o wide')).out, /allow-web +default +15 +app == 'web'/);
	assert.match((await calicoctl('get policies -A')).out, /^NAMESPACE +NAME +TIER\nprod +allow-web +default\n/);
	const exported = parse((await calicoctl('get policy allow-web -n prod -o yaml --export')).out) as { metadata: Record<string, unknown> };
	assert.deepEqual(Object.keys(exported.metadata).sort(), ['labels', 'name']);
	assert.equal((await calicoctl('create --skip-exists -f -', both)).status, 0);
	assert.equal((await calicoctl('delete -f -', mixed)).out, 'Successfully deleted 2 resource(s)\n');
});

test('an invalid resource is refused by file, line and field, and nothing of its file is written', async () => {
	const before = await etcdKeys();
	const file = join(etcd.dir, 'bad.yaml');
	await writeFile(
		file,
		`${policy('good', 1)}---\n${policy('bad', 2).replace('action: Allow', 'action: Alow').replace('selector:', 'selektor:')}`,
	);
	const { status, out, err } = await calicoctl(`apply -f ${file}`);
	assert.equal(status, 1);
	assert.equal(out, '');
	assert.match(err, /bad\.yaml:\d+: spec\.ingress\[0\]\.action: found "Alow"; allowed: /);
	assert.match(err, /bad\.yaml:\d+: spec\.selektor: .*did you mean selector\?/);
	assert.match(err, /Nothing was written/);
	assert.deepEqual(await etcdKeys(), before);
});

test('usage errors say what to do and exit with 1', async () => {
	for (const [words, expected] of [
		['get polic', /did you mean polic/],
		['get', /neither a kind nor a file/],
		['apply', /required option '-f, --filename <file>'/],
		['get pools -o xml', /Allowed choices are ps, wide, yaml, json/],
		['apply -f /nonexistent.yaml', /nonexistent\.yaml: there is no such file or directory/],
		['get ippool nope', /nope/],
		['frobnicate', /unknown command/],
	] as const) {
		const { status, err } = await calicoctl(words);
		assert.equal(status, 1, words);
		assert.match(err, expected, words);
	}
});

test('version shows the client, and the cluster once there is one', async () => {
	assert.equal((await calicoctl('version --client')).out, 'Client Version:    v9.8.7\n');
	assert.match((await calicoctl('version')).out, /Cluster Version: +(unknown|v)/);
});

test('ipam show tells how full a pool is and who has an address', async () => {
	await calicoctl('apply -f -', POOL);
	assert.match((await calicoctl('ipam show')).out, /\| IP Pool +\| 10\.80\.0\.0\/24 \| 256 +\| 0 \(0%\) +\| 0 \(0%\) +\| 256 \(100%\) \|/);
	assert.equal((await calicoctl('ipam show --ip 10.80.0.7')).out, '10.80.0.7 is not assigned\n');
	assert.match((await calicoctl('ipam show --show-configuration')).out, /StrictAffinity +\| false/);
	assert.equal((await calicoctl('ipam show --ip 10.80.0')).status, 1);
});
