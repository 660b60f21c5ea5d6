// Loaded before dependency-cruiser: gives it the TypeScript of this folder. It knows versions below 7 alone, and asks
// for the one beside itself, which is the repository's compiler and has no parser to call.

import { createRequire, registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const here = createRequire(import.meta.url);

registerHooks({
  resolve(specifier, context, next) {
    const asked = specifier === "typescript" || specifier.startsWith("typescript/");
    const byCruiser = context.parentURL?.includes("/node_modules/dependency-cruiser/") === true;
    if (!asked || !byCruiser) return next(specifier, context);
    return { url: pathToFileURL(here.resolve(specifier)).href, shortCircuit: true };
  },
});
