// What the other programs here share: a server on a port of 127.0.0.1, and the headers that say who asks and what for.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";

// A router has no token of its own: each question goes on as its asker, for the asker's purpose.
export const PASSED_ON = ["authorization", "credit-purpose", "accept-language"];

export const headersOf = (from) =>
  Object.fromEntries(PASSED_ON.filter((name) => from[name]).map((name) => [name, from[name]]));

export async function serve(port, options) {
  const server = new ApolloServer({ introspection: false, ...options });
  const { url } = await startStandaloneServer(server, {
    listen: { host: "127.0.0.1", port },
    context: async ({ req }) => ({ headers: headersOf(req.headers) }),
  });
  console.log(`ready ${url}`);
}
