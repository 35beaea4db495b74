// A router: `hive-gateway supergraph` of @graphql-hive/gateway. SUPERGRAPH and PORT are in the environment.
import { defineConfig } from "@graphql-hive/gateway";
import { PASSED_ON } from "./serve.mjs";

export const gatewayConfig = defineConfig({
  supergraph: process.env.SUPERGRAPH,
  host: "127.0.0.1",
  port: Number(process.env.PORT),
  propagateHeaders: {
    fromClientToSubgraphs: ({ request }) =>
      Object.fromEntries(PASSED_ON.map((name) => [name, request.headers.get(name)]).filter(([, value]) => value)),
  },
  landingPage: false,
  graphiql: false,
});
