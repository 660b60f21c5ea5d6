import { WRITE } from "./fence.ts";
import { JOURNALS } from "./journals.ts";

/** ARGV: the fence (1 to 3), the type, the id, and the entries as `append_entries` reads them. */
export const APPEND_JOURNAL: string = `${WRITE}${JOURNALS}
local refused = refusal(ARGV[1], ARGV[2], ARGV[3])
if refused then return refused end
append_entries(ARGV[4], ARGV[5], 6)
return {'done'}
`;
