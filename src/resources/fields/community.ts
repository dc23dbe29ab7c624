/** Whether a text is a BGP community (RFC 1997: `aa:nn`, 16 bits each) or a large community (RFC 8092: `aa:nn:mm`, 32 bits each). */
export function isCommunity(text: string): boolean {
	const parts = text.split(':');
	if (parts.length !== 2 && parts.length !== 3) return false;
	const highest = parts.length === 2 ? 0xffff : 0xffff_ffff;
	return parts.every((part) => /^(?:0|[1-9][0-9]{0,9})$/.test(part) && Number(part) <= highest);
}
