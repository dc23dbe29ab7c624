import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Rib } from '#bgp';
import { explainError } from '#errors';
import { FAMILIES, type Family } from '#net';
import type { Log } from '../log.ts';
import { type ControlView, showProtocols, showStatus, VERSION_TEXT } from './commands.ts';
import { formatLast, formatLines, formatReply, type ReplyLine } from './reply.ts';
import { showPrefix } from './routes.ts';
import { shortTime } from './time.ts';

const MAX_CLIENTS = 32;
const MAX_COMMAND_BYTES = 4096;
const IDLE_MS = 300_000;
/** Prefixes listed between two looks at the socket. */
const ROUTE_SLICE = 500;

export interface ControlSocketModules {
	readonly log: Log;
	readonly view: (family: Family | undefined) => ControlView;
	/** Undefined while nothing is configured. */
	readonly ribs: () => Readonly<Record<Family, Rib>> | undefined;
	readonly interfaceName: (index: number) => string | undefined;
}

export interface ControlSocketOptions {
	/** Where the socket file is made, over one left behind. */
	readonly path: string;
	/** `bird.ctl` speaks of IPv4, `bird6.ctl` of IPv6; undefined is both. */
	readonly family: Family | undefined;
}

/** Answers the tools that talk to BIRD 1.x, such as `birdcl` and Calico's status command: read-only. */
export class ControlSocket implements AsyncDisposable {
	readonly #modules: ControlSocketModules;
	readonly #options: ControlSocketOptions;
	readonly #server: Server;
	readonly #clients = new Set<Socket>();

	constructor(modules: ControlSocketModules, options: ControlSocketOptions) {
		this.#modules = modules;
		this.#options = options;
		this.#server = createServer((socket) => this.#serve(socket));
		this.#server.maxConnections = MAX_CLIENTS;
		this.#server.on('error', (error) => modules.log.error({ path: options.path, reason: explainError(error) }, 'control socket failed'));
		rmSync(options.path, { force: true });
		this.#server.listen(options.path, () => chmodSync(options.path, 0o660));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const client of this.#clients) client.destroy();
		await new Promise<void>((resolve) => {
			this.#server.close(() => resolve());
		});
	}

	#serve(socket: Socket): void {
		this.#clients.add(socket);
		socket.setTimeout(IDLE_MS, () => socket.destroy());
		socket.on('error', () => socket.destroy());
		socket.on('close', () => this.#clients.delete(socket));
		socket.write(formatLast({ code: 1, text: `${VERSION_TEXT} ready.` }));
		let pending = '';
		let work = Promise.resolve();
		socket.setEncoding('latin1');
		socket.on('data', (chunk: string) => {
			pending += chunk;
			const lines = pending.split('\n');
			pending = lines.pop() ?? '';
			if (pending.length > MAX_COMMAND_BYTES || lines.length > 64) socket.destroy();
			for (const line of lines) work = work.then(() => this.#answer(socket, line.trim()));
		});
	}

	async #answer(socket: Socket, command: string): Promise<void> {
		if (socket.destroyed) return;
		const { family } = this.#options;
		const [verb, noun, ...rest] = command.split(/\s+/);
		if (verb === 'show' && noun === 'status' && rest.length === 0) {
			const { lines, last } = showStatus(this.#modules.view(family));
			socket.write(formatReply(lines, last));
		} else if (verb === 'show' && noun === 'protocols') {
			const detailed = rest[0] === 'all';
			const name = rest[detailed ? 1 : 0]?.replaceAll('"', '');
			const lines = showProtocols(this.#modules.view(family), detailed, name);
			socket.write(
				lines === undefined ? formatLast({ code: 8003, text: 'No protocols match' }) : formatReply(lines, { code: 0, text: '' }),
			);
		} else if (verb === 'show' && noun === 'route' && (rest.length === 0 || rest[0] === 'all')) await this.#routes(socket);
		else socket.write(formatLast({ code: 9001, text: 'syntax error' }));
	}

	/** Lists routes no faster than the client reads them. */
	async #routes(socket: Socket): Promise<void> {
		const ribs = this.#modules.ribs();
		const view = this.#modules.view(this.#options.family);
		const timeText = shortTime(view.startedMs, view.nowMs);
		let code: number | undefined;
		for (const family of FAMILIES) {
			const rib = ribs?.[family];
			if (rib === undefined || (this.#options.family ?? family) !== family) continue;
			for (let prefix = 0; prefix < rib.index.highWater; ) {
				const lines: ReplyLine[] = [];
				for (const end = prefix + ROUTE_SLICE; prefix < Math.min(end, rib.index.highWater); prefix++)
					if (rib.hasPaths(prefix)) lines.push(...showPrefix(rib, prefix, timeText, this.#modules.interfaceName));
				const formatted = formatLines(lines, code);
				({ code } = formatted);
				if (socket.destroyed) return;
				if (!socket.write(formatted.text)) await drained(socket);
			}
		}
		socket.write(formatLast({ code: 0, text: '' }));
	}
}

function drained(socket: Socket): Promise<void> {
	return new Promise((resolve) => {
		if (socket.destroyed) resolve();
		socket.once('drain', resolve);
		socket.once('close', resolve);
	});
}
