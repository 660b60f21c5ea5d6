import type { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, describe } from "vitest";
import { freshPGlite } from "../../../test/services/fresh-pglite.ts";
import { allSuites } from "./all-suites.ts";
import { embeddedBackend } from "./backends.ts";

describe("on PGlite", () => {
  let instance: PGlite;
  beforeAll(async () => {
    instance = await freshPGlite();
  });
  afterAll(() => instance.close());

  allSuites(() => embeddedBackend(instance));
});
