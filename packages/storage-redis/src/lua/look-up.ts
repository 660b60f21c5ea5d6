import { BASE } from "./fence.ts";
import { REQUESTS } from "./requests.ts";

/** ARGV: ids. Returns the rows of those that are known. */
export const LOOK_UP: string = `${BASE}${REQUESTS}
local rows = {}
for _, id in ipairs(ARGV) do
  local row = row_of(id)
  if row[1] then rows[#rows + 1] = row end
end
return rows
`;

/** ARGV: type, entity id, tag and deduplication key. Returns no row, or one. */
export const LOOK_UP_BY_KEY: string = `${BASE}${REQUESTS}
local id = redis.call('GET', deduplication_key(ARGV[1], ARGV[2], ARGV[3], ARGV[4]))
if not id then return {} end
return {row_of(id)}
`;
