// The columns of what a group may write: how its functions are declared (migration-10.ts), and what they are given (write-group.ts).

/** One column of a kind of rows: an array that is a parameter of the functions that write groups. */
export interface GroupColumn {
  readonly name: string;
  /** That of its elements. */
  readonly type: string;
  readonly isNullable: boolean;
  /** It is what the row is of, and has a value for each row. Others may be shortened to one value, or none. */
  readonly isWhole: boolean;
}

export type GroupKind = "q" | "u" | "j" | "c" | "r" | "d";

/** The attempts of a request whose reply is in the same group: it is never pending. */
export const ANSWERED = -1;

/**
 * By the letter that the parameters of a kind have in their names: requests, updates, entries of journals, chunks, replies, dead
 * letters. The first column of each is its fence, by its place, and the second what the row is of.
 */
export const GROUP_COLUMNS: Readonly<Record<GroupKind, readonly GroupColumn[]>> = {
  q: columns(
    "fence int, id text, shard text, type text, entity text, tag text, key text?, payload text, headers text, expects text, " +
      "uninterruptible boolean, inside boolean, pending_first boolean, sender text, deliver_at bigint?, attempts int",
  ),
  u: columns("fence int, id text, attempts int, moves boolean, deliver_at bigint?"),
  j: columns(
    "fence int, key uuid, ordinal int, position int, kind text, name text, event text, data text, execution text?",
  ),
  c: columns("fence int, id text, index int, value text"),
  r: columns("fence int, id text, ok boolean, data text"),
  d: columns("fence int, id text, attempts int, error text, since bigint"),
};

/** @param list names with their types; `?`: it may be null */
function columns(list: string): readonly GroupColumn[] {
  return list.split(", ").map((column, index) => {
    const [name = "", type = ""] = column.replace("?", "").split(" ");
    return { name, type, isNullable: column.endsWith("?"), isWhole: index === 1 };
  });
}
