import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { native } from '../../src/kernel/native.ts';

const ENOENT = 2;
const EINVAL = 22;
const EBADF = 9;

test('a call with arguments of the wrong kind is refused without an exception', () => {
	const addon = native() as unknown as Record<string, (...args: readonly unknown[]) => number>;
	const names = Object.keys(addon);
	assert.equal(names.length, 25);
	const junk: readonly (readonly unknown[])[] = [
		[],
		[undefined, null, {}, [], 'x', Symbol('x')],
		['1', '2', '3', '4', '5', '6'],
		[{}, {}, {}, {}, {}, {}],
		[-1, new Float64Array(4), 0, 0, 0],
		[-1, new Uint16Array(4), 0, 0, 0],
		[-1, 'x', new Uint8Array(4), new Uint8Array(4), 0],
	];
	for (const name of names)
		for (const args of junk) {
			const result = (addon[name] as (...args: readonly unknown[]) => number)(...args);
			// a text is a good path, of a file that is not there
			assert.ok([-EINVAL, -EBADF, -ENOENT].includes(result), `${name}(${args.map(String).join()}) gave ${result}`);
		}
});

test('no call reads or writes outside of the buffer it was given', () => {
	const addon = native();
	const buffer = new Uint8Array(8);
	for (const [offset, length] of [
		[-1, 4],
		[0, 9],
		[9, 0],
		[8, 1],
		[4, -1],
		[2 ** 31 - 1, 2 ** 31 - 1],
	] as const) {
		assert.equal(addon.recv(-1, buffer, offset, length, 0), -EINVAL);
		assert.equal(addon.send(-1, buffer, offset, length, 0), -EINVAL);
	}
	assert.equal(addon.sendBuffers(-1, [buffer], 9), -EINVAL);
	assert.equal(addon.sendBuffers(-1, [buffer, 'x' as unknown as Uint8Array], 0), -EINVAL);
	assert.equal(addon.sendFds(-1, buffer, new Int32Array(65)), -EINVAL);
	assert.equal(addon.recvFds(-1, buffer, new Int32Array(1)), -EINVAL);
	assert.equal(addon.recv(-1, buffer, 8, 0, 0), -EBADF);
	assert.equal(addon.createNamespace('x'.repeat(5000)), -EINVAL);
	assert.equal(addon.mount('a\0b', '/nowhere', 'none', 0), -EINVAL);
	assert.equal(addon.pollUpdate(12_345, 1), -EINVAL);
	assert.equal(addon.pollStop(-5), -EINVAL);
});

test('an exception in an event handler ends the process with its message, as elsewhere in Node', () => {
	const script = `
		import(${JSON.stringify(new URL('../../src/kernel/index.ts', import.meta.url).href)}).then(({ TcpListener }) => {
			const listener = new TcpListener({ address: '127.0.0.1', port: 0, onError() {}, onConnection() { throw new Error('thrown in a handler'); } });
			require('node:net').connect(listener.local.port, '127.0.0.1');
		});`;
	const { status, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 60_000 });
	assert.equal(status, 1);
	assert.match(stderr, /Error: thrown in a handler/);
});
