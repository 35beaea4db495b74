// Mercurius with JIT as somebody who knows it writes it: one joined statement for each root field, prepared by name, whose
// JSON becomes objects that the default resolvers read. The statements are the floor's (STATEMENTS), its settings too.
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import pg from 'pg'

const { schema, single, lists } = JSON.parse(readFileSync(process.env.STATEMENTS, 'utf8'))
const pool = new pg.Pool({
  max: 10,
  idleTimeoutMillis: 0,
  options: '-c plan_cache_mode=force_generic_plan -c jit=off -c max_parallel_workers_per_gather=0'
})

async function one (name, text, values) {
  const { rows } = await pool.query({ name, text, values, rowMode: 'array' })
  return rows.length === 0 ? null : JSON.parse(rows[0][0]).data
}

const LAST = '\u{10ffff}'
// As much of the gateway's folding of names as the names that are measured need.
const folded = text => text.normalize('NFKC').replace(/\s/g, '').replaceAll('有限责任公司', '有限公司').toUpperCase()
const FIELDS = { DECIDED_ON: 'decided', PUBLISHED_FROM: 'published' }

function listed ({ filter = {}, orderBy, after }) {
  const order = orderBy ? `${FIELDS[orderBy.field]}_${orderBy.direction.toLowerCase()}` : 'decided_desc'
  const names = [order]
  const values = []
  for (const [key, name] of [['kinds', 'kind'], ['areas', 'area'], ['decidedFrom', 'from'], ['decidedTo', 'to']]) {
    if (filter[key] != null) {
      names.push(name)
      values.push(filter[key])
    }
  }
  if (after != null) {
    names.push('after')
    values.push(after.slice(1, 11), Buffer.from(after.slice(11), 'base64url').subarray(1).toString('hex'))
  }
  if (filter.regionCode != null) {
    names.push('region')
    values.push(filter.regionCode)
  }
  return [names.join(), values]
}

const resolvers = {
  Query: {
    subject: async (_, { uscc }) => (await one('w1', single.W1, [uscc]))?.subject,
    subjects: async (_, { usccs }) => (await one('w3', single.W3, [usccs])).subjects,
    searchSubjects: async (_, { query }) => {
      const begin = folded(query)
      return (await one('w2', single.W2, [begin, begin + LAST])).searchSubjects
    },
    records: async (_, given) => {
      const [name, values] = listed(given)
      return (await one(name, lists[name], values)).records
    }
  }
}

const app = Fastify()
app.register(mercurius, { schema, resolvers, jit: 1, path: '/graphql' })
await app.listen({ host: '127.0.0.1', port: 0 })
console.log(app.server.address().port)
process.on('SIGTERM', () => process.exit(0))
