// Reads solc's standard JSON input on stdin and writes its output; imports come from node_modules.
"use strict";
const fs = require("fs");
const path = require("path");

const modules = process.argv[2];
const solc = require(path.join(modules, "solc"));

const findImport = (name) => {
  try {
    return { contents: fs.readFileSync(path.join(modules, name), "utf8") };
  } catch (error) {
    return { error: error.message };
  }
};

const input = fs.readFileSync(0, "utf8");
process.stdout.write(solc.compile(input, { import: findImport }));
