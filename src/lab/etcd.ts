import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { entriesByFamily, type LabPlan, type SegmentPlan } from './plan.ts';
import type { LabPaths } from './state.ts';

const CLIENT_PORT = 2379;

/** The endpoint by which the lab's nodes reach etcd: the router of the first segment. */
export function etcdEndpoint(plan: LabPlan): string {
	const [, { address }] = entriesByFamily((plan.segments[0] as SegmentPlan).gateway)[0] as ReturnType<
		typeof entriesByFamily<{ readonly address: string }>
	>[0];
	return `http://${address.includes(':') ? `[${address}]` : address}:${CLIENT_PORT}`;
}

/** Arguments of etcd. It is to be started in the lab's directory, where it makes its UNIX socket. */
export function etcdArguments(plan: LabPlan, paths: LabPaths): readonly string[] {
	const client = etcdEndpoint(plan);
	const peer = 'http://127.0.0.1:2380';
	const settings: Readonly<Record<string, string>> = {
		name: 'lab',
		'data-dir': paths.etcdData,
		logger: 'zap',
		'log-level': 'warn',
		// etcd takes no path here, but host and port, and makes a socket of that name in its working directory
		'listen-client-urls': `${client},unix://${paths.etcdSocketName}`,
		'advertise-client-urls': client,
		'listen-peer-urls': peer,
		'initial-advertise-peer-urls': peer,
		'initial-cluster': `lab=${peer}`,
	};
	return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

/**
 * etcd on loopback for programs that are in none of the lab's namespaces: a port that leads to etcd's UNIX socket, for
 * as long as this object lives.
 */
export class EtcdRelay implements AsyncDisposable {
	readonly endpoint: string;
	readonly #server: Server;
	readonly #sockets: ReadonlySet<Socket>;

	private constructor(server: Server, port: number, sockets: ReadonlySet<Socket>) {
		this.#server = server;
		this.#sockets = sockets;
		this.endpoint = `http://127.0.0.1:${port}`;
	}

	static async open(socketPath: string): Promise<EtcdRelay> {
		const sockets = new Set<Socket>();
		const keep = (socket: Socket, other: Socket): void => {
			sockets.add(socket);
			socket.on('error', () => other.destroy());
			socket.on('close', () => {
				sockets.delete(socket);
				other.destroy();
			});
			socket.pipe(other);
		};
		const server = createServer((client) => {
			const upstream = connect(socketPath);
			keep(client, upstream);
			keep(upstream, client);
		});
		server.listen(0, '127.0.0.1');
		await once(server, 'listening');
		return new EtcdRelay(server, (server.address() as { readonly port: number }).port, sockets);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const socket of this.#sockets) socket.destroy();
		await new Promise((resolve) => this.#server.close(resolve));
	}
}
