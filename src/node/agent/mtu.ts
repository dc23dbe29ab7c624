import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Link } from '#kernel';

/** Names of network cards: Felix's MTUIfacePattern. */
const NETWORK_CARD = /^(?:(?:en|wl|ww|sl|ib)[Pcopsvx].*|(?:eth|wlan|wwan).*)/;

/** The MTU that every network card of the host can carry; undefined if there is no card. */
export function hostMtu(links: readonly Pick<Link, 'name' | 'mtu' | 'up'>[]): number | undefined {
	const cards = links.filter(({ name, up }) => up && NETWORK_CARD.test(name));
	return cards.length === 0 ? undefined : Math.min(...cards.map(({ mtu }) => mtu));
}

/** Leaves the MTU where the CNI server looks for it; nothing if there is none to tell. */
export async function writeMtu(file: string, mtu: number | undefined): Promise<void> {
	if (mtu === undefined) return;
	await mkdir(dirname(file), { recursive: true });
	await writeFile(`${file}.new`, `${mtu}\n`, { mode: 0o644 });
	await rename(`${file}.new`, file);
}
