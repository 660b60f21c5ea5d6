import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts"],
  format: ["esm"],
  target: "node22",
  platform: "node",
  dts: false,
  sourcemap: true,
  // The sources are in the package as they are.
  esbuildOptions: (options) => void (options.sourcesContent = false),
  clean: true,
});
