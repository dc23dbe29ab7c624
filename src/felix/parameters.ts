import { type FelixConfiguration, parseDurationMs } from '#resources';

type Spec = FelixConfiguration['spec'];

/** One setting of Felix, with its two spellings: text in the environment, a field in FelixConfiguration. */
export interface Parameter<Value> {
	/** As in Felix's documentation; the environment has it after `FELIX_`, in any case. */
	readonly name: string;
	readonly initial: Value;
	/** The value that the word `none` stands for; undefined where none makes no sense. */
	readonly none: Value | undefined;
	/** Undefined if the text is not a value. */
	parse(text: string): Value | undefined;
	/** Undefined if the object does not set it. */
	read(spec: Spec): Value | undefined;
	/** A value that cannot be used stops Felix, since going on with another would change what is enforced. */
	readonly isVital: boolean;
}

function parameter<Value>(
	name: string,
	initial: Value,
	parse: (text: string) => Value | undefined,
	read: (spec: Spec) => Value | undefined,
	none?: Value,
): Parameter<Value> {
	return { name, initial, parse, read, none, isVital: false };
}

function vital<Value>(
	name: string,
	initial: Value,
	parse: (text: string) => Value | undefined,
	read: (spec: Spec) => Value | undefined,
): Parameter<Value> {
	return { name, initial, parse, read, none: undefined, isVital: true };
}

function flag(text: string): boolean | undefined {
	const word = text.toLowerCase();
	if (['true', '1', 'yes', 'y', 't'].includes(word)) return true;
	return ['false', '0', 'no', 'n', 'f'].includes(word) ? false : undefined;
}

function integer(min: number, max: number): (text: string) => number | undefined {
	return (text) => {
		if (!/^(?:0x[0-9a-f]{1,8}|[0-9]{1,10})$/i.test(text)) return undefined;
		const value = Number(text);
		return value >= min && value <= max ? value : undefined;
	};
}

function oneOf<const Values extends readonly string[]>(...values: Values): (text: string) => Values[number] | undefined {
	return (text) => values.find((value) => value.toLowerCase() === text.toLowerCase());
}

function matching(expression: RegExp): (text: string) => string | undefined {
	return (text) => (expression.test(text) ? text : undefined);
}

/** Seconds, with a fraction. */
function seconds(text: string): number | undefined {
	return /^[0-9]{1,9}(?:\.[0-9]{1,9})?$/.test(text) ? Number(text) * 1000 : undefined;
}

function durationMs(text: string | undefined): number | undefined {
	return text === undefined || text === '' ? undefined : parseDurationMs(text);
}

const bindHost = matching(/^[a-zA-Z0-9:._+-]{1,64}$/);

const LEVELS = ['Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal'] as const;
const logLevel = oneOf(...LEVELS);

/** Every parameter that Felix acts upon. */
export const PARAMETERS = {
	interfacePrefix: vital('InterfacePrefix', 'cali', matching(/^[a-zA-Z0-9_-]{1,15}$/), (spec) => spec.interfacePrefix || undefined),
	endpointToHostAction: vital<'Drop' | 'Accept' | 'Return'>(
		'DefaultEndpointToHostAction',
		'Drop',
		oneOf('Drop', 'Accept', 'Return'),
		(spec) => spec.defaultEndpointToHostAction,
	),
	markMask: vital('NftablesMarkMask', 0xffff_0000, integer(1, 0xffff_ffff), (spec) => spec.nftablesMarkMask),
	denyAction: vital<'Drop' | 'Reject'>(
		'NftablesFilterDenyAction',
		'Drop',
		oneOf('Drop', 'Reject'),
		(spec) => spec.nftablesFilterDenyAction,
	),
	workloadSourceSpoofing: parameter<'Disabled' | 'Any'>(
		'WorkloadSourceSpoofing',
		'Disabled',
		oneOf('Disabled', 'Any'),
		(spec) => spec.workloadSourceSpoofing,
	),
	keepInvalid: parameter('DisableConntrackInvalidCheck', false, flag, (spec) => spec.disableConntrackInvalidCheck, false),
	allowVxlan: parameter('AllowVXLANPacketsFromWorkloads', false, flag, (spec) => spec.allowVXLANPacketsFromWorkloads, false),
	allowIpip: parameter('AllowIPIPPacketsFromWorkloads', false, flag, (spec) => spec.allowIPIPPacketsFromWorkloads, false),
	vxlanPort: parameter('VXLANPort', 4789, integer(1, 65_535), (spec) => spec.vxlanPort),
	logPrefix: parameter('LogPrefix', 'calico-packet', matching(/^[a-zA-Z0-9%: /_-]{0,40}$/), (spec) => spec.logPrefix || undefined, ''),
	routeProtocol: parameter('DeviceRouteProtocol', 3, integer(3, 255), (spec) => spec.deviceRouteProtocol),
	removeExternalRoutes: parameter('RemoveExternalRoutes', true, flag, (spec) => spec.removeExternalRoutes, false),
	nftablesRefreshMs: parameter('NftablesRefreshInterval', 180_000, seconds, (spec) => durationMs(spec.nftablesRefreshInterval), 0),
	routeRefreshMs: parameter('RouteRefreshInterval', 90_000, seconds, (spec) => durationMs(spec.routeRefreshInterval), 0),
	logSeverity: parameter<(typeof LEVELS)[number]>(
		'LogSeverityScreen',
		'Info',
		logLevel,
		(spec) => logLevel(spec.logSeverityScreen ?? ''),
		'Fatal',
	),
	metricsEnabled: parameter('PrometheusMetricsEnabled', false, flag, (spec) => spec.prometheusMetricsEnabled, false),
	metricsHost: parameter('PrometheusMetricsHost', '', bindHost, (spec) => spec.prometheusMetricsHost, ''),
	metricsPort: parameter('PrometheusMetricsPort', 9091, integer(0, 65_535), (spec) => spec.prometheusMetricsPort, 0),
} as const;

/** The values in force. */
export type FelixConfig = {
	readonly [Name in keyof typeof PARAMETERS]: (typeof PARAMETERS)[Name] extends Parameter<infer Value> ? Value : never;
};
