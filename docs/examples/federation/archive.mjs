// Another service of one prefecture: it adds a field to the gateway's Subject, and has subjects that the gateway must
// be asked about (ARCHIVED: their codes, comma separated).
//
//   ARCHIVED=… node archive.mjs PORT
import { readFileSync } from "node:fs";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";
import { serve } from "./serve.mjs";

const typeDefs = parse(readFileSync(new URL("archive.graphql", import.meta.url), "utf8"));
const archived = (process.env.ARCHIVED ?? "").split(",").filter(Boolean);
const fileOf = (uscc) => ({ shelf: `架-${uscc.slice(-4)}`, subject: { __typename: "Subject", uscc } });
const resolvers = {
  Query: { newestFiles: () => archived.map(fileOf) },
  Subject: {
    __resolveReference: ({ uscc }) => ({ uscc }),
    files: ({ uscc }) => (archived.includes(uscc) ? [fileOf(uscc)] : []),
  },
};
await serve(Number(process.argv[2]), { schema: buildSubgraphSchema({ typeDefs, resolvers }) });
