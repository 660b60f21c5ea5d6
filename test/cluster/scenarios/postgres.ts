// PostgreSQL that is restarted, away, or ends its connections.

import { lasting } from "../clock.ts";
import type { Scenario } from "../scenario.ts";
import { OUTLASTING_MS } from "../settings.ts";
import { withDatabase } from "../tables.ts";

export const ON_POSTGRES: readonly Scenario[] = [
  {
    name: "PostgreSQL restarted (fast)",
    leases: "default",
    isRare: true,
    run: ({ services }) => services.postgres.control.restart({ mode: "fast" }),
  },
  {
    name: "PostgreSQL restarted (immediate)",
    leases: "default",
    run: ({ services }) => services.postgres.control.restart({ mode: "immediate" }),
  },
  {
    name: "PostgreSQL away for longer than the lease",
    leases: "default",
    async run({ services }) {
      await services.postgres.control.kill("SIGQUIT");
      await lasting(OUTLASTING_MS);
      await services.postgres.control.start();
    },
  },
  {
    name: "PostgreSQL's backends killed, five times",
    leases: "default",
    async run({ url }) {
      for (let round = 0; round < 5; round += 1) {
        await withDatabase(url, (database) =>
          database.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid()`,
          ),
        );
        await lasting(400);
      }
    },
  },
];
