/** A type whose objects and lists can't be changed, all the way down. */
export type ReadonlyDeep<T> = T extends (infer Item)[]
	? readonly ReadonlyDeep<Item>[]
	: T extends object
		? { readonly [Key in keyof T]: ReadonlyDeep<T[Key]> }
		: T;
