// A member in a process of its own, for tests that kill it: listens at the address given, and says where.

import { Member } from "./member.ts";

const member = await Member.start({ listen: process.argv[2] ?? "127.0.0.1:0" });
console.log(`listening at ${member.address}`);
