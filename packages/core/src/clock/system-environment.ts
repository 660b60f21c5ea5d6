// The process's surroundings that are neither time nor chance: its environment variables, and the modules of its user.
// Here because, like those, they are not the same in every run; nothing but `createCluster` looks at them.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** The environment variables. */
export const environment: Readonly<Record<string, string | undefined>> = process.env;

/** Imports a package, or a path that begins with `.` or `/`, as a module in the working directory would. */
export async function importFromUser(specifier: string): Promise<unknown> {
  if (/^[./]/u.test(specifier)) return import(pathToFileURL(resolve(specifier)).href);
  try {
    return await import(specifier);
  } catch (error) {
    // Under a strict package manager the user's dependencies cannot be seen from this package.
    let path: string;
    try {
      path = createRequire(join(process.cwd(), "package.json")).resolve(specifier);
    } catch {
      throw error;
    }
    return import(pathToFileURL(path).href);
  }
}
