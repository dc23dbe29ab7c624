const RECENT_MS = 20 * 3_600_000;

/** `2026-11-23 10:11:12` in local time, as BIRD writes it. */
export function longTime(timeMs: number): string {
	return `${date(timeMs)} ${clock(timeMs)}`;
}

/** The time of day for what happened lately, the date for what did not. */
export function shortTime(timeMs: number, nowMs: number): string {
	return nowMs - timeMs < RECENT_MS ? clock(timeMs) : date(timeMs);
}

function date(timeMs: number): string {
	const time = new Date(timeMs);
	return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}

function clock(timeMs: number): string {
	const time = new Date(timeMs);
	return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function two(value: number): string {
	return String(value).padStart(2, '0');
}
