export { pglite, postgres, postgresTx } from "../../src/index.ts";
