// The region's own subgraph: where a question about a subject begins. It has no data, and asks nobody.
//
//   node region.mjs PORT
import { readFileSync } from "node:fs";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";
import { serve } from "./serve.mjs";

const typeDefs = parse(readFileSync(new URL("region.graphql", import.meta.url), "utf8"));
const resolvers = {
  Query: {
    subject: (_, { uscc }) => ({ uscc }),
    subjects: (_, { usccs }) => usccs.map((uscc) => ({ uscc })),
  },
};
await serve(Number(process.argv[2]), { schema: buildSubgraphSchema({ typeDefs, resolvers }) });
