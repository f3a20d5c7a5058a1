// Makes a component of a plugin: `node sdk/build.js plugin.js -o NAME.wasm`.
//
// It imports the plugin under Node to see which methods its class has, writes a world with exactly those exports and a
// main module that ties the class to them, and calls `componentize-qjs` (found on PATH, or named by COMPONENTIZE_QJS).
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { interfaces } from "./src/exports.js";

const SDK = dirname(fileURLToPath(import.meta.url));
const PINNED = "0.4.5";
const PACKAGE = "edgeplug:plugin";
/** Imported by the main module, under the names that the SDK's modules use. */
const IMPORTS = [
  "log",
  "config",
  "telemetry",
  "device",
  "twin",
  "acks",
  "state",
  "files",
  "firmware-file",
  "i2c",
  "spi",
  "gpio",
  "serial",
];
const WASI = "0.2.12";

try {
  await main();
} catch (error) {
  console.error(`build.js: ${error.told ? error.message : error.stack}`);
  process.exitCode = 1;
}

async function main() {
  const { plugin, output } = given();
  const names = await exportsOf(plugin);
  const scratch = mkdtempSync(join(tmpdir(), "edgeplug-"));
  // componentize-qjs takes the main module only from below the root that all modules lie in.
  const root = common(dirname(plugin), SDK);
  const mainModule = join(dirname(plugin), `.${basename(plugin, ".js")}-main.js`);
  try {
    layWit(scratch, names);
    writeFileSync(mainModule, mainText(dirname(plugin), plugin, names));
    const made = join(scratch, "component.wasm");
    componentize(["-w", join(scratch, "wit"), "-n", "project", "-j", mainModule, "--module-root", root, "-o", made]);
    mkdirSync(dirname(output), { recursive: true });
    const aside = join(dirname(output), `.${basename(output)}.part`);
    cpSync(made, aside);
    renameSync(aside, output);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    rmSync(mainModule, { force: true });
  }
  console.log(`${relative("", output)}: exports ${names.join(", ")}`);
}

function given() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { output: { type: "string", short: "o" } },
  });
  if (positionals.length !== 1 || values.output === undefined)
    throw told("usage: node build.js plugin.js -o NAME.wasm");
  const plugin = resolve(positionals[0]);
  if (!existsSync(plugin)) throw told(`${positionals[0]} is not there`);
  return { plugin, output: resolve(values.output) };
}

async function exportsOf(plugin) {
  const module = await import(pathToFileURL(plugin));
  if (typeof module.default !== "function") throw told(`${basename(plugin)} must have a class as its default export`);
  const names = interfaces(module.default);
  if (names.length === 0)
    throw told(`the class in ${basename(plugin)} has no method that the daemon knows, for instance sample`);
  return names;
}

function layWit(scratch, names) {
  const deps = join(scratch, "wit", "deps");
  mkdirSync(deps, { recursive: true });
  cpSync(join(SDK, "wit"), join(deps, "edgeplug"), { recursive: true });
  for (const name of ["io", "cli", "random"]) {
    mkdirSync(join(deps, `wasi-${name}`));
    cpSync(join(SDK, "wasi", `${name}.wit`), join(deps, `wasi-${name}`, `${name}.wit`));
  }
  const lines = [
    `import wasi:cli/stdout@${WASI};`,
    `import wasi:cli/stderr@${WASI};`,
    `import wasi:random/insecure-seed@${WASI};`,
    `include ${PACKAGE}/imports@${version()};`,
    `include ${PACKAGE}/hardware@${version()};`,
    ...names.map((name) => `export ${PACKAGE}/${name}@${version()};`),
  ];
  writeFileSync(
    join(scratch, "wit", "world.wit"),
    `package local:project;\n\nworld project {\n    ${lines.join("\n    ")}\n}\n`,
  );
}

function mainText(directory, plugin, names) {
  const from = (file) => JSON.stringify(`./${relative(directory, file).split(sep).join("/")}`);
  return `// Made by build.js.
${IMPORTS.map((name) => `import ${camel(name)} from "${PACKAGE}/${name}@${version()}";`).join("\n")}
import stdout from "wasi:cli/stdout@${WASI}";
import stderr from "wasi:cli/stderr@${WASI}";
import seed from "wasi:random/insecure-seed@${WASI}";
// Before the plugin, whose own module may use the globals it sets.
import { complain } from ${from(join(SDK, "src", "globals.js"))};
import { exported } from ${from(join(SDK, "src", "exports.js"))};
import { provide } from ${from(join(SDK, "src", "host.js"))};
import Plugin from ${from(plugin)};

// Streams are asked for once: each asking makes a handle.
const once = (make) => {
  let made;
  return () => (made ??= make());
};
provide({
  ${IMPORTS.map(camel).join(", ")},
  stdout: once(() => stdout.getStdout()),
  stderr: once(() => stderr.getStderr()),
  insecureSeed: () => seed.insecureSeed(),
});
export const { ${names.map(camel).join(", ")} } = exported(Plugin, complain);
`;
}

function componentize(options) {
  const program = process.env.COMPONENTIZE_QJS ?? "componentize-qjs";
  // No --minify: stacks shall name the lines of the source. No --stub-wasi: clocks and streams shall work.
  const done = spawnSync(program, ["--sync", "--opt-size", ...options], { encoding: "utf8" });
  if (done.error?.code === "ENOENT") {
    throw told(`${program} is missing; install it, then run again: npm install --global componentize-qjs@${PINNED}`);
  }
  if (done.error) throw done.error;
  if (done.status !== 0)
    throw told(`componentize-qjs ended with status ${done.status}\n${done.stdout}${done.stderr}`.trimEnd());
}

function version() {
  const text = readFileSync(join(SDK, "wit", "types.wit"), "utf8");
  return text.match(/^package edgeplug:plugin@([^;]+);/m)[1];
}

function common(one, other) {
  const parts = one.split(sep);
  const others = other.split(sep);
  const same = parts.findIndex((part, at) => part !== others[at]);
  return (same < 0 ? parts : parts.slice(0, same)).join(sep) || sep;
}

function camel(name) {
  return name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
}

function told(message) {
  return Object.assign(new Error(message), { told: true });
}
