// Fails where packages/core/src reads time, chance or the environment outside of its clock room.

import { globSync, readFileSync } from "node:fs";
import { findAmbientUses } from "./lib/determinism.ts";

const files = globSync("packages/core/src/**/*.ts").filter(
  (file) => !/\/clock\/|\.test\.ts$|\.test-d\.ts$/u.test(file.replaceAll("\\", "/")),
);
const found = files.flatMap((file) =>
  findAmbientUses(file, readFileSync(file, "utf8")).map(({ line, use }) => `${file}:${line}: ${use}`),
);
if (files.length === 0) throw new Error("No sources were found: run this at the root of the repository");
if (found.length > 0) {
  console.error(
    `Core takes time and chance from Clock and Random only; packages/core/src/clock alone touches the real ones:\n${found.join("\n")}`,
  );
  process.exitCode = 1;
} else console.log(`determinism: ${files.length} files, none reads the surroundings`);
