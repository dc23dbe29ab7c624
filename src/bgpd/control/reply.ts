/** One line of an answer in BIRD's control protocol. */
export interface ReplyLine {
	/** Four digits; the meaning is BIRD's (`doc/reply_codes`). */
	readonly code: number;
	readonly text: string;
}

/**
 * An answer as it goes over the wire: `CODE-text` for each line but the last, a space instead of a repeated code, `CODE text` for the
 * last one.
 */
export function formatReply(lines: readonly ReplyLine[], last: ReplyLine): string {
	return formatLines(lines, undefined).text + formatLast(last);
}

/** Lines that are not the last; `previous` is the code of the line before them. */
export function formatLines(
	lines: readonly ReplyLine[],
	previous: number | undefined,
): { readonly text: string; readonly code: number | undefined } {
	let code = previous;
	let text = '';
	for (const line of lines) {
		text += line.code === code ? ` ${line.text}\n` : `${digits(line.code)}-${line.text}\n`;
		code = line.code;
	}
	return { text, code };
}

export function formatLast(line: ReplyLine): string {
	return `${digits(line.code)} ${line.text}\n`;
}

function digits(code: number): string {
	return String(code).padStart(4, '0');
}
