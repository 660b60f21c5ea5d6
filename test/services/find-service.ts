// How every service of the tests is found: given by a variable, else by the first way that works.

import { existsSync } from "node:fs";
import { run, type Service } from "./programs.ts";

/** One that was not started here as a program, so it is not ours to break. */
export interface ForeignService extends Service {
  readonly control: null;
}

/**
 * The service that a variable of the environment names, else what the first of `ways` comes to that works.
 *
 * @param installed what to install, for the message
 * @throws {Error} no way worked; says what was tried and why each failed
 */
export async function findService<Found extends Service>(
  { what, variable, installed }: { what: string; variable: string; installed: string },
  ways: Readonly<Record<string, () => Promise<Found>>>,
): Promise<Found | ForeignService> {
  const given = process.env[variable];
  if (given !== undefined && given !== "")
    return { url: given, how: variable, control: null, stop: () => Promise.resolve() };
  const failures: string[] = [];
  for (const [name, way] of Object.entries(ways)) {
    try {
      return await way();
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `No ${what} was found. Set ${variable}, or install ${installed} or Docker. Tried:\n  ${failures.join("\n  ")}`,
  );
}

/** Starts a container. Its URL is that of its one port. @param ready what its log says once it serves */
export async function startContainer(
  scheme: string,
  { image, port, ready, command }: { image: string; port: number; ready: RegExp; command?: string[] },
): Promise<ForeignService> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const described = new GenericContainer(image)
    .withExposedPorts(port)
    .withWaitStrategy(Wait.forLogMessage(ready));
  const container = await (command === undefined ? described : described.withCommand(command)).start();
  return {
    url: `${scheme}://${container.getHost()}:${container.getMappedPort(port)}`,
    how: "a container",
    control: null,
    stop: async () => void (await container.stop()),
  };
}

/** @throws {Error} this is not root on Debian, or the package cannot be had */
export async function installDebianPackage(name: string): Promise<void> {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    throw new Error("this is not root on Debian");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { env });
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", name], { env });
}
