/**
 * Runs a BGP daemon in the namespace of this process, driven by lines of JSON: `{"config": RouterConfig}` and `{"status": id}` on
 * standard input; `{"status": id, "value": RouterStatus}`, `{"applied": true}` and `{"log": …}` on standard output.
 */
import { createInterface } from 'node:readline';
import type { RouterConfig } from '#bgp';
import { Bgpd } from '#bgpd';
import { explainError } from '#errors';

interface Settings {
	readonly controlSocket: string | undefined;
	readonly kernelRoutes: boolean;
}

const settings = JSON.parse(process.argv[2] ?? '{}') as Settings;

function print(value: unknown): void {
	process.stdout.write(`${JSON.stringify(value)}\n`);
}

function log(level: string) {
	return (fields: Readonly<Record<string, unknown>>, message: string): void => print({ log: level, message, ...fields });
}

const daemon = new Bgpd(
	{
		log: { info: log('info'), warn: log('warn'), error: log('error') },
		now: () => performance.now(),
		wallClock: () => Date.now(),
		random: () => Math.random(),
	},
	{
		controlSockets: settings.controlSocket === undefined ? [] : [{ path: settings.controlSocket, family: undefined }],
		kernelRoutes: settings.kernelRoutes,
	},
);

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
	const request = JSON.parse(line) as { config?: RouterConfig; status?: number };
	try {
		if (request.config !== undefined) {
			daemon.applyConfig(request.config);
			print({ applied: true });
		}
	} catch (error) {
		print({ applied: false, reason: explainError(error) });
	}
	if (request.status !== undefined) print({ status: request.status, value: daemon.status(), rss: process.memoryUsage.rss() });
});
input.on('close', () => {
	void daemon[Symbol.asyncDispose]().then(() => process.exit(0));
});
process.on('SIGTERM', () => {
	void daemon[Symbol.asyncDispose]().then(() => process.exit(0));
});
