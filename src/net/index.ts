/** Addresses, prefixes, MAC addresses and prefix tables. Pure. */
export * from './address.ts';
export * from './errors.ts';
export * from './mac.ts';
export * from './prefix.ts';
export * from './prefix-table.ts';
