// A member in a process of its own, for tests that kill it: takes its options as JSON, and says where it is.

import type { NatsOptions } from "../src/index.ts";
import { Member } from "./member.ts";

const member = await Member.start(JSON.parse(process.argv[2] ?? "{}") as NatsOptions);
console.log(`listening at ${member.address}`);
