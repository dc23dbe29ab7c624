import { join } from 'node:path';

/** Every file of the host that the node's components use. */
export interface HostPaths {
	/** The name under which this host is a node, for the CNI plugin and tools. */
	readonly nodeNameFile: string;
	/** The MTU for workloads, found on this host: one number. */
	readonly mtuFile: string;
	/** The node API. */
	readonly nodeSocket: string;
	/** Where the CNI plugin hands its requests in. */
	readonly cniSocket: string;
	/** BIRD's control socket, also served by the built-in BGP daemon; the second one shows IPv6 alone. */
	readonly birdSocket: string;
	readonly bird6Socket: string;
	readonly birdConfigFile: string;
	/** What the built-in BGP daemon ran with last. */
	readonly lastRouterFile: string;
	/** Passwords of BGP sessions: a directory for each secret, a file in it for each key. */
	readonly secretsDirectory: string;
}

/** The paths under another root; `/` gives those of Calico. Several nodes on one machine need a root each. */
export function hostPaths(root: string): HostPaths {
	const runDirectory = join(root, 'var/run/calico');
	return {
		nodeNameFile: join(root, 'var/lib/calico/nodename'),
		mtuFile: join(root, 'var/lib/calico/mtu'),
		nodeSocket: join(runDirectory, 'node.sock'),
		cniSocket: join(runDirectory, 'cni.sock'),
		birdSocket: join(runDirectory, 'bird.ctl'),
		bird6Socket: join(runDirectory, 'bird6.ctl'),
		lastRouterFile: join(root, 'var/lib/calico/bgp-router'),
		birdConfigFile: join(root, 'etc/calico/confd/config/bird.cfg'),
		secretsDirectory: join(root, 'etc/calico/bgp-secrets'),
	};
}
