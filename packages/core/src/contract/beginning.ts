/** The text, or, where it has more characters than `most`, its beginning. */
export function beginningOf(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
