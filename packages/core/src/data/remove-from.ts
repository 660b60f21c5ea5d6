/** Takes one item out of a list that mostly ends with it. Without the list of what it took that `splice` makes. */
export function removeFrom<Item>(list: Item[], item: Item): void {
  if (list.at(-1) === item) return void list.pop();
  const index = list.indexOf(item);
  if (index !== -1) list.splice(index, 1);
}
