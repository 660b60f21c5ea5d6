/** The order in which so many take their turns in a round: the first one moves on by one each round, so that nobody always follows the same. */
export function turnsOf(count: number, round: number): readonly number[] {
  return Array.from({ length: count }, (_, turn) => (turn + round) % count);
}
