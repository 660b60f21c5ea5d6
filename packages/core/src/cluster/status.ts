import type { Member } from "./member.ts";
import type { MemberState } from "./member-state.ts";

/** What a member knows of itself and the others. */
export interface ClusterStatus {
  /** Where others reach it, or null while it is not started. */
  readonly address: string | null;
  readonly role: "runner" | "client";
  readonly state: MemberState;
  readonly runners: readonly {
    readonly runnerId: string;
    readonly address: string;
    readonly role: "runner" | "client";
    /** 0 also while it drains or is detached. */
    readonly weight: number;
    /** Whether it answers from here over the transport, as far as is known: false after three unanswered pings in a row. */
    readonly reachable: boolean;
  }[];
  readonly shards: {
    /** Served by this member. */
    readonly owned: number;
    /** Of all the groups that this member hosts. */
    readonly total: number;
  };
  /** Whether it keeps off its shards because storage or leases are out of reach. */
  readonly detached: boolean;
}

/**
 * Whether a member is alive and ready, and why.
 *
 * For a container's probes: liveness is `live`, readiness `ready`. Neither depends on storage, the lease store or peers
 * that are out of reach for all alike, so an outage of those does not take every member out of service or restart it;
 * `detachmentEnabled` makes a runner that alone cannot reach them unready.
 */
export interface ClusterHealth {
  /** The process may go on. False once it is stopped: after `shutdown()`, or a `start()` that failed. */
  readonly live: boolean;
  /** It is a member, holds its lease and its shards, and takes requests. False while it starts, drains or is detached. */
  readonly ready: boolean;
  readonly checks: ClusterChecks;
}

/** What `health()` looks at. `detail` is for people. */
export interface ClusterChecks {
  /** `start()` is done and `shutdown()` was not called. */
  readonly started: ClusterCheck;
  /** This member's lease is held at this moment, by its own clock. */
  readonly lease: ClusterCheck;
  /**
   * It serves all the shards that are its own by the newest list of members, or has since it joined or attached: what others
   * hand over to it may be on the way.
   */
  readonly shards: ClusterCheck;
  /** It keeps off no shards because storage or the lease store are out of reach. */
  readonly attached: ClusterCheck;
  /**
   * Nothing waits in its shards for an entity type that it does not serve, no execution waits for other code than it has, and
   * some runner hosts the shard group of each that is registered here.
   */
  readonly served: ClusterCheck;
  /** Storage answered when it was asked last: each `storagePollInterval` on a runner, every 10 s elsewhere. */
  readonly storage: ClusterCheck;
  /** The lease store answered when it was asked last: each `runnerLockRefreshInterval`. */
  readonly leases: ClusterCheck;
  /** It listens, and some other runner answers over the transport, if there is one. */
  readonly transport: ClusterCheck;
  /** Every other runner answers over the transport. */
  readonly peers: ClusterCheck;
}

/** One thing that `health()` looked at. `detail` is for people. */
export interface ClusterCheck {
  readonly ok: boolean;
  readonly detail: string;
}

/** What a member has done, and what it holds. */
export interface ClusterMetrics {
  snapshot(): Readonly<Record<string, number>>;
}

export function statusOf(member: Member): ClusterStatus {
  const parts = member.partsIfAny;
  const { role, shardGroups, shardsPerGroup } = member.settings;
  return {
    address: parts?.address ?? null,
    role,
    state: member.state,
    runners: (parts?.router.runners ?? []).map(({ runnerId, address, role: itsRole, weight }) => ({
      runnerId,
      address,
      role: itsRole,
      weight,
      reachable: parts?.peers.isReachable(address) ?? true,
    })),
    shards: { owned: parts?.owner.owned.length ?? 0, total: shardGroups.length * shardsPerGroup },
    detached: member.isDetached,
  };
}

export function healthOf(member: Member): ClusterHealth {
  const parts = member.partsIfAny;
  const { role } = member.settings;
  const owned = parts?.owner.owned.length ?? 0;
  const wanted =
    parts === null || role === "client"
      ? 0
      : parts.router.shardsOf(parts.lease.runnerId, member.settings.shardGroups).length;
  const checks = {
    started: { ok: member.state === "running", detail: member.state },
    lease: {
      ok: parts?.lease.isHeld() ?? false,
      detail: parts?.lease.isHeld() === true ? "held" : "not held",
    },
    // While another runner drains all lack some, and answer for what they have.
    shards: { ok: owned >= wanted || parts?.owner.hasServedAll === true, detail: `${owned} of ${wanted}` },
    attached: {
      ok: !member.isDetached,
      detail: member.backends.reason ?? "attached",
    },
    served: servedCheck(member),
    storage: member.backends.check("storage"),
    leases: member.backends.check("leases"),
    ...peerChecks(member),
  };
  return {
    live: member.state !== "stopped",
    // A type that only another version serves makes the wait visible, and this runner no less ready.
    ready: checks.started.ok && checks.lease.ok && checks.shards.ok && checks.attached.ok,
    checks,
  };
}

/** So many executions are named; the others are counted. */
const NAMED = 5;

function servedCheck(member: Member): ClusterCheck {
  const unserved = member.partsIfAny?.host.unservedTypes ?? [];
  const waiting = member.partsIfAny?.host.waitingForCode ?? [];
  const unhosted = member
    .unhosted()
    .map(
      ({ shardGroup, registered }) =>
        `no runner hosts the shard group "${shardGroup}" of ${registered.join(", ")}`,
    );
  const more = waiting.length > NAMED ? `, and ${waiting.length - NAMED} more` : "";
  const detail = [
    ...(unserved.length === 0 ? [] : [`requests wait for: ${unserved.join(", ")}`]),
    ...(waiting.length === 0
      ? []
      : [`executions wait for other code: ${waiting.slice(0, NAMED).join(", ")}${more}`]),
    ...unhosted,
  ];
  return { ok: detail.length === 0, detail: detail.length === 0 ? "all" : detail.join("; ") };
}

function peerChecks(member: Member): { transport: ClusterCheck; peers: ClusterCheck } {
  const parts = member.partsIfAny;
  if (parts === null) {
    const closed = { ok: false, detail: "closed" };
    return { transport: closed, peers: { ok: true, detail: "none" } };
  }
  const others = parts.peers.known;
  const { unreachable } = parts.peers;
  return {
    transport: {
      ok: others === 0 || unreachable.length < others,
      detail: `listens at ${parts.address}; ${others - unreachable.length} of ${others} runners answer`,
    },
    peers: {
      ok: unreachable.length === 0,
      detail: unreachable.length === 0 ? "all answer" : `no answer from ${unreachable.join(", ")}`,
    },
  };
}

export function metricsOf(member: Member): ClusterMetrics {
  return {
    snapshot: () => ({
      ...Object.fromEntries(Object.entries(member.counters)),
      shardsOwned: member.partsIfAny?.owner.owned.length ?? 0,
      activeEntities: member.partsIfAny?.host.activeEntities ?? 0,
      pendingCalls: member.partsIfAny?.delivery.pending ?? 0,
    }),
  };
}
