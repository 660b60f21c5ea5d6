// Certificates for tests, made by openssl.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificates extends Disposable {
  readonly ca: string;
  /** A certificate for 127.0.0.1, with its key: both as files. */
  issue(name: string): { readonly certificate: string; readonly key: string };
  /** One whose time is over. */
  issueExpired(name: string): { readonly certificate: string; readonly key: string };
}

/** Makes an authority of its own. */
export function certificateAuthority(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-certificates-"));
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void =>
    void execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=authority",
  );
  const issue = (name: string, time: readonly string[]): { certificate: string; key: string } => {
    openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    writeFileSync(file(`${name}.ext`), "subjectAltName=IP:127.0.0.1\n");
    const signed = [
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
    ];
    openssl(...signed, "-out", `${name}.pem`, "-extfile", `${name}.ext`, ...time);
    return { certificate: file(`${name}.pem`), key: file(`${name}.key`) };
  };
  return {
    ca: file("ca.pem"),
    issue: (name) => issue(name, ["-days", "2"]),
    issueExpired: (name) => issue(name, ["-days", "-1"]),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
