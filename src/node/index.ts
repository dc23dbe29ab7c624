/** calico-node: start-up, supervision of the components, probes and the node API; and each component by itself. */
import type { Environment } from './settings.ts';

export { nodeCommand } from './commands/node.ts';

/** Runs a component by itself; what they need is loaded only here, since the node's main thread does without it. */
export async function componentCommand(name: 'felix' | 'bgpd' | 'confd', args: readonly string[], env: Environment): Promise<number> {
	const { felixCommand, bgpdCommand, confdCommand } = await import('./commands/alone.ts');
	switch (name) {
		case 'felix':
			return felixCommand(args, env);
		case 'bgpd':
			return bgpdCommand(args, env);
		case 'confd':
			return confdCommand(args, env);
	}
	return name satisfies never;
}
