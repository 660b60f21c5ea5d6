/** A reason from elsewhere, so that another sentence can follow it. */
export function sentence(text: string): string {
  return /[.!?…]$/u.test(text) ? text : `${text}.`;
}
