// Command line: the options of the repository's own tools. What is wrong with them is said in a line, without a stack.

import { parseArgs, type ParseArgsConfig } from "node:util";

/** As `parseArgs` reads them. `--help` prints the usage; what it does not know ends the process (`refuse`). */
export function readOptions<const Config extends ParseArgsConfig>(
  usage: string,
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  if (process.argv.includes("--help")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"))
      return refuse(usage, error.message);
    throw error;
  }
}

/** Ends the process with code 2: an option has a value that it does not take. */
export function refuse(usage: string, what: string): never {
  console.error(`${what}\n${usage}`);
  process.exit(2);
}
