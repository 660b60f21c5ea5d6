// What every peer carries, as large as what Holdfast carries in ../src/definitions.ts.

/** 200 bytes of JSON. */
export const PAYLOAD: string = "x".repeat(198);

/** 200 bytes of JSON, for those that take nothing but objects. */
export const JOB: { readonly text: string } = { text: "x".repeat(189) };

/** How many jobs a call of "bulk send" brings. */
export const BULK = 100;

/** How many jobs wait when "drain" begins: as many as in ../src/contestants/drain.ts. */
export const BACKLOG = 10_000;
