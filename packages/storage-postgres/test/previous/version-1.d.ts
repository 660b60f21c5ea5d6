export { postgres, postgresTx } from "../../src/index.ts";
