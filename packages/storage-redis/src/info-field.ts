/** What a server's INFO says under a name. Null: nothing that fits. @param value the pattern of what it takes */
export function infoField(info: string, name: string, value: string = String.raw`\w+`): string | null {
  return new RegExp(`^${name}:(?<value>${value})\\r?$`, "mu").exec(info)?.groups?.["value"] ?? null;
}
