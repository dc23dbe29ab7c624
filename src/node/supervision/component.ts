import type { Health } from '../threads/messages.ts';

/** A part of the node that runs by itself and may end at any time. */
export interface Component {
	readonly name: string;
	/** Starts an instance; rejects if it does not come up. */
	start(signal: AbortSignal): Promise<Instance>;
}

/** A component while it runs; disposing of it stops it in order. */
export interface Instance extends AsyncDisposable {
	/** Resolves when the instance is gone, with the reason in words; never rejects. */
	readonly ended: Promise<string>;
	/** How it is doing; `live` is false while it does not move. */
	health(): Health & { readonly live: boolean };
}
