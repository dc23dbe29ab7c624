import { type Logger, pino } from 'pino';

/** The names of levels as Calico's settings spell them. */
const LEVELS: Readonly<Record<string, string>> = {
	trace: 'trace',
	debug: 'debug',
	info: 'info',
	warning: 'warn',
	warn: 'warn',
	error: 'error',
	fatal: 'fatal',
};

/**
 * A logger of one component: lines of JSON on the standard output, written at once, since several threads share it.
 *
 * @param level as in `LogSeverityScreen`; what is unknown counts as `Info`
 */
export function createLogger(component: string, level: string | undefined): Logger {
	return pino(
		{ base: { component }, level: LEVELS[level?.toLowerCase() ?? ''] ?? 'info', timestamp: pino.stdTimeFunctions.isoTime },
		pino.destination({ fd: 1, sync: true }),
	);
}
