// The audits of graphql-http against a URL: one line of JSON for each, as scripts/http_audit.py reads them.
import { serverAudits } from "graphql-http";

const url = process.argv[2];
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  let found;
  try {
    found = await audit.fn();
  } catch (error) {
    found = { status: "error", reason: String(error) };
  }
  console.log(JSON.stringify({ id: audit.id, name: audit.name, status: found.status, reason: found.reason ?? "" }));
}
