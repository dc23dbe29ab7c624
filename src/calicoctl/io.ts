/** What a command reads from and writes to; a terminal, or a test. */
export interface CommandIo {
	readonly env: Readonly<Record<string, string | undefined>>;
	readonly writeOut: (text: string) => void;
	readonly writeError: (text: string) => void;
	/** The whole of standard input. */
	readonly readStandardInput: () => Promise<string>;
}
