import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { plainError } from "./errors.ts";
import { postgresSettings } from "./options.ts";
import type { ServerConnection, ServerPool } from "./server-connection.ts";
import { ServerDriver } from "./server-driver.ts";

function poolOf(connect: () => ServerConnection, renew: () => void = () => undefined): ServerPool {
  return {
    size: 4,
    laterNative: () => undefined,
    connect: async () => connect(),
    renew,
  } as unknown as ServerPool;
}

it("sends nothing after a BEGIN that is refused, on a session that waits for each answer anyway", async () => {
  const sent: string[] = [];
  const released: boolean[] = [];
  const connection = {
    isPipelined: false,
    processId: null,
    script: async (text: string) => {
      sent.push(text);
      throw Object.assign(new Error("refused"), { code: "57014", severity: "ERROR" });
    },
    seal: () => undefined,
    release: (isUsable: boolean) => released.push(isUsable),
  } as unknown as ServerConnection;
  const driver = new ServerDriver(
    poolOf(() => connection),
    null,
    postgresSettings({}),
  );
  // What a handler sends through the driver's own client is not seen here: it gets none.
  await expect(driver.begin()).rejects.toMatchObject({ outcome: "not-written", sqlState: "57014" });
  expect(sent.map((text) => text.split(" ")[0])).toEqual(["BEGIN"]);
  expect(released).toEqual([false]);
});

describe("a session whose statement the server refuses", () => {
  it.each([
    ["is given back where it is as good as before", "23505", true, 0],
    ["is not lent again without what was prepared on it", "26000", false, 0],
    [
      "is not lent again where it takes no writes, and neither is any other one from before",
      "25006",
      false,
      1,
    ],
  ])("%s (%s)", async (_, code, isKept, renewals) => {
    const released: boolean[] = [];
    const renew = vi.fn<() => void>();
    const connection = {
      processId: 7,
      run: async () => {
        throw Object.assign(new Error("refused"), { code, severity: "FEHLER" });
      },
      // Ends a server process: of a session that lives there is nothing to find out.
      query: vi.fn<() => Promise<never>>(),
      release: (isUsable: boolean) => released.push(isUsable),
    };
    const driver = new ServerDriver(
      poolOf(() => connection as unknown as ServerConnection, renew),
      null,
      postgresSettings({}),
    );
    const run = driver.run({ name: "write", text: "write", values: [] });
    await expect(run).rejects.toMatchObject({ outcome: "not-written", sqlState: code });
    expect(released).toEqual([isKept]);
    expect(renew).toHaveBeenCalledTimes(renewals);
    expect(connection.query).not.toHaveBeenCalled();
  });
});

describe("a commit of which nobody heard", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it.each([
    ["is settled by a standby that answers soon after", 3, true],
    ["stays unknown where none does", Infinity, false],
  ])("is left to wait for its standby, and %s", async (_, goneAt, isSettled) => {
    let asked = 0;
    const connect = () =>
      ({
        isPipelined: true,
        processId: 7,
        script: async (text: string) => {
          if (text === "COMMIT") throw new Error("Connection terminated unexpectedly");
          return { rows: [], rowCount: 0, command: "BEGIN" };
        },
        run: async () => ({ rows: [], rowCount: 0, command: "SELECT" }),
        query: async () => ({ rows: [{ gone: (asked += 1) >= goneAt }], rowCount: 1, command: "SELECT" }),
        seal: () => undefined,
        release: () => undefined,
      }) as unknown as ServerConnection;
    const driver = new ServerDriver(poolOf(connect), null, postgresSettings({}));
    const transaction = await driver.begin();
    const committing = transaction.commitAfter({ name: "reply", text: "reply", values: [] });
    const failure = committing.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await failure).toMatchObject({ outcome: "unknown", isSettled });
  });
});

