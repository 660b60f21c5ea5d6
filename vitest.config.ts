import { defineConfig } from "vitest/config";

const conditions = ["@holdfast/source"];

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
          name: "integration",
          environment: "node",
          include: ["packages/*/test/**/*.itest.ts", "examples/*/test/**/*.itest.ts", "test/**/*.itest.ts"],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
