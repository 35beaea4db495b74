// A router: @apollo/gateway.
//
//   node apollo.mjs PORT SUPERGRAPH
import { readFileSync } from "node:fs";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { serve } from "./serve.mjs";

class AsTheAsker extends RemoteGraphQLDataSource {
  willSendRequest({ request, context }) {
    for (const [name, value] of Object.entries(context.headers ?? {})) request.http.headers.set(name, value);
  }
}

const gateway = new ApolloGateway({
  supergraphSdl: readFileSync(process.argv[3], "utf8"),
  buildService: ({ url }) => new AsTheAsker({ url }),
});
await serve(Number(process.argv[2]), { gateway });
