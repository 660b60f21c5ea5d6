import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const conditions = ["@holdfast/source"];
const integration = { environment: "node", testTimeout: 300_000, hookTimeout: 120_000 } as const;
/** Clusters of processes under faults wait for much of their time, and what runs beside them is one process at a time. */
const clusters = ["test/{cluster,repository}/**/*.itest.ts"];
/** Each counts what something costs: nothing else runs then. */
const alone = ["test/bench/{counts,whole-run}.itest.ts"];

export default defineConfig({
  test: {
    globalSetup: ["./test/services/global-setup.ts"],
    projects: [
      {
        extends: true,
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name: "unit",
          environment: "node",
          include: ["packages/*/{src,test}/**/*.test.ts", "test/**/*.test.ts"],
          // One fewer than there are processors is one, where CI has two.
          maxWorkers: Math.max(2, availableParallelism() - 1),
          // Days of virtual time take seconds, and longer on a machine that is busy.
          testTimeout: 30_000,
          typecheck: {
            enabled: true,
            checker: "tsc",
            include: ["packages/*/{src,test}/**/*.test-d.ts"],
            tsconfig: "./tsconfig.json",
          },
        },
      },
      {
        extends: true,
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          ...integration,
          name: "integration",
          include: ["{packages,examples}/*/test/**/*.itest.ts", "test/**/*.itest.ts"],
          exclude: [...clusters, ...alone],
          // Many wait for services, and for leases to run out.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          ...integration,
          name: "clusters",
          include: clusters,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          ...integration,
          name: "alone",
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
