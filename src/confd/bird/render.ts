import type { PeerConfig, RouterConfig } from '#bgp';
import { cidrFamily, FAMILIES, type Family, ipFamily } from '#net';
import type { ConfigProblem } from '../problem.ts';
import { BirdFilters, quote, STATIC_PROTOCOL } from './filters.ts';

/** The main table of the kernel (`linux/rtnetlink.h`, RT_TABLE_MAIN). */
const MAIN_TABLE = 254;

/**
 * Renders the router model as one configuration file for BIRD 2 (2.0.12 and later). Both families live in one daemon. The
 * text depends on the model alone, so equal models give equal bytes.
 *
 * @returns the file's text, and a problem for each peer that BIRD's grammar cannot express, which is left out
 */
export function renderBird(config: RouterConfig): { readonly text: string; readonly problems: readonly ConfigProblem[] } {
	const filters = new BirdFilters();
	const problems = config.peers
		.filter((peer) => !canSpell(peer.password))
		.map((peer) => ({
			subject: `BGP session ${peer.name}`,
			message: 'its password has a " or a line break, which BIRD cannot read; the session is held down until the password is another',
		}));
	const protocols = [
		renderDirect(config),
		...FAMILIES.map((family) => renderKernel(config, family, filters)),
		...FAMILIES.flatMap((family) => renderStatics(config, family)),
		...config.peers.filter((peer) => canSpell(peer.password)).map((peer) => renderPeer(config, peer, filters)),
	];
	const parts = [
		`log stderr all;\ntimeformat protocol iso long ms;\nrouter id ${config.routerId};\ngraceful restart wait ${config.kernel.recoverySeconds};\n`,
		'protocol device {\n\tscan time 10;\n}\n',
		filters.text(),
		...protocols,
	];
	return { text: parts.join('\n'), problems };
}

/** Whether a key can be written down: BIRD's strings have no escapes. */
function canSpell(password: string | undefined): boolean {
	return password === undefined || !/["\n\r\0]/.test(password);
}

function renderDirect(config: RouterConfig): string {
	const ignored = config.ignoredInterfaces.map((pattern) => `-${quote(pattern)}, `).join('');
	return block('protocol direct', ['ipv4;', 'ipv6;', `interface ${ignored}"*";`]);
}

function renderKernel(config: RouterConfig, family: Family, filters: BirdFilters): string {
	// BIRD 2 would export device routes, and would black-hole service addresses that are only announced.
	const filter = filters.name(config.kernel.filter, family, [
		'if source = RTS_DEVICE then reject;',
		`if proto = "${STATIC_PROTOCOL.service}${family}" then reject;`,
	]);
	return block(`protocol kernel kernel${family}`, [
		...(config.kernel.table === MAIN_TABLE ? [] : [`kernel table ${config.kernel.table};`]),
		'learn;',
		'persist;',
		'graceful restart;',
		'scan time 10;',
		`metric ${config.kernel.metric[family]};`,
		'merge paths yes;',
		channel(family, ['import all;', `export filter ${filter};`]),
	]);
}

function renderStatics(config: RouterConfig, family: Family): string[] {
	const originated = config.originate.filter((route) => cidrFamily(route.prefix) === family);
	const routes = {
		block: originated.filter((route) => route.kind === 'block').map((route) => `route ${route.prefix} blackhole;`),
		service: originated.filter((route) => route.kind === 'service').map((route) => `route ${route.prefix} blackhole;`),
		reachable: config.staticRoutes
			.filter((route) => cidrFamily(route.prefix) === family)
			.map((route) => `route ${route.prefix} via ${route.gateway};`),
	};
	return (['block', 'service', 'reachable'] as const)
		.filter((kind) => routes[kind].length > 0)
		.map((kind) => block(`protocol static ${STATIC_PROTOCOL[kind]}${family}`, [`ipv${family};`, ...routes[kind]]));
}

function renderPeer(config: RouterConfig, peer: PeerConfig, filters: BirdFilters): string {
	const family = ipFamily(peer.address);
	const bound = config.listen.addresses?.find((address) => ipFamily(address) === family);
	const local = peer.sourceAddress ?? bound;
	return block(`protocol bgp ${peer.name}`, [
		`local${local === undefined ? '' : ` ${local}`} port ${config.listen.port} as ${peer.localAsNumber ?? config.asNumber};`,
		`neighbor ${peer.address} port ${peer.port} as ${peer.asNumber};`,
		...(peer.ttlSecurityHops === undefined ? ['multihop;'] : ['ttl security on;', `multihop ${peer.ttlSecurityHops};`]),
		...(bound === undefined ? [] : ['strict bind on;']),
		...(peer.passive ? ['passive on;'] : []),
		...(peer.password === undefined ? [] : [`password "${peer.password}";`]),
		...(peer.routeReflectorClusterId === undefined ? [] : ['rr client;', `rr cluster id ${peer.routeReflectorClusterId};`]),
		...(peer.allowedLocalAs === 0 ? [] : [`allow local as ${peer.allowedLocalAs};`]),
		`hold time ${peer.holdTimeSeconds};`,
		'graceful restart on;',
		`graceful restart time ${peer.restartTimeSeconds};`,
		'connect delay time 2;',
		'connect retry time 5;',
		'error wait time 5, 30;',
		...peer.families.map((entry) =>
			channel(entry.family, [
				`import filter ${filters.name(entry.importFilter, entry.family)};`,
				`export filter ${filters.name(entry.exportFilter, entry.family)};`,
				'add paths on;',
				'gateway recursive;',
				...(peer.nextHop === 'auto' ? [] : [`next hop ${peer.nextHop};`]),
			]),
		),
	]);
}

function channel(family: Family, lines: readonly string[]): string {
	return `ipv${family} {\n${lines.map((line) => `\t\t${line}\n`).join('')}\t};`;
}

function block(head: string, lines: readonly string[]): string {
	return `${head} {\n${lines.map((line) => `\t${line}\n`).join('')}}\n`;
}
