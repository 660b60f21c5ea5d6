/** What each key does. */
export type Keys = Readonly<Record<string, () => void>>;

/** Calls what belongs to each key that is pressed, where there is a terminal. Returns what gives the terminal back. */
export function watchKeys(keys: Keys): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  const pressed = (data: Buffer): void => {
    for (const key of data.toString()) keys[key]?.();
  };
  stdin.setRawMode(true);
  stdin.on("data", pressed);
  return () => {
    stdin.off("data", pressed);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
