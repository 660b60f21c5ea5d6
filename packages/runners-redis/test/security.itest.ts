// Users, passwords and certificates.

import { inspect } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { PersistenceError } from "@holdfast/core/adapter";
import { Cluster, Redis } from "ioredis";
import { certificateAuthority } from "../../../test/services/certificates.ts";
import { findProgram } from "../../../test/services/programs.ts";
import { startOwnRedis } from "../../../test/services/redis.ts";
import { member } from "../../../test/member.ts";
import { redis, runnersFromUrl, type RedisRunnersOptions } from "../src/index.ts";
import { newPrefix, services, Sessions } from "./backend.ts";

const TTL_MS = 20_000;
const PASSWORD = "correct-horse";
const RIGHTS =
  "resetchannels +hello +auth +ping +info +select +client|setname +eval +time +subscribe +publish +get +set +zadd +zrem +zscore +zrange +zrangebyscore +hget +hset +hdel +hvals +hgetall".split(
    " ",
  );
const RIGHTS_IN_A_CLUSTER = ["+cluster|slots", "+cluster|info", "+readonly", "+asking"];

describe.skipIf(findProgram("redis-server") === undefined)("a Redis with users", () => {
  it.each([
    { isCluster: false, more: [] },
    { isCluster: true, more: RIGHTS_IN_A_CLUSTER },
  ])(
    "lets in who has the password, at least for its own prefix, and tells the others without showing it (cluster: $isCluster)",
    async ({ isCluster, more }) => {
      const server = await startOwnRedis({ isCluster });
      onTestFinished(() => server.stop());
      const prefix = newPrefix();
      const operator = new Redis(server.port, "127.0.0.1");
      onTestFinished(() => operator.disconnect());
      // As the page on Redis has it, and one who may not even publish or listen.
      const rights = [`>${PASSWORD}`, `~{${prefix}:runners}:*`, ...RIGHTS, ...more];
      await operator.acl("SETUSER", "holdfast", "on", ...rights, `&{${prefix}:runners}:*`);
      await operator.acl("SETUSER", "deaf", "on", ...rights);
      await operator.acl("SETUSER", "default", "off");
      for (const user of ["holdfast", "deaf"]) {
        await using sessions = new Sessions({
          url: `redis://${user}:${PASSWORD}@127.0.0.1:${server.port}`,
          prefix,
          cluster: isCluster,
          pollInterval: 50,
        });
        const runners = await sessions.open();
        let told = 0;
        await runners.watch(() => {
          told += 1;
        });
        const before = told;
        await runners.register(member(user), TTL_MS);
        expect(await runners.acquireShards(user, ["default:0"])).toEqual(["default:0"]);
        await expect.poll(() => told).toBeGreaterThan(before);
        await runners.unregister(user);
      }
      const wrong = [
        { url: `redis://holdfast:wrong-horse@127.0.0.1:${server.port}`, prefix },
        { url: `redis://holdfast:${PASSWORD}@127.0.0.1:${server.port}`, prefix: "others" },
        { url: server.url, prefix },
      ];
      for (const options of wrong) {
        const error = await errorOf({ ...options, cluster: isCluster });
        expect(error).toBeInstanceOf(PersistenceError);
        expect(inspect(error, { depth: 9 })).not.toMatch(/horse/u);
        expect(String(error)).toMatch(/WRONGPASS|NOPERM|NOAUTH/u);
      }
    },
  );
});

describe.skipIf(findProgram("redis-server") === undefined)("a Redis Cluster with a password", () => {
  it("is told it by the client of a user, also by one of ioredis 5, which takes the options of nodes as they are given", async () => {
    const server = await startOwnRedis({ isCluster: true });
    onTestFinished(() => server.stop());
    const operator = new Redis(server.port, "127.0.0.1");
    onTestFinished(() => operator.disconnect());
    await operator.config("SET", "requirepass", PASSWORD);
    const options = { lazyConnect: true, redisOptions: { password: PASSWORD } };
    const client = {
      isCluster: true,
      options,
      duplicate: (_nodes?: object, changes?: object) =>
        new Cluster([{ host: "127.0.0.1", port: server.port }], { ...options, ...changes }),
    };
    await using sessions = new Sessions({ client, commandTimeout: 600 });
    const runners = await sessions.open();
    await runners.register(member("r1"), TTL_MS);
    expect(await runners.listRunners()).toEqual([member("r1")]);
  });
});

describe.skipIf(findProgram("redis-server") === undefined)("a Redis with certificates", () => {
  it("is spoken to with TLS on both sides, and by nobody without", async () => {
    using ours = certificateAuthority();
    using theirs = certificateAuthority();
    const server = ours.issue("server");
    const service = await startOwnRedis({
      isSecure: true,
      extra:
        `--tls-cert-file ${server.certificate} --tls-key-file ${server.key} --tls-ca-cert-file ${ours.ca}`.split(
          " ",
        ),
    });
    onTestFinished(() => service.stop());
    const client = ours.issue("client");
    const tls = { ...client, ca: ours.ca };
    await using sessions = new Sessions({ url: service.url, tls });
    const runners = await sessions.open();
    await runners.register(member("r1"), TTL_MS);
    const query = new URLSearchParams({ prefix: sessions.prefix, ...tls });
    const fromUrl = await runnersFromUrl(`${service.url}?${query.toString()}`).open(services());
    expect(await fromUrl.runners.listRunners()).toEqual([member("r1")]);
    await fromUrl.close();
    const strangers: readonly RedisRunnersOptions[] = [
      { url: service.url, tls: { ca: ours.ca } },
      { url: service.url, tls: { ...theirs.issue("stranger"), ca: ours.ca } },
      { url: service.url, tls: { ...client, ca: theirs.ca } },
      { url: service.url.replace("rediss:", "redis:") },
    ];
    for (const options of strangers) expect(await errorOf(options)).toBeInstanceOf(PersistenceError);
  });
});

async function errorOf(options: RedisRunnersOptions): Promise<unknown> {
  return redis({ commandTimeout: 600, ...options })
    .open(services())
    .then(
      async (opened) => {
        await opened.close();
        return null;
      },
      (error: unknown) => error,
    );
}
