// Migration 1: the tables. The functions that write and read them are in migration-1-functions.ts.
//
// Texts that name something are compared byte by byte (COLLATE "C"): no locale makes two ids one. A request is found under
// its id and under its deduplication key, whole, by unique indexes. What is known of it besides is in exactly one of
// `pending`, `replies` and `dead_letters`, under its sequence, so that the rows that change are narrow and few.

/** @param schema a checked identifier */
export function tablesOfVersion1(schema: string): string {
  const s = `"${schema}"`;
  return `
CREATE TABLE ${s}.shards (
  shard_id text COLLATE "C" PRIMARY KEY,
  epoch bigint NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE ${s}.shards IS 'The epoch of each shard: its fencing token. A write locks its row, a claim raises it.';

CREATE TABLE ${s}.requests (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request_id text COLLATE "C" NOT NULL,
  shard_id text COLLATE "C" NOT NULL,
  entity_type text COLLATE "C" NOT NULL,
  entity_id text COLLATE "C" NOT NULL,
  tag text COLLATE "C" NOT NULL,
  deduplication_key text COLLATE "C",
  payload text NOT NULL,
  headers text NOT NULL,
  expects text NOT NULL,
  uninterruptible boolean NOT NULL,
  from_inside boolean NOT NULL,
  read_pending_first boolean NOT NULL,
  sender text NOT NULL,
  deliver_at bigint
);
COMMENT ON TABLE ${s}.requests IS 'Every accepted request as it came. Rows never change.';
CREATE UNIQUE INDEX requests_by_id ON ${s}.requests (request_id);
CREATE UNIQUE INDEX requests_by_key ON ${s}.requests (entity_type, entity_id, tag, deduplication_key)
  WHERE deduplication_key IS NOT NULL;

CREATE TABLE ${s}.pending (
  sequence bigint PRIMARY KEY,
  shard_id text COLLATE "C" NOT NULL,
  entity_type text COLLATE "C" NOT NULL,
  entity_id text COLLATE "C" NOT NULL,
  attempts integer NOT NULL,
  deliver_at bigint
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
COMMENT ON TABLE ${s}.pending IS 'The requests that are neither answered nor dead. deliver_at in ms since 1970; null: at once.';
CREATE INDEX pending_now ON ${s}.pending (shard_id, sequence) WHERE deliver_at IS NULL;
CREATE INDEX pending_later ON ${s}.pending (shard_id, deliver_at) WHERE deliver_at IS NOT NULL;

CREATE TABLE ${s}.replies (
  sequence bigint PRIMARY KEY,
  entity_type text COLLATE "C" NOT NULL,
  ok boolean NOT NULL,
  data text NOT NULL,
  answered_at bigint NOT NULL
);
COMMENT ON TABLE ${s}.replies IS 'How each answered request ended: its value, or its error as JSON. Rows never change.';
CREATE INDEX replies_by_age ON ${s}.replies (entity_type, answered_at);

CREATE TABLE ${s}.dead_letters (
  sequence bigint PRIMARY KEY,
  request_id text COLLATE "C" NOT NULL,
  attempts integer NOT NULL,
  error text NOT NULL,
  dead_since bigint NOT NULL
);
CREATE INDEX dead_letters_by_age ON ${s}.dead_letters (dead_since, request_id);

CREATE TABLE ${s}.streams (
  sequence bigint PRIMARY KEY,
  saved integer NOT NULL,
  acknowledged integer NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE ${s}.chunks (
  sequence bigint NOT NULL,
  index integer NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (sequence, index)
);

CREATE TABLE ${s}.journal (
  entity_type text COLLATE "C" NOT NULL,
  execution_id text COLLATE "C" NOT NULL,
  ordinal integer NOT NULL,
  position integer NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  event text NOT NULL,
  data text NOT NULL,
  PRIMARY KEY (entity_type, execution_id, ordinal)
);
COMMENT ON TABLE ${s}.journal IS 'What executions have done. data: the value of a completed step, else JSON.';

CREATE TABLE ${s}.runners (
  runner_id text COLLATE "C" PRIMARY KEY,
  record text NOT NULL,
  ttl_ms double precision NOT NULL,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE ${s}.shard_leases (
  shard_id text COLLATE "C" PRIMARY KEY,
  runner_id text COLLATE "C" NOT NULL REFERENCES ${s}.runners ON DELETE CASCADE
) WITH (fillfactor = 70);
COMMENT ON TABLE ${s}.shard_leases IS 'Which runner holds which shard: as long as its row in runners is there.';
CREATE INDEX shard_leases_by_runner ON ${s}.shard_leases (runner_id);
`;
}
