// Starts GraphiQL on the page of graphiql.html. scripts/build_graphiql.py bundles this file with what it imports; the
// page then loads nothing from any other host, and no script stands inside it (see POLICY in graphiql.py).

import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";
import "./graphiql.css";

// The editor checks JSON and GraphQL in workers. They are bundles of their own, because a worker made from a blob or a
// data: address would need a laxer policy.
const WORKERS = { json: "json.worker.js", graphql: "graphql.worker.js" };
const version = new URL(import.meta.url).search;
globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(`/graphql/assets/${WORKERS[label] ?? "editor.worker.js"}${version}`, { type: "module" }),
};

const QUERY = `# 公开视图无需令牌，按 Ctrl-Enter 运行；左上图标是接口文档。
# The public view needs no token. Run: Ctrl-Enter.
# 更高视图：在下方 Headers 填写两个请求头，再点左下「重新获取」。
# Above it: fill in both Headers below, then re-fetch the schema.

query CreditStanding(
  $uscc: Uscc! = "11652799YL00000128" # 统一社会信用代码
) {
  subject(uscc: $uscc) {
    name # 名称
    kind # 主体类别
    region { name } # 登记地区
    recordCounts { # 各领域、各类信息的数量
      area
      kind
      count
    }
    records(first: 5) { # 最近五条公开的信用信息
      totalCount
      edges {
        node {
          kind # 信息类别
          title # 标题
          decidedOn # 决定日期
          publishedUntil # 公示截止日期
          status # 当前状态
          underObjection # 是否有异议
        }
      }
    }
    courts { # 司法信息：来源的状态和时间也是答案的一部分
      answer { status asOf }
    }
  }
}
`;

// Comments are allowed in this editor, so the hint is sent to nobody until its slashes are taken away.
const HEADERS = `{
  // 公开视图无需请求头；其他视图去掉下面两行的双斜线后填写。
  // None for the public view; for others uncomment both.
  // "Authorization": "Bearer <access token>",
  // "Credit-Purpose": "matter=\\"GRANT\\", case=\\"2026-17\\""
}
`;

// Only the look of the page outlives it. Queries, variables (identity numbers), headers (tokens) and history stay in
// memory: browsers in an office are shared.
const LASTING = /^graphiql:(theme|\w+Flex)$/;
const memory = new Map();
const storage = {
  getItem: (key) => (LASTING.test(key) ? localStorage.getItem(key) : (memory.get(key) ?? null)),
  setItem: (key, value) => (LASTING.test(key) ? localStorage.setItem(key, value) : void memory.set(key, value)),
  removeItem: (key) => (LASTING.test(key) ? localStorage.removeItem(key) : void memory.delete(key)),
  clear: () => memory.clear(),
  get length() {
    return memory.size;
  },
};

// A header is ASCII: text that is not goes as a Display String (RFC 9651 §3.3.8), which nobody should have to type.
const displayStrings = (purpose) =>
  purpose.replace(/"((?:[^"\\]|\\.)*)"/g, (quoted, text) => {
    if (/^[\x20-\x7e]*$/.test(text)) return quoted;
    const bytes = new TextEncoder().encode(text.replace(/\\(.)/g, "$1"));
    const hex = (byte) => `%${byte.toString(16).padStart(2, "0")}`;
    const plain = (byte) => byte >= 0x20 && byte <= 0x7e && byte !== 0x22 && byte !== 0x25;
    return `%"${Array.from(bytes, (byte) => (plain(byte) ? String.fromCharCode(byte) : hex(byte))).join("")}"`;
  });

async function fetcher(request, { headers: given = {} } = {}) {
  const headers = { accept: "application/graphql-response+json, application/json", "content-type": "application/json" };
  for (const [name, value] of Object.entries(given)) {
    headers[name] = name.toLowerCase() === "credit-purpose" ? displayStrings(value) : value;
  }
  const answer = await fetch("/graphql", {
    method: "POST",
    headers,
    body: JSON.stringify(request),
    credentials: "omit", // whoever asks is told by the headers above, never by a cookie
    cache: "no-store",
    redirect: "error",
  });
  const body = await answer.text();
  try {
    return JSON.parse(body);
  } catch {
    return { errors: [{ message: `HTTP ${answer.status}: ${body.slice(0, 500)}` }] };
  }
}

createRoot(document.getElementById("graphiql")).render(
  createElement(GraphiQL, {
    fetcher,
    storage,
    defaultQuery: QUERY,
    defaultHeaders: HEADERS,
    defaultEditorToolsVisibility: "headers",
    shouldPersistHeaders: false,
    showPersistHeadersSettings: false,
    plugins: [HISTORY_PLUGIN],
  }),
);
