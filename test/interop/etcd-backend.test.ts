import { EtcdBackend } from '#datastore';
import { testBackendContract } from '../../src/datastore/backend-contract.ts';
import { etcdKey } from '../../src/datastore/etcd/keys.ts';
import { EtcdServer } from '../support/etcd.ts';

testBackendContract('the etcd backend', async () => {
	const server = await EtcdServer.start();
	const backend = new EtcdBackend({ random: Math.random }, { endpoints: [server.endpoint] });
	return {
		backend,
		storeInvalid: async (key) => void (await server.ctl('put', etcdKey(key), '{"spec":{"bgp":7}}')),
		async compact() {
			const [status] = JSON.parse(await server.ctl('endpoint', 'status', '-w', 'json')) as [{ Status: { header: { revision: number } } }];
			await server.ctl('compact', String(status.Status.header.revision));
		},
		async interrupt() {
			await server.restart();
			await backend.ping();
		},
		async [Symbol.asyncDispose]() {
			await backend[Symbol.asyncDispose]();
			await server[Symbol.asyncDispose]();
		},
	};
});
