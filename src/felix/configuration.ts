import type { FelixConfiguration } from '#resources';
import { evaluateSelector, type Labels, parseSelector } from '#selector';
import { felixError } from './errors.ts';
import { type FelixConfig, PARAMETERS, type Parameter } from './parameters.ts';
import type { FelixProblem } from './problem.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const ENVIRONMENT_PREFIX = 'felix_';

/** Settings that others read from the environment of the same process. */
const READ_ELSEWHERE = new Set(['felixhostname', 'datastoretype', 'healthenabled', 'healthhost', 'healthport']);

/** Where values come from, strongest first; see `docs` of FelixConfiguration. */
export interface ConfigurationSources {
	readonly environment: Environment;
	/** Every stored FelixConfiguration. */
	readonly resources: Iterable<FelixConfiguration>;
	readonly nodeName: string;
	readonly nodeLabels: Labels;
}

export interface ResolvedConfiguration {
	readonly config: FelixConfig;
	readonly problems: readonly FelixProblem[];
}

/**
 * The values in force: environment, then FelixConfiguration `node.<name>`, then the oldest whose nodeSelector matches, then `default`, then
 * what Felix has built in. An empty text counts as absent everywhere.
 *
 * @throws FELIX_BAD_SETTING if a vital setting in the environment is no value
 */
export function resolveConfiguration(sources: ConfigurationSources): ResolvedConfiguration {
	const problems: FelixProblem[] = [];
	const environment = felixVariables(sources.environment);
	const layers = layersFor(sources, problems);
	const valueOf = <Value>(setting: Parameter<Value>): Value => {
		const text = environment.get(setting.name.toLowerCase());
		if (text !== undefined) {
			const value = text.toLowerCase() === 'none' ? setting.none : setting.parse(text);
			if (value !== undefined) return value;
			const message = `FELIX_${setting.name.toUpperCase()} cannot be ${JSON.stringify(text)}`;
			if (setting.isVital) throw felixError('FELIX_BAD_SETTING', { message, path: setting.name, found: text });
			problems.push({ subject: setting.name, message: `${message}; the next source decides` });
		}
		for (const layer of layers) {
			const value = setting.read(layer.spec);
			if (value !== undefined) return value;
		}
		return setting.initial;
	};
	const config = Object.fromEntries(Object.entries(PARAMETERS).map(([name, setting]) => [name, valueOf<unknown>(setting)]));
	return { config: config as FelixConfig, problems };
}

/** `FELIX_…` variables that name no parameter of this version. */
export function unknownVariables(environment: Environment): string[] {
	const known = new Set([...READ_ELSEWHERE, ...Object.values(PARAMETERS).map(({ name }) => name.toLowerCase())]);
	return [...felixVariables(environment).keys()].filter((name) => !known.has(name) && !name.startsWith('etcd')).toSorted();
}

/** Parameter name in lower case → text, of those that are set. */
function felixVariables(environment: Environment): Map<string, string> {
	const variables = new Map<string, string>();
	for (const [name, text] of Object.entries(environment))
		if (name.toLowerCase().startsWith(ENVIRONMENT_PREFIX) && text !== undefined && text !== '')
			variables.set(name.slice(ENVIRONMENT_PREFIX.length).toLowerCase(), text);
	return variables;
}

function layersFor({ resources, nodeName, nodeLabels }: ConfigurationSources, problems: FelixProblem[]): FelixConfiguration[] {
	const all = [...resources];
	const named = (name: string): FelixConfiguration[] => all.filter(({ metadata }) => metadata.name === name);
	const selected = all
		.filter(({ metadata, spec }) => spec.nodeSelector && metadata.name !== 'default' && !metadata.name.startsWith('node.'))
		.filter((resource) => selects(resource, nodeLabels, problems))
		.toSorted(
			(a, b) =>
				compareText(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '') ||
				compareText(a.metadata.name, b.metadata.name),
		);
	const [oldest, ...younger] = selected;
	for (const { metadata } of younger)
		problems.push({
			subject: `FelixConfiguration/${metadata.name}`,
			message: `not in force here: ${oldest?.metadata.name ?? ''} selects this node too and is older`,
		});
	return [...named(`node.${nodeName}`), ...(oldest === undefined ? [] : [oldest]), ...named('default')];
}

function selects({ metadata, spec }: FelixConfiguration, labels: Labels, problems: FelixProblem[]): boolean {
	try {
		return evaluateSelector(parseSelector(spec.nodeSelector ?? ''), labels);
	} catch (error) {
		problems.push({
			subject: `FelixConfiguration/${metadata.name}`,
			message: `not in force: its nodeSelector is not a selector: ${error instanceof Error ? error.message : String(error)}`,
		});
		return false;
	}
}

function compareText(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