describe("a server process that was out of reach when its connection was lost", () => {
  /** A server that loses the first write, and answers to being told to end a process as `end` does. */
  const serverThat = (end: () => Promise<{ gone: boolean }>) => {
    const asked: string[] = [];
    const connect = () =>
      ({
        processId: 7,
        run: async ({ name }: { name: string }) => {
          asked.push(name);
          if (name === "lost") throw new Error("Connection terminated unexpectedly");
          return { rows: [], rowCount: 0, command: "SELECT" };
        },
        query: async (_text: string, [processId]: readonly unknown[]) => {
          asked.push(`end ${String(processId)}`);
          return { rows: [await end()], rowCount: 1, command: "SELECT" };
        },
        release: () => undefined,
      }) as unknown as ServerConnection;
    const driver = new ServerDriver(poolOf(connect), null, postgresSettings({}));
    const run = (name: string, isRead = false) => driver.run({ name, text: name, values: [], isRead });
    return { asked, run };
  };
  const outOfReach = async (): Promise<never> => {
    throw new Error("connect ECONNREFUSED");
  };

  it("is ended before anything else is written, which fails while that cannot be done", async () => {
    let end: () => Promise<{ gone: boolean }> = outOfReach;
    const { asked, run } = serverThat(() => end());
    await expect(run("lost")).rejects.toMatchObject({ outcome: "unknown" });
    await expect(run("next")).rejects.toMatchObject({ outcome: "not-written" });
    await run("read", true);
    end = async () => ({ gone: true });
    await run("next");
    await run("last");
    expect(asked).toEqual(["lost", "end 7", "end 7", "read", "end 7", "next", "last"]);
  });

  it.each([
    ["does not end it, as one whose commit waits for a standby", async () => ({ gone: false })],
    ["does not let it be ended", () => Promise.reject(plainError("must be a member of the role", "42501"))],
  ])("holds up nothing where the server %s", async (_, answer) => {
    let end: () => Promise<{ gone: boolean }> = outOfReach;
    const { asked, run } = serverThat(() => end());
    await expect(run("lost")).rejects.toMatchObject({ outcome: "unknown" });
    end = answer;
    await run("next");
    await run("last");
    expect(asked).toEqual(["lost", "end 7", "end 7", "next", "last"]);
  });
});

describe("a proxy that makes up the server processes of sessions", () => {
  const session = (pid: number) =>
    ({
      processId: 7,
      script: async () => ({ rows: [{ pid }], rowCount: 1, command: "SELECT" }),
      release: () => undefined,
    }) as unknown as ServerConnection;
  /** Lends these, and then none. */
  const poolWith = (...pids: number[]) =>
    poolOf(() => {
      const pid = pids.shift();
      if (pid === undefined) throw new Error("no connection became free");
      return session(pid);
    });

  it("is refused where it gives the process of one session to another", async () => {
    const driver = new ServerDriver(poolWith(1, 1), null, postgresSettings({}));
    await expect(driver.meet()).rejects.toMatchObject({ code: "CONFIG", option: "pooler" });
  });

  it.each([
    ["each session has its own", [1, 2]],
    ["there is no second session to be had, as where others wait for theirs", [1]],
  ])("is taken where %s", async (_, pids) => {
    const driver = new ServerDriver(poolWith(...pids), null, postgresSettings({}));
    await expect(driver.meet()).resolves.toBeUndefined();
  });
});

describe("urgent statements whose sessions are silent", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it.each([
    ["20s", 3_000],
    ["2s", 1_000],
  ])(
    "with a deadline of %s are asked once more after %i ms, and renew the pool once",
    async (statementDeadline, silenceMs) => {
      let isRenewed = false;
      const renew = vi.fn<() => void>(() => {
        isRenewed = true;
      });
      const release = (): void => undefined;
      const connect = () =>
        ({
          release,
          run: () => (isRenewed ? Promise.resolve({ rows: [1], rowCount: 1 }) : new Promise(() => undefined)),
        }) as unknown as ServerConnection;
      const driver = new ServerDriver(poolOf(connect, renew), null, postgresSettings({ statementDeadline }));
      const statement = { name: "refresh", text: "refresh", values: [], isUrgent: true };
      const answers = Promise.all([driver.run(statement), driver.run(statement)]);
      await vi.advanceTimersByTimeAsync(silenceMs - 1);
      expect(renew).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      expect(await answers).toEqual([
        { rows: [1], rowCount: 1 },
        { rows: [1], rowCount: 1 },
      ]);
      expect(renew).toHaveBeenCalledTimes(1);
    },
  );
});
