// Compose subgraphs into a supergraph, with two composers that share no code: both must take them.
//
//   node compose.mjs OUT NAME=URL=FILE…
//
// Writes OUT.apollo.graphql, OUT.hive.graphql, and OUT.plain.graphql without @authenticated and @requiresScopes, for
// routers that refuse a supergraph with them (@apollo/gateway). Nothing is lost with them: who may have a field is
// decided by the gateways. Prints what each composer says as one line of JSON. Exit status 1 where one of them refuses.
import { readFileSync, writeFileSync } from "node:fs";
import { parse, visit } from "graphql";
import { composeServices as apollo } from "@apollo/composition";
import { composeServices as hive } from "@theguild/federation-composition";

const SECURITY = ["authenticated", "requiresScopes"];
const plain = (document) =>
  visit(document, {
    Directive: (node) => (SECURITY.includes(node.name.value) ? null : undefined),
    StringValue: (node) => (SECURITY.includes(node.value.slice(1)) && node.value[0] === "@" ? null : undefined),
  });

const [out, ...given] = process.argv.slice(2);
const services = given.map((one) => {
  const [name, url, file] = one.split("=");
  return { name, url, typeDefs: parse(readFileSync(file, "utf8")) };
});
const without = services.map((one) => ({ ...one, typeDefs: plain(one.typeDefs) }));
const wanted = [["apollo", apollo, services], ["hive", hive, services], ["plain", apollo, without]];
const said = {};
for (const [name, compose, of] of wanted) {
  const { errors, supergraphSdl } = compose(of);
  said[name] = errors?.length
    ? { errors: errors.length, first: errors[0].message, code: errors[0].extensions?.code }
    : { supergraph: supergraphSdl.length };
  if (supergraphSdl) writeFileSync(`${out}.${name}.graphql`, supergraphSdl);
}
console.log(JSON.stringify(said));
process.exitCode = Object.values(said).some((one) => one.errors) ? 1 : 0;
