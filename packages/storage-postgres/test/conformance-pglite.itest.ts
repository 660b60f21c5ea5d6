import { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, describe } from "vitest";
import { allSuites } from "./all-suites.ts";
import { embeddedBackend } from "./backends.ts";

describe("on PGlite", () => {
  let instance: PGlite;
  beforeAll(async () => {
    instance = await PGlite.create();
  });
  afterAll(() => instance.close());

  allSuites(() => embeddedBackend(instance));
});
