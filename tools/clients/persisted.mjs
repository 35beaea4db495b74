// Persisted documents as known clients ask for them: automatic persisted queries of Apollo Client and urql, and
// documentId as an application of its own would send it.
//
//   node persisted.mjs URL TOKEN   (TOKEN may be empty: the public view)
//
// Out: a line of JSON for each client: [[method, "hash" or "text", status], …].

import { createHash } from 'node:crypto'

import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries'
import { Client, fetchExchange } from '@urql/core'
import { persistedExchange } from '@urql/exchange-persisted'

const [url, token] = process.argv.slice(2)
const headers = token ? { authorization: `Bearer ${token}` } : {}
const sha256 = (text) => createHash('sha256').update(text).digest('hex')
const times = 3
let calls = []

async function seen(target, options = {}) {
  const reply = await fetch(target, options)
  const sent = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(target).searchParams)
  calls.push([options.method ?? 'GET', sent.query ? 'text' : 'hash', reply.status])
  return reply
}

async function apollo() {
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries: !token })
  const link = persisted.concat(new HttpLink({ uri: url, headers, fetch: seen }))
  const client = new ApolloClient({ link, cache: new InMemoryCache() })
  const query = gql`query Apollo { sources { code } }`
  for (let n = 0; n < times; n++) {
    const { data } = await client.query({ query, fetchPolicy: 'no-cache' })
    if (!data.sources.length) throw new Error('no answer')
  }
}

async function urql() {
  const exchanges = [persistedExchange({ preferGetForPersistedQueries: !token }), fetchExchange]
  const client = new Client({ url, exchanges, fetch: seen, fetchOptions: { headers }, preferGetMethod: false })
  for (let n = 0; n < times; n++) {
    const { data, error } = await client.query('query Urql { sources { code } }', {}).toPromise()
    if (!data?.sources.length) throw error ?? new Error('no answer')
  }
}

for (const run of [apollo, urql]) {
  calls = []
  await run()
  console.log(JSON.stringify(calls))
}
